"""Masks against masks by region: how good base, middle and apex are, and what each costs in ml and EF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cmrseg.data.catalog import Catalog, VolumeRef, load_volume_mask, read_catalog
from cmrseg.data.predictions import find_predictions
from cmrseg.labels import STRUCTURES, Label, structures_of
from cmrseg.metrics.agreement import mean_interval
from cmrseg.metrics.contoured import contoured_structures
from cmrseg.metrics.overlap import image_counts, label_dice, predicted_pixels, true_pixels
from cmrseg.metrics.regions import APEX, BASE, MIDDLE, OUTSIDE, REGIONS, slice_positions, slice_regions
from cmrseg.metrics.volumes import ejection_fraction, voxel_volume
from cmrseg.problems import DataError, Problem

SLICE_COLUMNS = (
    "method", "subject", "frame", "phase", "slice", "position", "region", "structure", "dice", "absent",
    "true_pixels", "predicted_pixels", "voxel_ml",
)  # fmt: skip
ENDS = (BASE, APEX)
SIGNIFICANT = 0.01
POINTS = 101  # from base to apex
RESAMPLES = 2000


@dataclass(frozen=True)
class RegionEvaluation:
    """What a comparison by region found; Dice in %.

    Attributes
    ----------
    slices
        ``slices.csv``: Dice (0 to 1) and pixels of every structure in every slice, see `SLICE_COLUMNS`.
        Absent from truth and prediction counts as 1, and is marked ``absent``.
    table1
        Mean and sd of every method, structure and region; ``p`` of Welch's t test against the middle, with
        the paper's star below 0.01; the same with absent structures left out; ``gap`` to the middle with its
        95 % interval over subjects, whose slices are not independent.
    table3
        What every further method gains over the first at base and apex: ``mean`` and ``sd`` (positive is
        better, as in the paper), ``p`` of the paired t test, interval over subjects.
    function
        Mean error and mean absolute error of EDV, ESV (ml) and EF (points) of every method over its subjects.
    volumes
        Mean error of every region at ED and ES (ml) and in the EF (points): what it would be if only this
        region were segmented and the others were true.
    problems
        What could not be compared.
    """

    slices: pd.DataFrame
    table1: pd.DataFrame
    table3: pd.DataFrame
    function: pd.DataFrame
    volumes: pd.DataFrame
    problems: list[Problem]


def evaluate_regions(
    truth: Path | Catalog,
    methods: Mapping[str, Path],
    *,
    labels: str | None = None,
    splits: Sequence[str] = (),
) -> RegionEvaluation:
    """Compare the masks of one or more methods with the truth, region by region.

    Parameters
    ----------
    truth
        Data set with masks, or its catalog; its contours tell the regions, frame by frame.
    methods
        Folders of predicted masks by name; the first is the baseline.
    labels
        Label scheme of the truth where the layout does not tell.
    splits
        Only these.

    Raises
    ------
    DataError
        If the truth has no masks, or none of a method's masks belongs to it.

    References
    ----------
    Mariscal-Harana et al., "Improved AI-based segmentation of apical and basal slices from clinical cine
    CMR" (2023), tables 1 and 3, figure 2.
    """
    catalog = truth if isinstance(truth, Catalog) else read_catalog(truth, labels=labels).select(splits)
    rows: list[tuple] = []
    problems = list(catalog.problems)
    for name, folder in methods.items():
        found, wrong = _method_rows(name, folder, catalog)
        rows += found
        problems += wrong
    slices = pd.DataFrame(rows, columns=list(SLICE_COLUMNS))
    if slices.empty:
        raise DataError(f"none of the masks of {catalog.root} could be compared; {problems[0].extra_info}")
    return RegionEvaluation(
        slices=slices,
        table1=region_table(slices),
        table3=gain_table(slices),
        function=function_errors(slices),
        volumes=volume_table(slices),
        problems=problems,
    )


def _method_rows(name: str, folder: Path, catalog: Catalog) -> tuple[list[tuple], list[Problem]]:
    """Slices of all volumes that a method segmented."""
    pairs, problems = find_predictions(catalog.with_masks().volumes(), folder, catalog.root, None)
    rows: list[tuple] = []
    for subject, group in groupby(pairs, key=lambda pair: pair[0].subject):
        try:
            rows += [row for truth, other in group for row in _volume_rows(name, truth, other)]
        except (DataError, ValueError) as error:
            problems.append(Problem(subject, "unreadable", "not evaluated", "", str(error)))
    return rows, problems


def _volume_rows(name: str, truth: VolumeRef, other: VolumeRef) -> Iterator[tuple]:
    """Every slice and structure of one volume."""
    true, predicted = (load_volume_mask(ref).array[..., 0] for ref in (truth, other))
    counts = image_counts(predicted, true)
    pixels, found = true_pixels(counts), predicted_pixels(counts)
    areas = pixels[:, 1:].sum(axis=1)
    if not areas.any():
        return
    positions, regions, dice = slice_positions(areas), slice_regions(areas), label_dice(counts)
    ml = voxel_volume(truth.spacing)
    known = contoured_structures(pixels > 0, structures_of([truth.labels]))
    for label in STRUCTURES:
        for z, number in enumerate(truth.slices if label in known else ()):
            absent = not (pixels[z, label] or found[z, label])
            score = 1.0 if absent else float(dice[z, label])
            place = (truth.subject, truth.frame, truth.phase, number, positions[z], regions[z])
            yield (name, *place, label.name, score, absent, pixels[z, label], found[z, label], ml)


def region_table(slices: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Table 1 of the paper: mean and sd of the Dice of slices (%), by method, structure and region."""
    rows = []
    for (method, structure), part in slices.groupby(["method", "structure"], sort=False):
        middle = part[part["region"] == MIDDLE]
        for region in REGIONS:
            here = part[part["region"] == region]
            p = _welch(here["dice"], middle["dice"]) if region != MIDDLE else np.nan
            gap = _gap(part, region, seed) if region != MIDDLE else (np.nan,) * 3
            shown = here.loc[~here["absent"], "dice"]
            star = "*" if p < SIGNIFICANT else ""
            rows.append((method, structure, region, *_mean_sd(here["dice"]), p, star, *_mean_sd(shown), *gap))
    columns = ["method", "structure", "region", "mean", "sd", "n", "p", "star", "mean_present", "sd_present"]
    return pd.DataFrame(rows, columns=[*columns, "n_present", "gap", "gap_low", "gap_high"])


def gain_table(slices: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Table 3 of the paper: what every method gains over the first at the ends, in points of Dice (%)."""
    key = ["subject", "frame", "slice", "structure", "region"]
    inside = slices[slices["region"].isin(REGIONS)]
    scores = inside.pivot_table(index=key, columns="method", values="dice")
    baseline, *others = slices["method"].unique()
    rows = []
    for method in others:
        for (structure, region), part in scores[[baseline, method]].dropna().groupby(["structure", "region"]):
            before, after = part[baseline], part[method]
            change = (after - before).groupby("subject").mean()
            spread = 100 * (before.std() - after.std())
            gain = 100 * (after - before).mean()
            p = _paired(after, before)
            star = "*" if p < SIGNIFICANT else ""
            rows.append(
                (method, structure, region, gain, spread, len(part), p, star, *_interval(change, seed))
            )
    columns = ["method", "structure", "region", "mean", "sd", "n", "p", "star", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def volume_table(slices: pd.DataFrame) -> pd.DataFrame:
    """What every region costs: mean error of the volume at ED and ES (ml) and of the EF (points)."""
    known = slices[slices["phase"].isin(["ED", "ES"])]
    rows = []
    for (method, structure), part in known.groupby(["method", "structure"], sort=False):
        if structure == Label.MYO.name:
            continue
        errors = part.assign(error=part["predicted_pixels"] - part["true_pixels"])
        total = errors.pivot_table(index="subject", columns="phase", values="true_pixels", aggfunc="sum")
        ml = part.groupby("subject")["voxel_ml"].first()
        by_region = errors.pivot_table(
            index="subject", columns=["phase", "region"], values="error", aggfunc="sum", fill_value=0.0
        )
        for region in (*REGIONS, OUTSIDE):
            error = {
                phase: by_region.get((phase, region), pd.Series(0.0, total.index)) for phase in ("ED", "ES")
            }
            rows.append((method, structure, region, *_costs(total, error, ml)))
    columns = [
        "method",
        "structure",
        "region",
        "EDV_error_ml",
        "ESV_error_ml",
        "EF_error",
        "EF_abs_error",
        "n",
    ]
    return pd.DataFrame(rows, columns=columns)


def function_errors(slices: pd.DataFrame) -> pd.DataFrame:
    """How far EDV, ESV and EF of every method are from those of the truth, over subjects with ED and ES.

    Returns
    -------
    Columns method, structure, quantity, bias, abs_error, n and unit; predicted minus true. Of volumes only
    subjects count whose pixels have a size.
    """
    known = slices[slices["phase"].isin(["ED", "ES"]) & (slices["structure"] != Label.MYO.name)]
    rows = [
        (method, structure, quantity, errors.mean(), errors.abs().mean(), errors.count(), unit)
        for (method, structure), part in known.groupby(["method", "structure"], sort=False)
        for quantity, errors, unit in _function_errors(part)
    ]
    return pd.DataFrame(rows, columns=["method", "structure", "quantity", "bias", "abs_error", "n", "unit"])


def _function_errors(part: pd.DataFrame) -> Iterator[tuple[str, pd.Series, str]]:
    """Errors of one ventricle by subject, from the slices of one method."""
    kinds = ["true_pixels", "predicted_pixels"]
    sums = part.pivot_table(index="subject", columns="phase", values=kinds, aggfunc="sum")
    sums = sums.reindex(columns=pd.MultiIndex.from_product([kinds, ["ED", "ES"]])).dropna()
    ml = part.groupby("subject")["voxel_ml"].first().reindex(sums.index)
    change = sums["predicted_pixels"] - sums["true_pixels"]
    yield "EDV", change["ED"] * ml, "ml"
    yield "ESV", change["ES"] * ml, "ml"
    true, found = (
        np.array([ejection_fraction(*pair) for pair in sums[kind].to_numpy()], float) for kind in kinds
    )
    yield "EF", pd.Series(found - true, sums.index), "points"


def interpolated(slices: pd.DataFrame) -> pd.DataFrame:
    """Figure 2 of the paper: Dice (%) at 101 points from base to apex, over all volumes.

    Returns
    -------
    Columns method, structure, percent (0 base, 100 apex), mean and sd.
    """
    grid = np.linspace(0, 1, POINTS)
    inside = slices.dropna(subset=["position"])
    curves: dict[tuple, list[np.ndarray]] = {}
    keys = ["method", "structure", "subject", "frame"]
    for (method, structure, *_), rows in inside.groupby(keys, sort=False):
        part = rows.sort_values("position")
        along = np.linspace(0, 1, len(part)) if len(part) > 1 else np.zeros(1)
        curves.setdefault((method, structure), []).append(np.interp(grid, along, 100 * part["dice"]))
    parts = [
        pd.DataFrame(
            {
                "method": method,
                "structure": structure,
                "percent": 100 * grid,
                "mean": np.mean(found, axis=0),
                "sd": np.std(found, axis=0),
            }
        )
        for (method, structure), found in curves.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _costs(
    total: pd.DataFrame, error: Mapping[str, pd.Series], ml: pd.Series
) -> tuple[float, float, float, float, int]:
    """Mean errors of EDV, ESV (ml; nan where pixels have no size) and EF over subjects with both phases."""
    both = total.reindex(columns=["ED", "ES"]).dropna()
    ed, es = (error[phase].reindex(both.index).fillna(0) for phase in ("ED", "ES"))
    pairs = zip(both["ED"], both["ES"], ed, es, strict=True)
    points = [ejection_fraction(edv + a, esv + b) - ejection_fraction(edv, esv) for edv, esv, a, b in pairs]
    if not points:
        return np.nan, np.nan, np.nan, np.nan, 0
    edv_ml, esv_ml = (float((pixels * ml.reindex(both.index)).mean(skipna=False)) for pixels in (ed, es))
    return (edv_ml, esv_ml, float(np.mean(points)), float(np.abs(points).mean()), len(points))


def _mean_sd(values: pd.Series) -> tuple[float, float, int]:
    """Mean and sd in %, and how many."""
    return 100 * values.mean(), 100 * values.std(), len(values)


def _welch(one: pd.Series, two: pd.Series) -> float:
    """p of Welch's t test."""
    if min(len(one), len(two)) < 2:
        return np.nan
    if not (np.ptp(one) or np.ptp(two)):
        return 0.0 if one.iloc[0] != two.iloc[0] else 1.0
    return float(stats.ttest_ind(one, two, equal_var=False).pvalue)


def _paired(one: pd.Series, two: pd.Series) -> float:
    """p of the paired t test; nan where nothing differs."""
    return float(stats.ttest_rel(one, two).pvalue) if len(one) > 1 and np.ptp(one - two) else np.nan


def _gap(part: pd.DataFrame, region: str, seed: int) -> tuple[float, ...]:
    """Difference of a region from the middle (points), subject by subject, with its interval."""
    means = part.pivot_table(index="subject", columns="region", values="dice")
    if not {region, MIDDLE} <= set(means):
        return (np.nan,) * 3
    gap = (means[region] - means[MIDDLE]).dropna()
    return (100 * gap.mean(), *_interval(gap, seed))


def _interval(values: pd.Series, seed: int) -> tuple[float, ...]:
    """95 % bootstrap interval over subjects of a mean, in points."""
    return tuple(100 * limit for limit in mean_interval(values.to_numpy(), resamples=RESAMPLES, seed=seed))
