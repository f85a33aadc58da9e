"""Everything that is known of one segmented study, as the report and the tables of a cohort show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from cmrseg.cine import Cine

Level = Literal["green", "amber", "red"]

CURVE_COLUMNS = ("frame", "time_ms", "LV_ml", "MYO_ml", "RV_ml", "LV_smooth_ml", "RV_smooth_ml")
NUMBER_COLUMNS = ("ventricle", "quantity", "value", "unit", "indexed", "indexed_unit")
SENSITIVITY_COLUMNS = ("left_out", "EDV_ml", "ESV_ml", "EF_percent", "EDV_change_ml", "EF_change_points")


@dataclass(frozen=True)
class Flag:
    """One check that needs no reference.

    Attributes
    ----------
    level
        ``green``: nothing noticed, ``amber``: look at it, ``red``: look before you use any number.
    check
        What was checked, a few words.
    reason
        What was found, one sentence with the numbers that led to the level.
    """

    level: Level
    check: str
    reason: str


@dataclass(frozen=True)
class StudyAnalysis:
    """What is known of one study.

    Attributes
    ----------
    study
        Name of the study.
    image, mask
        Intensities and `Label` ids on one grid, ``(x, y, z, t)``.
    ed_frame, es_frame
        Positions of end-diastole and end-systole on the time axis, from the smoothed curve of the LV.
    curves
        `CURVE_COLUMNS`, one row per frame.
    numbers
        `NUMBER_COLUMNS`: EDV, ESV, SV, EF, mass, cardiac output ...; ``indexed`` to body surface area; nan if
        unknown.
    indices
        The 11 LV indices of every mid-ventricular slice and frame, see `cmrseg.metrics.indices`.
    segments
        Wall thickness of the AHA segments, see `cmrseg.metrics.segments`.
    flags
        Checks, the worst first.
    sensitivity
        `SENSITIVITY_COLUMNS`: volumes with the most basal, the most apical and both slices left out.
    provenance
        Model, version, checksum, settings, date; nested mappings are flattened when shown.
    """

    study: str
    image: Cine
    mask: Cine
    ed_frame: int
    es_frame: int
    curves: pd.DataFrame
    numbers: pd.DataFrame
    indices: pd.DataFrame
    segments: pd.DataFrame
    flags: tuple[Flag, ...] = ()
    sensitivity: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(SENSITIVITY_COLUMNS)))
    provenance: Mapping[str, object] = field(default_factory=dict)

    @property
    def level(self) -> Level:
        """The worst level of all flags."""
        levels = [flag.level for flag in self.flags]
        return "red" if "red" in levels else "amber" if "amber" in levels else "green"
