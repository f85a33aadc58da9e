"""``cmrseg data``."""

from __future__ import annotations

import typer

from cmrseg.cli.data import describe, get

app = typer.Typer(help="Data sets.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Data sets."""


app.command("get")(get.get)
app.command("describe")(describe.describe)
