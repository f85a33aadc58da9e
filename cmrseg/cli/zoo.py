"""``cmrseg zoo``."""

from __future__ import annotations

from typing import Annotated

import typer

from cmrseg.cli.console import out, show_table

app = typer.Typer(help="The pretrained models.", no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """All models of the zoo."""
    from cmrseg.zoo.manifest import read_manifest

    rows = [
        (e.name, ", ".join(e.labels[1:]), e.trained_on, e.licence, f"{e.bytes / 1e6:.1f} MB", "embedded")
        for e in read_manifest().values()
    ]
    show_table("model zoo", ("name", "segments", "trained on", "licence", "size", "where"), rows)


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name of a model.")]) -> None:
    """The card of a model: what it is for, how it was made, how good it is, its licence."""
    from rich.markdown import Markdown

    from cmrseg.zoo.manifest import read_card

    out.print(Markdown(read_card(name)))
