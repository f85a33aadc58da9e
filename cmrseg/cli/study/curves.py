"""``cmrseg study curves``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, show_table
from cmrseg.cli.out_folder import out_folder


def curves(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG...",
            help="Combined training log of a study (train_log_combined.csv), ours or the published one.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for curves.csv, runs.csv, fig6.png and report.html; in runs/ by default."),
    ] = None,
    subsets: Annotated[
        Path | None,
        typer.Option(help="Table of image subsets; needed where the log has no images_seen."),
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(help="Numbers that a paper prints: benchmarks/ankenbrand2021_fig6.tsv.")
    ] = None,
) -> None:
    """Learning curves of a transfer-learning study: starting points, peaks and plateaus of all runs."""
    from cmrseg.experiments.curves_report import disagreements, screen_table
    from cmrseg.workflows.experiments import curves as draw

    out = out_folder(out, "curves", logs[0])
    found = draw(logs, out, subsets=subsets, paper=beside)
    table = screen_table(found.runs)
    show_table("validation Dice; plateau in thousands of images", list(table.columns), table.values.tolist())
    if found.compared is not None:
        for sentence in disagreements(found.compared):
            note(f"beside the paper, {sentence}")
    note(f"report: {out / 'report.html'}")
