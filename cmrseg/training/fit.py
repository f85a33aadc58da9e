"""Train a model from a recipe, or fine-tune one to other data; runs resume."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from copy import deepcopy
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
from cmrseg.io.in_use import works_in
from cmrseg.models.backbones import load_imagenet
from cmrseg.models.defaults import Stage
from cmrseg.problems import DataError, Problem, check_apart, problem_table
from cmrseg.tasks import get_task
from cmrseg.training.blend import best_blend
from cmrseg.training.callbacks import AverageWeights, EpochSeed, ValidateEvery, seed_everything
from cmrseg.training.config import TrainConfig, read_config, transfer_config
from cmrseg.training.learner import build_learner
from cmrseg.training.loaders import make_loaders
from cmrseg.training.log import (
    BEST,
    CHECKPOINT,
    Listener,
    RunLog,
    RunState,
    load_checkpoint,
    validated_weights,
    validation_score,
)
from cmrseg.training.ranks import ranks
from cmrseg.training.split_images import (
    Data,
    SplitImages,
    read_split_images,
    roots_of,
    told_of_subset,
)
from cmrseg.zoo.domain import with_domain, write_domain
from cmrseg.zoo.inflated import with_architecture
from cmrseg.zoo.manifest import resolve
from cmrseg.zoo.model_file import Model, ModelSpec, build_net, read_model, save_model, single, with_labels
from cmrseg.zoo.resolved import ModelName

MODEL_FILE = "model.safetensors"
STATE = ("config.json", "splits.csv", CHECKPOINT, BEST, MODEL_FILE)  # what a run goes on from
_UNSAID = {"confidence_sha256": "none", "subset_sha256": "none"}  # what a run was given that says nothing


@dataclass(frozen=True)
class TrainingRun:
    """What came out of a training run."""

    out: Path
    model_file: Path
    catalog: Catalog
    state: RunState
    problems: tuple[Problem, ...] = ()


@works_in("out", "train")
def train(
    config: TrainConfig,
    data: Data,
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
        From `cmrseg.training.config.train_config`.
    data
        One or more data sets, each in any known layout and with its own splits; or their images, where these
        were read before.
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
    _check_apart(data, out)
    listener = listener or Listener()
    get_task(config.recipe.network.task).loss(config.recipe.loss)  # a wrong one is told before data are read
    given = {"command": "train", "data": _places(data)}
    chosen, table = _confidence_set(config, confidence, listener)
    given |= table | told_of_subset(config)
    config = _open_run(out, config, resume, given, listener)
    images = read_split_images(data, config, out, listener, chosen=chosen)
    seed_everything(config.seed)
    model = _new_model(config, images.labels)
    if config.start == "random":
        # A random encoder has nothing that is worth keeping.
        config = replace(config, schedule=tuple(replace(s, frozen=False) for s in config.schedule))
    elif not (out / CHECKPOINT).exists():
        file = None if config.start == "imagenet" else Path(config.start)
        listener.note(load_imagenet(model.net, config.recipe.network, file))
    _begin_run(out, config, given)
    return _run(model, images, config, out, listener)


@works_in("out", "finetune")
def finetune(
    base: ModelName,
    data: Data,
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
        Name of a model of the zoo, a model file, or a resolved model. Its preprocessing is kept, and so are
        its structures that the data do not contour, unless the configuration drops them; new ones get an
        output of their own.
    config
        From `cmrseg.training.config.transfer_config`, which is the default.
    data, out, resume, listener
        As for `train`.

    Raises
    ------
    DataError
        If the base model or the data cannot be used, or ``out`` holds another run.
    """
    _check_apart(data, out)
    listener = listener or Listener()
    base = resolve(base)
    start = single(base.load(), "fine-tune")
    config = config or transfer_config(start.spec, roots_of(data))
    if config.preprocessing != start.spec.preprocessing:
        raise ValueError("a fine-tuned model keeps the preprocessing of its base; use transfer_config")
    given = {"command": "finetune", "data": _places(data), "base": str(base), **told_of_subset(config)}
    given["base_sha256"] = base.sha256
    config = _open_run(out, config, resume, given, listener)
    kept = start.spec.labels if config.keep_structures else ()
    images = read_split_images(data, config, out, listener, kept=kept)
    if dropped := [name for name in start.spec.labels if name not in images.labels]:
        listener.note(f"the base model also has {', '.join(dropped)}; they are dropped")
    seed_everything(config.seed)
    model = with_labels(with_architecture(start, config.recipe.architecture), images.labels)
    spec = replace(
        model.spec,
        name=str(config.recipe),
        recipe=str(config.recipe),
        flips=config.recipe.images.flips,
        licence=start.spec.licence,
        training={"base": start.spec.name},
    )
    _begin_run(out, config, given)
    return _run(Model(spec, model.net), images, config, out, listener)


def _check_apart(data: Data, out: Path) -> None:
    """No data set holds the results of a run or lies among them."""
    for root in roots_of(data):
        check_apart(out, root, around=True)


def _places(data: Data) -> str:
    """Where the data sets are, for ``config.json``."""
    return "; ".join(str(root.resolve()) for root in roots_of(data))


def _confidence_set(
    config: TrainConfig, path: Path | None, listener: Listener
) -> tuple[ConfidenceSet | None, dict[str, str]]:
    """The confidence set that a recipe names, and what config.json says of its table."""
    name = config.recipe.train_set
    if path is None:
        if set_threshold(name) is not None:
            listener.note(f"{name} names a confidence set, but without --confidence all of the data is used")
        return None, {}
    chosen = read_confidence_set(path, name)
    return chosen, {"confidence": str(path.resolve()), "confidence_sha256": confidence_sha256(path)}


def _open_run(
    out: Path, config: TrainConfig, resume: bool, given: Mapping[str, str], listener: Listener
) -> TrainConfig:
    """The configuration to train with; refuses to overwrite another run or to go on with other input.

    Settings that differ from those that the run began with are told and ignored.
    """
    path = out / "config.json"
    if not path.exists():
        return config
    if not resume:
        raise DataError(f"{out} already holds a run; go on with it by --resume, or name another --out")
    saved, started_with = read_config(path)
    began = {"recipe": str(saved.recipe), **_UNSAID, **started_with}
    for key, value in {"recipe": str(config.recipe), **_UNSAID, **given}.items():
        before = began.get(key, value)
        # A file may have moved where its contents are known: they count.
        if before != value and f"{key}_sha256" not in began:
            raise DataError(f"{out} was started with {key} {before}, not {value}; name another --out")
    if ignored := _differences(saved, config):
        listener.note(f"--resume goes on as the run began, with {'; '.join(ignored)}")
    return saved


def _differences(saved: TrainConfig, asked: TrainConfig) -> list[str]:
    """Settings of a run that are others than what is asked for now."""
    before, now = (_settings(config) for config in (saved, asked))
    return [f"{name} {before[name]} (not {now[name]})" for name in before if before[name] != now[name]]


def _settings(config: TrainConfig) -> dict[str, Any]:
    """Settings by name, the schedule as epochs and learning rate."""
    values = json.loads(config.to_json())  # as config.json has them
    for name in ("recipe", "schedule", "run"):
        del values[name]
    epochs, lr = sum(s.epochs for s in config.schedule), max(s.lr for s in config.schedule)
    return {"epochs": epochs, "lr": lr, **values}


def _begin_run(out: Path, config: TrainConfig, given: Mapping[str, str]) -> None:
    """Write the configuration of a new run, once data and start weights are known to be readable."""
    if not (out / "config.json").exists():
        write_text(config.to_json(**given), out / "config.json")


def _new_model(config: TrainConfig, labels: Sequence[str]) -> Model:
    """Random weights for a configuration."""
    spec = ModelSpec(
        name=str(config.recipe),
        architecture=config.recipe.architecture,
        task=config.recipe.network.task,
        dims=config.recipe.network.dims,
        labels=tuple(labels),
        preprocessing=config.preprocessing,
        recipe=str(config.recipe),
        arguments=dict(config.arguments),
        licence=config.licence,
        flips=config.recipe.images.flips,
    )
    return Model(spec, build_net(spec))


def _run(
    model: Model, images: SplitImages, config: TrainConfig, out: Path, listener: Listener
) -> TrainingRun:
    """All stages, from the checkpoint where there is one."""
    if (out / MODEL_FILE).exists():
        _tidy(out)  # that process may have been killed before it could
        listener.note(f"the run in {out} is finished; nothing to do")
        return TrainingRun(out, out / MODEL_FILE, images.catalog, RunState(), images.problems)
    write_table(images.catalog.table[["subject", "split"]].drop_duplicates(), out / "splits.csv")
    base = deepcopy(model.net.state_dict()) if config.weights == "blend" else {}
    loaders = make_loaders(images.train, images.valid, config)
    learn = build_learner(model, loaders, config)
    checkpoint = load_checkpoint(out, loaders.device) if (out / CHECKPOINT).exists() else None
    state = RunState(**checkpoint["run"]) if checkpoint else RunState()
    if checkpoint:
        _load_weights(learn, checkpoint)
        listener.note(f"resuming after epoch {state.epoch}")
    listener.start(
        len(loaders.train) * loaders.train.bs * ranks(), sum(s.epochs for s in config.schedule), state.epoch
    )
    first_epoch = 0
    for number, stage in enumerate(config.schedule, start=1):
        if state.epoch < first_epoch + stage.epochs:
            log = RunLog(out, model.spec, state, stage=number, first_epoch=first_epoch, listener=listener)
            inside = state.epoch > first_epoch
            _fit_stage(
                learn, stage, log, config=config, optimizer=checkpoint["optimizer"] if inside else None
            )
        first_epoch += stage.epochs
    chosen, weights = _choose(learn, model.spec, base, config, out, state)
    spec = replace(model.spec, training={**model.spec.training, **chosen})
    return _finish(spec, weights, images, config, out, state)


def _choose(
    learn: Any,
    spec: ModelSpec,
    base: Mapping[str, torch.Tensor],
    config: TrainConfig,
    out: Path,
    state: RunState,
) -> tuple[dict[str, Any], Mapping[str, torch.Tensor]]:
    """The weights that become the model, and what is said of their choice."""
    task = get_task(spec.task)
    if config.weights == "last":
        return {task.score_name: round(task.score(state.rows[-1]), 4)}, validated_weights(learn)
    weights = read_model(out / BEST).net.state_dict()
    if config.weights == "best":
        return {task.score_name: round(state.best_score, 4)}, weights
    base, tuned = ({k: v.to(learn.dls.device) for k, v in of.items()} for of in (base, weights))
    share, score, weights = best_blend(learn, base, tuned, lambda: validation_score(learn, task), out)
    return {"blend": share, task.score_name: round(score, 4)}, weights


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
    spec: ModelSpec,
    weights: Mapping[str, torch.Tensor],
    images: SplitImages,
    config: TrainConfig,
    out: Path,
    state: RunState,
) -> TrainingRun:
    """The weights of one epoch become the model; the checkpoint goes."""
    training = {
        **spec.training,
        "images": len(images.train),
        "subjects": len(set(images.train.subjects)),
        "images_seen": state.images_seen,
        "weights": config.weights,
        "best_epoch": state.best_epoch,
        "seed": config.seed,
        "versions": _versions(),
    }
    training |= {"class_weights": dict(config.class_weights)} if config.class_weights else {}
    training |= {"region": config.region} if config.region else {}
    if images.problems:  # before the model, which says that all is done
        write_table(problem_table(list(images.problems)), out / "problems.tsv")
    domain = images.domain()
    path = save_model(with_domain(replace(spec, training=training), domain), weights, out / MODEL_FILE)
    if domain is not None:
        write_domain(domain, path)  # for a person; the model holds it
    _tidy(out)
    return TrainingRun(out, path, images.catalog, state, images.problems)


def _tidy(out: Path) -> None:
    """Remove what only an unfinished run needs."""
    for name in (BEST, CHECKPOINT):
        (out / name).unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    return {
        "cmrseg": __version__,
        "torch": torch.__version__,
        "fastai": fastai.__version__,
        "python": platform.python_version(),
    }
