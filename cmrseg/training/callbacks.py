"""fastai callbacks: repeatable epochs, bfloat16, averaged weights, Dice by structure."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Metric
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


class ReducedPrecision(Callback):
    """Run the network in bfloat16 and channels-last; the loss stays in float32."""

    order = 10  # after fastai has cast the batch to plain tensors

    def before_batch(self) -> None:
        """Enter autocast."""
        self.learn.xb = tuple(x.contiguous(memory_format=torch.channels_last) for x in self.xb)
        self.autocast = torch.autocast(self.xb[0].device.type, dtype=torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self) -> None:
        """Leave autocast before the loss."""
        self.autocast.__exit__(None, None, None)
        self.learn.pred = self.pred.float()


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
        """Put the weights back."""
        self.model.load_state_dict(self.raw)
        del self.raw


class DiceByStructure(Callback):
    """Dice of every structure from the pixel counts of the whole validation split."""

    order = 30
    remove_on_fetch = True

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.counts = torch.zeros(classes, classes, dtype=torch.int64)

    def before_validate(self) -> None:
        """Start counting."""
        self.counts.zero_()

    def after_batch(self) -> None:
        """Count the pixels of every pair of true and predicted class."""
        if self.training:
            return
        pairs = self.yb[0].long() * self.classes + self.pred.argmax(dim=1)
        self.counts += torch.bincount(pairs.flatten().cpu(), minlength=self.classes**2).view_as(self.counts)

    def dice(self, number: int) -> float:
        """Dice of one class; 1 when it is absent from masks and predictions."""
        both, total = (
            self.counts[number, number].item(),
            (self.counts[number].sum() + self.counts[:, number].sum()).item(),
        )
        return 1.0 if total == 0 else 2 * both / total


class StructureDice(Metric):
    """One structure's Dice, for fastai's table."""

    def __init__(self, counts: DiceByStructure, number: int, label: str) -> None:
        self.counts, self.number, self.label = counts, number, label

    def reset(self) -> None:
        """The callback resets its counts."""

    def accumulate(self, learn: object) -> None:
        """The callback counts."""

    @property
    def value(self) -> float:
        """Dice in [0, 1]."""
        return self.counts.dice(self.number)

    @property
    def name(self) -> str:
        """Column name."""
        return f"dice_{self.label}"


def dice_metrics(labels: Sequence[str]) -> tuple[DiceByStructure, list[StructureDice]]:
    """The counting callback and one metric per structure.

    Parameters
    ----------
    labels
        Names of the classes, background first.
    """
    counts = DiceByStructure(len(labels))
    return counts, [StructureDice(counts, i, name) for i, name in enumerate(labels) if i > 0]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    seed %= 2**32
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (fastai draws from the global generator)
    torch.manual_seed(seed)
