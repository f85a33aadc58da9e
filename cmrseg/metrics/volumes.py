"""Volumes, ejection fraction and myocardial mass from a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cmrseg.arrays import CineLabels, Curve
from cmrseg.cine import Cine
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.cycle import smooth_cycle
from cmrseg.metrics.plausibility import shows_several_beats

MM3_PER_ML = 1000.0
MYOCARDIUM_G_PER_ML = 1.05

FUNCTION_COLUMNS = (
    "study", "EDV_ml", "ESV_ml", "SV_ml", "EF_percent", "MYO_mass_g", "ED_frame", "ES_frame",
)  # fmt: skip
FRAME_COLUMNS = ("ED_frame", "ES_frame")
VOLUME_COLUMNS = ("study", "frame", "time_ms", "LV_ml", "MYO_ml", "RV_ml")


@dataclass(frozen=True)
class CardiacFunction:
    """Function of one ventricle over one cardiac cycle.

    Attributes
    ----------
    edv_ml, esv_ml, sv_ml
        End-diastolic, end-systolic and stroke volume in ml; ``nan`` without a spacing.
    ef_percent
        Ejection fraction in percent; ``nan`` if the ventricle was not found at end-diastole.
    ed_index, es_index
        Positions of both frames on the time axis.
    """

    edv_ml: float
    esv_ml: float
    sv_ml: float
    ef_percent: float
    ed_index: int
    es_index: int


def pixel_curve(labels: CineLabels, label: Label) -> Curve:
    """Number of voxels of one structure at every frame, shape ``(t,)``, for a mask ``(x, y, z, t)``."""
    return np.count_nonzero(np.asarray(labels) == label, axis=(0, 1, 2)).astype(float)


def voxel_volume(spacing: Sequence[float]) -> float:
    """Volume of one voxel.

    Parameters
    ----------
    spacing
        ``(dx, dy, dz)`` in mm; ``dz`` includes the gap between slices; ``nan`` where unknown.

    Returns
    -------
    Volume in ml; ``nan`` if a spacing is unknown.

    Raises
    ------
    ValueError
        If a spacing is not positive.
    """
    if any(s <= 0 for s in spacing):
        raise ValueError(f"spacing must be positive (mm), got {tuple(spacing)}")
    return math.prod(spacing) / MM3_PER_ML


def volume_curve(labels: CineLabels, spacing: tuple[float, float, float], label: Label) -> Curve:
    """Volume of one structure at every frame, by summing slices.

    Parameters
    ----------
    labels
        Mask of shape ``(x, y, z, t)``.
    spacing
        ``(dx, dy, dz)`` in mm; ``dz`` includes the gap between slices; ``nan`` where unknown.
    label
        Structure to measure.

    Returns
    -------
    Volumes in ml, shape ``(t,)``; ``nan`` if the spacing is unknown.

    Raises
    ------
    ValueError
        If a spacing is not positive.

    References
    ----------
    Schulz-Menger et al., JCMR 22:19 (2020), doi:10.1186/s12968-020-00610-6.
    """
    return pixel_curve(labels, label) * voxel_volume(spacing)


def ed_es_frames(curve: Curve, *, smooth: bool) -> tuple[int, int]:
    """End-diastole and end-systole: the frames of the largest and of the smallest LV.

    Parameters
    ----------
    curve
        Volumes or voxel counts of the left ventricle, shape ``(t,)``.
    smooth
        Look at the curve as `smooth_cycle` makes it: for masks of a network, where one bad frame of a cycle
        must not be an end of it. As it is: for contours of a person, who is right, and where frames are few.

    Returns
    -------
    Positions ``(ed, es)`` on the time axis; the earlier frame where two are equal.

    Raises
    ------
    ValueError
        If the curve is empty or holds ``nan``.
    """
    curve = np.asarray(curve)
    if curve.ndim != 1 or curve.size == 0 or np.isnan(curve).any():
        raise ValueError(f"curve must be a non-empty list of volumes (ml or voxels), got {curve}")
    curve = smooth_cycle(curve) if smooth else curve
    return int(curve.argmax()), int(curve.argmin())


def ejection_fraction(edv: float, esv: float) -> float:
    """Ejection fraction in percent from volumes of any one unit; ``nan`` unless ``edv`` is positive."""
    return 100.0 * (edv - esv) / edv if edv > 0 else math.nan


def myocardial_mass(volume_ml: float) -> float:
    """Mass in g of a myocardial volume in ml, at 1.05 g/ml.

    References
    ----------
    Vinnakota and Bassingthwaighte, Am J Physiol Heart Circ Physiol 286:H1742 (2004),
    doi:10.1152/ajpheart.00478.2003 (density); Schulz-Menger et al., JCMR 22:19 (2020),
    doi:10.1186/s12968-020-00610-6 (its use in cardiac MRI).
    """
    return volume_ml * MYOCARDIUM_G_PER_ML


def cardiac_function(
    pixels: Curve, voxel_ml: float, *, frames: tuple[int, int] | None = None
) -> CardiacFunction:
    """Volumes and ejection fraction of one ventricle from its voxel counts.

    Parameters
    ----------
    pixels
        Voxel counts of the ventricle, shape ``(t,)``, see `pixel_curve`.
    voxel_ml
        Volume of a voxel in ml; ``nan`` when unknown. The ejection fraction does not depend on it.
    frames
        Positions of end-diastole and end-systole; by default those of the largest and of the smallest volume
        of the smoothed curve, see `smooth_cycle`. Pass those of the LV for the RV.

    Returns
    -------
    EDV, ESV and SV in ml, EF in percent and the positions of both frames.
    """
    ed, es = frames or ed_es_frames(pixels, smooth=True)
    edv, esv = float(pixels[ed]) * voxel_ml, float(pixels[es]) * voxel_ml
    ef = ejection_fraction(float(pixels[ed]), float(pixels[es]))
    return CardiacFunction(edv, esv, edv - esv, ef, ed, es)


def summary_row(study: str, mask: Cine, *, frames: Sequence[int] | None = None) -> dict[str, object]:
    """One row of ``summary.csv``: LV volumes, EF and myocardial mass at end-diastole.

    Parameters
    ----------
    study
        Name of the study.
    mask
        Mask of shape ``(x, y, z, t)`` in `Label` ids.
    frames
        Number of every frame in the study, shape ``(t,)``; counted from 0 by default.

    Returns
    -------
    Values by the names in `FUNCTION_COLUMNS`; ml and g are ``nan`` without a spacing, EF is ``nan`` if
    there is only one frame, and all are where the frames show several beats or no LV, which has no ED and
    ES either.
    """
    names = _frame_numbers(mask, frames)
    function = cardiac_function(pixel_curve(mask.array, Label.LV), voxel_volume(mask.spacing))
    ed, es = function.ed_index, function.es_index
    myo_ml = volume_curve(mask.array[..., ed : ed + 1], mask.spacing, Label.MYO)[0]
    volumes = [function.edv_ml, function.esv_ml, function.sv_ml, function.ef_percent, myocardial_mass(myo_ml)]
    if mask.array.shape[3] == 1:
        volumes[1:4] = [math.nan] * 3
    has_lv = bool((mask.array == Label.LV).any())
    if not has_lv or (mask.array.shape[3] > 1 and has_several_beats(mask)):
        volumes = [math.nan] * len(volumes)
    extremes = (names[ed], names[es]) if has_lv else (None, None)
    return dict(zip(FUNCTION_COLUMNS, (study, *map(float, volumes), *extremes), strict=True))


def has_several_beats(mask: Cine) -> bool:
    """Whether the LV of a mask contracts more than once, see `shows_several_beats`."""
    return shows_several_beats(np.count_nonzero(mask.array == Label.LV, axis=(0, 1)))


def volume_table(study: str, mask: Cine, *, frames: Sequence[int] | None = None) -> pd.DataFrame:
    """Rows of ``volumes.csv``: the volume of every structure at every frame.

    Parameters
    ----------
    study
        Name of the study.
    mask
        Mask of shape ``(x, y, z, t)`` in `Label` ids.
    frames
        Number of every frame in the study, shape ``(t,)``; counted from 0 by default.

    Returns
    -------
    Table with `VOLUME_COLUMNS`, one row per frame; ``time_ms`` and the volumes are ``nan`` where
    frame times or spacing are unknown.
    """
    curves = {f"{s.name}_ml": volume_curve(mask.array, mask.spacing, s) for s in STRUCTURES}
    times = mask.frame_times_ms or [math.nan] * mask.array.shape[3]
    columns = {"study": study, "frame": _frame_numbers(mask, frames), "time_ms": times, **curves}
    return pd.DataFrame(columns, columns=list(VOLUME_COLUMNS))


def _frame_numbers(mask: Cine, frames: Sequence[int] | None) -> list[int]:
    """Number of every frame, checked against the time axis."""
    count = mask.array.shape[3]
    if frames is not None and len(frames) != count:
        raise ValueError(f"frames names {len(frames)} frames, the mask has {count}")
    return list(range(count)) if frames is None else [int(f) for f in frames]
