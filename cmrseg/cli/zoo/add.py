"""``cmrseg zoo add``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note


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
    from cmrseg.publishing.add import add_model

    folders = {title: Path(folder) for title, _, folder in (e.rpartition("=") for e in evaluation or ())}
    entry = add_model(file, card, folders, trained_on=trained_on, citation=citation, pixel_mm=pixel_mm)
    note(f"added {entry.name}: {entry.bytes / 1e6:.1f} MB, sha256 {entry.sha256}")
