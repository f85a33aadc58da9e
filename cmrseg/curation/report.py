"""What a curation found and did, as one page with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmrseg.cine import Cine
from cmrseg.curation.pictures import RESULT, load_pictures
from cmrseg.curation.pictures import Picture as Slices
from cmrseg.curation.rules import Rules
from cmrseg.curation.run import RECORDS, CurationRun, Options
from cmrseg.problems import DataError
from cmrseg.report.figures import blank_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report

_PICTURES_PER_KIND = 2
_RESULTS = 12
_MAX_ROWS = 200
_WIDTH = 2.0  # of a picture, inches
_TITLE_WIDTH = 34


def curation_report(run: CurationRun, target: Path, options: Options) -> Report:
    """What was wrong in how many studies, and slices before and after their repair.

    Parameters
    ----------
    run
        What `curate` returned.
    target
        Its folder.
    options
        What it was called with.
    """
    pictures = _pictures(target)
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
        "rules": _numbers_of(options.rules),
        "series": "named by --series" if options.series else "chosen by geometry",
    }
    return Report("Curation of short-axis cines", sections, provenance, summary, figures=None, dated=False)


def lvquan_report(run: CurationRun, target: Path) -> Report:
    """What came of the files of an LVQuan challenge.

    Parameters
    ----------
    run
        What `cmrseg.curation.lvquan.curate_lvquan` returned.
    target
        Its folder.
    """
    ok = int((run.studies["status"] == "ok").sum())
    sections = [
        Section("What was wrong", tables=_problem_tables(run), text=run.notes, warnings=_failures(run)),
        Section(
            "What came out",
            ["One slice of every subject; the contours are those of its mask, where it has one."],
            [Table(_head(run.studies), "studies.tsv")],
            _results(_pictures(target)),
        ),
    ]
    summary = f"{ok} of {len(run.studies)} subjects were written as cines of one slice."
    return Report("LVQuan as a data set", sections, {}, summary, figures=None, dated=False)


def repair_figure(target: Path, study: str) -> Figure:
    """Slices of a study before and after their repairs.

    Parameters
    ----------
    target
        Folder that `cmrseg.curation.run.curate` wrote.
    study
        Its name in ``studies.tsv``.

    Returns
    -------
    Figure with one slice per kind of problem that removed slices or moved their pixels.

    Raises
    ------
    DataError
        If there is no such picture.
    """
    repairs = [p for p in _pictures(target) if p.study == study and p.kind != RESULT]
    if not repairs:
        raise DataError(f"{target} has no picture of a repair of study '{study}'; see problems.tsv")
    return _pairs(repairs)


def cine_mosaic(cine: Cine, *, z: int | None = None, t: int = 0, columns: int = 5) -> Figure:
    """All slices at one frame, or one slice at all frames.

    Parameters
    ----------
    cine
        Array of shape ``(x, y, z, t)``.
    z
        Show this slice at all frames, whatever ``t`` is.
    t
        Show all slices at this frame.
    columns
        Images per row.
    """
    if z is None:
        images = [(f"slice {i}", image.T) for i, image in enumerate(np.moveaxis(cine.array[..., t], 2, 0))]
    else:
        times = [f"{ms:.0f} ms" for ms in cine.frame_times_ms]
        frames = times or [f"frame {i}" for i in range(cine.array.shape[3])]
        images = [(name, cine.array[:, :, z, i].T) for i, name in enumerate(frames)]
    return mosaic_figure(images, columns=columns)


def mosaic_figure(images: Sequence[tuple[str, np.ndarray]], *, columns: int = 5) -> Figure:
    """Grey images with their titles, one window for all.

    Parameters
    ----------
    images
        Title and grey values, shape ``(rows, columns)`` in pixels, of at least one image; an empty one leaves
        a blank panel.
    columns
        Images per row.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max(title.count("\n") + 1 for title, _ in images)
    tallest = max((image.shape[0] / image.shape[1] for _, image in images if image.size), default=1)
    figure = blank_figure(columns * _WIDTH, rows * (_WIDTH * tallest + 0.1 + 0.13 * lines))
    high = np.percentile(np.concatenate([image.ravel() for _, image in images]), 99.5)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_anchor("N")  # titles of a row stand at one height
        axis.axis("off")
    for axis, (title, image) in zip(axes, images, strict=False):
        axis.set_title(title, fontsize=7, parse_math=False)
        if image.size:
            axis.imshow(image, cmap="gray", vmin=0, vmax=max(high, 1e-6))
    return figure


def _pictures(target: Path) -> list[Slices]:
    """What was kept of all studies."""
    return [p for path in sorted((target / RECORDS).glob("*.npz")) for p in load_pictures(path)]


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


def _numbers_of(rules: Rules) -> dict[str, object]:
    """The rules but for the names of studies and series, which may be those of patients."""
    told = {**vars(rules), "study_pattern": "given" if rules.study_pattern else "none"}
    return {**told, "measurements": f"{len(rules.measurements)} found by hand"}


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


def _pairs(examples: Sequence[Slices]) -> Figure:
    """Slices before and after, side by side."""
    images = []
    for example in examples:
        images.append((f"{example.study}\n{fill(example.told, _TITLE_WIDTH)}", example.before))
        images.append(("repaired" if example.after.size else "removed", example.after))
    return mosaic_figure(images, columns=4)


def _results(pictures: list[Slices]) -> list[Picture]:
    """A middle slice of the first studies."""
    results = [(f"{p.study}\n{p.told}", p.after) for p in pictures if p.kind == RESULT][:_RESULTS]
    if not results:
        return []
    return [Picture(mosaic_figure(results, columns=6), "The middle slice at the first frame.", "results")]
