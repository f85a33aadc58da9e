"""``cmrseg zoo``."""

from __future__ import annotations

import typer

from cmrseg.cli.zoo import add, list_models, show

app = typer.Typer(help="The pretrained models.", no_args_is_help=True)
app.command("list")(list_models.list_models)
app.command("show")(show.show)
app.command("add")(add.add)
