"""EDV, ESV, EF and mass by every rater, and how well they agree."""

from __future__ import annotations

from collections.abc import Collection
from itertools import product

import numpy as np
import pandas as pd

from cmrseg.evaluation.reader_counts import PAIRS, RATERS
from cmrseg.evaluation.summary import METRIC_COLUMNS
from cmrseg.metrics.agreement import (
    absolute_relative_difference,
    bland_altman,
    coefficient_of_variation,
    icc_2_1,
)
from cmrseg.metrics.volumes import ed_es_frames, ejection_fraction, myocardial_mass

READER_METRIC_COLUMNS = (*METRIC_COLUMNS, "pair")
MEASUREMENT_COLUMNS = ("subject", "structure", "measure", "unit", *RATERS)
AGREEMENT_COLUMNS = (
    "pair", "structure", "measure", "n", "bias", "bias_low", "bias_high", "sd", "lower", "lower_low",
    "lower_high", "upper", "upper_low", "upper_high", "icc", "icc_low", "icc_high", "cov_percent",
    "relative_percent", "unit",
)  # fmt: skip
VOLUME = ["subject", "frame", "phase", "structure"]


def with_phases(table: pd.DataFrame) -> tuple[pd.DataFrame, frozenset[str]]:
    """The counts with ED and ES by the LV of A where none is named, and subjects of uneven slices."""
    parts, uneven = [], set()
    for name, subject in table.groupby("subject", sort=False):
        even = len(set(subject.groupby("frame")["slice"].agg(frozenset))) == 1
        uneven |= set() if even else {name}
        lv = subject[subject["structure"] == "LV"].groupby("frame")["A"].sum()
        if even and len(lv) > 1 and not subject["phase"].any():
            ed, es = (lv.index[position] for position in ed_es_frames(lv, smooth=False))  # A's contours
            subject = subject.assign(phase=subject["frame"].map({es: "ES", ed: "ED"}).fillna(""))
        parts.append(subject)
    return pd.concat(parts, ignore_index=True), frozenset(uneven)


def measure_raters(table: pd.DataFrame, unit: str, *, uneven: Collection[str] = ()) -> pd.DataFrame:
    """EDV, ESV, EF and mass of every subject by every rater.

    Parameters
    ----------
    table
        Counts with phases, see `cmrseg.evaluation.reader_counts`.
    unit
        Of volumes: ``ml``, or ``pixels`` where ``voxel_ml`` is 1 and there is no mass.
    uneven
        Subjects whose frames show different slices, and have no EF.

    Returns
    -------
    `MEASUREMENT_COLUMNS`; mass in g, EF in percent.
    """
    named = table[table["phase"] != ""]
    pixels = _whole_volumes(named)
    volumes = _whole_volumes(named.assign(**named[list(RATERS)].mul(named["voxel_ml"], axis=0)))
    rows = []
    for key, part in pixels.groupby(level=["subject", "structure"], sort=False):
        measured = {index[2]: volumes.loc[index] for index in part.index}
        if key[1] == "MYO":
            if unit == "ml" and "ED" in measured:
                rows.append((*key, "mass", "g", *map(myocardial_mass, measured["ED"])))
            continue
        rows += [(*key, f"{phase}V", unit, *volume) for phase, volume in sorted(measured.items())]
        counts = {index[2]: part.loc[index] for index in part.index}
        if {"ED", "ES"} <= set(counts) and key[0] not in uneven:
            rows.append((*key, "EF", "%", *map(ejection_fraction, counts["ED"], counts["ES"])))
    return pd.DataFrame(rows, columns=list(MEASUREMENT_COLUMNS))


def _whole_volumes(table: pd.DataFrame) -> pd.DataFrame:
    """Sum of every volume by every rater, ``nan`` for a rater who lacks one of its slices."""
    groups = table.groupby(VOLUME, sort=False)[list(RATERS)]
    return groups.sum().where(groups.count().eq(groups.size(), axis=0))


def subject_differences(measurements: pd.DataFrame) -> pd.DataFrame:
    """Differences (second minus first) of EDV, ESV, EF and mass, by subject and pair."""
    parts = [
        measurements.assign(
            pair=pair,
            frame=pd.NA,
            metric=measurements["measure"].str.lower() + "_difference",
            unit=measurements["unit"].replace("%", "points"),
            value=measurements[second] - measurements[first],
        )
        for pair, (first, second) in PAIRS.items()
    ]
    return pd.concat(parts)[list(READER_METRIC_COLUMNS)].dropna(subset="value")


def agreement(measurements: pd.DataFrame) -> pd.DataFrame:
    """Bias and limits of agreement (second minus first), ICC(2,1), CoV and relative difference of every pair.

    ``relative_percent`` is the mean absolute difference of a subject as a part of the first of the pair.
    """
    groups = measurements.groupby(["structure", "measure", "unit"], sort=False)
    rows = []
    for (pair, raters), ((structure, measure, unit), part) in product(PAIRS.items(), groups):
        first, second = (part.dropna(subset=list(raters))[rater].to_numpy(float) for rater in raters)
        if not first.size:
            continue
        limits = bland_altman(second, first)
        icc = icc_2_1(np.stack([first, second], axis=1))
        values = [v for i in (limits.bias, limits.lower, limits.upper) for v in (i.value, i.low, i.high)]
        values.insert(3, limits.sd)
        values += [icc.value, icc.low, icc.high, coefficient_of_variation(second, first)]
        values.append(absolute_relative_difference(second, first))
        rows.append((pair, structure, measure, limits.n, *values, unit))
    return pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS))


def verdicts(metrics: pd.DataFrame) -> list[str]:
    """One sentence per structure on the Dice of the readers, and of the model with each of them.

    Parameters
    ----------
    metrics
        Columns of ``metrics.csv``; what counts are the volumes that all pairs have. Whether the model agrees
        as well as the readers do is told by the 95 % confidence interval of the mean difference of Dice,
        each subject's averaged over its volumes.
    """
    scores = metrics[metrics["metric"] == "dice"]
    sentences = []
    for structure, part in scores.groupby("structure", sort=False):
        volumes = part.pivot_table(index=["subject", "frame"], columns="pair", values="value").dropna()
        if volumes.empty or "A vs B" not in volumes:
            continue
        said = f"{structure}: A and B agree with a mean Dice of {volumes['A vs B'].mean():.3f} per volume"
        models = [
            f"with {PAIRS[pair][0]} at {volumes[pair].mean():.3f}, {_compared(volumes, pair)}"
            for pair in PAIRS
            if pair in volumes and pair != "A vs B"
        ]
        sentences.append(said + (f"; the model agrees {', and '.join(models)}" if models else ""))
    return sentences


def _compared(volumes: pd.DataFrame, pair: str) -> str:
    """Whether the model agrees with a reader as well as the readers agree with each other."""
    subjects = volumes.groupby(level="subject").mean()
    if len(subjects) < 2:
        return "too few subjects to compare"
    change = bland_altman(subjects[pair].to_numpy(), subjects["A vs B"].to_numpy()).bias
    better, worse = change.low > 0, change.high < 0
    verdict = "better than A and B" if better else "less well than A and B" if worse else "as well as A and B"
    enough = "" if better or worse else f" as far as {len(subjects)} subjects tell"
    interval = f"95 % CI {change.low:+.3f} to {change.high:+.3f}"
    return f"{verdict}{enough} (difference {change.value:+.3f}, {interval})"
