"""What a curation found and did, as one page with pictures."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmrseg import __version__
from cmrseg.curation.pictures import RESULT, load_pictures
from cmrseg.curation.pictures import Picture as Slices
from cmrseg.curation.run import RECORDS, CurationRun, Options, Progress, curate
from cmrseg.io.atomic import write_text
from cmrseg.report.figures import blank_figure
from cmrseg.report.html import Picture, Section, Table, render_report

_PICTURES_PER_KIND = 2
_RESULTS = 12
_MAX_ROWS = 200
_COLUMNS = 3
_PANEL = (2.0, 2.3)  # inches
_TITLE_WIDTH = 34


def curate_and_report(
    source: Path, target: Path, *, options: Options | None = None, progress: Progress | None = None
) -> CurationRun:
    """`cmrseg.curation.run.curate` with the same parameters, then ``report.html``."""
    run = curate(source, target, options=options, progress=progress)
    write_curation_report(run, target, options or Options())
    return run


def write_curation_report(run: CurationRun, target: Path, options: Options) -> Path:
    """Write ``report.html``: what was wrong in how many studies, and slices before and after their repair.

    Parameters
    ----------
    run
        What `curate` returned.
    target
        Its folder.
    options
        What it was called with.
    """
    pictures = [p for path in sorted((target / RECORDS).glob("*.npz")) for p in load_pictures(path)]
    ok = run.studies["status"] == "ok"
    summary = (
        f"{int(ok.sum())} of {len(ok)} studies were written as short-axis cines, "
        f"{int((ok & (run.studies['problems'] > 0)).sum())} of them with repairs; {int((~ok).sum())} failed."
    )
    sections = [
        Section("What was wrong", tables=_problem_tables(run), text=run.notes, warnings=_failures(run)),
        Section("Slices before and after their repair", pictures=_repair_pictures(pictures)),
        Section(
            "What came out", tables=[Table(_head(run.studies), "studies.tsv")], pictures=_results(pictures)
        ),
        Section(
            "Which series were used",
            tables=[Table(_head(_series_table(run.series)), "One row per series: series.tsv")],
        ),
    ]
    provenance = {
        "cmrseg": __version__,
        "rules": vars(options.rules),
        "series": "named by --series" if options.series else "chosen by geometry",
    }
    return write_text(
        render_report("Curation of short-axis cines", sections, provenance=provenance, summary=summary),
        target / "report.html",
    )


def _problem_tables(run: CurationRun) -> list[Table]:
    """How often every kind of problem occurred, and in how many studies."""
    if run.problems.empty:
        return []
    problems = run.problems.assign(
        study=run.problems["study"].replace("", pd.NA)
    )  # damaged files: of no study
    groups = problems.groupby(["problem", "resolution"], sort=False)
    table = groups.agg(studies=("study", "nunique"), times=("problem", "size")).reset_index()
    table = table.sort_values(["studies", "times"], ascending=False)
    return [Table(table, f"Problems by kind; every one is a row of problems.tsv ({len(run.problems)} rows)")]


def _failures(run: CurationRun) -> list[str]:
    """One sentence per failed study."""
    failed = run.studies[run.studies["status"] != "ok"].head(_MAX_ROWS)
    return [f"{row.study}: {row.reason}" for row in failed.itertuples()]


def _series_table(series: pd.DataFrame) -> pd.DataFrame:
    """Series of an examination that had the same fate as one row."""
    if series.empty:
        return series
    alike = ["study", "description", "phases", "chosen", "reason"]
    groups = series.fillna({"description": ""}).groupby(alike, sort=False)
    table = groups.agg(
        series=("series", _range), positions=("positions", "sum"), angle_deg=("angle_deg", "median")
    ).reset_index()
    table["used"] = table.pop("chosen").map({True: "yes", False: "no"})
    return table[["study", "series", "description", "positions", "phases", "angle_deg", "used", "reason"]]


def _range(numbers: pd.Series) -> str:
    """First and last of some numbers."""
    first, last = numbers.min(), numbers.max()
    return str(first) if first == last else f"{first} to {last}"


def _head(table: pd.DataFrame) -> pd.DataFrame:
    """The first rows of a table; the file has them all."""
    return table.head(_MAX_ROWS)


def _repair_pictures(pictures: list[Slices]) -> list[Picture]:
    """One figure per kind of problem."""
    kinds: dict[str, list[Slices]] = {}
    for picture in pictures:
        if picture.kind != RESULT:
            kinds.setdefault(picture.kind, []).append(picture)
    return [
        Picture(_pairs(examples[:_PICTURES_PER_KIND]), _caption(kind, len(examples)), kind.replace(" ", "_"))
        for kind, examples in sorted(kinds.items())
    ]


def _caption(kind: str, count: int) -> str:
    """What a figure of repairs shows."""
    shown = f", {_PICTURES_PER_KIND} of {count} studies" if count > _PICTURES_PER_KIND else ""
    return f"{kind.capitalize()}{shown}: the slice as it was measured, and what became of it."


def _pairs(examples: list[Slices]) -> Figure:
    """Slices before and after, side by side."""
    figure = blank_figure(2 * len(examples) * _PANEL[0], _PANEL[1])
    axes = figure.subplots(1, 2 * len(examples), squeeze=False)[0]
    for pair, example in zip(axes.reshape(-1, 2), examples, strict=False):
        _show(pair[0], example.before, f"{example.study}\n{fill(example.told, _TITLE_WIDTH)}")
        if example.after.size:
            _show(pair[1], example.after, "\nrepaired")
        else:
            pair[1].text(0.5, 0.5, "removed", ha="center", va="center")
    return _without_axes(figure)


def _results(pictures: list[Slices]) -> list[Picture]:
    """A middle slice of the first studies."""
    results = [p for p in pictures if p.kind == RESULT][:_RESULTS]
    if not results:
        return []
    columns = min(len(results), 2 * _COLUMNS)
    rows = -(-len(results) // columns)
    figure = blank_figure(columns * _PANEL[0], rows * _PANEL[1])
    for axis, result in zip(figure.subplots(rows, columns, squeeze=False).flat, results, strict=False):
        _show(axis, result.after, f"{result.study}\n{result.told}")
    return [Picture(_without_axes(figure), "The middle slice at the first frame.", "results")]


def _show(axis, image: np.ndarray, title: str) -> None:
    """One small picture."""
    axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    axis.set_title(title, fontsize=7, parse_math=False)


def _without_axes(figure: Figure) -> Figure:
    """Pictures need no ticks."""
    for axis in figure.axes:
        axis.axis("off")
    return figure
