"""What the checks of a study look at, and the limits between green, amber and red.

Notes
-----
Limits come from ``benchmarks/trust_limits.tsv`` and ``trust_evidence.tsv``; measure again when a limit or
the model changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
import pandas as pd

from cmrseg.arrays import Curve
from cmrseg.cine import Cine
from cmrseg.examination.ends import sure_of_slices
from cmrseg.examination.facts import PatientFacts
from cmrseg.examination.function import end_slices
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.cycle import MIN_FRAMES
from cmrseg.metrics.overlap import dice, image_counts
from cmrseg.metrics.plausibility import heart_box
from cmrseg.metrics.volumes import volume_curve
from cmrseg.problems import Problem
from cmrseg.report.flags import Level
from cmrseg.zoo.domain import TrainingDomain

LEVELS: tuple[Level, ...] = ("green", "amber", "red")


@dataclass(frozen=True)
class Limit:
    """Values above ``amber`` are worth a look, values above ``red`` were seen in no good mask."""

    amber: float
    red: float = np.inf

    def level(self, value: float) -> Level:
        """Level of a value; an unknown one is green."""
        return "red" if value > self.red else "amber" if value > self.amber else "green"

    @property
    def usual(self) -> str:
        """What is green, for a sentence."""
        return f"usual: up to {self.amber:g} %"


# From benchmarks/trust_limits.tsv, those of disagreement from benchmarks/trust_evidence.tsv, of a second
# model from benchmarks/second_opinion.tsv (two models of one kind): amber is about the 95th percentile of
# good masks, red about the 99th or the most that any of them showed.
LIMITS: Mapping[str, Limit] = MappingProxyType(
    {
        "LV pieces": Limit(0.05, 0.3),  # % of the structure's pixels
        "wall pieces": Limit(0.4, 2.3),
        "RV pieces": Limit(1.2, 4.1),
        "open ring": Limit(5.0, 30.0),  # % of the inner images
        "gaps": Limit(0.5, 7.0),  # % of the images with LV
        "base": Limit(50.0),  # % of the largest slice; most ACDC stacks begin inside the LV, few others do
        "base by region": Limit(
            50.0
        ),  # % that the end of the stack is neither base nor beyond: more than even
        "apex": Limit(40.0, 63.0),
        "LV curve": Limit(4.2, 6.7),  # % of EDV
        "RV curve": Limit(6.7),  # no reader's RV was measured: that of the LV
        "minima": Limit(1, 2),
        "mass over the cycle": Limit(11.0, 16.0),  # sd over mean in %
        "mass at ED and ES": Limit(30.0, 38.0),  # difference over mean in %
        # Difference over mean in % (benchmarks/stroke_volumes.tsv): readers' masks of healthy hearts, which
        # eject the same on both sides, are within 40 % in 19 of 20. Disease does that too, so never red.
        "stroke volumes": Limit(40.0),
        "RV at the end of the stack": Limit(50.0),  # % of the largest slice at ES, as that of the LV
        "disagreement": Limit(3.5, 6.0),  # % of Dice that is lost, mean by pixels
        "worst disagreement": Limit(20.0, 27.0),  # the same of the worst mid slice
        "second model": Limit(4.0, 8.0),  # % of Dice that two models differ, mean by pixels
        "worst second model": Limit(30.0, 60.0),
    }
)
ES_TIME = (0.25, 0.60)  # share of the cycle between ED and ES


@dataclass(frozen=True)
class SecondOpinion:
    """What another model makes of the same images.

    Attributes
    ----------
    model
        What is told of it, its ``name`` first.
    mask
        `Label` ids on the grid of the images.
    structures
        What it can segment.
    """

    model: Mapping[str, str]
    mask: Cine
    structures: tuple[Label, ...] = STRUCTURES

    def agreement(self, mask: Cine, structures: Sequence[Label]) -> pd.DataFrame:
        """Dice with a mask by slice, frame and structure of both, columns as of `TrustInput.agreement`."""
        rows = [
            {"slice": z, "frame": t, "structure": label.name, "dice": scores[STRUCTURES.index(label)]}
            for t in range(mask.array.shape[3])
            for z, scores in enumerate(dice(image_counts(self.mask.array[..., t], mask.array[..., t])))
            for label in structures
            if label in self.structures
        ]
        return pd.DataFrame(rows, columns=["slice", "frame", "structure", "dice"])


@dataclass(frozen=True)
class TrustInput:
    """One segmented study and what is known of it.

    Attributes
    ----------
    image, mask
        Intensities and `Label` ids on one grid, shape ``(x, y, z, t)``.
    ed, es
        Positions of end-diastole and end-systole on the time axis; equal if there is one frame only.
    structures
        What the model can segment; see `cmrseg.zoo.model_file.ModelSpec.label_ids`.
    agreement
        Columns slice, frame, structure and dice: how well the mask of each flip agrees with the average; None
        where the model was applied once.
    regions
        What the classifier of a regional model says of every slice, see
        `cmrseg.tasks.segmentation.by_region.REGION_COLUMNS`; None where there is none.
    second
        What a second model says; None where none was asked.
    facts
        Of patient and scanner.
    domain
        What the model was trained on; None where that is not known.
    problems
        What curation reported of the study.
    header_rate_bpm
        Heart rate while the images were made, by their headers; that of the facts may be from another time.
    """

    image: Cine
    mask: Cine
    ed: int
    es: int
    structures: tuple[Label, ...] = STRUCTURES
    agreement: pd.DataFrame | None = None
    regions: pd.DataFrame | None = None
    second: SecondOpinion | None = None
    facts: PatientFacts = field(default_factory=PatientFacts)
    domain: TrainingDomain | None = None
    problems: Sequence[Problem] = ()
    header_rate_bpm: float = math.nan

    @cached_property
    def labels(self) -> np.ndarray:
        """The mask in the heart's box."""
        return np.ascontiguousarray(self.mask.array[heart_box(self.mask.array)])

    @cached_property
    def areas(self) -> Mapping[Label, np.ndarray]:
        """Pixels of every structure in every image, shape ``(z, t)``."""
        return {label: np.count_nonzero(self.labels == label, axis=(0, 1)) for label in STRUCTURES}

    @cached_property
    def ends(self) -> tuple[int, int] | None:
        """The most basal and the most apical slice with LV at end-diastole; None below three slices."""
        return end_slices(self.mask, self.ed)

    @cached_property
    def sure(self) -> np.ndarray | None:
        """How sure it is that a slice shows the heart, see `cmrseg.examination.ends.sure_of_slices`."""
        return sure_of_slices(self.mask, agreement=self.agreement, regions=self.regions)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.mask.array.shape[3]

    @property
    def has_curve(self) -> bool:
        """Whether there are enough frames for a curve over the cycle."""
        return self.frames >= MIN_FRAMES

    def curve(self, label: Label) -> Curve:
        """Voxels of one structure at every frame, shape ``(t,)``."""
        return self.areas[label].sum(axis=0).astype(float)

    def volume(self, label: Label, frame: int) -> str:
        """Volume of a structure at a frame for a sentence, in ml or voxels."""
        voxels = self.mask.array[..., frame, None]
        ml = float(volume_curve(voxels, self.mask.spacing, label)[0])
        return f"{self.curve(label)[frame]:.0f} voxels" if np.isnan(ml) else f"{ml:.0f} ml"

    @cached_property
    def inner_slices(self) -> np.ndarray:
        """Images between base and apex, where the ring is closed: shape ``(z, t)``.

        The two most basal slices and the most apical one of every frame are left out: at the base the ring
        opens towards the valves, at the apex partial volume hides it.
        """
        inside = self.areas[Label.LV] > 0
        if self.ends is None:
            return np.zeros_like(inside)
        up = inside if self.ends[0] < self.ends[1] else inside[::-1]  # base first
        place, total = up.cumsum(axis=0), up.sum(axis=0)
        inner = up & (place > 2) & (place < total)
        return inner if self.ends[0] < self.ends[1] else inner[::-1]
