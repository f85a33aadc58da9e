"""Predicted numbers of images against those that the contours of a data set give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.catalog import Catalog, VolumeRef, load_volume_mask
from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.evaluation.summary import METRIC_COLUMNS
from cmrseg.io.tables import read_table
from cmrseg.metrics.registry import unit_of
from cmrseg.problems import DataError, Problem
from cmrseg.tasks import Task
from cmrseg.tasks.numbers import Numbers

ABS_ERROR = "abs_error"


def evaluate_numbers(
    predicted: Path, catalog: Catalog, task: Task, labels: Sequence[str]
) -> tuple[pd.DataFrame, list[Problem]]:
    """Mean absolute error of every number in every volume with contours.

    Parameters
    ----------
    predicted
        Folder that `cmrseg predict` wrote.
    catalog
        Data set with masks, or with a table of the numbers.
    task
        What gave the numbers, and says what they should be.
    labels
        Names of the numbers.

    Returns
    -------
    Table with ``METRIC_COLUMNS``, a row per volume and number, and a problem for every volume that has no
    prediction or whose masks cannot be read.

    Raises
    ------
    DataError
        If there is no table of predictions.
    """
    if not isinstance(task, Numbers):
        raise DataError(f"the task {task.name} gives no numbers")
    table = read_table(predicted / task.file, {"study": str})
    known = task.numbers(catalog)
    if known is not None:
        return _errors_of_places(table, known), []
    rows, problems = [], []
    for study in catalog.with_masks().studies():
        try:
            rows += _errors(study, table[table["study"] == study[0].subject], task, labels)
        except DataError as error:
            told = study[0].subject, "no numbers to compare", NOT_EVALUATED, str(study[0].image), str(error)
            problems.append(Problem(*told))
    return pd.DataFrame(rows, columns=list(METRIC_COLUMNS)), problems


def _errors(
    study: tuple[VolumeRef, ...], found: pd.DataFrame, task: Numbers, labels: Sequence[str]
) -> list[tuple[object, ...]]:
    """Rows of the volumes of a study."""
    mask = load_volume_mask(*study)
    rows: list[tuple[object, ...]] = []
    drawn = np.flatnonzero(mask.array.any(axis=(0, 1, 2)))
    truth = task.truth(mask, labels)
    for ref, t in ((study[t], t) for t in drawn):
        frame = found[found["frame"] == ref.frame].sort_values("slice")
        if len(frame) != truth.shape[1]:
            raise DataError(f"{len(frame)} predicted slices in frame {ref.frame}, {truth.shape[1]} contoured")
        errors = np.abs(frame[list(labels)].to_numpy() - truth[t]).mean(axis=0)
        rows += [
            (ref.subject, ref.frame, name, ABS_ERROR, float(error), unit_of(ABS_ERROR))
            for name, error in zip(labels, errors, strict=True)
        ]
    return rows


def _errors_of_places(found: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute errors of the images of every volume whose numbers are known."""
    places, names = ["subject", "frame", "slice"], list(known.columns[3:])
    both = known.merge(found.rename(columns={"study": "subject"}), on=places, suffixes=("_true", ""))
    errors = pd.DataFrame({name: (both[name] - both[f"{name}_true"]).abs() for name in names})
    volumes = errors.groupby([both["subject"], both["frame"]], sort=False).mean().reset_index()
    long = volumes.melt(["subject", "frame"], var_name="structure").dropna(subset="value")
    return long.assign(metric=ABS_ERROR, unit=unit_of(ABS_ERROR))[list(METRIC_COLUMNS)]
