"""fastai callbacks: repeatable epochs, bfloat16, averaged weights, Dice by structure."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from fastai.callback.core import Callback, CancelValidException
from fastai.learner import Metric
from torch import Tensor

from cmrseg.metrics.overlap import label_dice


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
        """Put the weights back, unless the validation was left out."""
        if hasattr(self, "raw"):
            self.model.load_state_dict(self.raw)
            del self.raw


class DiceByStructure(Callback):
    """Dice of every structure from the pixel counts of the validation images."""

    order = 30
    remove_on_fetch = True

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.tables: list[Tensor] = []

    def before_validate(self) -> None:
        """Start counting."""
        self.tables = []

    def after_batch(self) -> None:
        """Count the pixels of every pair of true and predicted class, image by image."""
        if self.training:
            return
        size = self.classes**2
        pairs = self.yb[0].long() * self.classes + self.pred.argmax(dim=1)
        images = torch.arange(len(pairs), device=pairs.device)[:, None, None] * size
        counts = torch.bincount((pairs + images).flatten(), minlength=len(pairs) * size)
        self.tables.append(counts.view(-1, self.classes, self.classes).cpu())

    @property
    def counts(self) -> np.ndarray:
        """One table of pixel counts per validation image, shape ``(n, classes, classes)``."""
        empty = torch.zeros(0, self.classes, self.classes, dtype=torch.int64)
        return torch.cat([empty, *self.tables]).numpy()

    def dice(self, number: int) -> float:
        """Dice of one class from the pixels of all images; 1 where it is absent from all."""
        return float(label_dice(self.counts.sum(axis=0))[number])

    def image_scores(self, labels: Sequence[str]) -> dict[str, float]:
        """Mean over images, as the paper logs it: accuracy, and Dice of the heart and of every structure."""
        counts = self.counts
        right = np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))
        # Background and everything else: all structures count as one.
        heart = np.add.reduceat(np.add.reduceat(counts, [0, 1], axis=1), [0, 1], axis=2)
        scores = label_dice(counts).mean(axis=0)
        return {
            "accuracy": float(right.mean()),
            "image_dice_heart": float(label_dice(heart)[:, 1].mean()),
            **{f"image_dice_{name}": float(scores[i]) for i, name in enumerate(labels) if i > 0},
        }


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
