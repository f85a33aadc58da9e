"""The images that a run trains and validates with: splits, confidence sets, subsets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog, assign_splits, read_catalog
from cmrseg.data.confidence_sets import ConfidenceSet, select_confident
from cmrseg.data.subsets import read_subsets, subset_rows
from cmrseg.labels import Label
from cmrseg.problems import DataError, Problem
from cmrseg.training.config import TrainConfig
from cmrseg.training.images import Place, TrainingImages, read_training_images
from cmrseg.training.loaders import field_size
from cmrseg.training.log import Listener


@dataclass(frozen=True)
class SplitImages:
    """Images to train and to validate with."""

    catalog: Catalog
    train: TrainingImages
    valid: TrainingImages
    labels: tuple[str, ...]
    problems: tuple[Problem, ...] = field(default=())


def read_split_images(
    data: Path, config: TrainConfig, out: Path, listener: Listener, chosen: ConfidenceSet | None = None
) -> SplitImages:
    """Training and validation images, and the classes that the data can teach.

    Parameters
    ----------
    data
        Data set with masks.
    config
        Preprocessing, label scheme, seed of a random split and subset.
    out
        Folder of the run, whose ``splits.csv`` decides where there is one.
    listener
        Who is told what was read and left out.
    chosen
        Use the examinations of this confidence set only.

    Returns
    -------
    With a subset, its training images; classes, validation images and grey values are those of the whole set.

    Raises
    ------
    DataError
        If the data or the subset cannot be used.
    """
    catalog = _labelled(read_catalog(data, labels=config.labels), data, chosen)
    catalog = assign_splits(_splits_of_run(catalog, out / "splits.csv"), seed=config.seed)
    for note in catalog.notes:
        listener.note(note)
    train, valid = (
        read_training_images(
            catalog.select([split]), config.preprocessing, field_px=field_size(config), progress=listener.read
        )
        for split in ("train", "val")
    )
    labels = [label for label in Label if label in train.labels() | {Label.BACKGROUND}]
    names = tuple(label.name for label in labels)
    if absent := [label.name for label in Label if label not in labels]:
        listener.note(
            f"no {', '.join(absent)} in the training masks: the model will segment {', '.join(names[1:])}"
        )
    if len(names) < 2:
        raise DataError(f"the training masks of {data} are empty; there is nothing to learn")
    problems = (*catalog.problems, *train.problems, *valid.problems)
    for problem in problems:
        listener.note(f"left out: {problem.extra_info}")
    images = _of_subset(train, config.subset)
    return SplitImages(catalog, images.with_classes(labels), valid.with_classes(labels), names, problems)


def told_of_subset(config: TrainConfig) -> dict[str, str]:
    """What ``config.json`` says of the subset, so that a run is resumed with the same images only."""
    places = _places(config.subset)
    return {"subset_sha256": sha256(repr(sorted(places)).encode()).hexdigest()} if places else {}


def _of_subset(images: TrainingImages, subset: str) -> TrainingImages:
    """The training images that a subset names, all without one."""
    if not subset:
        return images
    places = _places(subset)
    chosen = images.only(places)
    if len(chosen) < len(places):
        raise DataError(
            f"{len(places) - len(chosen)} of the {len(places)} images of subset {subset} are no training "
            "images of the data; draw the subsets from this data, with the same splits"
        )
    return chosen


def _places(subset: str) -> frozenset[Place]:
    """Subject, frame and slice of the images of a subset named as ``FILE:COLUMN``."""
    if not subset:
        return frozenset()
    file, _, name = subset.rpartition(":")
    rows = subset_rows(read_subsets(Path(file)), name)
    return frozenset(rows[["Id", "frame", "slice"]].itertuples(index=False, name=None))


def _labelled(catalog: Catalog, data: Path, chosen: ConfidenceSet | None) -> Catalog:
    """The images with masks, of a confidence set where one is chosen; there must be some."""
    labelled = catalog.with_masks()
    if labelled.table.empty:
        raise DataError(f"none of the {len(catalog.table)} images of {data} has a mask; training needs masks")
    without = len(catalog.table) - len(labelled.table)
    note = f"{without} image(s) without a mask are not used"
    labelled = replace(labelled, notes=[*labelled.notes, *[note] * bool(without)])
    return labelled if chosen is None else select_confident(labelled, chosen)


def _splits_of_run(catalog: Catalog, path: Path) -> Catalog:
    """The splits that a run started with, when it is resumed."""
    if not path.exists():
        return catalog
    splits = dict(pd.read_csv(path, dtype=str).itertuples(index=False))
    return replace(catalog, table=catalog.table.assign(split=catalog.table["subject"].map(splits).fillna("")))
