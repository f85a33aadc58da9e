"""The 11 indices of the left ventricle in mid-ventricular slices, and the cardiac phase, from a mask.

Sectors and directions are those of the LVQuan challenges: six sectors of 60 degrees around the centroid of
the cavity, from mid-septum (the middle of the arc where the RV lies against the wall) to the inferior wall:
IS, I, IL, AL, A, AS. A regional wall thickness is the mean over the rays of a sector, see
`cmrseg.metrics.wall`. A dimension is the diameter of the cavity through its centroid along the middle of
two opposite sectors. An area is that of the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from cmrseg.cine import Cine
from cmrseg.labels import Label
from cmrseg.metrics.orientation import Orientation, orientation
from cmrseg.metrics.segments import middle_third, ring_slices
from cmrseg.metrics.wall import ANGLES, Walls, sector_means, trace_walls

AREA_COLUMNS = ("cavity_area_mm2", "myocardium_area_mm2")
DIMENSIONS: Mapping[str, str] = {"dim1_mm": "IS-AL", "dim2_mm": "I-A", "dim3_mm": "IL-AS"}
THICKNESSES: Mapping[str, str] = {
    "rwt1_mm": "IS", "rwt2_mm": "I", "rwt3_mm": "IL", "rwt4_mm": "AL", "rwt5_mm": "A", "rwt6_mm": "AS",
}  # fmt: skip
REGION_NAMES: Mapping[str, str] = {
    "IS": "inferoseptal", "I": "inferior", "IL": "inferolateral",
    "AL": "anterolateral", "A": "anterior", "AS": "anteroseptal",
}  # fmt: skip
INDICES = (*AREA_COLUMNS, *DIMENSIONS, *THICKNESSES)
INDEX_COLUMNS = ("slice", "frame", "phase", *INDICES)
_SECTORS = len(THICKNESSES)


def slice_indices(
    mask: UInt8[np.ndarray, "x y"],
    spacing: tuple[float, float],
    *,
    placed: Orientation | None = None,
) -> dict[str, float]:
    """The 11 indices of one slice at one frame.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y)``.
    spacing
        ``(dx, dy)`` in mm; ``nan`` where unknown.
    placed
        How the heart lies in the slice; by default the septum is where the RV is, and the slice is seen from
        the apex with x to the right and y down.

    Returns
    -------
    Values by the names in `INDICES`; all ``nan`` without an LV or a spacing, and a wall thickness is ``nan``
    if less than half of its sector has a wall.

    Raises
    ------
    ValueError
        If the spacing is not positive.

    References
    ----------
    Xue et al., Med Image Anal 43:54 (2018), doi:10.1016/j.media.2017.09.005; Gessert and Schlaefer, STACOM
    (2019). Order of dimensions and sectors: lvquan18.github.io.
    """
    known, spacing = _lengths(spacing)
    masks = np.asarray(mask)[None]
    walls = trace_walls(masks, spacing)
    placed = placed or orientation(np.eye(4), walls.mean_septum)
    return (_indices(masks, walls, spacing, placed).iloc[0] * known).to_dict()


def lv_indices(
    mask: Cine, *, ed_frame: int, es_frame: int, slices: Sequence[int] | None = None
) -> pd.DataFrame:
    """The 11 indices and the phase at every frame of the mid-ventricular slices, or of others.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.
    ed_frame, es_frame
        Positions of end-diastole and end-systole on the time axis.
    slices
        Positions of the slices to measure; the mid-ventricular ones by default.

    Returns
    -------
    Table with `INDEX_COLUMNS`, one row per slice and frame; values as in `slice_indices`. Mid-ventricular is
    the middle third of the slices with a closed ring of wall around the LV at end-diastole. The phase is that
    of `cardiac_phases`. The septum of a slice is the mean over the cycle, so that its sectors stand still.

    Raises
    ------
    ValueError
        If a frame is outside the mask.

    References
    ----------
    Cerqueira et al., Circulation 105:539 (2002), doi:10.1161/hc0402.102975 (thirds, closed ring); Xue et al.,
    Med Image Anal 43:54 (2018), doi:10.1016/j.media.2017.09.005.
    """
    frames = np.moveaxis(mask.array, (2, 3), (0, 1))
    phases = cardiac_phases(frames.shape[1], ed_frame=ed_frame, es_frame=es_frame)
    known, spacing = _lengths(mask.spacing[:2])
    at_ed = trace_walls(frames[:, ed_frame], spacing)
    tables = [pd.DataFrame(columns=list(INDEX_COLUMNS))]
    for z in np.flatnonzero(middle_third(ring_slices(at_ed))) if slices is None else slices:
        walls = trace_walls(frames[z], spacing)
        placed = orientation(mask.affine, walls.mean_septum, at_ed.mean_septum)
        values = _indices(frames[z], walls, spacing, placed) * known
        tables.append(values.assign(slice=z, frame=range(len(values)), phase=phases))
    return pd.concat(tables[1:] or tables, ignore_index=True)[list(INDEX_COLUMNS)]


def cardiac_phases(n_frames: int, *, ed_frame: int, es_frame: int) -> list[str]:
    """Phase of every frame: the LV shrinks in systole, up to end-systole, and fills in diastole.

    Parameters
    ----------
    n_frames
        Frames of one cardiac cycle, the first follows the last.
    ed_frame, es_frame
        Positions of end-diastole and end-systole.

    Returns
    -------
    ``systole`` for the frames after end-diastole until end-systole, ``diastole`` for the others.

    Raises
    ------
    ValueError
        If end-diastole or end-systole is outside the cycle.

    References
    ----------
    Xue et al., MICCAI (2017), arXiv:1706.01912.
    """
    for name, frame in (("ed_frame", ed_frame), ("es_frame", es_frame)):
        if not 0 <= frame < n_frames:
            raise ValueError(f"{name} must be from 0 to {n_frames - 1}, got {frame}")
    systole = (es_frame - ed_frame) % n_frames
    since_ed = ((frame - ed_frame) % n_frames for frame in range(n_frames))
    return ["systole" if 0 < frames <= systole else "diastole" for frames in since_ed]


def _lengths(spacing: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """1 and the pixel size in mm, or ``nan`` and pixels as the unit where the size is unknown."""
    dx, dy = spacing
    return (1.0, (dx, dy)) if np.isfinite([dx, dy]).all() else (math.nan, (1.0, 1.0))


def _indices(
    masks: UInt8[np.ndarray, "n x y"], walls: Walls, spacing: tuple[float, float], placed: Orientation
) -> pd.DataFrame:
    """The indices of some masks whose walls were traced."""
    areas = [
        np.count_nonzero(masks == label, axis=(1, 2)) * math.prod(spacing) for label in (Label.LV, Label.MYO)
    ]
    bearing = np.broadcast_to(placed.bearing(ANGLES), walls.thickness_mm.shape)
    columns = (
        *areas,
        *_diameters(walls.endo_mm, placed),
        *sector_means(walls.thickness_mm, bearing, _SECTORS).T,
    )
    table = pd.DataFrame(dict(zip(INDICES, columns, strict=True)))
    table.loc[np.isnan(walls.endo_mm).any(axis=1)] = np.nan
    return table


def _diameters(endo: Float[np.ndarray, "n rays"], placed: Orientation) -> Float[np.ndarray, "3 n"]:
    """Diameters of the cavity along the middle of sectors 1 and 4, 2 and 5, 3 and 6."""
    middles = placed.septum_rad + placed.turn * (np.arange(_SECTORS) + 0.5) * (2 * np.pi / _SECTORS)
    radii = np.array([np.interp(middles, ANGLES, row, period=2 * np.pi) for row in endo]).T
    return radii[: _SECTORS // 2] + radii[_SECTORS // 2 :]
