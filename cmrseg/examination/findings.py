"""Everything that is known of one segmented study, as the report and the tables of a cohort show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from cmrseg.cine import Cine
from cmrseg.examination.ends import END_COLUMNS, INTERVAL_COLUMNS
from cmrseg.report.flags import Flag, Level

CURVE_COLUMNS = ("frame", "time_ms", "LV_ml", "MYO_ml", "RV_ml", "LV_smooth_ml", "RV_smooth_ml")
ONE_BEAT = "one heart beat"  # the check without which there is no end-diastole and no end-systole
MARKED = "ED and ES"  # in the provenance: who chose them, where it was a person
NUMBER_COLUMNS = ("ventricle", "quantity", "value", "unit", "indexed", "indexed_unit")
SENSITIVITY_COLUMNS = ("left_out", "EDV_ml", "ESV_ml", "EF_percent", "EDV_change_ml", "EF_change_points")


@dataclass(frozen=True)
class Findings:
    """What is known of one study.

    Attributes
    ----------
    study
        Name of the study.
    image, mask
        Intensities and `Label` ids on one grid, ``(x, y, z, t)``.
    ed_frame, es_frame
        Positions of end-diastole and end-systole on the time axis, from the smoothed curve of the LV
        or marked by a person.
    curves
        `CURVE_COLUMNS`, one row per frame.
    numbers
        `NUMBER_COLUMNS`: EDV, ESV, SV, EF, mass, cardiac output ...; ``indexed`` to body surface area; nan if
        unknown, and all of them where the frames cover more than one heart beat.
    indices
        The 11 LV indices of every mid-ventricular slice and frame, see `cmrseg.metrics.indices`.
    segments
        Wall thickness of the AHA segments, see `cmrseg.metrics.segments`.
    flags
        Checks, the worst first.
    sensitivity
        `SENSITIVITY_COLUMNS`: volumes with the most basal, the most apical and both slices left out.
    ends
        `cmrseg.examination.ends.END_COLUMNS`: which slices are base and apex at every frame, and how sure.
    intervals
        `cmrseg.examination.ends.INTERVAL_COLUMNS`: EDV, ESV and EF with the doubt about these slices.
    sure_by
        What tells how sure: "classifier", "flips", or nothing.
    provenance
        Model, version, checksum, settings, date; nested mappings are flattened when shown.
    normal
        Numbers against normal ranges, see `cmrseg.examination.normal_ranges`; None where nobody asked.
    not_normal_known
        Why no number could be compared with a normal range.
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
    ends: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(END_COLUMNS)))
    intervals: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(INTERVAL_COLUMNS)))
    sure_by: str = ""
    provenance: Mapping[str, object] = field(default_factory=dict)
    normal: pd.DataFrame | None = None
    not_normal_known: str = ""

    @property
    def has_one_beat(self) -> bool:
        """Whether end-diastole and end-systole of all slices are those of one heart beat."""
        return not any(flag.check == ONE_BEAT and flag.level == "red" for flag in self.flags)

    @property
    def level(self) -> Level:
        """The worst level of all flags."""
        levels = [flag.level for flag in self.flags]
        return "red" if "red" in levels else "amber" if "amber" in levels else "green"
