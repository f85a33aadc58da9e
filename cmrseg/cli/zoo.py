"""``cmrseg zoo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, out, show_table

app = typer.Typer(help="The pretrained models.", no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """All models of the zoo."""
    from cmrseg.zoo.manifest import read_manifest

    rows = [
        (
            e.name,
            ", ".join(f"{name} {value:.3f}" for name, value in e.dice.items()),
            e.trained_on,
            e.licence,
            f"{e.bytes / 1e6:.1f} MB",
            "embedded",
        )
        for e in read_manifest().values()
    ]
    show_table("model zoo", ("name", "Dice", "trained on", "licence", "size", "where"), rows)


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name of a model.")]) -> None:
    """The card of a model: what it is for, how it was made, how good it is, its licence."""
    from rich.markdown import Markdown

    from cmrseg.zoo.manifest import read_card

    out.print(Markdown(read_card(name)))


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="Model file of a training run.")],
    card: Annotated[
        Path, typer.Option(help="Its card.md; the results block is replaced by what was measured.")
    ],
    trained_on: Annotated[str, typer.Option(help="Training data, for the list.")],
    citation: Annotated[str, typer.Option(help="Whom to cite.")],
    evaluation: Annotated[
        list[str] | None, typer.Option(help="TITLE=DIR of `cmrseg evaluate masks`; may be repeated.")
    ] = None,
    pixel_mm: Annotated[
        float | None, typer.Option(help="Pixel size to predict at, if not the training's.")
    ] = None,
) -> None:
    """Embed a trained model in this installation, with its card and checksum."""
    from cmrseg.zoo.add import add_model

    folders = {title: Path(folder) for title, _, folder in (e.rpartition("=") for e in evaluation or ())}
    entry = add_model(file, card, folders, trained_on=trained_on, citation=citation, pixel_mm=pixel_mm)
    note(f"added {entry.name}: {entry.bytes / 1e6:.1f} MB, sha256 {entry.sha256}")
