"""A fastai `Learner` for a configuration, for the command and for notebooks alike."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from fastai.callback import progress, schedule  # noqa: F401  (they add fit_one_cycle and no_bar to Learner)
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam

from cmrseg.losses import get_loss
from cmrseg.models import get_architecture, parameter_groups
from cmrseg.models.device import has_fast_bf16
from cmrseg.training.callbacks import AverageWeights, ClipGradient, ReducedPrecision, dice_metrics
from cmrseg.training.config import TrainConfig
from cmrseg.training.recipe import Recipe
from cmrseg.zoo.model_file import Model


def build_learner(model: Model, loaders: DataLoaders, config: TrainConfig) -> Learner:
    """Learner with the configuration's loss, optimizer, precision, weight average and Dice metrics.

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
    counts, metrics = dice_metrics(model.spec.labels)
    callbacks: list[Any] = [counts]
    if config.ema_decay:
        callbacks.append(AverageWeights(config.ema_decay))
    if config.gradient_clip:
        callbacks.append(ClipGradient(config.gradient_clip))
    if config.bf16 and has_fast_bf16(loaders.device):
        callbacks.append(ReducedPrecision())
    architecture = get_architecture(model.spec.architecture)
    return Learner(
        loaders,
        model.net.to(memory_format=torch.channels_last),
        loss_func=get_loss(Recipe.parse(config.recipe).loss),
        opt_func=partial(Adam, decouple_wd=True),
        splitter=partial(parameter_groups, architecture=architecture),
        wd=config.weight_decay,
        metrics=metrics,
        cbs=callbacks,
    )
