"""Which runs a transfer-learning study consists of: starting points, subsets, seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from cmrseg.data.phases import ed_es_of_catalog
from cmrseg.data.subsets import ESED, FULL, draw_subsets, read_subsets, subset_names, subset_rows
from cmrseg.io.checksum import sha256_of
from cmrseg.labels import near_matches
from cmrseg.models import get_architecture
from cmrseg.models.fastai_unet import load_imagenet
from cmrseg.problems import DataError, Problem
from cmrseg.studies.keys import sha256
from cmrseg.training.config import RunOptions, TrainConfig, with_run_options
from cmrseg.training.fit import transfer_config
from cmrseg.training.log import Listener
from cmrseg.training.split_images import SplitImages
from cmrseg.training.stages import Schedule
from cmrseg.zoo.manifest import DEFAULT_MODEL, model_path
from cmrseg.zoo.model_file import Model, build_net

STARTS = ("R", "TL", "TL2")
KINDS = ("subjects", "random", "esed")


@dataclass(frozen=True)
class TransferSetup:
    """What a transfer-learning study compares.

    Attributes
    ----------
    base
        Model of the zoo, or file: the start TL2, and the architecture and preprocessing of all runs.
    starts
        R (random weights), TL (ImageNet encoder), TL2 (the base model); None for all that can be had.
    imagenet
        File of ImageNet weights for TL; torchvision's download when None.
    sizes
        Numbers of training subjects, decreasing; halved down to 1 by default.
    kinds
        ``subjects`` (whole subjects), ``random`` (as many images, at random), ``esed`` (ED and ES images of
        all subjects, and as many at random).
    subsets
        Table of subsets to use instead of drawing them; every seed then uses it.
    seeds
        Of the runs; every seed also draws its own subjects and images.
    options
        What differs from the transfer schedule of the base model's architecture.
    reader
        A second reader's masks of the test subjects.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.D.
    """

    base: str | Path = DEFAULT_MODEL
    starts: tuple[str, ...] | None = None
    imagenet: Path | None = None
    sizes: tuple[int, ...] | None = None
    kinds: tuple[str, ...] = KINDS
    subsets: Path | None = None
    seeds: tuple[int, ...] = (0, 1)
    options: RunOptions = field(default_factory=RunOptions)
    reader: Path | None = None

    def __post_init__(self) -> None:
        for names, known in ((self.starts or (), STARTS), (self.kinds, KINDS)):
            for name in names:
                if name not in known:
                    raise ValueError(f"unknown '{name}'; {near_matches(name, known)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different numbers, at least one, got {self.seeds}")


@dataclass(frozen=True)
class StudyRun:
    """One training run of a study.

    Attributes
    ----------
    start, subset, seed
        What tells it from the others.
    subjects, images
        How many are contoured for it.
    config
        With the subset, and as many epochs as show it the images that all runs see.
    folder
        Where its model and its curve go.
    key
        Changes when the run would be another one.
    """

    start: str
    subset: str
    seed: int
    subjects: int
    images: int
    config: TrainConfig
    folder: Path
    key: str

    @property
    def name(self) -> str:
        """Such as ``TL2_v3_seed0``."""
        return self.folder.name

    @property
    def images_to_see(self) -> int:
        """Images that it is shown over all its epochs."""
        epochs = sum(stage.epochs for stage in self.config.schedule)
        return epochs * _epoch_images(self.images, self.config.batch_size)


def subset_tables(
    images: SplitImages, setup: TransferSetup, out: Path
) -> tuple[dict[Path, pd.DataFrame], pd.DataFrame, list[Problem]]:
    """The subsets of every seed; nothing is written.

    Returns
    -------
    Tables by the files where they go, one for every seed or one for all; ED and ES frames of the training
    subjects (Id, es, ed); and the subjects for which these are not known.
    """
    table = images.catalog.select(["train"]).table
    places = table[["subject", "frame", "slice"]].itertuples(index=False, name=None)
    trained = set(images.train.places)  # frames without contours are not among them
    rows = table[[place in trained for place in places]]
    frames, problems = ed_es_of_catalog(replace(images.catalog, table=rows))
    if setup.subsets is not None:
        chosen = _wanted(read_subsets(setup.subsets), setup.kinds)
        return {out / "subsets.tsv": chosen}, frames, problems
    tables = {}
    for number, seed in enumerate(setup.seeds):
        drawn = draw_subsets(rows, sizes=setup.sizes, frames=frames, seed=seed)
        file = out / (f"subsets_seed{seed}.tsv" if number else "subsets.tsv")
        tables[file] = _wanted(drawn, setup.kinds)
    return tables, frames, problems


def possible_starts(setup: TransferSetup, base: Model, listener: Listener) -> tuple[str, ...]:
    """The starts that can be had; ImageNet weights are looked for before hours of training.

    Raises
    ------
    DataError
        If TL is asked for by name and its weights cannot be had.
    """
    wanted, architecture = setup.starts or STARTS, base.spec.architecture
    if "TL" not in wanted:
        return wanted
    without = tuple(start for start in wanted if start != "TL")
    if not get_architecture(architecture).imagenet:
        listener.note(f"TL falls away: there are no ImageNet weights for {architecture}")
        return without
    try:
        listener.note(load_imagenet(build_net(base.spec), architecture, setup.imagenet))
    except DataError as error:
        if setup.starts is not None or setup.imagenet is not None:
            raise
        listener.note(f"TL falls away: {error}")
        return without
    return wanted


def plan_runs(
    setup: TransferSetup,
    base: Model,
    data: Path,
    tables: Mapping[Path, pd.DataFrame],
    starts: Sequence[str],
) -> tuple[StudyRun, ...]:
    """All runs of a study.

    Parameters
    ----------
    setup, base, data
        Of the study.
    tables
        From `subset_tables`; the runs' folders lie beside them.
    starts
        From `possible_starts`.
    """
    options = setup.options
    config = with_run_options(transfer_config(base, data, augmentation=options.augmentation), options)
    files = list(tables) * (len(setup.seeds) if len(tables) == 1 else 1)
    runs = []
    for seed, file in zip(setup.seeds, files, strict=True):
        for subset in (FULL, *subset_names(tables[file])):
            rows = subset_rows(tables[file], subset)
            chosen = replace(config, seed=seed, subset=f"{file.resolve()}:{subset}")
            chosen = as_many_images(chosen, len(rows), len(tables[file]))
            for start in starts:
                started = _started(chosen, start, setup)
                runs.append(
                    StudyRun(
                        start=start,
                        subset=subset,
                        seed=seed,
                        subjects=rows["Id"].nunique(),
                        images=len(rows),
                        config=started,
                        folder=file.parent / "runs" / f"{start}_{subset}_seed{seed}",
                        key=_run_key(started, rows, data, setup),
                    )
                )
    return tuple(runs)


def as_many_images(config: TrainConfig, images: int, of: int) -> TrainConfig:
    """A configuration whose epochs show as many images of a subset as the given ones show of the whole set.

    Parameters
    ----------
    config
        For the whole set.
    images, of
        Images of the subset and of the whole set.

    Returns
    -------
    Epochs times the inverse fraction, and validation as often as with the whole set. Only whole batches
    are trained on, so it is their images that count.
    """
    factor = _epoch_images(of, config.batch_size) / _epoch_images(images, config.batch_size)
    schedule: Schedule = tuple(
        replace(stage, epochs=max(1, round(stage.epochs * factor))) for stage in config.schedule
    )
    return replace(config, schedule=schedule, validate_every=max(1, round(factor)))


def _epoch_images(images: int, batch_size: int) -> int:
    """Images that an epoch shows: those of whole batches."""
    size = min(batch_size, images)
    return images // size * size


def _started(config: TrainConfig, start: str, setup: TransferSetup) -> TrainConfig:
    """The configuration of a starting point."""
    if start == "TL2":
        return config
    weights = "random" if start == "R" else str(setup.imagenet or "imagenet")
    return replace(config, start=weights, licence="unstated")


def _run_key(config: TrainConfig, rows: pd.DataFrame, data: Path, setup: TransferSetup) -> str:
    """Changes with the settings, the images of the subset, the data folder and the start weights."""
    start = Path(config.start)
    files = [model_path(setup.base)] if config.start == "base model" else [start] * start.is_file()
    images = rows.sort_values(list(rows)).to_csv(index=False)
    return sha256(repr(replace(config, subset="")), images, str(data.resolve()), sha256_of(files))


def _wanted(table: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """The subsets of some kinds."""
    kind_of = {ESED: "esed", f"r_{ESED}": "esed"}
    letters = {"v": "subjects", "r": "random"}
    drop = [n for n in subset_names(table) if kind_of.get(n, letters.get(n[0], n)) not in kinds]
    return table.drop(columns=drop)
