"""Agreement of two readers with each other, and of a model with each of them; neither reader is the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.evaluation.mask_tables import NO_EF
from cmrseg.evaluation.reader_agreement import (
    READER_METRIC_COLUMNS,
    VOLUME,
    agreement,
    measure_raters,
    subject_differences,
    verdicts,
    with_phases,
)
from cmrseg.evaluation.reader_counts import IMAGE, PAIRS, ReaderCounts, Spacing, count_masks
from cmrseg.evaluation.reader_tables import count_tables
from cmrseg.evaluation.summary import summarise
from cmrseg.problems import DataError, Problem

SLICE_COLUMNS = ("pair", *IMAGE, "structure", "difference", "unit", "dice")
ENOUGH_SUBJECTS = 10


@dataclass(frozen=True)
class ReaderOptions:
    """How readers are compared.

    Attributes
    ----------
    labels
        Label schemes of raters whose layout does not tell, by ``A``, ``B`` and ``model``.
    splits
        Compare these splits only.
    spacing
        ``(dx, dy, dz)`` in mm where the data does not tell.
    jobs
        Number of processes.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    spacing: Spacing | None = None
    jobs: int = 1


@dataclass(frozen=True)
class ReaderEvaluation:
    """What a comparison of readers found; differences are second minus first of a pair.

    Attributes
    ----------
    metrics
        ``metrics.csv``: `READER_METRIC_COLUMNS`; dice, dice_image (mean over the images) and
        volume_difference of every volume, differences of EDV, ESV, EF (points) and mass of every subject.
    slices
        ``slices.csv``: `SLICE_COLUMNS`, difference of the volume and Dice of every image.
    measurements
        ``measurements.csv``: EDV, ESV, EF and mass by every rater, `MEASUREMENT_COLUMNS`.
    agreement
        ``agreement.csv``: `AGREEMENT_COLUMNS`; bias and limits with 95 % confidence intervals, ICC(2,1), CoV.
    summary
        ``summary.csv``: as of every evaluation, by pair. ``dice_image`` is the mean over all images, each
        of the same weight, and ``dice_pooled`` the Dice of all their pixels.
    verdicts
        One sentence per structure: how well the readers agree, and whether the model agrees with each of
        them as well.
    problems
        What could not be compared, with the reason.
    notes
        What a reader of the numbers should know, one sentence each.
    unit
        Of volumes: ``ml``, or ``pixels`` where no spacing is known.
    """

    metrics: pd.DataFrame
    slices: pd.DataFrame
    measurements: pd.DataFrame
    agreement: pd.DataFrame
    summary: pd.DataFrame
    verdicts: list[str]
    problems: list[Problem]
    notes: list[str]
    unit: str

    @property
    def failed(self) -> tuple[str, ...]:
        """Subjects of which something could not be compared."""
        return tuple(sorted({p.study for p in self.problems if p.resolution == NOT_EVALUATED}))

    @property
    def pairs(self) -> tuple[str, ...]:
        """Pairs that are compared, the readers first."""
        return tuple(pair for pair in PAIRS if pair in set(self.slices["pair"]))


def read_counts(
    first: Path, second: Path | None, models: Sequence[Path], options: ReaderOptions
) -> ReaderCounts:
    """Counts of two folders of masks, or of one table of two readers.

    Parameters
    ----------
    first, second
        Masks of A and B, see `count_masks`; or a table of both and None, see `count_tables`.
    models
        Masks or tables of a model.

    Raises
    ------
    DataError
        If masks and tables do not go together, or as `count_masks` and `count_tables`.
    """
    if second is None and not first.is_dir():
        return count_tables(first, models, splits=options.splits, spacing=options.spacing)
    if second is None:
        raise DataError(f"{first} is one reader; name the masks of the other too, or one table of both")
    if first.is_file():
        raise DataError(f"{first} is a file; two readers are two folders of masks, or one table of both")
    if len(models) > 1:
        raise DataError(f"{len(models)} models are named; compare one model at a time")
    raters = {"A": first, "B": second} | dict(zip(["model"], models, strict=False))
    return count_masks(
        raters, labels=options.labels, splits=options.splits, spacing=options.spacing, jobs=options.jobs
    )


def evaluate_readers(counts: ReaderCounts) -> ReaderEvaluation:
    """Compare two readers with each other, and a model with each of them.

    End-diastole and end-systole are the data set's; where it names none, the frames of the largest and
    smallest LV of reader A. A structure that is absent from both masks of an image has a Dice of 1.

    Parameters
    ----------
    counts
        See `cmrseg.evaluation.reader_counts`.

    Returns
    -------
    Tables, sentences and problems.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, III.B and Fig. 4.
    """
    table, uneven = with_phases(counts.table)
    table, unit, unmeasured = _in_one_unit(table)
    notes = [*counts.notes, *unmeasured, *[NO_EF.format(len(uneven))] * bool(uneven)]
    images = pd.concat([_pair_rows(table, pair) for pair in PAIRS], ignore_index=True)
    images = images.assign(dice=_dice(images), unit=unit)
    measurements = measure_raters(table, unit, uneven=uneven)
    metrics = pd.concat([_volume_metrics(images), subject_differences(measurements)], ignore_index=True)
    return ReaderEvaluation(
        metrics=metrics,
        slices=images[list(SLICE_COLUMNS)],
        measurements=measurements,
        agreement=agreement(measurements),
        summary=_summary(images, metrics),
        verdicts=verdicts(metrics),
        problems=counts.problems,
        notes=notes,
        unit=unit,
    )


def _in_one_unit(table: pd.DataFrame) -> tuple[pd.DataFrame, str, list[str]]:
    """The counts with the volume of a voxel in ml, or 1 where no spacing is known, the unit, and notes."""
    lost = table.loc[table["voxel_ml"].isna(), "subject"].nunique()
    if table["voxel_ml"].notna().any():
        note = f"{lost} subject(s) have no spacing and no volumes; their Dice and EF count"
        return table, "ml", [note] * bool(lost)
    note = "no spacing is known, so volumes are in pixels and there is no mass; --spacing names it"
    return table.assign(voxel_ml=1.0), "pixels", [note]


def _pair_rows(table: pd.DataFrame, pair: str) -> pd.DataFrame:
    """Images that both raters of a pair saw: common pixels, the sum of theirs, and the volume difference."""
    first, second = PAIRS[pair]
    rows = table.rename(columns={first: "first", second: "second", pair: "common"})
    rows = rows.dropna(subset=["first", "second"]).assign(pair=pair)
    rows["drawn"] = (rows["first"] + rows["second"]).where(rows["common"].notna())
    rows["difference"] = (rows["second"] - rows["first"]) * rows["voxel_ml"]
    return rows[["pair", *IMAGE, "phase", "structure", "common", "drawn", "difference"]]


def _dice(rows: pd.DataFrame) -> pd.Series:
    """Dice of every row; absent from both is 1, and ``nan`` is unknown."""
    return (2 * rows["common"] / rows["drawn"]).mask(rows["drawn"] == 0, 1.0)


def _volume_metrics(images: pd.DataFrame) -> pd.DataFrame:
    """Dice and volume difference of every volume and pair."""
    keys = ["pair", *VOLUME]
    groups = images.groupby(keys, sort=False)
    volumes = groups[["common", "drawn", "difference"]].sum(min_count=1)
    values = {
        "dice": (_dice(volumes), "1"),
        "dice_image": (groups["dice"].mean(), "1"),
        "volume_difference": (volumes["difference"], images["unit"].iloc[0]),
    }
    parts = [
        column.rename("value").reset_index().assign(metric=name, unit=unit)
        for name, (column, unit) in values.items()
    ]
    return pd.concat(parts)[list(READER_METRIC_COLUMNS)].dropna(subset="value")


def _summary(images: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Statistics over volumes, subjects and images, and the Dice of all pixels."""
    pooled = images.groupby(["pair", "structure"], sort=False)[["common", "drawn"]].sum(min_count=1)
    pooled = _dice(pooled).rename("value").reset_index()
    parts = [
        metrics[metrics["metric"] == "dice"],
        images.assign(metric="dice_image", value=images["dice"], unit="1"),
        pooled.assign(metric="dice_pooled", unit="1"),
        metrics[~metrics["metric"].isin(["dice", "dice_image"])],
    ]
    columns = ["pair", "structure", "metric", "value", "unit"]
    return summarise(pd.concat([part[columns] for part in parts]).dropna().assign(group="all"), by=["pair"])
