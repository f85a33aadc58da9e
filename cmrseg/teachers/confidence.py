"""Confidence in teacher labels: how far the volumes that follow from them are from known volumes.

References
----------
Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.A.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import hypergeom, ks_2samp

from cmrseg.data.confidence_sets import THRESHOLDS_PERCENT, counted, members, set_name
from cmrseg.data.image_counts import STUDIES, read_image_counts
from cmrseg.data.predicted_volumes import read_predicted_volumes
from cmrseg.data.tables import some
from cmrseg.data.truth import known_names, true_volumes_for, usable_true_volumes
from cmrseg.problems import DataError, Problem, order_of_arguments

CONFIDENCE_COLUMNS = (
    "Id", "predicted_LVEDV", "predicted_LVESV", "predicted_LVEF", "true_LVEDV", "true_LVESV", "true_LVEF",
    "set", "sys_diff", "sys_perc", "dia_diff", "dia_perc", "confidence",
)  # fmt: skip
CANCELLATION_EF_POINTS = 5.0
"""EF counts as right within so many points; readers differ by about as much."""
EXTREMES = {
    "EF_below_40": ("true_LVEF", -1, 40.0),
    "EF_above_70": ("true_LVEF", 1, 70.0),
    "EDV_below_100_ml": ("true_LVEDV", -1, 100.0),
    "EDV_above_250_ml": ("true_LVEDV", 1, 250.0),
}
MEASURES = {"EF": "true_LVEF", "EDV": "true_LVEDV", "ESV": "true_LVESV"}
_LEFT_OUT = "left out"


@dataclass(frozen=True)
class Confidence:
    """How far predicted volumes are from true ones, and the sets that follow.

    Attributes
    ----------
    table
        ``confidence.tsv``: `CONFIDENCE_COLUMNS`; volumes and differences (predicted minus true) in ml, EF
        in percent, relative differences and confidence as fractions of the true volume.
    thresholds
        Of the sets in percent, increasing.
    problems
        What is left out, with the reason.
    notes
        What a reader of the numbers should know, one sentence each.
    images
        Number of images by Id, None where nothing tells it.
    """

    table: pd.DataFrame
    thresholds: tuple[float, ...]
    problems: list[Problem]
    notes: list[str]
    images: pd.Series | None = None

    @cached_property
    def counted(self) -> pd.DataFrame:
        """The examinations that count; the ``_rot90`` version replaces its original."""
        return counted(self.table)

    @cached_property
    def sets(self) -> dict[str, pd.DataFrame]:
        """Rows of the table by set."""
        return {set_name(t): members(self.table, t) for t in self.thresholds}

    @property
    def set_table(self) -> pd.DataFrame:
        """``sets.csv``: set, threshold_percent, exams, and images where their numbers are known."""
        exams = [len(part) for part in self.sets.values()]
        table = pd.DataFrame({"set": list(self.sets), "threshold_percent": self.thresholds, "exams": exams})
        if self.images is None:
            return table
        return table.assign(images=[int(self.images_of(part["Id"]).sum()) for part in self.sets.values()])

    def images_of(self, ids: Sequence[str]) -> pd.Series:
        """Number of images of some examinations, ``nan`` where it is not known."""
        counts = pd.Series(dtype=float) if self.images is None else self.images
        return counts.reindex(known_names(ids, counts.index)).set_axis(list(ids))

    @property
    def member_table(self) -> pd.DataFrame:
        """``members.csv``: set, Id."""
        rows = [(name, i) for name, part in self.sets.items() for i in part["Id"]]
        return pd.DataFrame(rows, columns=["set", "Id"])

    @property
    def cancellation(self) -> pd.DataFrame:
        """``cancellation.csv``: examinations whose EF is right although both volumes are wrong.

        EF is right within `CANCELLATION_EF_POINTS`; a volume is wrong when it deviates by more than the
        largest threshold. Columns of the table and ef_error, in points.
        """
        table, limit = self.counted, max(self.thresholds) / 100
        table = table.assign(ef_error=table["predicted_LVEF"] - table["true_LVEF"])
        wrong = (table["sys_perc"].abs() > limit) & (table["dia_perc"].abs() > limit)
        return table[wrong & (table["ef_error"].abs() <= CANCELLATION_EF_POINTS)]

    @property
    def representation(self) -> pd.DataFrame:
        """``representation.csv``: how each set stands for all examinations, see `representation`."""
        return representation(self.counted, self.sets)


def confidence(
    volumes: Path,
    truth: Path,
    *,
    thresholds: Sequence[float] = THRESHOLDS_PERCENT,
    images: Path | None = None,
) -> Confidence:
    """Compare predicted with true volumes, and form the sets of examinations that agree.

    Confidence is the larger of the relative deviations at end-diastole and end-systole.

    Parameters
    ----------
    volumes
        Predicted volumes, see `cmrseg.data.predicted_volumes.read_predicted_volumes`.
    truth
        True volumes, see `cmrseg.data.truth.usable_true_volumes`.
    thresholds
        Of the sets in percent, increasing.
    images
        Table that tells how many images there are, see `cmrseg.data.image_counts`; by default the
        ``studies.tsv`` beside the volumes, if there is one.

    Returns
    -------
    Table, sets, problems and notes. Problems are examinations without usable true or predicted
    volumes.

    Raises
    ------
    DataError
        If a table cannot be read or no examination is left.
    ValueError
        If the thresholds are not increasing positive numbers.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.A.2.
    """
    thresholds = checked_thresholds(thresholds)
    order = "predicted volumes come first and true ones second"
    with order_of_arguments(order, lambda: (read_predicted_volumes(truth), usable_true_volumes(volumes))):
        predicted, unusable = read_predicted_volumes(volumes)
        true = usable_true_volumes(truth)
    table, unknown = _compared(predicted, true.table, truth)
    named = [*predicted["Id"], *(problem.study for problem in unusable)]
    told = {problem.study for problem in true.problems}
    unknown = [problem for problem in unknown if problem.study not in told]
    problems = [*unusable, *true.problems, *unknown, *_absent(named, true.table, volumes)]
    found = Confidence(table, thresholds, problems, [*true.notes, *_notes(table, thresholds)])
    beside = volumes.parent / STUDIES
    return _with_images(found, images or (beside if beside.is_file() else None))


def _with_images(found: Confidence, path: Path | None) -> Confidence:
    """The sets with numbers of images, and a note on examinations of which they are not known."""
    if path is None:
        return found
    found = replace(found, images=read_image_counts(path))
    known = found.images_of(max(found.sets.values(), key=len)["Id"])
    lost = known.index[known.isna()]
    note = f"{len(lost)} examination(s) of the sets are not in {path.name}; their images are not counted"
    return replace(found, notes=[*found.notes, *[f"{note}: {some(lost)}"] * bool(len(lost))])


def checked_thresholds(thresholds: Sequence[float | str]) -> tuple[float, ...]:
    """Thresholds in percent as numbers.

    Raises
    ------
    ValueError
        If they are not increasing positive numbers.
    """
    given = ",".join(map(str, thresholds))
    message = f"thresholds must be increasing numbers above 0 (percent), got '{given}'"
    try:
        values = tuple(float(t) for t in thresholds)
    except ValueError:
        raise ValueError(message) from None
    names = {set_name(value) for value in values}
    steps = np.diff([0.0, *values])
    if not values or len(names) < len(values) or not np.isfinite(values).all() or (steps <= 0).any():
        raise ValueError(message)
    return values


def representation(everything: pd.DataFrame, sets: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """How well each set stands for all examinations, extremes above all.

    Parameters
    ----------
    everything
        All examinations that count, with true_LVEF in percent, true_LVEDV and true_LVESV in ml.
    sets
        Rows of them by set.

    Returns
    -------
    One row for ``all`` and one per set: exams; ``ks_EF``, ``ks_EDV``, ``ks_ESV``, the largest distance
    between the cumulative distributions of the set and of all (Kolmogorov-Smirnov statistic; 0 to 1); for
    every extreme its share in percent, and ``p_...``, the probability that a set of this size, drawn at
    random from all, holds as few of them or fewer.
    """
    rows = [_standing("all", everything, everything)]
    rows += [_standing(name, part, everything) for name, part in sets.items()]
    return pd.DataFrame(rows)


def _standing(name: str, part: pd.DataFrame, everything: pd.DataFrame) -> dict[str, object]:
    """One row of `representation`."""
    row: dict[str, object] = {"set": name, "exams": len(part)}
    for measure, column in MEASURES.items():
        distance = ks_2samp(part[column], everything[column]).statistic if len(part) else np.nan
        row[f"ks_{measure}"] = float(distance)
    for extreme, (column, sign, limit) in EXTREMES.items():
        inside, total = (int((sign * rows[column] > sign * limit).sum()) for rows in (part, everything))
        row[f"{extreme}_percent"] = 100 * inside / len(part) if len(part) else np.nan
        row[f"p_{extreme}"] = float(hypergeom.cdf(inside, len(everything), total, len(part)))
    return row


def _compared(
    predicted: pd.DataFrame, volumes: pd.DataFrame, path: Path
) -> tuple[pd.DataFrame, list[Problem]]:
    """`CONFIDENCE_COLUMNS` of the examinations with usable truth, and the others."""
    true = true_volumes_for(predicted["Id"], volumes)
    unknown, no_esv = true["true_Id"].isna(), true["ESV_ml"] == 0
    if unknown.all():
        raise DataError(
            f"{path} knows none of the examinations {some(predicted['Id'])}; its Ids are "
            f"{some(volumes['Id'])}; check the Ids"
        )
    problems = [
        Problem(i, "no true volumes", _LEFT_OUT, "", f"no usable ones in {path.name}")
        for i in predicted["Id"][unknown]
    ]
    problems += [
        Problem(i, "true ESV is 0", _LEFT_OUT, "", f"no relative deviation from 0 ml in {path.name}")
        for i in predicted["Id"][no_esv]
    ]
    usable = ~unknown & ~no_esv
    if not usable.any():
        raise DataError(f"no examination is left: {problems[0].study}: {problems[0].problem}")
    return _deviations(predicted[usable], true[usable]).reset_index(drop=True), problems


def _deviations(predicted: pd.DataFrame, true: pd.DataFrame) -> pd.DataFrame:
    """Absolute and relative differences of two tables with the same rows."""
    systole, diastole = predicted["ESV"] - true["ESV_ml"], predicted["EDV"] - true["EDV_ml"]
    relative = pd.DataFrame({"sys": systole / true["ESV_ml"], "dia": diastole / true["EDV_ml"]})
    values = (
        predicted["Id"], predicted["EDV"], predicted["ESV"], predicted["EF"],
        true["EDV_ml"], true["ESV_ml"], true["EF_percent"], true["set"],
        systole, relative["sys"], diastole, relative["dia"], relative.abs().max(axis=1),
    )  # fmt: skip
    return pd.DataFrame(dict(zip(CONFIDENCE_COLUMNS, values, strict=True)))


def _absent(ids: Sequence[str], true: pd.DataFrame, path: Path) -> list[Problem]:
    """Examinations of the truth that the predicted volumes do not name."""
    lost = true.loc[~true["Id"].isin(known_names(ids, true["Id"])), "Id"]
    return [Problem(i, "no predicted volumes", _LEFT_OUT, "", f"not in {path.name}") for i in lost]


def _notes(table: pd.DataFrame, thresholds: Sequence[float]) -> list[str]:
    """What a reader of the numbers should know."""
    notes = []
    if replaced := len(table) - len(counted(table)):
        notes.append(f"{replaced} original(s) are replaced by their rotated version (_rot90) in the sets")
    zero = table.loc[table[["predicted_LVEDV", "predicted_LVESV"]].eq(0).any(axis=1), "Id"]
    if len(zero):
        notes.append(
            f"{len(zero)} examination(s) have a predicted volume of 0 ml, a deviation of 100 %: {some(zero)}"
        )
    empty = [set_name(t) for t in thresholds if members(table, t).empty]
    if empty:
        notes.append(f"no examination is in set {', '.join(empty)}")
    return notes
