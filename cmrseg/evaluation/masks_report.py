"""What is told of an evaluation of masks: scores, volumes, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cmrseg.data.catalog import VolumeRef, load_volume_image, load_volume_mask
from cmrseg.evaluation import Evaluation
from cmrseg.evaluation.phases import clinical_table, phase_table, phase_values, poster_table
from cmrseg.metrics.agreement import bland_altman, coefficient_of_variation, icc_2_1
from cmrseg.metrics.registry import METRICS, SUBJECT, VOLUME, shown_in
from cmrseg.report.figures import (
    Example,
    bland_altman_figure,
    dice_figure,
    overlay_figure,
)
from cmrseg.report.html import MISSING, Picture, Section, Table
from cmrseg.report.write import Report, problem_section

REPORT_TABLES = {
    "Per volume, mean ± sd (medians and quartiles: summary.csv)": VOLUME,
    "Per subject, mean ± sd": SUBJECT,
}
EXAMPLE_QUANTILES = {"best": 1.0, "median": 0.5, "worst": 0.0}
BLAND_ALTMAN = (("LV", "EDV"), ("LV", "ESV"), ("LV", "EF"), ("RV", "EDV"), ("RV", "ESV"), ("RV", "EF"))


def masks_report(
    evaluation: Evaluation,
    *,
    provenance: Mapping[str, object],
    title: str = "Evaluation of predicted masks",
    lead: Sequence[Section] = (),
    tail: Sequence[Section] = (),
) -> Report:
    """What is told of an evaluation.

    Parameters
    ----------
    evaluation
        What was found.
    provenance
        What was evaluated.
    title
        Of the report.
    lead, tail
        Sections that come before the scores, and last.
    """
    names = ("metrics", "summary", "measurements")
    tables = {f"{name}.csv": getattr(evaluation, name) for name in names}
    phases, clinical = phase_table(phase_values(evaluation)), clinical_table(evaluation.measurements)
    return Report(
        title,
        [*lead, *evaluation_sections(evaluation), *tail],
        provenance,
        _headline(evaluation),
        tables={**tables, "phases.csv": phases, "clinical.csv": clinical},
        problems=evaluation.problems,
    )


def evaluation_sections(evaluation: Evaluation) -> list[Section]:
    """Parts of the report on an evaluation: scores, volumes, examples and problems."""
    return [
        _score_section(evaluation),
        _phase_section(evaluation),
        _agreement_section(evaluation.measurements),
        Section("Examples", pictures=_example_pictures(evaluation)),
        problem_section(evaluation.problems, evaluation.failed, what="subject"),
    ]


def pick_examples(evaluation: Evaluation) -> list[Example]:
    """Best, median and worst image of every named phase, by the mean Dice over the structures shown."""
    images, examples = evaluation.images, []
    pairs = {(truth.subject, truth.frame): (truth, other) for truth, other in evaluation.pairs}
    known = set(images["phase"])
    for phase in sorted(known - {""} or known):
        ranked = images[images["phase"] == phase].sort_values("dice", kind="stable")
        for role, quantile in EXAMPLE_QUANTILES.items():
            row = ranked.iloc[round(quantile * (len(ranked) - 1))]
            examples.append(load_example(row, *pairs[row["subject"], int(row["frame"])], role=role))
    return examples


def load_example(row: pd.Series, truth: VolumeRef, other: VolumeRef, *, role: str) -> Example:
    """Pixels of one image and its masks."""
    z = truth.slices.index(row["slice"])
    image, true, pred = (
        cine.array[:, :, z, 0]
        for cine in (load_volume_image(truth), load_volume_mask(truth), load_volume_mask(other))
    )
    return Example(image, pred, true, row["subject"], row["phase"], int(row["slice"]), row["dice"], role)


def _score_section(evaluation: Evaluation) -> Section:
    """Summary table and box plots."""
    if evaluation.metrics.empty:
        return Section("Scores", warnings=["No volume could be evaluated."])
    phases = {(r.subject, int(r.frame)): r.phase for r in evaluation.images.itertuples()}
    undefined = evaluation.metrics.loc[evaluation.metrics["metric"] == "hd", "value"].isna().sum()
    text = [
        "Errors are predicted minus true. dice is per volume, dice_image the mean over its images; a "
        "structure that is absent from both masks counts as 1. n counts the values that exist.",
        *(f"{note[:1].upper()}{note[1:]}." for note in evaluation.notes),
    ]
    if undefined:
        text.append(
            f"{undefined} surface distance(s) are undefined, because the structure is absent from one of "
            "the two masks or the spacing is unknown."
        )
    picture = Picture(
        dice_figure(evaluation.metrics, phases), "Dice per volume by structure and phase.", "dice"
    )
    tables = [
        Table(compact_summary(evaluation.summary, shown_in(place)), caption)
        for caption, place in REPORT_TABLES.items()
    ]
    return Section("Scores", text, [t for t in tables if not t.table.empty], [picture])


def _phase_section(evaluation: Evaluation) -> Section:
    """End-diastole and end-systole in the layout of Patravali et al. (2017), and clinical parameters."""
    table = phase_table(phase_values(evaluation))
    if table.empty:
        return Section("End-diastole and end-systole")
    text = (
        "Mean Dice and mean Hausdorff distance (mm) per volume; (n) is the number of volumes with a value "
        "where it is not that of all. phases.csv has spreads, and how many volumes missed a structure."
    )
    clinical = clinical_table(evaluation.measurements)
    tables = [Table(poster_table({"predicted": table}), "Layout of Patravali et al. (2017)")]
    tables += [Table(clinical, "Volumes, EF and mass as the ACDC challenge prints them")] * bool(
        len(clinical)
    )
    return Section("End-diastole and end-systole", [text], tables)


def compact_summary(summary: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Summary as a table for people: one row per group and structure, ``mean ± sd`` per metric.

    Parameters
    ----------
    summary
        Columns of the evaluation's ``summary.csv``.
    metrics
        Metrics to show, in this order; those without any value are left out.

    Returns
    -------
    Columns group, structure, n and one per metric; ``n`` is that of the first metric, and is added
    to a cell where it differs.
    """
    known = summary[summary["metric"].isin(metrics) & (summary["n"] > 0)]
    rows = []
    for (group, structure), part in known.groupby(["group", "structure"], sort=False):
        cells = {r.metric: r for r in part.itertuples()}
        n = next(cells[m].n for m in metrics if m in cells)
        row = {"group": group, "structure": structure, "n": n}
        rows.append(row | {_heading(r): _mean_sd(r, n) for m in metrics if (r := cells.get(m))})
    return pd.DataFrame(rows)


def _heading(row: tuple) -> str:
    """Metric with its unit."""
    return row.metric if row.unit == "1" else f"{row.metric} ({row.unit})"


def _mean_sd(row: tuple, n: int) -> str:
    """Mean and standard deviation, with the count where it is another than that of the line."""
    digits = METRICS[row.metric].digits
    text = f"{row.mean:.{digits}f}" + (f" ± {row.sd:.{digits}f}" if row.n > 1 else "")
    return text if row.n == n else f"{text} (n = {row.n})"


def _agreement_section(measurements: pd.DataFrame) -> Section:
    """Bland-Altman plots and the numbers behind them."""
    title, rows, pictures = "Volumes and ejection fraction", [], []
    both = measurements.dropna(subset=["true", "predicted"])
    for structure, measure in BLAND_ALTMAN:
        chosen = both[(both["structure"] == structure) & (both["measure"] == measure)]
        if chosen.empty:
            continue
        predicted, true = chosen["predicted"].to_numpy(float), chosen["true"].to_numpy(float)
        name, unit = f"{structure} {measure}", chosen["unit"].iloc[0]
        rows.append(_agreement_row(name, unit, predicted, true))
        figure = bland_altman_figure(predicted, true, name=name, unit=unit)
        caption = f"Bland-Altman plot of {name}, predicted against true."
        pictures.append(Picture(figure, caption, f"bland_altman_{structure}_{measure}"))
    if not rows:
        return Section(title)
    text = "Limits of agreement are bias ± 1.96 sd; bands are 95 % confidence intervals. CoV is the sd of "
    text += "the differences over the mean."
    return Section(title, [text], [Table(pd.DataFrame(rows), "Agreement")], pictures)


def _agreement_row(name: str, unit: str, predicted: np.ndarray, true: np.ndarray) -> dict[str, object]:
    """Bias, limits, ICC and CoV of one measurement."""
    agreement, icc = bland_altman(predicted, true), icc_2_1(np.stack([predicted, true], axis=1))
    return {
        "measurement": name,
        "unit": unit,
        "n": agreement.n,
        "bias": agreement.bias.value,
        "sd": agreement.sd,
        "lower limit": agreement.lower.value,
        "upper limit": agreement.upper.value,
        "ICC(2,1)": icc.value,
        "ICC 95 % low": icc.low,
        "ICC 95 % high": icc.high,
        "CoV %": coefficient_of_variation(predicted, true),
    }


def _example_pictures(evaluation: Evaluation) -> list[Picture]:
    """Overlays of the best, median and worst images."""
    examples = pick_examples(evaluation)
    if not examples:
        return []
    caption = "Best, median and worst image of every phase by the mean Dice over the structures shown."
    return [Picture(overlay_figure(examples), caption, "examples")]


def _headline(evaluation: Evaluation) -> str:
    """The paragraph for a reader in a hurry."""
    summary = evaluation.summary
    overall = summary[(summary["group"] == "all") & (summary["metric"] == "dice")]
    scores = ", ".join(f"{r.structure} {r.mean:.3f} ± {r.sd:.3f}" for r in overall.itertuples())
    subjects = evaluation.metrics["subject"].nunique()
    return f"{subjects} subjects, {len(evaluation.pairs)} volumes. Mean Dice per volume: {scores or MISSING}."
