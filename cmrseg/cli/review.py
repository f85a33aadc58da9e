"""``cmrseg review``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note


def review(
    out: Annotated[
        Path,
        typer.Argument(help="Folder that `cmrseg predict` wrote of DICOM, or of cines with --report."),
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; any free one by default.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
) -> None:
    """Correct masks in the browser of this computer; every mask that is saved is measured again at once.

    The address holds a secret of this call: give it to nobody. Ctrl-C ends the command.
    """
    from cmrseg.workflows.review import review as run

    def ready(address: str) -> None:
        note(f"review: {address}")
        note("Ctrl-C ends it; what was saved is kept")
        if browser:
            import webbrowser

            webbrowser.open(address)

    run(out, port=port, ready=ready)
