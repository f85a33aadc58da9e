"""``cmrseg demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, show_table, training_listener


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that the demo makes.")] = Path("demo"),
) -> None:
    """The whole chain on synthetic studies of two scanners: train, fine-tune, predict, evaluate."""
    from cmrseg.workflows.demo import run_demo

    with training_listener() as listener:
        result = run_demo(out, listener=listener)
    columns = ["structure", "metric", "before", "after", "change", "unit"]
    show_table(
        "on the new scanner, before and after fine-tuning", columns, result.table[columns].values.tolist()
    )
    note(f"report with pictures: {result.report.resolve()}")
