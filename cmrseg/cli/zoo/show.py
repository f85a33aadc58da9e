"""``cmrseg zoo show``."""

from __future__ import annotations

from typing import Annotated

import typer

from cmrseg.cli.console import out, plain


def show(name: Annotated[str, typer.Argument(help="Name of a model, or a model file.")]) -> None:
    """The card of a model: what it is for, how it was made, how good it is; or what a file holds."""
    from rich.markdown import Markdown

    from cmrseg.zoo.describe import model_card

    out.print(Markdown(plain(model_card(name))), soft_wrap=False)  # or the lines of lists would be cut off
