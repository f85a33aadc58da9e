"""``cmrseg study``."""

from __future__ import annotations

import typer

from cmrseg.cli.study import frames, search

app = typer.Typer(help="Studies over many training runs.", no_args_is_help=True)


@app.callback()
def study() -> None:
    """Studies over many training runs."""


app.command("search")(search.search)
app.command("frames")(frames.frames)
