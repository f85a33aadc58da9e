"""Predicted indices of the left ventricle against the true ones, of one or more methods.

A method is a folder: with ``indices.csv``, which a network for indices has written, or with masks, on which
the indices are measured in the slices whose truth is known. So direct regression and the geometry of masks
stand side by side.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.catalog import Catalog, read_catalog
from cmrseg.data.predictions import NOT_EVALUATED, find_predictions
from cmrseg.metrics.agreement import mean_interval, paired_p_value
from cmrseg.metrics.index_errors import GROUPS, PHASE, UNITS, group_errors, index_errors
from cmrseg.metrics.indices import INDICES
from cmrseg.problems import DataError, Problem
from cmrseg.tasks.quantification.truth import PLACE, TABLE, cine_indices, read_indices, true_indices

TRUE = "_true"  # ends the names of true values beside predicted ones
MEAN = "mean of the truth"  # the method that knows no image
TEST_COLUMNS = (
    "group", "first", "second", "difference", "low", "high", "p_images", "p_subjects", "images", "subjects",
    "unit",
)  # fmt: skip
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class IndexEvaluation:
    """What a comparison of indices found.

    Attributes
    ----------
    errors
        Columns method and those of `cmrseg.metrics.index_errors.index_errors`; the last method answers the
        mean of the truth to every image, which is what knowing nothing costs.
    images
        Error of every image: method, subject, frame, slice, and the mean over each group.
    tests
        `TEST_COLUMNS`: of every two methods and every group, second minus first (negative: the second is
        better) with its 95 % bootstrap interval over subjects, and p of Wilcoxon's signed-rank test over
        images, as in the paper, and over the means of the subjects, whose images are not independent.
    values
        Truth and predictions, a row per method and image.
    problems
        What could not be compared.
    """

    errors: pd.DataFrame
    images: pd.DataFrame
    tests: pd.DataFrame
    values: pd.DataFrame
    problems: list[Problem]


def evaluate_indices(
    truth: Path, methods: Mapping[str, Path], *, labels: str | None = None, splits: Sequence[str] = ()
) -> IndexEvaluation:
    """Compare the indices of one or more methods with the truth.

    Parameters
    ----------
    truth
        Data set with masks, or with ``indices.csv``.
    methods
        Folders by name: of predicted indices, or of predicted masks.
    labels
        Label scheme of the true masks where the layout does not tell.
    splits
        Only these.

    Raises
    ------
    DataError
        If no index of the truth is known, or no method answers any of its images.

    References
    ----------
    Gessert and Schlaefer, STACOM (2019), table 1.
    """
    catalog = read_catalog(truth, labels=labels).select(splits)
    known, problems = true_indices(catalog)
    if known.empty:
        raise DataError(f"no index of {truth} is known; it needs masks with a closed wall, or {TABLE}")
    names = [name for name in (*INDICES, PHASE) if name in known]
    true = known.rename(columns={name: f"{name}{TRUE}" for name in names})
    parts = []
    for name, folder in methods.items():
        found, wrong = given_indices(folder, catalog, known.groupby("subject")["slice"].agg(set))
        problems += wrong
        both = true.merge(found, on=list(PLACE))
        if both.empty:
            told = f"{folder} answers none of the {len(known)} images of {truth} that have indices"
            problems.append(Problem(name, "no answer", NOT_EVALUATED, "", told))
            continue
        parts.append(both.assign(method=name))
    if methods and not parts:
        raise DataError(problems[-1].extra_info)
    parts.append(true.assign(**known[names].mean().to_dict(), method=MEAN))
    return compare_values(pd.concat(parts, ignore_index=True), [*catalog.problems, *problems])


def given_indices(
    folder: Path, catalog: Catalog, slices: Mapping[str, Collection[int]] | None = None
) -> tuple[pd.DataFrame, list[Problem]]:
    """The indices that a method gives.

    Parameters
    ----------
    folder
        With its table, or with its masks.
    catalog
        The images that they are about.
    slices
        In which slices of every subject masks are measured; the mid-ventricular ones by default.

    Returns
    -------
    Columns as of `cmrseg.tasks.quantification.truth.true_indices`; and the subjects that cannot be measured.
    """
    if (folder / TABLE).is_file():
        return read_indices(folder / TABLE), []
    volumes = catalog.with_masks().volumes() or catalog.volumes()
    pairs, problems = find_predictions(volumes, folder, catalog.root, None)
    other = {(ref.subject, ref.frame): replace(answer, phase="") for ref, answer in pairs}
    tables = [pd.DataFrame(columns=list(PLACE))]
    for refs in catalog.cines():
        found = [other[ref.subject, ref.frame] for ref in refs if (ref.subject, ref.frame) in other]
        try:
            wanted = None if slices is None else slices.get(refs[0].subject, set())
            tables += [cine_indices(found, wanted)] if found else []
        except DataError as error:
            problems.append(Problem(refs[0].subject, "unreadable", NOT_EVALUATED, "", str(error)))
    return pd.concat(tables[1:] or tables, ignore_index=True), problems


def compare_values(
    values: pd.DataFrame,
    problems: Sequence[Problem] = (),
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> IndexEvaluation:
    """Errors and tests of methods.

    Parameters
    ----------
    values
        Columns method, subject, frame, slice, and of indices and phase the predicted (``dim1_mm``) and the
        true (``dim1_mm_true``), as far as they are known.
    problems
        What is not in them.
    pairs
        Methods that are tested against each other; every two by default.
    """
    errors, images = [], []
    for name, part in values.groupby("method", sort=False):
        given = [n for n in (*INDICES, PHASE) if {n, f"{n}{TRUE}"} <= set(part) and part[n].notna().any()]
        predicted = part[given]
        true = part[[f"{n}{TRUE}" for n in given]].set_axis(given, axis=1)
        errors.append(index_errors(predicted, true).assign(method=name))
        images.append(part[["method", *PLACE]].join(group_errors(predicted, true)))
    table = pd.concat(errors, ignore_index=True)
    by_image = pd.concat(images, ignore_index=True)
    ordered = table[["method", *(column for column in table if column != "method")]]
    return IndexEvaluation(ordered, by_image, _tests(by_image, pairs), values, list(problems))


def _tests(
    images: pd.DataFrame, pairs: Sequence[tuple[str, str]] | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Paired differences of methods, without that which knows nothing."""
    names = [name for name in images["method"].unique() if name != MEAN]
    rows = []
    for first, second in combinations(names, 2) if pairs is None else pairs:
        pair = [images[images["method"] == name].set_index(list(PLACE)) for name in (first, second)]
        for group in (*GROUPS, PHASE):
            if all(group in part for part in pair):
                both = pd.concat([part[group] for part in pair], axis=1, keys=("first", "second")).dropna()
                rows += [(group, first, second, *_paired(both, seed), UNITS[group])] if len(both) else []
    return pd.DataFrame(rows, columns=list(TEST_COLUMNS))


def _paired(both: pd.DataFrame, seed: int) -> tuple[float, ...]:
    """Mean difference over images, its interval over subjects, both p, and how many there are."""
    subjects = both.groupby("subject").mean()
    change = (subjects["second"] - subjects["first"]).to_numpy()
    difference = float((both["second"] - both["first"]).mean())
    p = [paired_p_value(part["first"].to_numpy(), part["second"].to_numpy()) for part in (both, subjects)]
    return difference, *mean_interval(change, seed=seed), *p, len(both), len(subjects)


def paper_table(errors: pd.DataFrame) -> pd.DataFrame:
    """Errors in the layout of the paper's Table 1: a row per method.

    Parameters
    ----------
    errors
        `IndexEvaluation.errors`, or another table with a column ``method``.

    Returns
    -------
    How many images were answered, at least; MAE with SD (over the images) and correlation of every group; and
    the error rate of the phase.
    """
    rows = []
    for name, part in errors.groupby("method", sort=False):
        by_name = part.set_index("name")
        row: dict[str, object] = {"method": name, "images": by_name["n"].min()}
        for group, digits in zip(GROUPS, (0, 2, 2), strict=True):
            known = by_name.loc[group] if group in by_name.index else None
            row[f"{group} ({UNITS[group]})"] = _said(known, digits)
            row[f"{group} PCC"] = "-" if known is None else _number(known["pcc"], 3)
        row["phase ER (%)"] = _number(by_name.loc[PHASE, "mae"], 1) if PHASE in by_name.index else "-"
        rows.append(row)
    return pd.DataFrame(rows)


def _said(row: pd.Series | None, digits: int) -> str:
    """MAE and SD."""
    return "-" if row is None else f"{row['mae']:.{digits}f} ± {_number(row['sd'], digits)}"


def _number(value: float, digits: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"
