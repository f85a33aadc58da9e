"""What is told of the agreement of two readers, and of a model with each of them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cmrseg.evaluation.reader_counts import IMAGE, PAIRS
from cmrseg.evaluation.reader_figures import MARKED_ML, agreement_figure, volume_maps
from cmrseg.evaluation.readers import ENOUGH_SUBJECTS, ReaderEvaluation
from cmrseg.report.boxes import score_figure
from cmrseg.report.html import MISSING, Picture, Section, Table
from cmrseg.report.write import Report, problem_section

DICE_COLUMNS = ("pair", "structure", "per volume", "per image", "pooled", "volumes", "images")
FIGURE_KINDS = ("dice", "lv_volume_*", "bland_altman_*")
AGREEMENT_HEADINGS = {
    "pair": "pair", "measurement": "measurement", "n": "n", "bias": "bias", "lower": "lower limit",
    "upper": "upper limit", "icc": "ICC(2,1)", "cov_percent": "CoV %", "relative_percent": "relative %",
}  # fmt: skip


def readers_report(found: ReaderEvaluation, title: str, provenance: Mapping[str, object]) -> Report:
    """What is told of two readers, and of a model beside them."""
    sections = [
        _contour_section(found),
        *_map_sections(found),
        _function_section(found),
        problem_section(found.problems, found.failed, what="subject"),
    ]
    names = ("metrics", "slices", "measurements", "agreement", "summary")
    return Report(
        title,
        sections,
        provenance,
        _headline(found),
        tables={**{f"{n}.csv": getattr(found, n) for n in names}, "within.csv": within_table(found)},
        problems=found.problems,
        forget=FIGURE_KINDS,
    )


def dice_table(found: ReaderEvaluation) -> pd.DataFrame:
    """Dice of every pair and structure: per volume and per image (mean ± sd), and of all pixels together."""
    rows = []
    for (pair, structure), part in found.summary.groupby(["pair", "structure"], sort=False):
        cells = {row.metric: row for row in part.itertuples() if row.metric.startswith("dice")}
        if cells:
            volume, image, pooled = (cells[metric] for metric in ("dice", "dice_image", "dice_pooled"))
            scores = (f"{s.mean:.3f}" + (f" ± {s.sd:.3f}" if s.n > 1 else "") for s in (volume, image))
            rows.append((pair, structure, *scores, f"{pooled.mean:.3f}", volume.n, image.n))
    return pd.DataFrame(rows, columns=list(DICE_COLUMNS))


def within_table(found: ReaderEvaluation, *, limit: float = MARKED_ML) -> pd.DataFrame:
    """How many images differ by no more than some ml of LV, and where the largest difference is.

    Parameters
    ----------
    found
        A comparison with volumes in ml.
    limit
        In ml.

    Returns
    -------
    Columns pair, images, within, percent, largest and where; empty without volumes in ml.
    """
    lv, rows = found.slices[found.slices["structure"] == "LV"].dropna(subset="difference"), []
    for pair, part in lv.groupby("pair", sort=False) if found.unit == "ml" else ():
        within = int((part["difference"].abs() <= limit).sum())
        worst = part.loc[part["difference"].abs().idxmax()]
        where = f"{worst['subject']}, slice {worst['slice']}, phase {worst['frame']}"
        rows.append((pair, len(part), within, 100 * within / len(part), worst["difference"], where))
    names = ["pair", "images", f"within ±{limit:g} ml", "percent", "largest (ml)", "where"]
    return pd.DataFrame(rows, columns=names)


def agreement_table(found: ReaderEvaluation) -> pd.DataFrame:
    """Agreement for people: values with their confidence intervals in brackets."""
    table = found.agreement
    names = table["structure"] + " " + table["measure"] + " (" + table["unit"] + ")"
    table = table.assign(measurement=names)
    for name, digits in (("bias", 1), ("lower", 1), ("upper", 1), ("icc", 2)):
        values = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        table[name] = [_with_interval(*each, digits=digits) for each in values]
    return table[list(AGREEMENT_HEADINGS)].rename(columns=AGREEMENT_HEADINGS)


def few_warning(found: ReaderEvaluation) -> list[str]:
    """What to say of agreement between few subjects, nothing where they are enough."""
    subjects = int(found.agreement["n"].max()) if len(found.agreement) else ENOUGH_SUBJECTS
    if subjects >= ENOUGH_SUBJECTS:
        return []
    return [
        f"{subjects} subject(s): with fewer than {ENOUGH_SUBJECTS}, ICC and limits of agreement say little."
    ]


def _with_interval(value: float, low: float, high: float, *, digits: int) -> str:
    """A number with its interval, a dash where there is none."""
    if pd.isna(value):
        return MISSING
    return f"{value:.{digits}f}" + ("" if pd.isna(low) else f" ({low:.{digits}f} to {high:.{digits}f})")


def _contour_section(found: ReaderEvaluation) -> Section:
    """Dice of all pairs, and what it says about the model."""
    scores = found.metrics[found.metrics["metric"] == "dice"]
    panels = {
        structure: {pair: part["value"].to_numpy() for pair, part in rows.groupby("pair", sort=False)}
        for structure, rows in scores.groupby("structure", sort=False)
    }
    text = [
        "Neither reader is taken as the truth. A structure that is absent from both masks counts as 1. "
        "Pooled is the Dice of all pixels together.",
        *(f"{sentence}." for sentence in found.verdicts),
        *(f"{note[:1].upper()}{note[1:]}." for note in found.notes),
    ]
    if unknown := [pair for pair in found.pairs if pair not in set(scores["pair"])]:
        text.append(f"The Dice of {' and '.join(unknown)} is not known: no table has their common pixels.")
    pictures = []
    if panels:
        figure = score_figure(panels, label="Dice per volume")
        figure.axes[0].set_ylim(max(0, scores["value"].min() - 0.05), 1.01)
        pictures.append(Picture(figure, "Dice per volume of every pair.", "dice"))
    return Section("Contours", text, [Table(dice_table(found), "Dice, mean ± sd")], pictures)


def _map_sections(found: ReaderEvaluation) -> list[Section]:
    """Fig. 4, and how many images are within 5 ml."""
    title = "LV volume of every image"
    text = [
        f"Difference of the LV volume of every slice and phase in {found.unit}, second minus first of each "
        "pair. Slices are numbered as in the data, the lowest at the bottom; grey: no image of both."
        + f" A point: more than {MARKED_ML:g} ml."
        * (found.unit == "ml")
    ]
    figures = volume_maps(found.slices, unit=found.unit)
    within = within_table(found)
    tables = [Table(within, "Images by the difference of their LV volume")] if len(within) else []
    sections = []
    for number, figure in enumerate(figures, start=1):
        caption = f"LV volume difference ({found.unit}) by phase and slice; one colour scale for all maps."
        picture = Picture(figure, caption, f"lv_volume_{number}")
        part = f" ({number} of {len(figures)})" if len(figures) > 1 else ""
        sections.append(Section(title + part, text, tables, [picture]))
        text, tables = [], []
    return sections


def _function_section(found: ReaderEvaluation) -> Section:
    """Bland-Altman plots and the numbers behind them."""
    text = [
        "Differences are second minus first of a pair. End-diastole and end-systole are the data set's, or "
        "the frames of the largest and smallest LV of A. Limits of agreement are bias ± 1.96 sd; bars "
        "at the right are 95 % confidence intervals. CoV is the sd of the differences over the mean, "
        "relative the mean over subjects of the absolute difference as a part of the first of the pair."
    ]
    title = "Volumes and ejection fraction"
    if found.agreement.empty:
        return Section(title, ["No subject has a named end-diastole or end-systole, or frames to find them."])
    tables = [Table(agreement_table(found), "Agreement (95 % confidence intervals)")]
    return Section(title, text, tables, _agreement_pictures(found), few_warning(found))


def _agreement_pictures(found: ReaderEvaluation) -> list[Picture]:
    """Bland-Altman plots of every measurement."""
    pictures, keys = [], ["structure", "measure", "unit"]
    for (structure, measure, unit), part in found.agreement.groupby(keys, sort=False):
        values = found.measurements.query("structure == @structure and measure == @measure")
        pairs = {pair: PAIRS[pair] for pair in part["pair"]}
        figure = agreement_figure(values, pairs, name=f"{structure} {measure}", unit=unit)
        caption = f"Bland-Altman plots of {structure} {measure} ({unit}) of every pair."
        pictures.append(Picture(figure, caption, f"bland_altman_{structure}_{measure}"))
    return pictures


def _headline(found: ReaderEvaluation) -> str:
    """The paragraph for a reader in a hurry."""
    images = found.slices[IMAGE].drop_duplicates()
    dice = found.summary[found.summary["metric"] == "dice"]
    scores = [
        f"{pair}: " + ", ".join(f"{row.structure} {row.mean:.3f}" for row in part.itertuples())
        for pair, part in dice.groupby("pair", sort=False)
    ]
    size = f"{images['subject'].nunique()} subjects, {len(images)} images"
    return f"{size}. Mean Dice per volume of {'; '.join(scores) or MISSING}."
