"""A fastai `Learner` for a configuration, for the command and for notebooks alike."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import torch
from fastai.callback import progress, schedule  # noqa: F401  (they add fit_one_cycle and no_bar to Learner)
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam
from fastai.torch_core import TensorMask
from torch import Tensor

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
    scratch = Path(gettempdir())  # where lr_find keeps the weights that it restores
    return Learner(
        loaders,
        model.net.to(memory_format=torch.channels_last),
        loss_func=SegmentationLoss(Recipe.parse(config.recipe).loss),
        opt_func=partial(Adam, decouple_wd=True),
        splitter=partial(parameter_groups, architecture=architecture),
        wd=config.weight_decay,
        metrics=metrics,
        cbs=callbacks,
        path=scratch,
        model_dir="cmrseg-lr-find",
    )


class SegmentationLoss:
    """A loss by name, with what fastai's `get_preds` and `show_results` ask of a loss.

    Parameters
    ----------
    name
        See `cmrseg.losses.get_loss`.
    """

    def __init__(self, name: str) -> None:
        self.loss = get_loss(name)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss of logits ``(b, classes, h, w)``."""
        return self.loss(logits, targets)

    def activation(self, logits: Tensor) -> Tensor:
        """Class probabilities ``(b, classes, h, w)``."""
        return logits.softmax(dim=1)

    def decodes(self, probabilities: Tensor) -> TensorMask:
        """Class numbers ``(b, h, w)``."""
        return TensorMask(probabilities.argmax(dim=1))
