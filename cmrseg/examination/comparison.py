"""Two examinations of one patient: what changed, and whether by more than two scans of one heart differ.

Notes
-----
Scanned twice on a day, a heart gives two numbers. The standard deviation of their differences over the mean
is their coefficient of variability; a change of more than 1.96 of it is beyond what 95 % of such pairs show.
The values that are shipped are those of human readers, of the group in which they were largest; those of
one's own scanner and model may be given instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.tables import as_numbers, need_columns
from cmrseg.examination.result import CINE, MASK, ExaminationResult, read_result
from cmrseg.io.images import load_image, load_mask
from cmrseg.io.tables import read_table
from cmrseg.problems import DataError

COV_COLUMNS = ("ventricle", "quantity", "cov_percent", "source")
CHANGE_COLUMNS = (
    "ventricle", "quantity", "unit", "before", "after", "change", "change_percent", "interval", "verdict",
    "source",
)  # fmt: skip
SEGMENT_COLUMNS = ("segment", "name", "ed_mm_before", "ed_mm_after", "thickening_before", "thickening_after")
SHIPPED = "scan_rescan"
Z_95 = 1.96
_PLACE = ["ventricle", "quantity"]


@dataclass(frozen=True)
class Visit:
    """One examination as `cmrseg predict` left it.

    Attributes
    ----------
    name
        Of its folder.
    result
        What the run remembers.
    image, mask
        The cine and its mask.
    numbers, curves, segments, flags
        Tables of its folder.
    """

    name: str
    result: ExaminationResult
    image: Cine
    mask: Cine
    numbers: pd.DataFrame
    curves: pd.DataFrame
    segments: pd.DataFrame
    flags: pd.DataFrame

    @property
    def frames(self) -> tuple[int, int]:
        """Positions of end-diastole and end-systole."""
        row = self.result.cohort or {}
        return int(row["ED_frame"]), int(row["ES_frame"])


@dataclass(frozen=True)
class VisitComparison:
    """What changed between two examinations.

    Attributes
    ----------
    before, after
        The examinations.
    changes
        ``changes.csv``: `CHANGE_COLUMNS`; ``interval`` is half of the width, in the unit.
    segments
        ``segments.csv``: `SEGMENT_COLUMNS`.
    notes
        What a reader of the numbers should know.
    """

    before: Visit
    after: Visit
    changes: pd.DataFrame
    segments: pd.DataFrame
    notes: tuple[str, ...]


def compare_visits(before: Path, after: Path, *, interval: Path | None = None) -> VisitComparison:
    """Compare two examinations of one patient.

    Parameters
    ----------
    before, after
        Folders of studies that `cmrseg predict` wrote, or of runs with one study.
    interval
        Table of coefficients of variability with the columns `COV_COLUMNS`; the shipped one by default.

    Raises
    ------
    DataError
        If one is no such folder, both are the same, or the table makes no sense.
    """
    folders = [study_folder(path) for path in (before, after)]
    if folders[0].resolve() == folders[1].resolve():
        raise DataError(f"{folders[0]} is named twice; name the earlier and the later examination")
    variability = read_variability(interval)
    first, second = map(read_visit, folders)
    changes = change_table(first.numbers, second.numbers, variability)
    return VisitComparison(first, second, changes, _segments(first, second), _notes(first, second))


def study_folder(path: Path) -> Path:
    """The folder of a study: it itself, or the one study of a run.

    Raises
    ------
    DataError
        If there is none or more than one.
    """
    if read_result(path) is not None:
        return path
    studies = sorted(p.parent for p in path.glob("*/result.json") if read_result(p.parent) is not None)
    if len(studies) == 1:
        return studies[0]
    if studies:
        names = ", ".join(folder.name for folder in studies[:5])
        raise DataError(f"{path} holds {len(studies)} studies ({names}); name the folder of one of them")
    raise DataError(
        f"{path} is no folder of a study that `cmrseg predict` wrote (no result.json); run it first"
    )


def read_visit(folder: Path) -> Visit:
    """What a run left of a study.

    Raises
    ------
    DataError
        If it has no numbers, or a file is missing.
    """
    result = read_result(folder)
    if result is None or result.cohort is None or result.failed:
        why = f": {result.failed}" if result and result.failed else ""
        raise DataError(f"{folder} has no numbers{why}; run `cmrseg predict` again")
    image, mask = load_image(folder / CINE), load_mask(folder / MASK, "cmrseg", image=folder / CINE)
    tables = {name: read_table(folder / f"{name}.csv") for name in ("numbers", "curves", "segments", "flags")}
    need_columns(tables["numbers"], (*_PLACE, "value", "unit"), folder / "numbers.csv")
    return Visit(folder.name, result, image, mask, **tables)


def read_variability(path: Path | None = None) -> pd.DataFrame:
    """Coefficients of variability between two scans, in percent, with their source.

    Raises
    ------
    DataError
        If the table cannot be read, lacks a column, or a value is not above 0.
    """
    path = path or Path(str(files("cmrseg.examination") / "ranges" / f"{SHIPPED}.csv"))
    table = read_table(path, {"ventricle": str, "quantity": str, "source": str})
    need_columns(table, COV_COLUMNS, path)
    table["cov_percent"] = as_numbers(table, ["cov_percent"], path, key="quantity", above=0)["cov_percent"]
    if table.duplicated(_PLACE).any():
        raise DataError(f"{path} names a quantity twice; one row per ventricle and quantity is needed")
    return table


def change_table(before: pd.DataFrame, after: pd.DataFrame, variability: pd.DataFrame) -> pd.DataFrame:
    """Changes of all numbers, and whether they are beyond the interval of two scans.

    Parameters
    ----------
    before, after
        Tables ``numbers.csv``.
    variability
        See `read_variability`.

    Returns
    -------
    `CHANGE_COLUMNS` of the numbers that both know; the verdict is ``beyond``, ``within``, or empty where no
    interval is known.
    """
    both = before.merge(after, on=[*_PLACE, "unit"], suffixes=("_1", "_2"), sort=False)
    both = both.merge(variability, on=_PLACE, how="left", sort=False).dropna(subset=["value_1", "value_2"])
    table = both.rename(columns={"value_1": "before", "value_2": "after"})
    table["change"] = table["after"] - table["before"]
    table["change_percent"] = 100 * table["change"] / table["before"].replace(0, math.nan)
    table["interval"] = Z_95 * table["cov_percent"] / 100 * (table["before"] + table["after"]).abs() / 2
    beyond = np.where(table["change"].abs() > table["interval"], "beyond", "within")
    table["verdict"] = np.where(table["interval"].notna(), beyond, "")
    table["source"] = table["source"].fillna("")
    return table[list(CHANGE_COLUMNS)].reset_index(drop=True)


def _segments(before: Visit, after: Visit) -> pd.DataFrame:
    """Wall thickness and thickening of the AHA segments of both."""
    shown = {"ed_mm": "ed_mm", "thickening_percent": "thickening"}
    tables = [
        visit.segments[["segment", "name", *shown]].rename(
            columns={k: f"{v}_{when}" for k, v in shown.items()}
        )
        for visit, when in ((before, "before"), (after, "after"))
    ]
    return tables[0].merge(tables[1], on=["segment", "name"])[list(SEGMENT_COLUMNS)]


def _notes(before: Visit, after: Visit) -> tuple[str, ...]:
    """What makes the two hard to compare."""
    notes = []
    models = [visit.result.made_by for visit in (before, after)]
    if all(models) and models[0] != models[1]:
        notes.append(f"the masks are of two models, {models[0]} and {models[1]}: a change may be theirs")
    if before.result.corrected != after.result.corrected:
        notes.append("one mask was corrected by a person and the other was not")
    spacing = [visit.image.spacing[2] for visit in (before, after)]
    if abs(spacing[0] - spacing[1]) > 0.1 * max(spacing):
        notes.append(f"slices lie {spacing[0]:.1f} mm apart before and {spacing[1]:.1f} mm after")
    for when, visit in (("earlier", before), ("later", after)):
        level = str((visit.result.cohort or {}).get("level") or "")
        if level in ("red", "amber"):
            notes.append(f"the {when} examination has {level} checks: look at its report before its numbers")
    return tuple(notes)
