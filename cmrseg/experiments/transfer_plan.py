"""Which runs a transfer-learning study consists of: starting points, subsets, seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from cmrseg.data.subsets import FULL, subset_names, subset_rows
from cmrseg.experiments.curves import STARTS as PUBLISHED_STARTS
from cmrseg.experiments.keys import settings, sha256
from cmrseg.experiments.recommendation import WITHIN
from cmrseg.io.checksum import sha256_of
from cmrseg.labels import near_matches
from cmrseg.models import get_architecture
from cmrseg.models.backbones import load_imagenet
from cmrseg.models.defaults import Schedule
from cmrseg.predict import Options, prediction_options
from cmrseg.problems import DataError
from cmrseg.training.config import TrainConfig, transfer_config
from cmrseg.training.log import Listener
from cmrseg.training.options import TrainOptions
from cmrseg.zoo.manifest import DEFAULT_MODEL
from cmrseg.zoo.model_file import ModelSpec, build_net
from cmrseg.zoo.resolved import ModelName, ResolvedModel

STARTS = tuple(PUBLISHED_STARTS.values())
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
        Table of subsets to use instead of drawing them; every seed then uses it. Columns with names of their
        own (none of v3, r3, esed, r_esed) are always used.
    seeds
        Of the runs; every seed also draws its own subjects and images.
    options
        What differs from the transfer schedule of the base model's architecture.
    reader
        A second reader's masks of the test subjects.
    as_published
        Make the masks that are scored as the paper's, see `cmrseg.predict.AS_PUBLISHED`.
    within
        Tolerated loss of the mean Dice, see `cmrseg.experiments.recommendation.recommendation`.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.D.
    """

    base: ModelName = DEFAULT_MODEL
    starts: tuple[str, ...] | None = None
    imagenet: Path | None = None
    sizes: tuple[int, ...] | None = None
    kinds: tuple[str, ...] = KINDS
    subsets: Path | None = None
    seeds: tuple[int, ...] = (0, 1)
    options: TrainOptions = field(default_factory=TrainOptions)
    reader: Path | None = None
    as_published: bool = False
    within: float = WITHIN

    def __post_init__(self) -> None:
        for names, known in ((self.starts or (), STARTS), (self.kinds, KINDS)):
            for name in names:
                if name not in known:
                    raise ValueError(f"unknown '{name}'; {near_matches(name, known)}")
            if len(set(names)) < len(names):
                raise ValueError(f"name everything once, got {', '.join(names)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different numbers, at least one, got {self.seeds}")
        if self.sizes is not None and self.subsets is not None:
            raise ValueError("name either the numbers of subjects or a table of subsets, not both")

    @property
    def masks(self) -> Options:
        """How the masks that are scored are made."""
        return prediction_options(as_published=self.as_published)


@dataclass(frozen=True)
class PlannedRun:
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
    score_key
        Changes when its scores would be, because other subjects are scored.
    """

    start: str
    subset: str
    seed: int
    subjects: int
    images: int
    config: TrainConfig
    folder: Path
    key: str
    score_key: str = ""

    @property
    def name(self) -> str:
        """Such as ``TL2_v3_seed0``."""
        return self.folder.name

    @property
    def images_to_see(self) -> int:
        """Images that it is shown over all its epochs."""
        epochs = sum(stage.epochs for stage in self.config.schedule)
        return epochs * _epoch_images(self.images, self.config.batch_size)


def possible_starts(setup: TransferSetup, base: ModelSpec, listener: Listener) -> tuple[str, ...]:
    """The starts that can be had; ImageNet weights are looked for before hours of training.

    Raises
    ------
    DataError
        If TL is asked for, by name or by a file of weights, and its weights cannot be had.
    """
    wanted = setup.starts or STARTS
    if "TL" not in wanted:
        return wanted
    try:
        architecture = get_architecture(base.architecture)
        if not architecture.backbone:
            raise DataError(
                f"there are no ImageNet weights for {architecture.name}; leave TL and --imagenet out"
            )
        listener.note(load_imagenet(build_net(base), architecture, setup.imagenet))
    except DataError as error:
        if setup.starts is not None or setup.imagenet is not None:
            raise
        listener.note(f"TL falls away: {str(error).partition(';')[0]}")
        return tuple(start for start in wanted if start != "TL")
    return wanted


def plan_runs(
    setup: TransferSetup,
    base: ResolvedModel,
    data: Path,
    tables: Mapping[Path, pd.DataFrame],
    starts: Sequence[str],
) -> tuple[PlannedRun, ...]:
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
    config = transfer_config(base.spec, data, setup.options)
    files = list(tables) * (len(setup.seeds) if len(tables) == 1 else 1)
    runs = []
    for seed, file in zip(setup.seeds, files, strict=True):
        for subset in (FULL, *subset_names(tables[file])):
            rows = subset_rows(tables[file], subset)
            chosen = replace(config, seed=seed, subset=f"{file.resolve()}:{subset}")
            chosen = as_many_images(chosen, len(rows), len(tables[file]))
            runs += [_planned(chosen, start, rows, (setup, base, data)) for start in starts]
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
    return replace(config, schedule=schedule, validate_every=max(1, round(config.validate_every * factor)))


def _epoch_images(images: int, batch_size: int) -> int:
    """Images that an epoch shows: those of whole batches."""
    size = min(batch_size, images)
    return images // size * size


def _planned(
    config: TrainConfig, start: str, rows: pd.DataFrame, given: tuple[TransferSetup, ResolvedModel, Path]
) -> PlannedRun:
    """One start on one subset of the study's data."""
    setup, base, data = given
    config = _started(config, start, setup)
    file, _, subset = config.subset.rpartition(":")
    return PlannedRun(
        start=start,
        subset=subset,
        seed=config.seed,
        subjects=rows["Id"].nunique(),
        images=len(rows),
        config=config,
        folder=Path(file).parent / "runs" / f"{start}_{subset}_seed{config.seed}",
        key=_run_key(config, rows, data, base),
    )


def _started(config: TrainConfig, start: str, setup: TransferSetup) -> TrainConfig:
    """The configuration of a starting point."""
    if start == "TL2":
        return config
    imagenet = str(setup.imagenet.resolve()) if setup.imagenet else "imagenet"
    return replace(config, start="random" if start == "R" else imagenet, licence="unstated")


def _run_key(config: TrainConfig, rows: pd.DataFrame, data: Path, base: ResolvedModel) -> str:
    """Changes with the settings, the images of the subset, the data folder and the start weights."""
    start = Path(config.start)
    weights = base.sha256 if config.start == "base model" else sha256_of([start] * start.is_file())
    images = rows.sort_values(list(rows)).to_csv(index=False)
    return sha256(settings(replace(config, subset="")), images, str(data.resolve()), weights)
