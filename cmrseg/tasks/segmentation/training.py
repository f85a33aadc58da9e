"""The loss and the scores with which segmentation networks are trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback
from fastai.learner import Metric
from fastai.torch_core import TensorMask
from torch import Tensor

from cmrseg.losses import get_loss
from cmrseg.metrics.overlap import label_dice
from cmrseg.partial_labels import PADDING, merge_answers, merge_unknown

ALL = slice(None)


class SegmentationLoss:
    """A loss by name, with what fastai's `get_preds` and `show_results` ask of a loss.

    Parameters
    ----------
    name, class_weights
        See `cmrseg.losses.get_loss`.
    """

    def __init__(self, name: str, class_weights: Sequence[float] | None = None) -> None:
        self.loss = get_loss(name, class_weights)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss of logits ``(b, classes, h, w)``; classes that were not contoured cost nothing.

        Of stacks ``(b, classes, z, h, w)`` it is the loss of their slices.
        """
        return self.loss(*merge_unknown(*slices_of(logits.as_subclass(Tensor), targets.as_subclass(Tensor))))

    def activation(self, logits: Tensor) -> Tensor:
        """Class probabilities ``(b, classes, h, w)``."""
        return logits.softmax(dim=1)

    def decodes(self, probabilities: Tensor) -> TensorMask:
        """Class numbers ``(b, h, w)``."""
        return TensorMask(probabilities.argmax(dim=1))


def slices_of(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Stacks as a batch of their slices, without those that only fill a stack up; slices as they are."""
    if logits.ndim == 4:
        return logits, targets
    logits, targets = logits.movedim(2, 1).flatten(0, 1), targets.flatten(0, 1)
    real = (targets != PADDING).flatten(1).all(dim=1)
    return logits[real], targets[real]


class DiceByStructure(Callback):
    """Dice of every structure from the pixel counts of the validation images.

    Parameters
    ----------
    labels
        Names of the classes, background first.
    """

    name = "validator"
    order = 30
    remove_on_fetch = True

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels, self.classes = tuple(labels), len(labels)
        self.before_validate()

    def before_validate(self) -> None:
        """Start counting."""
        self.tables: list[Tensor] = []
        self.unknown: list[Tensor] = []

    def after_batch(self) -> None:
        """Count the pixels of every pair of true and predicted class, image by image."""
        if self.training:
            return
        size = self.classes**2
        logits, targets = slices_of(self.pred.as_subclass(Tensor), self.yb[0].as_subclass(Tensor))
        answers, targets, unknown = merge_answers(logits.argmax(dim=1), targets, self.classes)
        self.unknown.append(unknown.cpu())
        pairs = targets.long() * self.classes + answers
        images = torch.arange(len(pairs), device=pairs.device)[:, None, None] * size
        counts = torch.bincount((pairs + images).flatten(), minlength=len(pairs) * size)
        self.tables.append(counts.view(-1, self.classes, self.classes).cpu())

    @property
    def metrics(self) -> list[StructureDice]:
        """One per structure."""
        return [StructureDice(self, i, name) for i, name in enumerate(self.labels) if i > 0]

    @property
    def counts(self) -> np.ndarray:
        """One table of pixel counts per validation image, shape ``(n, classes, classes)``."""
        empty = torch.zeros(0, self.classes, self.classes, dtype=torch.int64)
        return torch.cat([empty, *self.tables]).numpy()

    @property
    def known(self) -> np.ndarray:
        """Which classes were contoured in which validation images, ``bool`` ``(n, classes)``."""
        return ~torch.cat([torch.zeros(0, self.classes, dtype=torch.bool), *self.unknown]).numpy()

    def dice(self, number: int, images: slice = ALL) -> float:
        """Dice of one class from the pixels of all images; 1 where it is absent, nan where it is unknown."""
        known = self.known[images, number]
        if len(known) and not known.any():
            return float("nan")
        return float(label_dice(self.counts[images].sum(axis=0))[number])

    def scores(self, images: slice = ALL) -> dict[str, float]:
        """Dice of every structure by its column, of some or all validation images."""
        return {f"dice_{name}": self.dice(i, images) for i, name in enumerate(self.labels) if i > 0}

    def details(self) -> dict[str, float]:
        """Mean over images, as the paper logs it: accuracy, and Dice of the heart and of every structure."""
        counts = self.counts
        right = np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))
        # Background and everything else: all structures count as one.
        heart = np.add.reduceat(np.add.reduceat(counts, [0, 1], axis=1), [0, 1], axis=2)
        scores = pd.DataFrame(label_dice(counts)).where(self.known).mean()  # over images where it is known
        return {
            "accuracy": float(right.mean()),
            "image_dice_heart": float(label_dice(heart)[:, 1].mean()),
            **{f"image_dice_{name}": float(scores[i]) for i, name in enumerate(self.labels) if i > 0},
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
