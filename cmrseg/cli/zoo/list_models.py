"""``cmrseg zoo list``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import note, out

if TYPE_CHECKING:
    from cmrseg.zoo.manifest import Entry


def list_models(
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one object a model, with all that is known of it.")
    ] = False,
) -> None:
    """All models of the zoo."""
    if as_json:
        from cmrseg.zoo.listing import models_as_json

        typer.echo(models_as_json())
        return
    from cmrseg.problems import DataError
    from cmrseg.zoo.manifest import imported_models, read_manifest, resolve

    # A table of eight columns would be broken within its words on most terminals.
    for entry in read_manifest().values():
        head = f"{entry.name}: {entry.where}, {entry.size}, licence {entry.licence}"
        out.print(head, style="bold", markup=False)
        more = f"    {entry.architecture}; {_structures(entry)}; trained on {entry.trained_on}"
        out.print(more, markup=False)
    for name, path in imported_models().items():
        try:
            spec = resolve(path).spec
        except DataError as error:
            out.print(f"{name}: {error}", markup=False)
            continue
        out.print(f"{name}: imported, licence {spec.licence}", style="bold", markup=False)
        segments = ", ".join(spec.labels[1:])
        out.print(f"    {spec.architecture}; {segments}; recipe {spec.recipe}", markup=False)
    note("`cmrseg zoo show NAME` shows a card, `cmrseg zoo get NAME` fetches a remote model")


def _structures(entry: Entry) -> str:
    """What a model segments, with its Dice where that is known."""
    if entry.dice:
        return "Dice " + ", ".join(f"{name} {value:.2f}" for name, value in entry.dice.items())
    return ", ".join(label for label in entry.labels if label != "BACKGROUND")
