"""Everything that a training run needs, in one frozen object that is written beside the result."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cmrseg.data.augment import AUGMENTATIONS
from cmrseg.io.settings import read_json, read_toml, record, told_of
from cmrseg.labels import near_matches, parse_structures
from cmrseg.metrics.regions import REGIONS
from cmrseg.models import check_arguments
from cmrseg.models.defaults import Schedule
from cmrseg.preprocess import Preprocessing
from cmrseg.recipe import Recipe
from cmrseg.tasks import get_task
from cmrseg.training.options import TrainOptions
from cmrseg.zoo.model_file import ModelSpec, check_line

WEIGHTS = ("best", "last", "blend")
_REMEDY = "correct the settings"


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
        Encoder weights to start from: ``imagenet`` (a download), ``random``, or a file of ImageNet weights.
    labels
        Label scheme of the data where its layout does not tell; of several data sets one each, with a ``+``
        between them.
    subset
        Training images to use, as ``FILE:COLUMN`` of a table of subsets (``subsets.tsv:v3``, see
        `cmrseg.data.subsets`); all when empty. Validation is not affected.
    keep_structures
        In a transfer, whether structures of the base model stay that the data do not contour.
    weights
        Which epoch becomes the model: the one with the ``best`` validation Dice, which is our choice, or the
        ``last`` one, as in the paper. In a transfer also ``blend``: the mixture of the base's weights and
        those of the best epoch that validates best, see `cmrseg.training.blend`.
    structures
        Which contours are used, such as LV and MYO: those of other structures are background, and the model
        has no output for them. All when empty.
    shares
        How often every one of several data sets is drawn; as their numbers of images are when empty.
    region_sampling
        How much more often the ends of a heart are drawn than its middle; 1 draws every slice once.
    region
        Train and validate with the slices of this region of the heart alone: base, middle or apex.
    class_weights
        Of the loss, by the names of the classes, BACKGROUND (or non-cardiac) included; only their ratios
        matter, and a class that is not named has a weight of 1. All count alike when empty: Patravali et al.
        (2017) weigh theirs and do not print how, and the Dice losses weigh every class by its size already.
    checkpointing
        Compute features again for the gradient instead of keeping them: less memory for more time, see
        `cmrseg.models.checkpointing`. The weights that come out are the same.
    """

    recipe: Recipe
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
    keep_structures: bool = True
    weights: str = "best"
    structures: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    region_sampling: float = 1.0
    region: str = ""
    class_weights: Mapping[str, float] = field(default_factory=dict)
    checkpointing: bool = False

    def __post_init__(self) -> None:
        architecture = self.recipe.network
        check_arguments(architecture, self.arguments)
        check_line("licence", self.licence)
        if not architecture.backbone and self.start not in ("random", "base model"):
            raise ValueError(f"there are no ImageNet weights for {architecture.name}; leave --imagenet out")
        if self.structures and self.structures != parse_structures(",".join(self.structures)):
            raise ValueError(f"structures must be some of LV, MYO, RV, in this order, got {self.structures}")
        task = get_task(architecture.task)
        if task.powers(task.labels(())).size and not self.recipe.images.scales_numbers:
            able = ", ".join(name for name, each in AUGMENTATIONS.items() if each.scales_numbers)
            raise ValueError(
                f"{self.recipe.augmentation} changes sizes in the image and not the numbers that "
                f"{architecture.name} learns; use {able}"
            )
        if self.weights not in WEIGHTS:
            raise ValueError(
                f"weights must be {', '.join(WEIGHTS[:-1])} or {WEIGHTS[-1]}, got '{self.weights}'"
            )
        if self.weights == "blend" and self.start != "base model":
            raise ValueError("weights can be a blend in finetune only: a new model has no base to blend with")
        if self.region not in ("", *REGIONS):
            raise ValueError(f"region must be one of {', '.join(REGIONS)}, got '{self.region}'")
        self._check_numbers()
        self._check_class_weights()

    def _check_class_weights(self) -> None:
        """Refuse weights of classes that there are not, or that make a loss of slices without a heart nan."""
        task = get_task(self.recipe.network.task)
        known = {name.upper() for name in task.classes}
        for name, weight in self.class_weights.items():
            if name.upper() not in known:
                raise ValueError(f"class_weights names '{name}'; {near_matches(name, list(task.classes))}")
            if not isinstance(weight, int | float) or not 0 < weight < math.inf:
                raise ValueError(f"class_weights must be positive numbers, got {name} {weight!r:.20}")
        if self.class_weights:
            task.loss(self.recipe.loss, tuple(self.class_weights.values()))

    def weights_of(self, labels: Sequence[str]) -> tuple[float, ...] | None:
        """Weights of the classes of a model, whose sum is 1; None where all count alike."""
        if not self.class_weights:
            return None
        said = {name.upper(): weight for name, weight in self.class_weights.items()}
        weights = [said.get(name.upper(), 1.0) for name in labels]
        return tuple(weight / sum(weights) for weight in weights)

    def _check_numbers(self) -> None:
        """Refuse numbers that no training can use."""
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1 (images), got {self.batch_size}")
        if self.validate_every < 1:
            raise ValueError(f"validate_every must be at least 1 (epochs), got {self.validate_every}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        if not all(0 < share < math.inf for share in self.shares):
            raise ValueError(f"shares must be positive numbers, one for every data set, got {self.shares}")
        if not 1 <= self.region_sampling <= 1000:
            raise ValueError(f"region_sampling must be in [1, 1000] (ratio), got {self.region_sampling}")

    def to_json(self, **run: Any) -> str:
        """For ``config.json``; ``run`` says what the command was given (data, base model)."""
        return json.dumps({**asdict(self), "recipe": str(self.recipe), "run": run}, indent=2)


def train_config(recipe: str | Recipe, options: TrainOptions | None = None) -> TrainConfig:
    """Configuration of a recipe: the architecture's defaults, then a TOML file, then what else was said.

    Parameters
    ----------
    recipe
        Such as ``r34_CE_p5_s2``.
    options
        What differs from the defaults.

    Raises
    ------
    ValueError
        If the recipe or a value is wrong.
    DataError
        If the file cannot be read or holds an unknown key.
    """
    options = options or TrainOptions()
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.parse(recipe)
    architecture, defaults = recipe.network, recipe.network.defaults
    config = TrainConfig(
        recipe=recipe,
        preprocessing=Preprocessing(
            pixel_mm=defaults.pixel_mm,
            size=recipe.size or defaults.size,
            rgb=architecture.rgb,
            resize=defaults.resize,
            grey=defaults.grey,
            low_percentile=defaults.low_percentile,
            high_percentile=defaults.high_percentile,
        ),
        schedule=defaults.base,
        arguments=dict(architecture.arguments),
        batch_size=defaults.batch_size,
        weight_decay=defaults.weight_decay,
        ema_decay=defaults.ema_decay,
        gradient_clip=defaults.gradient_clip,
        start="imagenet" if architecture.backbone else "random",
    )
    return _as_said(config, options)


def transfer_config(
    base: ModelSpec, data: Path | Sequence[Path], options: TrainOptions | None = None
) -> TrainConfig:
    """Configuration for fine-tuning a base model: its recipe on other data, with the transfer schedule.

    Parameters
    ----------
    base
        Start of the transfer.
    data
        Its folder name becomes the training set in the recipe's name, those of several one after the other.
    options
        What differs from the architecture's defaults; without an augmentation it is the base model's own for
        fastai U-Nets (the paper), s4 for the light net.
    """
    options = options or TrainOptions()
    recipe = Recipe.parse(base.recipe)
    if options.architecture:
        recipe = Recipe.parse(str(replace(recipe, architecture=options.architecture)))
    defaults = recipe.network.defaults
    augmentation = options.augmentation or defaults.transfer_augmentation or recipe.augmentation
    names = "".join(root.resolve().name for root in ((data,) if isinstance(data, Path) else data))
    name = "".join(c for c in names if c.isascii() and c.isalnum()) or "data"
    recipe = replace(recipe, train_set=name, augmentation=augmentation)
    weights = base.training.get("class_weights")
    config = replace(
        train_config(str(recipe)),  # which checks a given augmentation
        preprocessing=base.preprocessing,
        schedule=defaults.transfer,
        arguments=dict(base.arguments),
        batch_size=defaults.transfer_batch_size,
        licence=base.licence,
        start="base model",
        class_weights=weights if isinstance(weights, Mapping) else {},
    )
    return _as_said(config, options)


def read_config(path: Path) -> tuple[TrainConfig, dict[str, str]]:
    """Configuration of an earlier run from its ``config.json``, and what the command was given.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    remedy = "it is no configuration of a training run: name another --out"
    values = read_json(path, remedy)
    with told_of(path, remedy):
        run = values.pop("run", {})
        if not isinstance(run, dict) or not all(isinstance(value, str) for value in run.values()):
            raise ValueError("run must be a table of texts")
        return record(TrainConfig, values, train_config(str(values["recipe"]))), run


def _as_said(config: TrainConfig, options: TrainOptions) -> TrainConfig:
    """A configuration with what a person said: in a file, then on the command line."""
    if options.file is not None:
        values = read_toml(options.file, _REMEDY)
        with told_of(options.file, _REMEDY):
            config = record(TrainConfig, values, config)
    schedule = share_epochs(config.schedule, options.epochs) if options.epochs else config.schedule
    if options.lr is not None:
        schedule = tuple(replace(stage, lr=options.lr) for stage in schedule)
    preprocessing = config.preprocessing
    if options.neighbours_in is not None:
        least = 3 if options.neighbours_in == "time" else 1
        count = max(preprocessing.neighbours, least)
        preprocessing = replace(preprocessing, neighbours=count, neighbours_in=options.neighbours_in)
    if options.neighbours is not None:
        preprocessing = replace(preprocessing, neighbours=options.neighbours)
    config.recipe.network.check_neighbours(preprocessing.neighbours_in)
    own = {setting.name for setting in fields(TrainConfig)}
    same = {name: value for name, value in options.said().items() if name in own}
    return replace(config, schedule=schedule, preprocessing=preprocessing, **same)


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
