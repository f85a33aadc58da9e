"""What an examination is measured with beside its image and mask: a corrected one is measured alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import pandas as pd

from cmrseg import __version__
from cmrseg.cine import Cine
from cmrseg.examination.analyse import analyse
from cmrseg.examination.facts import PatientFacts
from cmrseg.examination.findings import MARKED, Findings
from cmrseg.examination.normal_ranges import NormalRanges
from cmrseg.examination.trust_input import SecondOpinion, TrustInput
from cmrseg.io.review_file import Review
from cmrseg.io.settings import record
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.volumes import ed_es_frames, pixel_curve
from cmrseg.problems import Problem
from cmrseg.zoo.domain import TrainingDomain


@dataclass(frozen=True)
class Context:
    """What is known of an examination beside its image and mask.

    Attributes
    ----------
    model, settings
        What made the mask, as the report tells it.
    structures
        Names of the structures that the model can segment.
    facts
        Of patient and scanner.
    header_rate_bpm
        See `TrustInput`; None where it is unknown.
    domain
        What the model was trained on.
    problems
        What curation reported.
    """

    model: Mapping[str, str]
    settings: Mapping[str, object]
    structures: tuple[str, ...] = tuple(s.name for s in STRUCTURES)
    facts: PatientFacts = field(default_factory=PatientFacts)
    header_rate_bpm: float | None = None
    domain: TrainingDomain | None = None
    problems: tuple[Problem, ...] = ()

    def told(self) -> dict[str, Any]:
        """All of it as JSON can hold it, but for sex and age, which are written nowhere."""
        facts = {
            name: value
            for name, value in asdict(self.facts).items()
            if value == value and value != "" and name not in ("sex", "age_years")
        }
        return {**asdict(self), "facts": facts}

    @classmethod
    def of(cls, told: object) -> Context:
        """From what `told` gave.

        Raises
        ------
        ValueError
            If it is something else.
        """
        return record(cls, told)


def measure(  # noqa: PLR0913 (all but the first four are what not every mask has)
    study: str,
    image: Cine,
    mask: Cine,
    context: Context,
    *,
    review: Review | None = None,
    corrected: bool = False,
    agreement: pd.DataFrame | None = None,
    regions: pd.DataFrame | None = None,
    second: SecondOpinion | None = None,
    normal: NormalRanges | None = None,
) -> Findings:
    """All that is measured and checked on one mask.

    Parameters
    ----------
    study
        Name of the study.
    image, mask
        Intensities and `Label` ids on one grid, ``(x, y, z, t)``.
    context
        What else is known.
    review
        What a person has decided: the marks of ED and ES count before the volumes.
    corrected
        Whether a person has changed the mask.
    agreement, regions, second
        See `TrustInput`.
    normal
        Ranges to compare the numbers with.
    """
    review = review or Review()
    segmented = TrustInput(
        image,
        mask,
        *ends_of(mask, review),
        structures=tuple(Label[name] for name in context.structures),
        agreement=agreement,
        regions=regions,
        second=second,
        facts=context.facts,
        header_rate_bpm=math.nan if context.header_rate_bpm is None else context.header_rate_bpm,
        domain=context.domain,
        problems=context.problems,
    )
    provenance = {
        "cmrseg": __version__,
        "made on": date.today().isoformat(),
        "mask": "corrected by a person" if corrected else "by the model",
        **({MARKED: "marked by a person"} if review.is_marked else {}),
        "model": context.model,
        **({"second model": second.model} if second else {}),
        "settings": context.settings,
    }
    return analyse(study, segmented, provenance=provenance, normal=normal)


def ends_of(mask: Cine, review: Review) -> tuple[int, int]:
    """Frames of ED and ES: as a person has marked them, else by the smoothed curve of the LV."""
    measured = ed_es_frames(pixel_curve(mask.array, Label.LV), smooth=True)
    return review.ends(measured, mask.array.shape[3])
