"""Predicted masks against true ones, study by study."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from cmrseg.data.catalog import Catalog, VolumeRef, load_volume_mask, read_catalog
from cmrseg.data.predictions import NOT_EVALUATED, Pair, find_predictions
from cmrseg.evaluation.mask_tables import Evaluation, VolumeScores, collect, score_volume
from cmrseg.metrics.contoured import FEWEST_SLICES
from cmrseg.parallel import map_studies
from cmrseg.problems import DataError, Problem, existing_folder, order_of_arguments


def evaluate_masks(
    predicted: Path,
    truth: Path | Catalog,
    *,
    labels: str | None = None,
    splits: Sequence[str] = (),
    predicted_labels: str | None = None,
    jobs: int = 1,
) -> Evaluation:
    """Compare predicted masks with the truth of a data set.

    Surface distances and volumes are measured with the spacing of the truth. End-diastole and
    end-systole are the data set's; where it names none, the frames of the largest and smallest
    true LV. The predicted EF is taken at the same two frames.

    Parameters
    ----------
    predicted
        Folder that `cmrseg predict` wrote, a copy of the tree of true masks, or a data set of any
        known layout (a second reader).
    truth
        Data set with masks, see `cmrseg.data.catalog.read_catalog`, or its catalog.
    labels, predicted_labels
        Label schemes where the layouts do not tell; a copied tree has that of the truth.
    splits
        Evaluate these splits only.
    jobs
        Number of processes.

    Returns
    -------
    Tables and problems. A structure that the truth of a subject, or of a stack of slices, does not have was
    not contoured: it yields no rows, see `cmrseg.metrics.contoured`. A structure that is absent from exactly
    one mask has a Dice of 0 and distances of ``nan``; a predicted LV that is absent at end-diastole has an
    ``ef_error`` of ``nan`` and an ``ef_abs_error`` of 100 points.

    Raises
    ------
    DataError
        If a folder cannot be read, there are no true masks, or no prediction belongs to them.

    References
    ----------
    Bernard et al., IEEE TMI 37:2514 (2018), doi:10.1109/TMI.2018.2837502.
    """
    existing_folder(predicted, "prediction")
    if isinstance(truth, Catalog):
        catalog = truth.select(splits)
        refs = _true_volumes(catalog)
    else:
        if predicted.resolve() == truth.resolve():
            raise DataError(f"{truth} is named as prediction and as truth; name the predicted masks first")
        swapped = partial(_read_swapped, predicted, truth)
        with order_of_arguments("predicted masks come first and the data set second", swapped):
            catalog = read_catalog(truth, labels=labels).select(splits)
            refs = _true_volumes(catalog)
    pairs, missing = find_predictions(refs, predicted, catalog.root, predicted_labels)
    studies = [tuple(group) for _, group in groupby(pairs, key=lambda pair: (pair[0].subject, pair[0].masks))]
    scores, problems, empty = [], [*catalog.problems, *missing], 0
    done = map_studies(_score_study, studies, what="the scores of a study", jobs=jobs)
    for study, (found, wrong) in zip(studies, done, strict=True):
        scores += found
        problems += wrong
        empty += 0 if wrong else len(study) - len(found)
    notes = [f"{empty} frame(s) have no contour in the truth and were left out"] * bool(empty)
    return collect(scores, problems, pairs, [*catalog.notes, *notes])


def _true_volumes(catalog: Catalog) -> list[VolumeRef]:
    """The volumes of a data set that have masks; there must be some."""
    refs = catalog.with_masks().volumes()
    if not refs:
        raise DataError(
            f"no masks in {catalog.root}; name them in the column mask of a catalog.csv beside the data"
        )
    return refs


def _read_swapped(predicted: Path, truth: Path) -> None:
    """Read the truth where the prediction was named, and predictions of it where the truth was."""
    catalog = read_catalog(predicted)
    find_predictions(_true_volumes(catalog), truth, catalog.root, None)


def _score_study(pairs: Sequence[Pair]) -> tuple[list[VolumeScores], list[Problem]]:
    """Scores of the volumes that share a file of true masks."""
    refs = [truth for truth, _ in pairs]
    try:
        for truth, other in pairs:
            _check_slices(truth, other)
        masks = zip(refs, _load(refs), _load([other for _, other in pairs]), strict=True)
        alone = len(pairs) == 1  # one of few slices may well show no heart
        return [
            score_volume(*m) for m in masks if m[1].any() or (alone and len(m[0].slices) < FEWEST_SLICES)
        ], []
    except (DataError, ValueError) as error:
        return [], [Problem(refs[0].subject, "unreadable", NOT_EVALUATED, refs[0].image.name, str(error))]


def _check_slices(truth: VolumeRef, other: VolumeRef) -> None:
    """A prediction has the slices of the truth; that both lie on the grid of the image is told by reading."""
    if truth.slices != other.slices:
        raise DataError(
            f"{other.masks[0]} shows {len(other.slices)} slices, not the {len(truth.slices)} of the truth"
        )


def _load(refs: Sequence[VolumeRef]) -> list[np.ndarray]:
    """Masks of shape ``(x, y, z)``; frames that share a file are read at once."""
    volumes: list[np.ndarray] = []
    for _, group in groupby(refs, key=lambda ref: (ref.masks, ref.slices)):
        cine = load_volume_mask(*group).array
        volumes += [cine[..., t] for t in range(cine.shape[3])]
    return volumes
