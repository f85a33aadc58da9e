"""``cmrseg zoo show``."""

from __future__ import annotations

from typing import Annotated

import typer

from cmrseg.cli.console import out


def show(name: Annotated[str, typer.Argument(help="Name of a model.")]) -> None:
    """The card of a model: what it is for, how it was made, how good it is, its licence."""
    from rich.markdown import Markdown

    from cmrseg.zoo.manifest import read_card

    out.print(Markdown(read_card(name)), soft_wrap=False)  # or the lines of lists would be cut off
