"""What is told of methods that are compared on the same subjects."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from cmrseg.evaluation.compared_masks import MaskComparison
from cmrseg.evaluation.masks_report import compact_summary, load_example
from cmrseg.evaluation.verdict import no_proof
from cmrseg.metrics.registry import METRICS, VOLUME, shown_in
from cmrseg.report.boxes import short_names
from cmrseg.report.change_figure import change_figure
from cmrseg.report.figures import Example, overlay_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report, problem_section

MAX_SUBJECTS = 10
MAX_IMAGES = 3
_PAIRED = (
    "Every further method minus {baseline}, paired over subjects: each counts with the mean over its frames. "
    "Of signed errors the sizes are compared (abs). The interval is the 95 % bootstrap interval of the mean "
    "difference; one that leaves out 0 has a star. It is not corrected for the number of rows."
)
_SUBJECTS = "Change of the mean Dice over the structures and frames of a subject; all are in subjects.csv."


def comparison_report(found: MaskComparison, *, provenance: Mapping[str, object]) -> Report:
    """What is told of a comparison: what the methods score, what the others gain, and where.

    Parameters
    ----------
    found
        What was found.
    provenance
        What was compared.
    """
    names = short_names(list(found.evaluations))
    sections = [
        Section("Paired differences", _differences_text(found), _difference_tables(found, names),
                [_change_picture(found, names)]),
        Section("Which subjects changed", [_SUBJECTS], _subject_tables(found, names)),
        Section("The largest differences", pictures=_pictures(found, names)),
        Section("Scores of every method", found.notes, _score_tables(found)),
        problem_section(found.problems, _failed(found), what="subject"),
    ]  # fmt: skip
    tables = {
        "metrics.csv": _together(found, "metrics"),
        "summary.csv": _together(found, "summary"),
        "measurements.csv": _together(found, "measurements"),
        "differences.csv": found.differences,
        "subjects.csv": found.subjects,
        "images.csv": found.images,
    }
    return Report(
        f"{' and '.join(_others(found))} against {found.baseline}", sections, provenance,
        " ".join(verdicts(found)), tables, found.problems, forget=("gains_*", "loses_*"),
    )  # fmt: skip


def verdicts(found: MaskComparison) -> list[str]:
    """One sentence for every further method: the change of the mean Dice, and whether that is proof."""
    return [
        f"{name} against {found.baseline}: {change}." + (f" {doubt}" if (doubt := no_proof(change)) else "")
        for name, change in found.changes.items()
    ]


def difference_table(differences: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Differences for people: one row per structure and metric, the interval in words.

    Parameters
    ----------
    differences
        Rows of one method of `MaskComparison.differences`.
    names
        How methods are called.
    """
    rows = []
    for r in differences.itertuples():
        digits = METRICS[r.metric].digits if r.metric in METRICS else 1
        fine = digits + (digits < 2)  # a difference is smaller than what differs
        star = " *" if r.low > 0 or r.high < 0 else ""
        interval = f"{r.low:+.{fine}f} to {r.high:+.{fine}f}{star}" if r.low == r.low else "–"
        rows.append({
            "structure": r.structure,
            "metric": r.metric if r.unit == "1" else f"{r.metric} ({r.unit})",
            "n": r.n,
            names[r.baseline]: f"{r.baseline_mean:.{digits}f}",
            names[r.method]: f"{r.method_mean:.{digits}f}",
            "difference": f"{r.difference:+.{fine}f}",
            "95 % interval": interval,
            "better / worse": f"{r.better} / {r.worse}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _others(found: MaskComparison) -> list[str]:
    """Names of the methods that are compared with the first."""
    return list(found.changes)


def _differences_text(found: MaskComparison) -> list[str]:
    """How to read the tables."""
    return [_PAIRED.format(baseline=found.baseline)]


def _difference_tables(found: MaskComparison, names: Mapping[str, str]) -> list[Table]:
    """A table of every further method."""
    parts = found.differences.groupby("method", sort=False)
    return [Table(difference_table(part, names), f"{name} against {found.baseline}") for name, part in parts]


def _change_picture(found: MaskComparison, names: Mapping[str, str]) -> Picture:
    """Change of the Dice of every subject by method and structure."""
    panels: dict[str, dict] = {}
    for name in _others(found):
        first, other = (_dice(found, method) for method in (found.baseline, name))
        change = (other - first).dropna()
        rows = found.differences.query("method == @name and metric == 'dice'").set_index("structure")
        panels[names[name]] = {
            structure: (values.to_numpy(), (rows.loc[structure, "low"], rows.loc[structure, "high"]))
            for structure, values in change.groupby("structure", sort=False)
        }
    label = f"change of the Dice against {names[found.baseline]}"
    caption = "Every subject a point, the mean with its 95 % interval a bar."
    return Picture(change_figure(panels, label=label), caption, "changes")


def _dice(found: MaskComparison, method: str) -> pd.Series:
    """Mean Dice of every subject and structure."""
    metrics = found.evaluations[method].metrics
    dice = metrics[metrics["metric"] == "dice"]
    return dice.groupby(["structure", "subject"], sort=False)["value"].mean()


def _subject_tables(found: MaskComparison, names: Mapping[str, str]) -> list[Table]:
    """Those subjects that changed most, by method."""
    tables = []
    for name, part in found.subjects.groupby("method", sort=False):
        named = {"before": names[found.baseline], "after": names[name]}
        shown = part.head(MAX_SUBJECTS).drop(columns="method").rename(columns=named)
        shown["change"] = shown["change"].map("{:+.3f}".format)
        count = f"the {len(shown)} of {len(part)} that changed most" if len(shown) < len(part) else "all"
        tables.append(Table(shown, f"{name} against {found.baseline}: {count}"))
    return tables


def _pictures(found: MaskComparison, names: Mapping[str, str]) -> list[Picture]:
    """Images on which a method gains and loses most, beside those of the baseline."""
    pictures = []
    for number, (name, part) in enumerate(found.images.groupby("method", sort=False), start=1):
        for what, rows in (("gains", part[part["change"] > 0]), ("loses", part[part["change"] < 0])):
            most = rows.drop_duplicates("subject").head(MAX_IMAGES)
            if len(most):
                examples = [e for row in most.to_dict("records") for e in _pair(found, name, row, names)]
                caption = f"Where {name} {what} most against "
                caption += f"{found.baseline} (left), at most one image of a subject."
                pictures.append(Picture(overlay_figure(examples, columns=2), caption, f"{what}_{number}"))
    return pictures


def _pair(
    found: MaskComparison, name: str, row: Mapping[Hashable, Any], names: Mapping[str, str]
) -> list[Example]:
    """One image with the masks of the baseline and of another method."""
    examples = []
    for method, score in ((found.baseline, row["before"]), (name, row["after"])):
        pairs = {(t.subject, t.frame): (t, other) for t, other in found.evaluations[method].pairs}
        shown = pd.Series({**dict(row), "dice": score})
        examples.append(load_example(shown, *pairs[row["subject"], row["frame"]], role=names[method]))
    return examples


def _score_tables(found: MaskComparison) -> list[Table]:
    """Mean and sd of every method."""
    shown = shown_in(VOLUME)
    tables = {name: compact_summary(each.summary, shown) for name, each in found.evaluations.items()}
    return [Table(table, name) for name, table in tables.items() if not table.empty]


def _together(found: MaskComparison, name: str) -> pd.DataFrame:
    """One table of all methods; the first column says whose a row is."""
    parts = []
    for method, each in found.evaluations.items():
        table = getattr(each, name)
        parts.append(table.assign(method=method)[["method", *table.columns]])
    return pd.concat(parts, ignore_index=True)


def _failed(found: MaskComparison) -> tuple[str, ...]:
    """Subjects that a method lacks."""
    return tuple(sorted({name for each in found.evaluations.values() for name in each.failed}))
