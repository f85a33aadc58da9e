"""``cmrseg compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, show_table
from cmrseg.cli.out_folder import out_folder


def compare(
    before: Annotated[
        Path,
        typer.Argument(
            metavar="A", help="Earlier examination: the folder of a study that `cmrseg predict` wrote."
        ),
    ],
    after: Annotated[Path, typer.Argument(metavar="B", help="Later examination of the same patient.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for changes.csv, figures and report.html; in runs/ by default."),
    ] = None,
    interval: Annotated[
        Path | None,
        typer.Option(
            help="Table of your own of how two scans of one heart differ (ventricle, quantity, cov_percent, "
            "source), instead of published ones."
        ),
    ] = None,
) -> None:
    """Two examinations of one patient: what changed by more than two scans of one heart differ."""
    from cmrseg.examination.comparison_report import change_words, headline
    from cmrseg.workflows.compare import compare as run

    out = out_folder(out, "compare", before, after)
    found = run(before, after, out, interval=interval)
    table = change_words(found.changes)
    show_table("changes", list(table.columns), table.values.tolist())
    for sentence in (*found.notes, headline(found).removesuffix(".")):
        note(sentence)
    note(f"report: {out / 'report.html'}")
