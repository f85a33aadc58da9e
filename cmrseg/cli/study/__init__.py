"""``cmrseg study``."""

from __future__ import annotations

import typer

from cmrseg.cli.study import curves, ensemble, frames, regions, search, subsets, table

app = typer.Typer(help="Studies over many training runs.", no_args_is_help=True)


@app.callback()
def study() -> None:
    """Studies over many training runs."""


app.command("subsets")(subsets.subsets)
app.command("search")(search.search)
app.command("frames")(frames.frames)
app.command("table")(table.table)
app.command("regions")(regions.regions)
app.command("curves")(curves.curves)
app.command("ensemble")(ensemble.ensemble)
