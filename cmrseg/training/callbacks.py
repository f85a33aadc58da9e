"""fastai callbacks: repeatable epochs, bfloat16, averaged weights."""

from __future__ import annotations

import random

import numpy as np
import torch
from fastai.callback.core import Callback, CancelValidException
from torch import Tensor


class EpochSeed(Callback):
    """Seed everything by run seed and epoch, so that a resumed run goes on as if it had not stopped.

    Parameters
    ----------
    seed
        Of the run.
    first_epoch
        Epochs of the earlier stages.
    """

    order = -100

    def __init__(self, seed: int, first_epoch: int) -> None:
        self.seed, self.first_epoch = seed, first_epoch

    def before_epoch(self) -> None:
        """Seed for this epoch."""
        seed_everything(1_000_003 * self.seed + self.first_epoch + self.epoch)
        self.dls.train.rng = random.Random(random.getrandbits(32))


class ValidateEvery(Callback):
    """Validate after the first epoch, after every so many, and after the last one of a stage.

    Parameters
    ----------
    epochs
        Epochs between validations; 1 validates after each.
    first_epoch
        Epochs of the earlier stages.
    """

    order = -50  # before anything prepares for a validation

    def __init__(self, epochs: int, first_epoch: int) -> None:
        self.epochs, self.first_epoch = epochs, first_epoch

    def is_due(self) -> bool:
        """Whether this epoch is validated."""
        done = self.first_epoch + self.epoch + 1
        return done == 1 or done % self.epochs == 0 or self.epoch + 1 == self.n_epoch

    def before_validate(self) -> None:
        """Leave the validation out."""
        if not self.is_due():
            raise CancelValidException


class ReducedPrecision(Callback):
    """Run the network in bfloat16; the loss stays in float32.

    Parameters
    ----------
    memory_format
        Order of the network's tensors in memory.
    """

    order = 10  # after fastai has cast the batch to plain tensors

    def __init__(self, memory_format: torch.memory_format) -> None:
        self.memory_format = memory_format

    def before_batch(self) -> None:
        """Enter autocast."""
        self.learn.xb = tuple(x.contiguous(memory_format=self.memory_format) for x in self.xb)
        self.autocast = torch.autocast(self.xb[0].device.type, dtype=torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self) -> None:
        """Leave autocast before the loss."""
        self.autocast.__exit__(None, None, None)
        several = isinstance(self.pred, tuple)
        self.learn.pred = tuple(each.float() for each in self.pred) if several else self.pred.float()


class ClipGradient(Callback):
    """Limit the norm of the gradient of all weights."""

    run_valid = False

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    def before_step(self) -> None:
        """Clip before the optimizer moves."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)


class AverageWeights(Callback):
    """Exponential running average of the weights; it is what gets validated and kept.

    Parameters
    ----------
    decay
        Per step; the first steps average over fewer, so that the random start is soon forgotten.
    """

    order = 20
    remove_on_fetch = True

    def __init__(self, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.average: dict[str, Tensor] = {}

    def before_fit(self) -> None:
        """Start from the weights as they are; `lr_find` must leave no trace."""
        self.run = not hasattr(self.learn, "lr_finder")
        if self.run and not self.average:
            self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def after_batch(self) -> None:
        """Move the average towards the weights."""
        if not self.training:
            return
        self.steps += 1
        weight = 1 - min(self.decay, self.steps / (self.steps + 10))
        with torch.no_grad():
            for key, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.average[key].lerp_(value, weight)
                else:
                    self.average[key].copy_(value)

    def before_validate(self) -> None:
        """Put the average into the network."""
        self.raw = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)

    def after_validate(self) -> None:
        """Put the weights back, unless the validation was left out."""
        if hasattr(self, "raw"):
            self.model.load_state_dict(self.raw)
            del self.raw


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    seed %= 2**32
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (fastai draws from the global generator)
    torch.manual_seed(seed)
