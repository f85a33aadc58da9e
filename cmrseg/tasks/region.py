"""The region of the heart that a slice shows: base, middle, apex, or none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cmrseg.metrics.regions import APEX, BASE, MIDDLE, OUTSIDE, slice_regions
from cmrseg.tasks.numbers import ImageTable, Numbers, PlainLoss
from cmrseg.tasks.prediction import Kept
from cmrseg.tasks.task import register_task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cmrseg.cine import Cine
    from cmrseg.tasks.exported import Exported
    from cmrseg.tasks.region_training import RegionScores

CLASSES = (OUTSIDE, BASE, MIDDLE, APEX)  # as a network numbers them; 0 shows no heart
SCORES = ("precision", "recall")


class RegionTable(ImageTable):
    """As `ImageTable`, with the most likely region of every slice before the probabilities."""

    def finish(self) -> Kept:
        """``regions.csv``: study, frame, slice, region, probability of each."""
        kept = super().finish()
        table = kept.tables[self.file]
        best = table[self.columns].to_numpy(float).argmax(axis=1) if len(table) else []
        table.insert(3, "region", [self.columns[number] for number in best])
        return kept


class RegionTask(Numbers):
    """Slices to regions; the weighted recall, which is the share of right answers, chooses the epoch.

    References
    ----------
    Mariscal-Harana et al., "Improved AI-based segmentation of apical and basal slices from clinical cine
    CMR" (2023), approach 2.
    """

    name = "region"
    file = "regions.csv"
    title = "mean probability of the slices"
    table = RegionTable
    score_name = "validation_recall"
    columns: tuple[str, ...] = SCORES
    classes: tuple[str, ...] = CLASSES

    def check_labels(self, labels: Sequence[str]) -> None:
        """Names of the outputs are the regions, in their order.

        Raises
        ------
        ValueError
            If they are not.
        """
        if tuple(labels) != CLASSES:
            told = ", ".join(str(name)[:20] for name in labels[:5])
            raise ValueError(f"regions must be {', '.join(CLASSES)}, got {told}")

    def labels(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The regions, whatever structures show them."""
        return CLASSES

    def prepare(self, masks: Tensor, places: Sequence[tuple[str, int, int]]) -> Tensor:
        """Every pixel of a mask becomes the number of its region, which the whole stack tells."""
        prepared = masks.clone()
        for row, region in enumerate(regions_of(masks, places)):
            prepared[row] = CLASSES.index(region)
        return prepared

    def target(self, masks: Tensor) -> Tensor:
        """Region of every image from its prepared mask, ``(b,)``; zeros from outside the image are none."""
        return masks.long().flatten(1).amax(dim=1)

    def truth(self, mask: Cine, labels: Sequence[str]) -> np.ndarray:
        """Regions that contours give, 1 or 0, ``(t, z, regions)``."""
        areas = np.count_nonzero(mask.array, axis=(0, 1)).T
        numbers = [[CLASSES.index(region) for region in slice_regions(frame)] for frame in areas]
        return np.eye(len(CLASSES))[np.array(numbers, int)]

    def loss(self, name: str, class_weights: Sequence[float] | None = None) -> PlainLoss:
        """Cross entropy, plain as in the paper or weighted.

        Raises
        ------
        ValueError
            If another loss is asked for.
        """
        from cmrseg.tasks.region_training import RegionLoss

        if name != "CE":
            raise ValueError(f"regions are learnt with the loss CE, got {name}")
        return RegionLoss(class_weights)

    def validator(self, labels: Sequence[str]) -> RegionScores:
        """Precision and recall."""
        from cmrseg.tasks.region_training import RegionScores

        return RegionScores(labels)

    def score(self, row: Any) -> float:
        """Weighted recall of an epoch."""
        return float(row["recall"])

    def activation(self) -> nn.Module:
        """Logits to probabilities of the regions."""
        from torch import nn

        return nn.Softmax(dim=1)

    def exported(self, labels: Sequence[str]) -> Exported:
        """Logits, whose largest is the region."""
        from dataclasses import replace

        told = super().exported(labels)
        closing = "The largest number is the region; their softmax are the probabilities of `cmrseg predict`."
        return replace(told, closing=closing)


def regions_of(masks: Tensor, places: Sequence[tuple[str, int, int]]) -> list[str]:
    """Region of every slice, from the stack that it stands in.

    Parameters
    ----------
    masks
        Class numbers or codes of what is unknown (`cmrseg.partial_labels`), ``(n, h, w)``.
    places
        Subject, frame and slice of every mask.
    """
    from cmrseg.partial_labels import FIRST_CODE

    shows = ((masks > 0) & (masks < FIRST_CODE)).flatten(1).sum(dim=1).numpy()
    stacks: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for row, (subject, frame, _) in enumerate(places):
        stacks[subject, frame].append(row)
    found = [""] * len(places)
    for rows in stacks.values():
        ordered = sorted(rows, key=lambda row: places[row][2])
        for row, region in zip(ordered, slice_regions(shows[ordered]), strict=True):
            found[row] = region
    return found


register_task(RegionTask())
