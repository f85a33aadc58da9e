"""Function of both ventricles from the mask of a cine, and how much it hangs on the end slices."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.examination.facts import PatientFacts
from cmrseg.examination.findings import CURVE_COLUMNS, NUMBER_COLUMNS, SENSITIVITY_COLUMNS
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.cycle import smooth_cycle
from cmrseg.metrics.orientation import base_first
from cmrseg.metrics.volumes import (
    CardiacFunction,
    cardiac_function,
    myocardial_mass,
    pixel_curve,
    volume_curve,
    voxel_volume,
)

_ML_PER_L = 1000
_INDEXED = {"ml": "ml/m2", "g": "g/m2", "l/min": "l/min/m2"}


def curve_table(mask: Cine, structures: Collection[Label] = STRUCTURES) -> pd.DataFrame:
    """Volumes at every frame, as measured and smoothed.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.
    structures
        What the model can segment.

    Returns
    -------
    `CURVE_COLUMNS`; nan where the spacing or the frame times are unknown, and for a structure that the model
    cannot segment and nobody has drawn.
    """
    curves = {f"{s.name}_ml": volume_curve(mask.array, mask.spacing, s) for s in STRUCTURES}
    for absent in (s for s in STRUCTURES if s not in structures and s not in mask.array):
        curves[f"{absent.name}_ml"][:] = math.nan
    smooth = {f"{s.name}_smooth_ml": smooth_cycle(curves[f"{s.name}_ml"]) for s in (Label.LV, Label.RV)}
    frames = mask.array.shape[3]
    times = mask.frame_times_ms or [math.nan] * frames
    table = pd.DataFrame({"frame": range(frames), "time_ms": times, **curves, **smooth})
    return table[list(CURVE_COLUMNS)]


def function_table(mask: Cine, facts: PatientFacts, frames: tuple[int, int]) -> pd.DataFrame:
    """EDV, ESV, SV, EF and cardiac output of both ventricles, and the mass of the left one.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.
    facts
        Heart rate, height and weight.
    frames
        Positions of end-diastole and end-systole, for both ventricles, see
        `cmrseg.metrics.volumes.ed_es_frames`.

    Returns
    -------
    Table with `NUMBER_COLUMNS`; nan where something is unknown: one frame tells EDV and mass only.
    """
    left = ventricle_function(mask, Label.LV, frames=frames)
    right = ventricle_function(mask, Label.RV, frames=frames)
    myo_ml = float(volume_curve(mask.array[..., frames[0], None], mask.spacing, Label.MYO)[0])
    mass = ("LV", "mass", myocardial_mass(myo_ml) or math.nan, "g")
    rows = [*_function_rows("LV", left, facts), mass, *_function_rows("RV", right, facts)]
    body = facts.body_surface_m2
    table = [
        (*row, row[2] / body if row[3] in _INDEXED else math.nan, _INDEXED.get(row[3], "")) for row in rows
    ]
    return pd.DataFrame(table, columns=list(NUMBER_COLUMNS))


def ventricle_function(mask: Cine, label: Label, *, frames: tuple[int, int] | None = None) -> CardiacFunction:
    """`cardiac_function` of one ventricle of a mask; all is nan where the mask does not show it."""
    pixels = pixel_curve(mask.array, label)
    voxel_ml = voxel_volume(mask.spacing) if pixels.any() else math.nan
    return cardiac_function(pixels, voxel_ml, frames=frames)


def sensitivity_table(mask: Cine, frames: tuple[int, int]) -> pd.DataFrame:
    """How volumes and EF change when the end slices are left out.

    Where the base ends is the largest source of differences between readers: a slice more or less.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.
    frames
        Positions of end-diastole and end-systole, the same with and without the slices.

    Returns
    -------
    `SENSITIVITY_COLUMNS`, one row for nothing, the most basal, the most apical and both slices left out. The
    end slices are those of the LV at end-diastole. Empty if fewer than three slices hold LV.

    References
    ----------
    Suinesiaputra et al., JCMR 17:63 (2015), doi:10.1186/s12968-015-0170-9 (readers differ most at the base).
    """
    ends = end_slices(mask, frames[0])
    if ends is None:
        return pd.DataFrame(columns=list(SENSITIVITY_COLUMNS))
    base, apex = ends
    variants = {
        "nothing": (), "most basal slice": (base,), "most apical slice": (apex,), "both": (base, apex),
    }  # fmt: skip
    rows, whole = [], None
    for name, slices in variants.items():
        kept = mask.array.copy() if slices else mask.array
        for z in slices:
            kept[:, :, z] = Label.BACKGROUND
        found = ventricle_function(mask.with_array(kept), Label.LV, frames=frames)
        whole = whole or found
        change = (found.edv_ml - whole.edv_ml, found.ef_percent - whole.ef_percent)
        rows.append((name, found.edv_ml, found.esv_ml, found.ef_percent, *change))
    table = pd.DataFrame(rows, columns=list(SENSITIVITY_COLUMNS))
    if frames[0] == frames[1]:
        table[["ESV_ml", "EF_percent", "EF_change_points"]] = math.nan
    return table


def end_slices(mask: Cine, frame: int) -> tuple[int, int] | None:
    """The most basal and the most apical slice with LV of a frame; None below three slices."""
    slices = np.flatnonzero((mask.array[..., frame] == Label.LV).any(axis=(0, 1)))
    if len(slices) < 3:
        return None
    ends = int(slices[0]), int(slices[-1])
    return ends if base_first(mask) else ends[::-1]


def _function_rows(
    name: str, found: CardiacFunction, facts: PatientFacts
) -> list[tuple[str, str, float, str]]:
    """Rows of one ventricle without their index; of a single frame nothing but its volume is known."""
    single = found.ed_index == found.es_index
    esv, sv, ef = (math.nan,) * 3 if single else (found.esv_ml, found.sv_ml, found.ef_percent)
    output = sv * facts.heart_rate_bpm / _ML_PER_L
    rows = (("EDV", found.edv_ml, "ml"), ("ESV", esv, "ml"), ("SV", sv, "ml"), ("EF", ef, "%"))
    return [(name, *row) for row in (*rows, ("cardiac output", output, "l/min"))]
