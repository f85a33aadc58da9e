"""Predicted regions of slices against those that the contours tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cmrseg.data.catalog import Catalog, load_volume_mask
from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.io.tables import read_table
from cmrseg.problems import DataError, Problem
from cmrseg.tasks import get_task
from cmrseg.tasks.region import CLASSES, RegionTask

REGION_TABLE = RegionTask.file


def region_counts(predicted: Path, catalog: Catalog) -> tuple[np.ndarray, list[Problem]]:
    """How often every true region was answered by each.

    Parameters
    ----------
    predicted
        Folder with the ``regions.csv`` of a classifier.
    catalog
        Data set with masks.

    Returns
    -------
    Confusion table ``(4, 4)`` in the order of `cmrseg.tasks.region.CLASSES`, true regions in rows, over all
    slices of the frames that were contoured; and a problem for every study that cannot be compared.

    Raises
    ------
    DataError
        If there is no table of predictions.
    """
    table = read_table(predicted / REGION_TABLE, {"study": str})
    known = table.set_index(["study", "frame", "slice"])["region"]
    counts, problems = np.zeros((len(CLASSES), len(CLASSES)), int), []
    for study in catalog.with_masks().studies():
        try:
            mask = load_volume_mask(*study)
        except DataError as error:
            told = study[0].subject, "no contours to compare", NOT_EVALUATED, str(study[0].image), str(error)
            problems.append(Problem(*told))
            continue
        truth = get_task(RegionTask.name).truth(mask, CLASSES).argmax(axis=-1)  # type: ignore[attr-defined]
        for t in np.flatnonzero(mask.array.any(axis=(0, 1, 2))):
            for z in range(truth.shape[1]):
                place = (study[t].subject, study[t].frame, z)
                if place in known.index:
                    counts[truth[t, z], CLASSES.index(known.loc[place])] += 1
    return counts, problems
