"""Everything that a training run needs, in one frozen object that is written beside the result."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cmrseg.labels import near_matches
from cmrseg.models import get_architecture
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.training.recipe import Recipe
from cmrseg.training.stages import Schedule, Stage, defaults_of


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes
    ----------
    recipe
        Its name says architecture, loss, training set, augmentation and size.
    preprocessing
        Becomes part of the model.
    schedule
        Stages, one after the other.
    arguments
        Of the architecture, such as ``widths`` of light2d.
    batch_size, weight_decay, ema_decay, gradient_clip
        Of the optimizer (AdamW); ``ema_decay`` 0 switches the running average of the weights off,
        ``gradient_clip`` 0 the clipping.
    validate_every
        Epochs between validations; the first epoch and the last of every stage are always validated.
    seed
        Of weights, order and augmentation.
    bf16
        Compute in bfloat16 where the processor has it.
    licence
        Of the weights, as the training data's owners demand.
    start
        Encoder weights to start from: ``imagenet`` (torchvision), ``random``, or a file of ImageNet weights.
    labels
        Label scheme of the data where its layout does not tell.
    subset
        Training images to use, as ``FILE:COLUMN`` of a table of subsets (``subsets.tsv:v3``, see
        `cmrseg.data.subsets`); all when empty. Validation is not affected.
    """

    recipe: str
    preprocessing: Preprocessing
    schedule: Schedule
    arguments: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 32
    weight_decay: float = 0.02
    ema_decay: float = 0.0
    gradient_clip: float = 0.0
    validate_every: int = 1
    seed: int = 0
    bf16: bool = True
    licence: str = "unstated"
    start: str = "random"
    labels: str | None = None
    subset: str = ""

    def __post_init__(self) -> None:
        recipe = Recipe.parse(self.recipe)
        pretrained = get_architecture(recipe.architecture).imagenet
        if not pretrained and self.start not in ("random", "base model"):
            raise ValueError(f"there are no ImageNet weights for {recipe.architecture}; leave --imagenet out")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1 (images), got {self.batch_size}")
        if self.validate_every < 1:
            raise ValueError(f"validate_every must be at least 1 (epochs), got {self.validate_every}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")

    def to_json(self, **run: Any) -> str:
        """For ``config.json``; ``run`` says what the command was given (data, base model)."""
        return json.dumps({**asdict(self), "run": run}, indent=2)


def base_config(name: str, *, file: Path | None = None, **overrides: Any) -> TrainConfig:
    """Configuration of a recipe: the architecture's defaults, then a TOML file, then overrides.

    Parameters
    ----------
    name
        Recipe such as ``r34_CE_p5_s2``.
    file
        ``train.toml`` of a model of the zoo; keys are those of `TrainConfig`, its ``[preprocessing]`` and
        ``[[schedule]]``.
    overrides
        Fields of `TrainConfig`; None means not given.

    Raises
    ------
    ValueError
        If the recipe or a value is wrong.
    DataError
        If the file cannot be read or holds an unknown key.
    """
    recipe = Recipe.parse(name)
    defaults = defaults_of(recipe.architecture)
    architecture = get_architecture(recipe.architecture)
    config = TrainConfig(
        recipe=name,
        preprocessing=Preprocessing(
            pixel_mm=defaults.pixel_mm, size=recipe.size or defaults.size, rgb=architecture.rgb
        ),
        schedule=defaults.base,
        arguments=dict(architecture.arguments),
        batch_size=defaults.batch_size,
        weight_decay=defaults.weight_decay,
        ema_decay=defaults.ema_decay,
        gradient_clip=defaults.gradient_clip,
        start="imagenet" if architecture.imagenet else "random",
    )
    if file is not None:
        config = _apply(config, _read_toml(file), file)
    return replace(config, **{k: v for k, v in overrides.items() if v is not None})


def read_config(path: Path) -> tuple[TrainConfig, dict[str, str]]:
    """Configuration of an earlier run from its ``config.json``, and what the command was given.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        run = values.pop("run", {})
        return _apply(base_config(values["recipe"]), values, path), run
    except (json.JSONDecodeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path} is no configuration of a training run ({error}); name another --out"
        ) from None


@dataclass(frozen=True)
class RunOptions:
    """What a user may say on the command line; None keeps what the recipe says.

    Attributes
    ----------
    epochs
        Epochs in all; the stages share them in proportion.
    lr
        Largest learning rate of every stage.
    neighbours
        Neighbouring slices given as channels.
    batch_size, seed, start, labels, subset
        As in `TrainConfig`.
    augmentation
        Of a transfer, see `cmrseg.training.fit.transfer_config`; in training the recipe's name says it.
    """

    epochs: int | None = None
    lr: float | None = None
    neighbours: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    start: str | None = None
    labels: str | None = None
    subset: str | None = None
    augmentation: str | None = None


def with_run_options(config: TrainConfig, options: RunOptions) -> TrainConfig:
    """A configuration with what a user said on the command line."""
    schedule = share_epochs(config.schedule, options.epochs) if options.epochs else config.schedule
    if options.lr is not None:
        schedule = tuple(replace(stage, lr=options.lr) for stage in schedule)
    preprocessing = config.preprocessing
    if options.neighbours is not None:
        preprocessing = replace(preprocessing, neighbours=options.neighbours)
    same = ("batch_size", "seed", "start", "labels", "subset")
    given = {name: value for name in same if (value := getattr(options, name)) is not None}
    return replace(config, schedule=schedule, preprocessing=preprocessing, **given)


def share_epochs(schedule: Schedule, epochs: int) -> Schedule:
    """The same stages with another number of epochs in all, in proportion and at least one each.

    With fewer epochs than stages the last stages are kept.
    """
    stages = schedule[-min(epochs, len(schedule)) :]
    shares = []
    for number, stage in enumerate(stages):
        later = stages[number + 1 :]
        left = epochs - sum(shares)
        share = round(left * stage.epochs / (stage.epochs + sum(s.epochs for s in later)))
        shares.append(min(max(1, share), left - len(later)))
    return tuple(replace(stage, epochs=n) for stage, n in zip(stages, shares, strict=True))


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"configuration {file} cannot be read: {error}") from None


def _apply(config: TrainConfig, values: Mapping[str, Any], source: Path) -> TrainConfig:
    """Replace the fields that a file names."""
    known = [f.name for f in fields(TrainConfig)]
    for key in values:
        if key not in known:
            raise DataError(f"{source}: unknown setting '{key}'; {near_matches(key, known)}")
    changes = dict(values)
    try:
        if "preprocessing" in changes:
            changes["preprocessing"] = replace(config.preprocessing, **changes["preprocessing"])
        if "schedule" in changes:
            changes["schedule"] = tuple(Stage(**stage) for stage in changes["schedule"])
        return replace(config, **changes)
    except (TypeError, ValueError) as error:
        raise DataError(f"{source}: {error}") from None
