"""Two or more methods on the same subjects: paired differences, who changed most, and on which images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog, read_catalog
from cmrseg.evaluation.mask_tables import Evaluation
from cmrseg.evaluation.masks import evaluate_masks
from cmrseg.evaluation.verdict import Change, compare
from cmrseg.io.own_masks import origin, own_masks_below
from cmrseg.metrics.agreement import mean_interval
from cmrseg.metrics.registry import METRICS
from cmrseg.problems import DataError, Problem

DIFFERENCE_COLUMNS = (
    "method", "baseline", "structure", "metric", "n", "baseline_mean", "method_mean", "difference", "low",
    "high", "better", "worse", "unit",
)  # fmt: skip
IMAGE_CHANGE_COLUMNS = ("method", "subject", "frame", "phase", "slice", "before", "after", "change")
ORDER = "of three or more folders the truth comes first: cmrseg evaluate masks TRUTH A B"


@dataclass(frozen=True)
class MaskComparison:
    """What a comparison found; every further method is compared with the first, the baseline.

    Attributes
    ----------
    evaluations
        Of every method by its name.
    differences
        ``differences.csv``: paired over subjects, see `paired_differences`.
    changes
        Change of the mean Dice of every subject by method, see `cmrseg.evaluation.verdict.compare`.
    images
        ``images.csv``: change of the Dice of every image, the largest first, see `image_changes`.
    """

    evaluations: Mapping[str, Evaluation]
    differences: pd.DataFrame
    changes: Mapping[str, Change]
    images: pd.DataFrame

    @property
    def baseline(self) -> str:
        """Name of the method that the others are compared with."""
        return next(iter(self.evaluations))

    @property
    def subjects(self) -> pd.DataFrame:
        """``subjects.csv``: mean Dice of every subject before and after, the largest change first."""
        columns = ["method", "subject", "before", "after", "change"]
        tables = [change.subjects.assign(method=name)[columns] for name, change in self.changes.items()]
        return _largest_first(pd.concat(tables, ignore_index=True))

    @property
    def problems(self) -> list[Problem]:
        """What could not be compared; what is wrong with the truth is told once."""
        found = [problem for each in self.evaluations.values() for problem in each.problems]
        return list(dict.fromkeys(found))

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers should know."""
        return list(dict.fromkeys(note for each in self.evaluations.values() for note in each.notes))


def compare_masks(
    truth: Path,
    methods: Mapping[str, Path],
    *,
    labels: str | None = None,
    splits: Sequence[str] = (),
    predicted_labels: str | None = None,
    jobs: int = 1,
) -> MaskComparison:
    """Evaluate several methods on the same subjects and compare each with the first.

    Parameters
    ----------
    truth
        Data set with masks, see `cmrseg.data.catalog.read_catalog`.
    methods
        Folders of predicted masks by name, two or more; the first is the baseline.
    labels, splits, predicted_labels, jobs
        See `cmrseg.evaluation.evaluate_masks`.

    Raises
    ------
    DataError
        If a folder cannot be read, is named twice, or the truth holds predicted masks; as `evaluate_masks`.
    ValueError
        If there are fewer than two methods.
    """
    if len(methods) < 2:
        raise ValueError(f"methods must hold at least two folders, got {list(methods)}")
    catalog = _true_catalog(truth, methods, labels)
    score = partial(
        evaluate_masks, truth=catalog, splits=splits, predicted_labels=predicted_labels, jobs=jobs
    )
    found = {name: score(folder) for name, folder in methods.items()}
    (_, first), *others = found.items()
    changes = {name: compare(first, other, on="compared") for name, other in others}
    if all(change.subjects.empty for change in changes.values()):
        raise DataError(f"no subject of {truth} was scored for two of the methods; see what each holds")
    differences = [paired_differences(found, name) for name in changes]
    images = [image_changes(first, other).assign(method=name) for name, other in others]
    table = pd.concat(images, ignore_index=True)[list(IMAGE_CHANGE_COLUMNS)]
    return MaskComparison(found, pd.concat(differences, ignore_index=True), changes, _largest_first(table))


def _true_catalog(truth: Path, methods: Mapping[str, Path], labels: str | None) -> Catalog:
    """The truth; refused where it is a method, too, or holds what a model predicted."""
    for name, folder in methods.items():
        if folder.resolve() == truth.resolve():
            raise DataError(f"{truth} is named as truth and as the method {name}; {ORDER}")
    predicted = next((path for path in own_masks_below(truth) if origin(path) == "ours"), None)
    if predicted is not None:
        raise DataError(
            f"{truth} holds masks as cmrseg wrote them ({predicted.parent.name}/{predicted.name}) and cannot "
            f"be the truth; {ORDER}"
        )
    try:
        catalog = read_catalog(truth, labels=labels)
        if not catalog.with_masks().table.empty:
            return catalog
        raise DataError(f"no masks in {truth}")
    except DataError as error:
        raise DataError(f"{truth} is no data set with true masks ({error}); {ORDER}") from None


def paired_differences(evaluations: Mapping[str, Evaluation], method: str) -> pd.DataFrame:
    """Mean difference of a method to the first, paired over subjects, of every structure and metric.

    Parameters
    ----------
    evaluations
        On the same subjects, by name.
    method
        Name of the one to compare.

    Returns
    -------
    Columns `DIFFERENCE_COLUMNS`. A subject counts with the mean over its frames, where both have a value; of
    signed errors the absolute ones are compared (``volume_abs_error``). ``low`` and ``high`` are the 95 %
    percentile bootstrap interval of the mean difference over subjects; ``better`` and ``worse`` count them.
    """
    baseline = next(iter(evaluations))
    scores = {name: _by_subject(evaluations[name].metrics) for name in (baseline, method)}
    both = pd.concat(scores, axis=1).dropna()
    rows = []
    for (structure, metric, unit), part in both.groupby(["structure", "metric", "unit"], sort=False):
        before, after = part[baseline].to_numpy(), part[method].to_numpy()
        gain = (after - before) * (1 if METRICS.get(metric) and METRICS[metric].better == "more" else -1)
        rows.append(
            (method, baseline, structure, metric, len(part), before.mean(), after.mean(),
             (after - before).mean(), *mean_interval(after - before), int((gain > 0).sum()),
             int((gain < 0).sum()), unit)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))


def _by_subject(metrics: pd.DataFrame) -> pd.Series:
    """Mean over the frames of every subject, structure and metric; of signed errors that of their size."""
    signed = metrics["metric"].map(lambda name: METRICS[name].better == "zero")
    values = metrics["value"].astype(float).where(~signed, metrics["value"].abs())
    names = metrics["metric"].where(~signed, metrics["metric"].str.replace("error", "abs_error"))
    table = metrics.assign(value=values, metric=names)[
        metrics["metric"] != "ef_error"
    ]  # ef_abs_error is there
    keys = ["subject", "structure", "metric", "unit"]
    return table.groupby(keys, sort=False)["value"].mean()


def image_changes(before: Evaluation, after: Evaluation) -> pd.DataFrame:
    """How the Dice of every image changed from one method to another.

    Parameters
    ----------
    before, after
        Evaluations of two methods on the same subjects.

    Returns
    -------
    Columns subject, frame, phase, slice, before, after, change, of the frames that both scored. An image in
    which one method and the truth show no heart counts as 1 for that method.
    """
    keys = ["subject", "frame", "phase", "slice"]
    scores = [each.images.set_index(keys)["dice"] for each in (before, after)]
    table = pd.concat(dict(zip(("before", "after"), scores, strict=True)), axis=1).fillna(1.0).reset_index()
    both = {(t.subject, t.frame) for t, _ in before.pairs} & {(t.subject, t.frame) for t, _ in after.pairs}
    known = [key in both for key in zip(table["subject"], table["frame"], strict=True)]
    return table[known].assign(change=table["after"] - table["before"])


def _largest_first(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of every method by the size of their change."""
    order = table.assign(size=-table["change"].abs(), row=pd.factorize(table["method"])[0])
    kept = order.sort_values(["row", "size"], kind="stable")
    return kept.drop(columns=["size", "row"]).reset_index(drop=True)
