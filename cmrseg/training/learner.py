"""A fastai `Learner` for a configuration, for the command and for notebooks alike."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from fastai.callback import progress, schedule  # noqa: F401  (they add fit_one_cycle and no_bar to Learner)
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam

from cmrseg.models import get_architecture, parameter_groups
from cmrseg.models.checkpointing import checkpoint_blocks
from cmrseg.models.device import has_fast_bf16, memory_format
from cmrseg.tasks import get_task
from cmrseg.training.callbacks import AverageWeights, ClipGradient, ReducedPrecision
from cmrseg.training.config import TrainConfig
from cmrseg.training.ranks import SharedSteps, ranks
from cmrseg.zoo.model_file import Model


def build_learner(model: Model, loaders: DataLoaders, config: TrainConfig) -> Learner:
    """Learner with the loss and scores of the model's task, and the configuration's optimizer and precision.

    Parameters
    ----------
    model
        Network and description.
    loaders
        From `cmrseg.training.loaders.make_loaders`.
    config
        Of the run.

    Returns
    -------
    fastai ``Learner``; its encoder is the first parameter group, so ``freeze`` and ``unfreeze`` work.
    """
    task = get_task(model.spec.task)
    validator, order = task.validator(model.spec.labels), memory_format(model.spec.dims)
    callbacks: list[Any] = [validator]
    if config.ema_decay:
        callbacks.append(AverageWeights(config.ema_decay))
    if ranks() > 1:
        callbacks.append(SharedSteps())
    if config.gradient_clip:
        callbacks.append(ClipGradient(config.gradient_clip))
    if config.bf16 and has_fast_bf16(loaders.device):
        callbacks.append(ReducedPrecision(order))
    if config.checkpointing:
        checkpoint_blocks(model.net)
    weights = config.weights_of(model.spec.labels)
    losing = (config.recipe.loss,) if weights is None else (config.recipe.loss, weights)
    architecture = get_architecture(model.spec.architecture)
    scratch = Path(gettempdir())  # where lr_find keeps the weights that it restores
    return Learner(
        loaders,
        model.net.to(memory_format=order),
        loss_func=task.loss(*losing),
        opt_func=partial(Adam, decouple_wd=True),
        splitter=partial(parameter_groups, architecture=architecture),
        wd=config.weight_decay,
        metrics=validator.metrics,
        cbs=callbacks,
        path=scratch,
        model_dir="cmrseg-lr-find",
    )
