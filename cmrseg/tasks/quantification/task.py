"""Quantification as a task: what training, prediction and model files ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmrseg.cine import fit
from cmrseg.metrics.index_errors import PHASE
from cmrseg.metrics.indices import INDICES
from cmrseg.problems import DataError
from cmrseg.tasks.numbers import Numbers
from cmrseg.tasks.quantification.crops import field_of, four_crops
from cmrseg.tasks.quantification.scale import COLUMNS, PHASE_WEIGHT, RANGES, powers, ranges
from cmrseg.tasks.task import register_task

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from cmrseg.cine import Cine
    from cmrseg.data.catalog import Catalog
    from cmrseg.parallel import Progress
    from cmrseg.tasks.asking import Network
    from cmrseg.tasks.exported import Exported
    from cmrseg.tasks.options import Options
    from cmrseg.tasks.quantification.training import IndexLoss, IndexScores


class Quantification(Numbers):
    """Images to indices of the left ventricle, the phase of the cycle, or both.

    Parameters
    ----------
    name
        Of the task.
    answers
        Some of `INDICES`, and at the end the phase or not.
    loss
        Name of the loss that it is learnt with.

    References
    ----------
    Gessert and Schlaefer, STACOM (2019).
    """

    file = "indices.csv"
    title = "mean over the images"
    score_name = "validation_score"
    columns = tuple(COLUMNS.values())

    def __init__(self, name: str, answers: Sequence[str], loss: str) -> None:
        self.name, self.answers, self.loss_name = name, tuple(answers), loss

    def check_labels(self, labels: Sequence[str]) -> None:
        """Names of the outputs are those of the task, in their order.

        Raises
        ------
        ValueError
            If they are not.
        """
        if tuple(labels) != self.answers:
            told = ", ".join(str(name)[:30] for name in labels[:13])
            raise ValueError(f"a network for {self.name} answers {', '.join(self.answers)}, got {told}")

    def labels(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The answers, whatever structures the masks show."""
        return self.answers

    def outputs(self, labels: Sequence[str]) -> int:
        """One number an index, two for the phase."""
        return len(labels) + (PHASE in labels)

    def powers(self, labels: Sequence[str]) -> np.ndarray:
        """2 of an area, 1 of a length, 0 of the phase."""
        return powers(labels)

    def numbers(self, catalog: Catalog) -> pd.DataFrame:
        """The true indices of a data set, from its table or its masks."""
        from cmrseg.tasks.quantification.truth import PLACE, true_indices

        table, _ = true_indices(catalog)
        if missing := [name for name in self.answers if name not in table]:
            raise DataError(f"{catalog.root}: its table of indices has no column {', '.join(missing)}")
        known = table.dropna(subset=list(self.answers))
        if known.empty:
            raise DataError(
                f"no image of {catalog.root} has all of {', '.join(self.answers[:3])}, ...: a wall, two "
                "frames of a cycle and a pixel size in mm are needed, or a table indices.csv"
            )
        return known[[*PLACE, *self.answers]]

    def needs_masks(self, root: Path) -> bool:
        """Not beside a table of indices."""
        from cmrseg.tasks.quantification.truth import TABLE

        return not (root / TABLE).is_file()

    def target(self, masks: Tensor) -> Tensor:
        """The masks, for networks that learn them beside the numbers."""
        return masks

    def loss(self, name: str, class_weights: Sequence[float] | None = None) -> IndexLoss:
        """Squared error of the indices, cross entropy of the phase.

        Raises
        ------
        ValueError
            If another loss is asked for, or weights of classes.
        """
        from cmrseg.tasks.quantification.training import IndexLoss

        if name != self.loss_name:
            raise ValueError(f"{self.name} is learnt with the loss {self.loss_name}, got {name}")
        if class_weights is not None:
            raise ValueError(f"{self.name} takes no class_weights")
        return IndexLoss(self.answers)

    def validator(self, labels: Sequence[str]) -> IndexScores:
        """Errors of the groups, from four parts of every image."""
        from cmrseg.tasks.quantification.training import IndexScores

        return IndexScores(labels)

    def score(self, row: Mapping[str, Any]) -> float:
        """Mean error of the groups over their ranges, and of the phase as the loss weighs it; negative."""
        errors = [row[COLUMNS[group]] / RANGES[group] for group in RANGES if COLUMNS[group] in row]
        wrong = row.get(COLUMNS[PHASE], 0.0) / 100
        return -(sum(errors) / len(errors) + PHASE_WEIGHT * wrong) if errors else -wrong

    def activation(self) -> nn.Module:
        """Outputs to mm, mm2 and the probability of systole."""
        from cmrseg.tasks.quantification.decoding import Decoded

        return Decoded(self.answers)

    def exported(self, labels: Sequence[str]) -> Exported:
        """Outputs before they become mm."""
        told = super().exported(labels)
        scales = ", ".join(f"{value:g}" for value in ranges(labels))
        closing = (
            f"Times {scales} they are mm and mm2; of the phase there are two numbers, whose softmax counts. "
            "The example shows whole slices; `cmrseg predict` shows the four corners, as large as the "
            "training images, of the middle of a slice, 1.34 times as wide, and averages the answers."
        )
        return replace(told, closing=closing)

    def answer(
        self, cine: Cine, network: Network, options: Options, progress: Progress | None = None
    ) -> np.ndarray:
        """Indices in mm and mm2 and the probability of systole, mean of four parts, ``(t, z, numbers)``."""
        from cmrseg.tasks.asking import ask

        asked = ask(cine, network, replace(options, flips=False))
        crop_px = network.spec.preprocessing.size
        height, width = (max(side, field_of(crop_px)) for side in asked.images.shape)
        size = height, width
        asked = replace(asked, images=replace(asked.images, slices=fit(asked.images.slices, size)))
        batches = asked.batches(np.arange(len(asked.images.table)), options.batch_size)
        found = []
        for done, rows in enumerate(batches, start=1):
            parts = [asked.votes(rows, box)[0] for box in four_crops(size, crop_px)]
            found.append(np.mean(parts, axis=0))
            if progress:
                progress(done, len(batches))
        n_slices, n_frames = cine.array.shape[2:]
        return np.concatenate(found).reshape(n_frames, n_slices, -1)


register_task(Quantification("quantification", INDICES, "MSE"))
register_task(Quantification("quantification-joint", (*INDICES, PHASE), "MSE"))
register_task(Quantification("phase", (PHASE,), "CE"))
