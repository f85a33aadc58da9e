"""``cmrseg zoo``."""

from __future__ import annotations

import typer

from cmrseg.cli.zoo import add, export, get, import_file, list_models, publish, show

app = typer.Typer(help="The pretrained models.", no_args_is_help=True)
app.command("list")(list_models.list_models)
app.command("show")(show.show)
app.command("get")(get.get)
app.command("import")(import_file.import_file)
app.command("export")(export.export)
app.command("publish")(publish.publish)
app.command("add")(add.add)
