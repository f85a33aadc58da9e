"""What is told of Dice from published confusion counts."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cmrseg.evaluation.confusion import ConfusionEvaluation
from cmrseg.report.boxes import score_figure, short_names
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report, problem_section

TABLE_COLUMNS = ("method", "set", "structure", "Dice", "sd", "median", "pooled", "images")


def confusion_report(found: ConfusionEvaluation, provenance: Mapping[str, object]) -> Report:
    """What is told of scores that come from confusion counts."""
    images = tuple(problem.study for problem in found.problems)
    return Report(
        "Dice from confusion counts",
        [_score_section(found), problem_section(found.problems, images, what="image")],
        provenance,
        _headline(found),
        tables={f"{name}.csv": getattr(found, name) for name in ("metrics", "subjects", "summary")},
        problems=found.problems,
    )


def dice_table(found: ConfusionEvaluation) -> pd.DataFrame:
    """One row per method, set and structure: statistics of the Dice per image, and the pooled Dice."""
    keys = ["method", "group", "structure"]
    images = found.summary[found.summary["metric"] == "dice_image"]
    pooled = found.summary[found.summary["metric"] == "dice_pooled"]
    both = images.merge(pooled[[*keys, "mean"]].rename(columns={"mean": "pooled"}), on=keys)
    names = {"group": "set", "mean": "Dice", "n": "images"}
    return both.rename(columns=names)[list(TABLE_COLUMNS)]


def _score_section(found: ConfusionEvaluation) -> Section:
    """Tables of sets and subjects, and box plots."""
    text = [
        "Dice is the mean over images; a structure that is absent from truth and prediction of an image "
        "counts as 1 there. pooled is the Dice of the pixels of all images together."
    ]
    methods = short_names(list(found.metrics["method"].unique()))
    panels: dict[str, dict[str, pd.Series]] = {}
    for (structure, method, group), part in found.metrics.groupby(["structure", "method", "set"], sort=False):
        panels.setdefault(structure, {})[f"{methods[method]}, {group}"] = part["value"]
    figure = score_figure(panels, label="Dice per image")
    tables = [Table(dice_table(found), "Sets"), Table(found.subjects, "Subjects (subjects.csv)")]
    return Section(
        "Scores", text, tables, [Picture(figure, "Dice per image by method and set.", "dice_image")]
    )


def _headline(found: ConfusionEvaluation) -> str:
    """The paragraph for a reader in a hurry."""
    table = dice_table(found)
    scores = [
        f"{method}, {group}: " + ", ".join(f"{r.structure} {r.Dice:.3f}" for r in part.itertuples())
        for (method, group), part in table.groupby(["method", "set"], sort=False)
    ]
    return f"Mean Dice per image. {'; '.join(scores)}."
