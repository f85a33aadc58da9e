"""Train a model from a recipe, or fine-tune one to other data; runs resume."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fastai
import torch

from cmrseg import __version__
from cmrseg.data.catalog import Catalog
from cmrseg.data.confidence_sets import (
    ConfidenceSet,
    confidence_sha256,
    read_confidence_set,
    set_threshold,
)
from cmrseg.io.atomic import write_table, write_text
from cmrseg.models.fastai_unet import load_imagenet
from cmrseg.problems import DataError, Problem, problem_table
from cmrseg.training.callbacks import AverageWeights, EpochSeed, ValidateEvery, seed_everything
from cmrseg.training.config import TrainConfig, base_config, read_config
from cmrseg.training.learner import build_learner
from cmrseg.training.loaders import make_loaders
from cmrseg.training.log import BEST, CHECKPOINT, Listener, RunLog, RunState, load_checkpoint
from cmrseg.training.recipe import Recipe
from cmrseg.training.split_images import SplitImages, read_split_images, told_of_subset
from cmrseg.training.stages import Stage, defaults_of
from cmrseg.zoo.manifest import load_model
from cmrseg.zoo.model_file import Model, ModelSpec, build_net, read_model, save_model, with_labels

MODEL_FILE = "model.safetensors"
_UNSAID = {"confidence_sha256": "none", "subset_sha256": "none"}  # what a run was given that says nothing


@dataclass(frozen=True)
class TrainingRun:
    """What came out of a training run."""

    out: Path
    model_file: Path
    catalog: Catalog
    state: RunState
    problems: tuple[Problem, ...] = ()


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    listener: Listener | None = None,
    confidence: Path | None = None,
) -> TrainingRun:
    """Train a model from random or ImageNet weights.

    With ``confidence`` only the examinations of the confidence set that the recipe names are used. As in the
    paper, those of the set from Kaggle's training and test parts train, and those from its validation part
    validate; ``splits.csv`` beside the data wins over that.

    Parameters
    ----------
    config
        From `cmrseg.training.config.base_config`.
    data
        Data set in any known layout.
    out
        Folder of the run; gets model.safetensors, history.csv, config.json, splits.csv.
    resume
        Go on with a run that was stopped; its ``config.json`` decides.
    listener
        Who is told how it goes.
    confidence
        Folder of `cmrseg confidence`; the recipe's training set (``p5``) is one of its sets. A run is
        resumed with the same table only.

    Raises
    ------
    DataError
        If the data cannot be used, ``out`` holds another run, or there is no such confidence set.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.C.1.
    """
    listener = listener or Listener()
    given = {"command": "train", "data": str(data.resolve())}
    chosen, table = _confidence_set(config, confidence, listener)
    given |= table | told_of_subset(config)
    config = _open_run(out, config, resume, given)
    images = read_split_images(data, config, out, listener, chosen)
    seed_everything(config.seed)
    model = _new_model(config, images.labels)
    if config.start == "random":
        # A random encoder has nothing that is worth keeping.
        config = replace(config, schedule=tuple(replace(s, frozen=False) for s in config.schedule))
    elif not (out / CHECKPOINT).exists():
        file = None if config.start == "imagenet" else Path(config.start)
        listener.note(load_imagenet(model.net, model.spec.architecture, file))
    _begin_run(out, config, given)
    return _run(model, images, config, out, listener)


def finetune(
    base: str | Path,
    data: Path,
    out: Path,
    *,
    config: TrainConfig | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> TrainingRun:
    """Fine-tune a model to other data: another scanner, sequence or set of labels.

    Parameters
    ----------
    base
        Name of a model of the zoo, or a model file. Its preprocessing is kept; its output layer is adapted to
        the structures of the data.
    config
        From `transfer_config`, which is the default.
    data, out, resume, listener
        As for `train`.

    Raises
    ------
    DataError
        If the base model or the data cannot be used, or ``out`` holds another run.
    """
    listener = listener or Listener()
    start = load_model(base)
    config = config or transfer_config(start, data)
    if config.preprocessing != start.spec.preprocessing:
        raise ValueError("a fine-tuned model keeps the preprocessing of its base; use transfer_config")
    given = {"command": "finetune", "data": str(data.resolve()), "base": str(base), **told_of_subset(config)}
    config = _open_run(out, config, resume, given)
    images = read_split_images(data, config, out, listener)
    if extra := [name for name in start.spec.labels if name not in images.labels]:
        listener.note(f"the base model also has {', '.join(extra)}; its output layer is adapted to the data")
    seed_everything(config.seed)
    model = with_labels(start, images.labels)
    spec = replace(
        model.spec,
        name=config.recipe,
        recipe=config.recipe,
        licence=start.spec.licence,
        training={"base": start.spec.name},
    )
    _begin_run(out, config, given)
    return _run(Model(spec, model.net), images, config, out, listener)


def transfer_config(
    base: Model, data: Path, *, augmentation: str | None = None, **overrides: Any
) -> TrainConfig:
    """Configuration for fine-tuning a base model: its recipe on other data, with the transfer schedule.

    Parameters
    ----------
    base
        Start of the transfer.
    data
        Its folder name becomes the training set in the recipe's name.
    augmentation
        The architecture's default for transfer when None: the base model's own for fastai U-Nets (the
        paper), s4 for the light net.
    overrides
        Fields of `TrainConfig`; None means not given.
    """
    name = "".join(c for c in data.resolve().name if c.isascii() and c.isalnum()) or "data"
    recipe = Recipe.parse(base.spec.recipe)
    defaults = defaults_of(recipe.architecture)
    recipe = replace(
        recipe,
        train_set=name,
        augmentation=augmentation or defaults.transfer_augmentation or recipe.augmentation,
    )
    given = {
        "schedule": defaults.transfer,
        **{k: v for k, v in overrides.items() if v is not None},
    }
    return base_config(
        str(recipe),
        preprocessing=base.spec.preprocessing,
        arguments=dict(base.spec.arguments),
        licence=base.spec.licence,
        start="base model",
        **given,
    )


def _confidence_set(
    config: TrainConfig, path: Path | None, listener: Listener
) -> tuple[ConfidenceSet | None, dict[str, str]]:
    """The confidence set that a recipe names, and what config.json says of its table."""
    name = Recipe.parse(config.recipe).train_set
    if path is None:
        if set_threshold(name) is not None:
            listener.note(f"{name} names a confidence set, but without --confidence all of the data is used")
        return None, {}
    chosen = read_confidence_set(path, name)
    return chosen, {"confidence": str(path.resolve()), "confidence_sha256": confidence_sha256(path)}


def _open_run(out: Path, config: TrainConfig, resume: bool, given: Mapping[str, str]) -> TrainConfig:
    """The configuration to train with; refuses to overwrite another run or to go on with other input."""
    path = out / "config.json"
    if not path.exists():
        return config
    if not resume:
        raise DataError(f"{out} already holds a run; go on with it by --resume, or name another --out")
    saved, started_with = read_config(path)
    began = {"recipe": saved.recipe, **_UNSAID, **started_with}
    for key, value in {"recipe": config.recipe, **_UNSAID, **given}.items():
        before = began.get(key, value)
        if before != value and key != "confidence":  # the table may have moved; its contents count
            raise DataError(f"{out} was started with {key} {before}, not {value}; name another --out")
    return saved


def _begin_run(out: Path, config: TrainConfig, given: Mapping[str, str]) -> None:
    """Write the configuration of a new run, once data and start weights are known to be readable."""
    if not (out / "config.json").exists():
        write_text(config.to_json(**given), out / "config.json")


def _new_model(config: TrainConfig, labels: Sequence[str]) -> Model:
    """Random weights for a configuration."""
    recipe = Recipe.parse(config.recipe)
    spec = ModelSpec(
        name=config.recipe,
        architecture=recipe.architecture,
        labels=tuple(labels),
        preprocessing=config.preprocessing,
        recipe=config.recipe,
        arguments=dict(config.arguments),
        licence=config.licence,
    )
    return Model(spec, build_net(spec))


def _run(
    model: Model, images: SplitImages, config: TrainConfig, out: Path, listener: Listener
) -> TrainingRun:
    """All stages, from the checkpoint where there is one."""
    if (out / MODEL_FILE).exists():
        listener.note(f"the run in {out} is finished; nothing to do")
        return TrainingRun(out, out / MODEL_FILE, images.catalog, RunState(), images.problems)
    write_table(images.catalog.table[["subject", "split"]].drop_duplicates(), out / "splits.csv")
    loaders = make_loaders(images.train, images.valid, config)
    learn = build_learner(model, loaders, config)
    checkpoint = load_checkpoint(out, loaders.device) if (out / CHECKPOINT).exists() else None
    state = RunState(**checkpoint["run"]) if checkpoint else RunState()
    if checkpoint:
        _load_weights(learn, checkpoint)
        listener.note(f"resuming after epoch {state.epoch}")
    listener.start(len(loaders.train) * loaders.train.bs, sum(s.epochs for s in config.schedule), state.epoch)
    first_epoch = 0
    for number, stage in enumerate(config.schedule, start=1):
        if state.epoch < first_epoch + stage.epochs:
            log = RunLog(out, model.spec, state, stage=number, first_epoch=first_epoch, listener=listener)
            inside = state.epoch > first_epoch
            _fit_stage(
                learn, stage, log, config=config, optimizer=checkpoint["optimizer"] if inside else None
            )
        first_epoch += stage.epochs
    return _finish(model.spec, images, config, out, state)


def _fit_stage(
    learn: Any, stage: Stage, log: RunLog, *, config: TrainConfig, optimizer: dict[str, Any] | None
) -> None:
    """One stage of one-cycle training, from its middle when the optimizer's state is given."""
    learn.freeze() if stage.frozen else learn.unfreeze()
    if optimizer is not None:
        learn.opt.load_state_dict(optimizer)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(
            stage.epochs,
            stage.lr,
            start_epoch=max(0, log.state.epoch - log.first_epoch),
            cbs=[
                EpochSeed(config.seed, log.first_epoch),
                ValidateEvery(config.validate_every, log.first_epoch),
                log,
            ],
        )


def _load_weights(learn: Any, checkpoint: dict[str, Any]) -> None:
    """Model and weight average of a checkpoint."""
    learn.model.load_state_dict(checkpoint["model"])
    average = getattr(learn, "average_weights", None)
    if isinstance(average, AverageWeights):
        device = learn.dls.device
        average.average = {k: v.to(device) for k, v in checkpoint["average"].items()}
        average.steps = checkpoint["average_steps"]


def _finish(
    spec: ModelSpec, images: SplitImages, config: TrainConfig, out: Path, state: RunState
) -> TrainingRun:
    """The best weights become the model; the checkpoint goes."""
    training = {
        **spec.training,
        "images": len(images.train),
        "subjects": len(set(images.train.subjects)),
        "images_seen": state.images_seen,
        "best_epoch": state.best_epoch,
        "validation_dice": round(state.best_dice, 4),
        "seed": config.seed,
        "versions": _versions(),
    }
    weights = read_model(out / BEST).net.state_dict()
    path = save_model(replace(spec, training=training), weights, out / MODEL_FILE)
    if images.problems:
        write_table(problem_table(list(images.problems)), out / "problems.tsv")
    for name in (BEST, CHECKPOINT):
        (out / name).unlink(missing_ok=True)
    return TrainingRun(out, path, images.catalog, state, images.problems)


def _versions() -> dict[str, str]:
    return {
        "cmrseg": __version__,
        "torch": torch.__version__,
        "fastai": fastai.__version__,
        "python": platform.python_version(),
    }
