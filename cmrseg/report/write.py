"""A report becomes files: tables, figures, problems, and one page that shows them."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmrseg import __version__
from cmrseg.io.atomic import atomic_path, write_table, write_text
from cmrseg.problems import Problem, problem_table
from cmrseg.report.figures import png_bytes
from cmrseg.report.html import Section, Table, render_report

MAX_PROBLEM_ROWS = 50


@dataclass(frozen=True)
class Report:
    """What is told of something that was found.

    Attributes
    ----------
    title
        Heading of the page.
    sections
        Its parts in their order.
    provenance
        What was computed from what; versions and time are added.
    summary
        One paragraph that a reader in a hurry needs.
    tables
        Files beside the page by their names; of None an earlier one is removed.
    problems
        What was left out, for ``problems.tsv``; where there is nothing, an earlier file is removed. None
        leaves the file to others.
    figures
        Folder of the figures, relative to the page; None leaves them in the page alone.
    forget
        Names of figures (``dice``, ``bland_altman_*``) that are removed where an earlier run left others.
    dated
        Whether the page says when it was made; without, the same run gives the same page.
    """

    title: str
    sections: Sequence[Section]
    provenance: Mapping[str, object]
    summary: str = ""
    tables: Mapping[str, pd.DataFrame | None] = field(default_factory=dict)
    problems: Sequence[Problem] | None = None
    figures: str | None = "figures"
    forget: Sequence[str] = ()
    dated: bool = True


def write(report: Report, out: Path) -> Path:
    """Write tables, figures and ``report.html`` into a folder; files of the same name are replaced at once.

    Parameters
    ----------
    report
        What is told.
    out
        Gets the files.

    Returns
    -------
    Path of ``report.html``.
    """
    write_tables(report.tables, report.problems, out)
    if report.figures is not None:
        _write_figures(report, out / report.figures)
    provenance = {**report.provenance, **(software() if report.dated else {"cmrseg": __version__})}
    page = render_report(report.title, report.sections, provenance=provenance, summary=report.summary)
    return write_text(page, out / "report.html")


def write_tables(
    tables: Mapping[str, pd.DataFrame | None], problems: Sequence[Problem] | None, out: Path
) -> None:
    """Write tables by their names and ``problems.tsv``; what there is nothing of now is removed."""
    told = {} if problems is None else {"problems.tsv": problem_table(list(problems)) if problems else None}
    for name, table in {**tables, **told}.items():
        if table is None:
            (out / name).unlink(missing_ok=True)
        else:
            write_table(table, out / name)


def write_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(png_bytes(figure))
    return path


def software() -> dict[str, str]:
    """Versions and time, for the provenance block of a report."""
    return {
        "cmrseg": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def problem_section(problems: list[Problem], failed: Sequence[str], *, what: str) -> Section:
    """What could not be evaluated; ``what`` is what the failed ones are, such as ``subject``."""
    if not problems:
        return Section("Problems", ["None."])
    table = problem_table(problems[:MAX_PROBLEM_ROWS])
    more = len(problems) - len(table)
    caption = (
        "problems.tsv" if not more else f"The first {len(table)} rows of problems.tsv; {more} more there"
    )
    warnings = [f"{len(failed)} {what}(s) could not be evaluated completely and lack in the scores."]
    return Section("Problems", tables=[Table(table, caption)], warnings=warnings if failed else [])


def _write_figures(report: Report, figures: Path) -> None:
    """Write the figures, and remove those of an earlier run with other subjects, methods or structures."""
    drawn = {picture.name: picture for section in report.sections for picture in section.pictures}
    for name, picture in drawn.items():
        write_figure(picture.figure, figures / f"{name}.png")
    for file in (file for kind in report.forget for file in figures.glob(f"{kind}.png")):
        if file.stem not in drawn:
            file.unlink()
