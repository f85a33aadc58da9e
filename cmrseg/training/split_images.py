"""The images that a run trains and validates with: splits, confidence sets, subsets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog, assign_splits, read_catalog
from cmrseg.data.confidence_sets import ConfidenceSet, select_confident
from cmrseg.data.subsets import read_subsets, subset_rows
from cmrseg.data.together import data_set_names, join_catalogs, subject_in
from cmrseg.io.tables import read_table
from cmrseg.labels import STRUCTURES, Label
from cmrseg.problems import DataError, Problem
from cmrseg.tasks import get_task
from cmrseg.tasks.region import regions_of
from cmrseg.training.config import TrainConfig
from cmrseg.training.images import Place, TrainingImages, join_images, read_training_images
from cmrseg.training.loaders import field_size
from cmrseg.training.log import Listener
from cmrseg.zoo.domain import Features, TrainingDomain, domain_of, subject_features


@dataclass(frozen=True)
class ReadImages:
    """Images that runs learn from, of one or more data sets, read once for as many runs as share them.

    Attributes
    ----------
    roots
        The data sets.
    catalog
        All their images, with splits.
    train, valid
        By the names of the data sets; masks hold `Label` ids.
    features
        What every training subject is like, where that was measured, see `cmrseg.zoo.domain`.
    """

    roots: tuple[Path, ...]
    catalog: Catalog
    train: Mapping[str, TrainingImages]
    valid: Mapping[str, TrainingImages]
    features: Mapping[str, Features] | None = None

    def measured(self) -> ReadImages:
        """With the features of the training subjects."""
        return replace(self, features=subject_features(self.catalog.select(["train"])))


Data = Path | Sequence[Path] | ReadImages  # one data set, several, or what was read of them


@dataclass(frozen=True)
class SplitImages:
    """Images to train and to validate with."""

    catalog: Catalog
    train: TrainingImages
    valid: TrainingImages
    labels: tuple[str, ...]
    problems: tuple[Problem, ...] = field(default=())
    features: Mapping[str, Features] | None = None

    def domain(self) -> TrainingDomain | None:
        """What the images were like that are trained on; None where no mask shows an LV."""
        subjects, training = set(self.train.subjects), self.catalog.select(["train"])
        if self.features is not None:
            found = [each for subject, each in self.features.items() if subject in subjects]
        else:
            trained = training.table["subject"].isin(subjects)  # a subset may be a few of many
            found = list(subject_features(replace(training, table=training.table[trained])).values())
        return domain_of(found, data=f"its {len(subjects)} training subjects") if found else None


def roots_of(data: Data) -> tuple[Path, ...]:
    """The folders of data sets."""
    if isinstance(data, ReadImages):
        return data.roots
    return (data,) if isinstance(data, Path) else tuple(data)


def read_images(
    data: Sequence[Path],
    config: TrainConfig,
    out: Path,
    listener: Listener,
    *,
    chosen: ConfidenceSet | None = None,
) -> ReadImages:
    """Read the images of data sets, in the size that a run trains with; see `read_split_images`."""
    catalogs = _catalogs(data, config, out, chosen)
    catalog = join_catalogs(catalogs)
    for note in catalog.notes:
        listener.note(note)
    train, valid = (
        {name: _images(each, split, config, listener) for name, each in catalogs.items()}
        for split in ("train", "val")
    )
    return ReadImages(tuple(data), catalog, train, valid)


def read_split_images(
    data: Data,
    config: TrainConfig,
    out: Path,
    listener: Listener,
    *,
    chosen: ConfidenceSet | None = None,
    kept: Collection[str] = (),
) -> SplitImages:
    """Training and validation images, and the classes that the data can teach.

    Parameters
    ----------
    data
        Data sets with masks (or with a table of what is learnt, for networks that learn no mask), or what
        `read_images` gave. A structure that one of them does not contour is
        unknown there, not background.
    config
        Preprocessing, label schemes, structures, seed of a random split and subset.
    out
        Folder of the run, whose ``splits.csv`` decides where there is one.
    listener
        Who is told what was read and left out.
    chosen
        Use the examinations of this confidence set only.
    kept
        Structures of a base model that stay classes although the data do not contour them.

    Returns
    -------
    With a subset, its training images; classes, validation images and grey values are those of the whole set.

    Raises
    ------
    DataError
        If the data or the subset cannot be used, or a structure that is asked for is not in the masks.
    """
    if not isinstance(data, ReadImages):
        data = read_images(roots_of(data), config, out, listener, chosen=chosen)
    catalog, train, valid = data.catalog, data.train, data.valid
    taught = {label for images in train.values() for label in images.labels()} - {Label.BACKGROUND}
    if not taught and any(learns_from_masks(config, root) for root in data.roots):
        raise DataError(
            f"the training masks of {', '.join(map(str, data.roots))} are empty; there is nothing to learn"
        )
    labels = _classes(taught, kept, config.structures, listener) if taught else [Label.BACKGROUND]
    both = [join_images(_with_classes(images, labels, train, valid)) for images in (train, valid)]
    problems = (*catalog.problems, *both[0].problems, *both[1].problems)
    for problem in problems:
        listener.note(f"left out: {problem.extra_info}")
    if doubtful := sorted({s for images in (train, valid) for s in _doubtful(images)}):
        listener.note(
            f"the contours of {len(doubtful)} subject(s) do not lie on blood and muscle of their images, and "
            f"may be another patient's: {', '.join(doubtful[:5])}; look at them"
        )
    task = get_task(config.recipe.network.task)
    names = task.labels([label.name for label in labels])
    both = [_of_region(images, config.region) for images in both]
    both = [replace(images, masks=task.prepare(images.masks, images.places)) for images in both]
    chosen_images = _of_subset(both[0], config.subset)
    return SplitImages(catalog, chosen_images, both[1], names, problems, data.features)


def _catalogs(
    data: Sequence[Path], config: TrainConfig, out: Path, chosen: ConfidenceSet | None
) -> dict[str, Catalog]:
    """The images to learn from of every data set, with its splits or those that the run started with."""
    found, several = {}, len(data) > 1
    for name, root, scheme in zip(data_set_names(data), data, _schemes(data, config.labels), strict=True):
        catalog = images_to_learn(read_catalog(root, labels=scheme), config)
        catalog = catalog if chosen is None else select_confident(catalog, chosen)
        catalog = _splits_of_run(catalog, out / "splits.csv", name if several else "")
        found[name] = assign_splits(catalog.only_structures(config.structures), seed=config.seed)
    return found


def _schemes(data: Sequence[Path], labels: str | None) -> list[str | None]:
    """Label scheme of every data set: one for all, or one each with a ``+`` between them; empty is unsaid."""
    given: list[str | None] = [scheme or None for scheme in labels.split("+")] if labels else [None]
    if len(given) not in (1, len(data)):
        raise DataError(
            f"{len(given)} label schemes for {len(data)} data set(s); name one for all, or one each: "
            "--labels acdc+mnms, with nothing where the layout tells it"
        )
    return given * len(data) if len(given) == 1 else given


def _images(catalog: Catalog, split: str, config: TrainConfig, listener: Listener) -> TrainingImages:
    """The images of one split of one data set, with the numbers that the task knows of them."""
    chosen, task = catalog.select([split]), get_task(config.recipe.network.task)
    numbers = task.numbers(chosen)  # before the images, which take longer
    images = read_training_images(
        chosen,
        config.preprocessing,
        field_px=field_size(config),
        masks=learns_from_masks(config, catalog.root),
        progress=listener.read,
    )
    if numbers is None:
        return images
    return images.with_numbers(numbers, task.powers(list(numbers.columns[3:])))


def _with_classes(
    images: Mapping[str, TrainingImages], labels: Sequence[Label], *splits: Mapping[str, TrainingImages]
) -> dict[str, TrainingImages]:
    """Masks as class numbers; what few slices show is judged by all splits of their own data set."""
    anywhere = {
        name: tuple(
            sorted({label for split in splits for label in split[name].labels()} - {Label.BACKGROUND})
        )
        for name in images
    }
    return {name: part.with_classes(labels, anywhere[name]) for name, part in images.items()}


def _doubtful(images: Mapping[str, TrainingImages]) -> list[str]:
    """Subjects whose contours lie elsewhere, as the joined table names them."""
    several = len(images) > 1
    return [
        subject_in(name, subject) if several else subject
        for name, part in images.items()
        for subject in part.doubtful()
    ]


def _classes(
    taught: Collection[Label], kept: Collection[str], chosen: Sequence[str], listener: Listener
) -> list[Label]:
    """Classes of a model: the structures of the masks, and those of its base that stay; as far as chosen."""
    wanted = [label for label in STRUCTURES if not chosen or label.name in chosen]
    labels = [label for label in wanted if label in taught or label.name in kept]
    if chosen and len(labels) < len(wanted):
        missing = ", ".join(label.name for label in wanted if label not in labels)
        raise DataError(f"no {missing} in the training masks; leave it out of the structures to use")
    names = ", ".join(label.name for label in labels)
    if chosen:
        listener.note(f"only the contours of {names} are used; other structures are background")
    if absent := [label.name for label in wanted if label not in taught]:
        listener.note(f"no {', '.join(absent)} in the training masks: the model will segment {names}")
    return [Label.BACKGROUND, *labels]


def _of_region(images: TrainingImages, region: str) -> TrainingImages:
    """The images of a region of the heart, all without one."""
    if not region:
        return images
    shown = regions_of(images.masks, images.places)
    chosen = images.only({place for place, here in zip(images.places, shown, strict=True) if here == region})
    if not len(chosen):
        raise DataError(f"none of the {len(images)} images to train or validate with shows the {region}")
    return chosen


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


def learns_from_masks(config: TrainConfig, root: Path) -> bool:
    """Whether a network needs masks of a data set: not for numbers that stand in a table beside it."""
    network = config.recipe.network
    return network.learns_masks or get_task(network.task).needs_masks(root)


def images_to_learn(catalog: Catalog, config: TrainConfig) -> Catalog:
    """The images that a run can learn from: those with masks, or those that a table of numbers names.

    Raises
    ------
    DataError
        If there is none.
    """
    if learns_from_masks(config, catalog.root):
        return _labelled(catalog, catalog.root)
    numbers = get_task(config.recipe.network.task).numbers(catalog)
    if numbers is None:
        return _labelled(catalog, catalog.root)
    columns = list(numbers.columns[:3])  # subject, frame, slice
    named = pd.MultiIndex.from_frame(catalog.table[columns]).isin(pd.MultiIndex.from_frame(numbers[columns]))
    told = replace(catalog, table=catalog.table[named])
    if told.table.empty:
        raise DataError(
            f"the table of numbers in {catalog.root} names none of the {len(catalog.table)} images there "
            "(columns subject, frame, slice)"
        )
    without = len(catalog.table) - len(told.table)
    note = f"{without} image(s) of which the table tells no number are not used"
    return replace(told, notes=[*told.notes, *[note] * bool(without)])


def _labelled(catalog: Catalog, data: Path) -> Catalog:
    """The images with masks; there must be some."""
    labelled = catalog.with_masks()
    if labelled.table.empty:
        raise DataError(
            f"none of the {len(catalog.table)} images of {data} has a mask; training needs "
            "masks: name them in the column mask of a catalog.csv beside the data (README, Data)"
        )
    without = len(catalog.table) - len(labelled.table)
    note = f"{without} image(s) without a mask are not used"
    return replace(labelled, notes=[*labelled.notes, *[note] * bool(without)])


def _splits_of_run(catalog: Catalog, path: Path, data_set: str) -> Catalog:
    """The splits that a run started with, when it is resumed; ``data_set`` is one of several, or empty."""
    if not path.exists():
        return catalog
    splits = dict(read_table(path, str)[["subject", "split"]].itertuples(index=False))
    subjects = catalog.table["subject"]
    named = subjects.map(lambda subject: subject_in(data_set, subject)) if data_set else subjects
    return replace(catalog, table=catalog.table.assign(split=named.map(splits).fillna("")))
