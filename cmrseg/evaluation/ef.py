"""Ejection fractions from pixel counts or volumes, against true volumes: the paper's Table II."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.predicted_volumes import is_volume_table, read_predicted_volumes
from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.data.tables import as_numbers, method_names, need_columns, read_published, refuse_repeats, some
from cmrseg.data.truth import (
    ROTATED,
    known_names,
    rotated_originals,
    true_volumes_for,
    usable_true_volumes,
)
from cmrseg.evaluation.pixel_counts import VOLUME_COLUMNS, examination_volumes, read_pixel_counts
from cmrseg.evaluation.summary import NO_EF_ERROR_POINTS, summarise
from cmrseg.metrics.registry import unit_of
from cmrseg.metrics.volumes import MM3_PER_ML
from cmrseg.problems import DataError, Problem, order_of_arguments

EF_COLUMNS = (
    "method", "Id", "EDV_pixels", "ESV_pixels", "EF_percent", "true_EF_percent", "ef_error",
    "ef_abs_error", "ED_frame", "ES_frame",
)  # fmt: skip
ML_COLUMNS = ("EDV_ml", "ESV_ml", "true_EDV_ml", "true_ESV_ml", "edv_error", "esv_error")
METRICS = ("ef_abs_error", "ef_error", "edv_error", "esv_error")
SORTS = ("mean", "median")
_SPACING = ["pixelSpacingX", "pixelSpacingY", "sliceSpacing"]


@dataclass(frozen=True)
class EfEvaluation:
    """What an evaluation of ejection fractions found.

    Attributes
    ----------
    examinations
        ``ef.csv``: one row per method and examination, `EF_COLUMNS`, and `ML_COLUMNS` where spacings or
        volumes are known. EF in percent, errors (predicted minus true) in percentage points and ml.
    summary
        ``summary.csv``; group is the method, the best first.
    without_lv
        Number of examinations without any predicted LV by method; each has no ``ef_error`` and an
        ``ef_abs_error`` of 100 points.
    problems
        What could not be evaluated, and what is wrong with the truth, with the reason.
    notes
        What a reader of the numbers should know, one sentence each.
    """

    examinations: pd.DataFrame
    summary: pd.DataFrame
    without_lv: Mapping[str, int]
    problems: list[Problem]
    notes: list[str]

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods in the order of the summary."""
        return tuple(self.summary["group"].unique())

    def errors(self, method: str) -> pd.Series:
        """Absolute EF error of every examination of a method, in points."""
        return self.examinations.loc[self.examinations["method"] == method, "ef_abs_error"]


def evaluate_ef(
    counts: Sequence[Path],
    truth: Path,
    *,
    rotated: bool = False,
    dimensions: Path | None = None,
    sort: str = "mean",
) -> EfEvaluation:
    """Compare ejection fractions from pixel counts, or from predicted volumes, with true ones.

    The volume of a frame is the sum of the LV pixels of its images; end-diastole and end-systole are the
    frames of the largest and smallest sum. No spacing is needed for the ejection fraction. The ``_rot90``
    version of an examination replaces its original.

    Parameters
    ----------
    counts
        Tables of the methods: pixel counts of images, see `cmrseg.evaluation.pixel_counts`, or volumes of
        examinations, see `cmrseg.data.predicted_volumes`. A method is called as its file.
    truth
        True volumes in ml, see `cmrseg.data.truth.usable_true_volumes`.
    rotated
        Evaluate instead the originals of which some table has a ``_rot90`` version.
    dimensions
        Table with pid, pixelSpacingX, pixelSpacingY and sliceSpacing in mm, for volumes in ml. They are those
        of the images in which the pixels were counted.
    sort
        ``mean`` or ``median`` of the absolute error: the order of the methods.

    Returns
    -------
    Tables, problems and notes.

    Raises
    ------
    DataError
        If a table cannot be read, or there is no examination to evaluate.
    ValueError
        If ``sort`` is neither ``mean`` nor ``median``.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, III.A, Table II and Fig. 2.
    """
    if sort not in SORTS:
        raise ValueError(f"sort must be {' or '.join(SORTS)}, got '{sort}'")
    spacings = None if dimensions is None else _read_spacings(dimensions)
    order = "tables of counts come first and true volumes last"
    with order_of_arguments(order, lambda: (_read_methods([truth]), usable_true_volumes(counts[0]))):
        true = usable_true_volumes(truth)
        predicted, problems = _read_methods(counts)
    chosen = _originals_only(predicted) if rotated else _rotated_first(predicted)
    table, unknown = _with_truth(chosen, true.table, truth)
    told = {problem.study for problem in true.problems}
    problems += [*true.problems, *(problem for problem in unknown if problem.study not in told)]
    notes = true.notes if rotated else [*true.notes, *_absent_notes(table, true.table)]
    table, unmeasured = _with_ml(table, spacings)
    without_lv = table["EF_percent"].isna().groupby(table["method"], sort=False).sum().to_dict()
    notes = [*notes, *unmeasured, *_lost_notes(table, without_lv), *_uneven_notes(table)]
    columns = [*EF_COLUMNS, *(ML_COLUMNS if "EDV_ml" in table else ())]
    return EfEvaluation(table[columns], _summary(table, sort), without_lv, problems, notes)


def _read_methods(counts: Sequence[Path]) -> tuple[pd.DataFrame, list[Problem]]:
    """Volumes of all examinations of all methods."""
    tables, problems = [], []
    for method, path in method_names(counts).items():
        read = _read_volumes if is_volume_table(read_published(path)) else _read_counts
        volumes, unmeasured = read(path)
        tables.append(volumes.assign(method=method, source=path.name))
        problems += unmeasured
    table = pd.concat(tables, ignore_index=True).astype({"ED_frame": "Int64", "ES_frame": "Int64"})
    if table.empty:
        raise DataError(f"no examination can be evaluated: {problems[0].study}: {problems[0].problem}")
    return table, problems


def _read_counts(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Volumes in pixels of the examinations of a table of pixel counts."""
    images, unread = read_pixel_counts(path)
    volumes, unmeasured = examination_volumes(images, path.name)
    return volumes, [*unread, *unmeasured]


def _read_volumes(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """The examinations of a table of volumes in ml; their pixels and frames are not known."""
    volumes, problems = read_predicted_volumes(path)
    volumes["EF"] = volumes["EF"].where(volumes["EDV"] > 0)
    names = {"EDV": "EDV_ml", "ESV": "ESV_ml", "EF": "EF_percent"}
    unread = [replace(problem, resolution=NOT_EVALUATED) for problem in problems]
    return volumes.rename(columns=names).reindex(columns=[*VOLUME_COLUMNS, "EDV_ml", "ESV_ml"]), unread


def _rotated_first(table: pd.DataFrame) -> pd.DataFrame:
    """Without the originals that the same method has a rotated version of."""
    parts = table.groupby("method", sort=False)["Id"]
    return table[~parts.transform(lambda ids: ids.isin(rotated_originals(ids)))]


def _originals_only(table: pd.DataFrame) -> pd.DataFrame:
    """The originals of which there is a rotated version."""
    chosen = table[table["Id"].isin(rotated_originals(table["Id"]))]
    if chosen.empty:
        raise DataError(f"no examination has both an original and a {ROTATED} version; leave out --rotated")
    return chosen


def _with_truth(table: pd.DataFrame, volumes: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """The examinations with true EF and errors, and those that the truth does not know."""
    true = true_volumes_for(table["Id"], volumes).set_index(table.index)
    known = true["true_Id"].notna()
    if not known.any():
        raise DataError(
            f"{path} knows none of the examinations {some(table['Id'].unique())}; its Ids are "
            f"{some(volumes['Id'])}; check the Ids"
        )
    problems = [
        Problem(row.Id, "no true volumes", NOT_EVALUATED, row.source, f"not in {path.name}")
        for row in table[~known].itertuples()
    ]
    error = table["EF_percent"] - true["EF_percent"]
    columns = {"true_EF_percent": true["EF_percent"], "ef_error": error}
    columns["ef_abs_error"] = error.abs().fillna(NO_EF_ERROR_POINTS)
    columns |= {"true_Id": true["true_Id"], "true_EDV_ml": true["EDV_ml"], "true_ESV_ml": true["ESV_ml"]}
    return table.assign(**columns)[known].reset_index(drop=True), problems


def _read_spacings(path: Path) -> pd.Series:
    """Volume of a pixel in ml by examination."""
    table = read_published(path, text=["pid"])
    need_columns(table, ["pid", *_SPACING], path)
    refuse_repeats(table["pid"], path)
    spacings = as_numbers(table, _SPACING, path, key="pid", above=0)
    return pd.Series(spacings.prod(axis=1).to_numpy() / MM3_PER_ML, index=table["pid"])


def _with_ml(table: pd.DataFrame, pixel_ml: pd.Series | None) -> tuple[pd.DataFrame, list[str]]:
    """Volumes in ml and their errors, where they or spacings are given; examinations without have none."""
    if pixel_ml is None and "EDV_ml" not in table:
        return table, []
    known = pd.Series(dtype=float) if pixel_ml is None else pixel_ml
    factors = known.reindex(known_names(table["Id"], known.index)).to_numpy()
    for phase in ("ED", "ES"):
        given = table.get(f"{phase}V_ml", pd.Series(np.nan, index=table.index))
        volume = given.fillna(table[f"{phase}V_pixels"] * factors)
        error = volume - table[f"true_{phase}V_ml"]
        table = table.assign(**{f"{phase}V_ml": volume, f"{phase.lower()}v_error": error})
    lost = table.loc[table["EDV_ml"].isna(), "Id"].unique()
    if pixel_ml is None or not len(lost):
        return table, []
    return table, [f"{len(lost)} examination(s) have no spacing and no volume in ml: {some(lost)}"]


def _summary(table: pd.DataFrame, sort: str) -> pd.DataFrame:
    """Table II: statistics of the errors, the method with the lowest absolute error first."""
    best = table.groupby("method", sort=False)["ef_abs_error"].agg(sort).sort_values(kind="stable").index
    parts = [
        table.loc[table["method"] == method, ["method"]].assign(
            structure="LV", metric=metric, value=table[metric], unit=unit_of(metric)
        )
        for method in best
        for metric in METRICS
        if metric in table and table.loc[table["method"] == method, metric].notna().any()
    ]
    return summarise(pd.concat(parts).rename(columns={"method": "group"}))


def _absent_notes(table: pd.DataFrame, volumes: pd.DataFrame) -> list[str]:
    """Which examinations of the truth a method says nothing about."""
    notes = []
    for method, part in table.groupby("method", sort=False):
        absent = volumes.loc[~volumes["Id"].isin(part["true_Id"]), "Id"].tolist()
        if absent:
            notes.append(
                f"{method}: {len(absent)} examination(s) of the truth have no counts: {some(absent)}"
            )
    return notes


def _lost_notes(table: pd.DataFrame, without_lv: Mapping[str, int]) -> list[str]:
    """How many examinations have no predicted LV, and what the error of the others is."""
    others = table["ef_error"].abs().groupby(table["method"]).agg(["mean", "count"])
    notes = []
    for method, n in ((method, n) for method, n in without_lv.items() if n):
        mean, count = others.loc[method]
        note = (
            f"{method}: {n} examination(s) without any predicted LV, counted as an error of "
            f"{NO_EF_ERROR_POINTS:.0f} points"
        )
        alone = f"; the other {count:.0f} have a mean error of {mean:.2f} points"
        notes.append(note + alone * (count > 0))
    return notes


def _uneven_notes(table: pd.DataFrame) -> list[str]:
    """Whether the methods were evaluated on different examinations."""
    sets = {frozenset(part) for _, part in table.groupby("method")["true_Id"]}
    if len(sets) == 1:
        return []
    return ["the methods were evaluated on different examinations; compare them with care"]
