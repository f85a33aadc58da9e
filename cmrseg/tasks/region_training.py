"""The loss and the scores with which classifiers of regions are trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from fastai.callback.core import Callback
from torch import Tensor
from torch.nn import functional as F

from cmrseg.metrics.classes import weighted_scores
from cmrseg.tasks.numbers import PlainLoss

ALL = slice(None)


class RegionLoss(PlainLoss):
    """Cross entropy of images ``(b, regions)`` and their regions ``(b,)``.

    Parameters
    ----------
    class_weights
        One weight per region; all count alike when None.
    """

    def __init__(self, class_weights: Sequence[float] | None = None) -> None:
        self.class_weights = class_weights
        super().__init__(self._cross_entropy)

    def _cross_entropy(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over the images, weighted by region where weights were given."""
        outputs, targets = outputs.as_subclass(Tensor).float(), targets.as_subclass(Tensor).long()
        weights = None if self.class_weights is None else outputs.new_tensor(self.class_weights)
        return F.cross_entropy(outputs, targets, weight=weights)

    def activation(self, outputs: Tensor) -> Tensor:
        """Probabilities."""
        return outputs.softmax(dim=1)

    def decodes(self, activated: Tensor) -> Tensor:
        """Numbers of the regions."""
        return activated.argmax(dim=1)


class RegionScores(Callback):
    """Precision and recall weighted over regions, from a confusion table of the validation images.

    Parameters
    ----------
    labels
        Names of the regions.
    """

    name = "validator"
    order = 30
    remove_on_fetch = True
    metrics = ()

    def __init__(self, labels: Sequence[str]) -> None:
        self.regions = len(labels)
        self.before_validate()

    def before_validate(self) -> None:
        """Start counting."""
        self.pairs: list[Tensor] = []

    def after_batch(self) -> None:
        """Keep the true and the answered region of every image."""
        if not self.training:
            answers = self.pred.as_subclass(Tensor).argmax(dim=1)
            pairs = torch.stack([self.yb[0].as_subclass(Tensor), answers], dim=1)
            self.pairs.append(pairs.cpu())

    def counts(self, images: slice = ALL) -> np.ndarray:
        """Confusion table ``(regions, regions)``, true regions in rows."""
        pairs = torch.cat([torch.zeros(0, 2, dtype=torch.int64), *self.pairs]).numpy()[images]
        flat = np.bincount(pairs @ (self.regions, 1), minlength=self.regions**2)
        return flat.reshape(self.regions, self.regions)

    def scores(self, images: slice = ALL) -> dict[str, float]:
        """Both scores, of some or all validation images."""
        precision, recall = weighted_scores(self.counts(images))
        return {"precision": precision, "recall": recall}

    def details(self) -> dict[str, float]:
        """Nothing beside them."""
        return {}
