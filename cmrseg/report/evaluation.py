"""The files of `cmrseg evaluate masks`: tables, figures and one report."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmrseg import __version__
from cmrseg.data.catalog import VolumeRef, load_volume_image, load_volume_mask
from cmrseg.evaluation import Evaluation, evaluate_masks
from cmrseg.evaluation.truth_check import check_truth
from cmrseg.io.atomic import atomic_path, write_table, write_text
from cmrseg.metrics.agreement import bland_altman, coefficient_of_variation, icc_2_1
from cmrseg.problems import Problem, problem_table
from cmrseg.report.figures import (
    Example,
    bland_altman_figure,
    dice_figure,
    overlay_figure,
    png_bytes,
)
from cmrseg.report.html import MISSING, Picture, Section, Table, render_report

MAX_PROBLEM_ROWS = 50
REPORT_TABLES = {
    "Per volume, mean ± sd (medians and quartiles: summary.csv)": (
        "dice", "dice_image", "hd", "hd95", "assd", "volume_error",
    ),
    "Per subject, mean ± sd": ("ef_error", "ef_abs_error", "mass_error"),
}  # fmt: skip
EXAMPLE_QUANTILES = {"best": 1.0, "median": 0.5, "worst": 0.0}
BLAND_ALTMAN = (("LV", "EDV"), ("LV", "ESV"), ("LV", "EF"), ("RV", "EDV"), ("RV", "ESV"), ("RV", "EF"))


def evaluate_to(  # noqa: PLR0913 - those of evaluate_masks, and where to write
    predicted: Path,
    truth: Path,
    out: Path,
    *,
    labels: str | None = None,
    splits: Sequence[str] = (),
    predicted_labels: str | None = None,
    jobs: int = 1,
) -> Evaluation:
    """Evaluate predicted masks and write all files of the evaluation.

    Parameters
    ----------
    predicted, truth, labels, splits, predicted_labels, jobs
        See `cmrseg.evaluation.evaluate_masks`.
    out
        Folder for ``metrics.csv``, ``summary.csv``, ``measurements.csv``, ``problems.tsv`` (only
        if there are any), ``figures/*.png`` and ``report.html``.

    Returns
    -------
    What was found; a truth that looks displaced is told in the notes.

    Raises
    ------
    DataError
        As `cmrseg.evaluation.evaluate_masks`.
    """
    options = {"labels": labels, "splits": splits, "predicted_labels": predicted_labels}
    evaluation = evaluate_masks(predicted, truth, jobs=jobs, **options)
    doubts = [
        f"look at the truth of {p.study}, {p.image}, which counts all the same: {p.extra_info}"
        for p in check_truth([truth for truth, _ in evaluation.pairs], jobs=jobs)
    ]
    evaluation = replace(evaluation, notes=[*evaluation.notes, *doubts])
    write_evaluation(evaluation, out, provenance={"predicted": predicted, "truth": truth, **options})
    return evaluation


def write_evaluation(
    evaluation: Evaluation,
    out: Path,
    *,
    provenance: dict[str, object],
    title: str = "Evaluation of predicted masks",
    lead: Sequence[Section] = (),
    tail: Sequence[Section] = (),
) -> Path:
    """Write tables, figures and report of an evaluation.

    Parameters
    ----------
    evaluation
        What was found.
    out
        Folder; files of the same name are replaced, each at once.
    provenance
        What was evaluated; versions and time are added.
    title
        Of the report.
    lead, tail
        Sections that come before the scores, and last.

    Returns
    -------
    Path of ``report.html``.
    """
    tables = {
        "metrics.csv": evaluation.metrics,
        "summary.csv": evaluation.summary,
        "measurements.csv": evaluation.measurements,
    }
    write_tables(tables, evaluation.problems, out)
    sections = [*lead, *evaluation_sections(evaluation), *tail]
    return write_page(title, sections, out, provenance=provenance, summary=_headline(evaluation))


def write_tables(tables: Mapping[str, pd.DataFrame], problems: list[Problem], out: Path) -> None:
    """Write the tables of an evaluation by their names, and ``problems.tsv`` only if there are any."""
    for name, table in tables.items():
        write_table(table, out / name)
    if problems:
        write_table(problem_table(problems), out / "problems.tsv")
    else:
        (out / "problems.tsv").unlink(missing_ok=True)


def write_page(
    title: str, sections: Sequence[Section], out: Path, *, provenance: Mapping[str, object], summary: str
) -> Path:
    """Write the figures of a report, and ``report.html`` with versions and time added to its provenance."""
    for picture in (picture for section in sections for picture in section.pictures):
        write_figure(picture.figure, out / "figures" / f"{picture.name}.png")
    page = render_report(title, sections, provenance={**provenance, **software()}, summary=summary)
    return write_text(page, out / "report.html")


def evaluation_sections(evaluation: Evaluation) -> list[Section]:
    """Parts of the report on an evaluation: scores, volumes, examples and problems."""
    return [
        _score_section(evaluation),
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


def write_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(png_bytes(figure))
    return path


def software() -> dict[str, str]:
    """Versions and time, for the provenance block of a report."""
    return {
        "cmrseg": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


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
    tables = [Table(compact_summary(evaluation.summary, m), caption) for caption, m in REPORT_TABLES.items()]
    return Section("Scores", text, [t for t in tables if not t.table.empty], [picture])


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
    digits = 3 if row.unit == "1" else 1
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


def problem_section(problems: list[Problem], failed: Sequence[str], *, what: str) -> Section:
    """What could not be evaluated; ``what`` is what the failed ones are, such as ``subject``."""
    if not problems:
        return Section("Problems", ["None."])
    table = problem_table(problems[:MAX_PROBLEM_ROWS])
    more = len(problems) - len(table)
    caption = (
        "problems.tsv" if not more else f"The first {len(table)} rows of problems.tsv; {more} more there"
    )
    warnings = [f"{len(failed)} {what}(s) could not be evaluated completely and lack in the scores."]
    return Section("Problems", tables=[Table(table, caption)], warnings=warnings if failed else [])


def _headline(evaluation: Evaluation) -> str:
    """The paragraph for a reader in a hurry."""
    summary = evaluation.summary
    overall = summary[(summary["group"] == "all") & (summary["metric"] == "dice")]
    scores = ", ".join(f"{r.structure} {r.mean:.3f} ± {r.sd:.3f}" for r in overall.itertuples())
    subjects = evaluation.metrics["subject"].nunique()
    return f"{subjects} subjects, {len(evaluation.pairs)} volumes. Mean Dice per volume: {scores or MISSING}."
