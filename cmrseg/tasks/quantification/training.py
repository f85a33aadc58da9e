"""The loss and the scores with which indices and phase are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from fastai.callback.core import Callback
from torch import Tensor
from torch.nn import functional as F

from cmrseg.losses import cross_entropy
from cmrseg.metrics.index_errors import PHASE, index_errors
from cmrseg.partial_labels import merge_unknown
from cmrseg.tasks.numbers import PlainLoss
from cmrseg.tasks.quantification.crops import crop_of, four_crops
from cmrseg.tasks.quantification.decoding import decoded
from cmrseg.tasks.quantification.scale import COLUMNS, MASK_WEIGHT, PHASE_WEIGHT, ranges

ALL = slice(None)


class IndexLoss(PlainLoss):
    """Mean squared error of the indices and cross entropy of the phase, as far as a network answers them.

    Parameters
    ----------
    labels
        What it answers: some indices, and at the end the phase or not.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        super().__init__(self._of)

    def __call__(
        self, outputs: Tensor | tuple[Tensor, Tensor], targets: Tensor, masks: Tensor | None = None
    ) -> Tensor:
        """Scalar; of a network that gives masks too, with a tenth of their cross entropy."""
        if not isinstance(outputs, tuple):
            return super().__call__(outputs, targets)
        numbers, logits = outputs
        if masks is None:
            raise ValueError("a network that gives masks is trained with masks")
        entropy = cross_entropy(*merge_unknown(logits.float(), masks.as_subclass(Tensor)))
        return super().__call__(numbers, targets) + MASK_WEIGHT * entropy

    def _of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of outputs ``(b, outputs)`` and targets ``(b, labels)`` in mm, mm2 and phase; ``nan`` is none."""
        outputs, targets = outputs.as_subclass(Tensor).float(), targets.as_subclass(Tensor)
        n = len(self.labels) - (PHASE in self.labels)
        loss = outputs.new_zeros(())
        if n:
            scaled = targets[:, :n] / targets.new_tensor(ranges(self.labels[:n]))
            known = scaled.isfinite()
            loss = F.mse_loss(outputs[:, :n][known], scaled[known]) if known.any() else outputs.sum() * 0
        if PHASE in self.labels:
            phases = targets[:, -1].nan_to_num(nan=-100).long()  # which cross_entropy leaves out
            entropy = F.cross_entropy(outputs[:, -2:], phases) if (phases >= 0).any() else outputs.sum() * 0
            loss = loss + (PHASE_WEIGHT if n else 1.0) * entropy
        return loss

    def activation(self, outputs: Tensor) -> Tensor:
        """Indices in mm and mm2 and the probability of systole."""
        return decoded(outputs, self.labels)


class IndexScores(Callback):
    """Errors of indices and phase on the validation images, each of which is seen in four parts.

    Parameters
    ----------
    labels
        What a network answers.
    """

    name = "validator"
    order = 5  # before the precision is reduced
    remove_on_fetch = True
    metrics = ()

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.before_validate()

    def before_validate(self) -> None:
        """Start collecting."""
        self.pairs: list[Tensor] = []

    def before_batch(self) -> None:
        """The four parts of every image, one after the other."""
        if not self.training:
            images = self.xb[0]
            height, width = images.shape[-2:]
            boxes = four_crops((height, width), crop_of(min(height, width)))
            self.learn.xb = (torch.cat([images[..., rows, columns] for rows, columns in boxes]),)

    def after_pred(self) -> None:
        """One answer for every image."""
        if not self.training:
            self.learn.pred = self.pred.unflatten(0, (4, -1)).mean(dim=0)

    def after_batch(self) -> None:
        """Keep predicted and true numbers."""
        if not self.training:
            predicted = decoded(self.pred.as_subclass(Tensor).float(), self.labels)
            self.pairs.append(torch.stack([predicted, self.yb[0].as_subclass(Tensor)]).cpu())

    def errors(self, images: slice = ALL) -> pd.DataFrame:
        """Table of `index_errors` of some or all validation images."""
        empty = torch.zeros(2, 0, len(self.labels))
        both = torch.cat([empty, *self.pairs], dim=1)[:, images].numpy()
        predicted, true = (pd.DataFrame(each, columns=self.labels) for each in both)
        return index_errors(predicted, true).set_index("name")

    def scores(self, images: slice = ALL) -> dict[str, float]:
        """Mean absolute errors of the groups and the error rate of the phase."""
        errors = self.errors(images)["mae"]
        return {column: float(errors[name]) for name, column in COLUMNS.items() if name in errors}

    def details(self) -> dict[str, Any]:
        """MAE, SD and correlation of every index and group."""
        errors = self.errors()
        return {
            f"{name}_{what}": float(errors.loc[name, what])
            for name in errors.index
            for what in ("mae", "sd", "pcc")
        }
