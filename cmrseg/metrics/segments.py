"""Wall thickness and thickening in the segments of the American Heart Association.

Levels are the thirds of the slices with a closed ring of wall, as the ventricle stands in the frame: at
end-systole it is shorter and has thirds of its own. Basal and mid levels have six segments of 60 degrees,
of which the two septal ones meet in the middle of the arc on which the RV lies against the wall; the apical
level has four of 90 degrees. Segment 17, the apical cap, has no cavity and is not measured in short-axis
slices.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from cmrseg.cine import Cine
from cmrseg.metrics.orientation import base_first, orientation
from cmrseg.metrics.wall import ANGLES, Walls, sector_means, trace_walls

SEGMENT_COLUMNS = ("segment", "name", "level", "ed_mm", "es_mm", "thickening_percent")
LEVELS = ("basal", "mid", "apical")
_SIX = ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")
_FOUR = ("anterior", "septal", "inferior", "lateral")
SEGMENTS = tuple(
    (f"{level} {wall}", level)
    for level, walls in zip(LEVELS, (_SIX, _SIX, _FOUR), strict=True)
    for wall in walls
)
# Sectors are counted from mid-septum to the inferior wall, segments from the anterior wall to the septum.
_SIX_FROM_ANTERIOR = (4, 5, 0, 1, 2, 3)
_FOUR_FROM_ANTERIOR = (3, 0, 1, 2)
_CLOSED = 0.9  # share of the rays that must cross the wall of a closed ring


def aha_segments(mask: Cine, *, ed_frame: int, es_frame: int) -> pd.DataFrame:
    """Mean wall thickness of 16 segments at end-diastole and end-systole, and how much they thicken.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``; slices may run either way.
    ed_frame, es_frame
        Positions of end-diastole and end-systole on the time axis.

    Returns
    -------
    Table with `SEGMENT_COLUMNS`, one row per segment 1 to 16; ``nan`` where no slice shows the segment or the
    pixel size is unknown. Thickening is the change in percent of the thickness at end-diastole and does not
    need the pixel size.

    Raises
    ------
    ValueError
        If a frame is outside the mask.

    References
    ----------
    Cerqueira et al., Circulation 105:539 (2002), doi:10.1161/hc0402.102975.
    """
    for name, frame in (("ed_frame", ed_frame), ("es_frame", es_frame)):
        if not 0 <= frame < mask.array.shape[3]:
            raise ValueError(f"{name} must be from 0 to {mask.array.shape[3] - 1}, got {frame}")
    known = np.isfinite(mask.spacing[:2]).all()
    spacing = mask.spacing[:2] if known else (1.0, 1.0)
    forward = base_first(mask)
    ed, es = (_thicknesses(mask, frame, spacing, forward=forward) for frame in (ed_frame, es_frame))
    unit = 1.0 if known else np.nan
    names, levels = zip(*SEGMENTS, strict=True)
    columns = (range(1, len(SEGMENTS) + 1), names, levels, ed * unit, es * unit, 100 * (es - ed) / ed)
    return pd.DataFrame(dict(zip(SEGMENT_COLUMNS, columns, strict=True)))


def ring_slices(walls: Walls) -> Bool[np.ndarray, " z"]:
    """Which slices of a stack show a closed ring of wall; where none does, those that show a cavity.

    Parameters
    ----------
    walls
        Of every slice in one frame.

    Returns
    -------
    Shape ``(z,)``.
    """
    closed = np.isfinite(walls.thickness_mm).mean(axis=1) >= _CLOSED
    return closed if closed.any() else np.isfinite(walls.endo_mm).all(axis=1)


def middle_third(held: Bool[np.ndarray, " z"]) -> Bool[np.ndarray, " z"]:
    """The middle third of the slices that hold something, at least one of them if there is any."""
    away = abs(_positions(held) - 0.5)
    return held & (away <= max(1 / 6 + 1e-9, away[held].min(initial=1.0)))


def _positions(held: np.ndarray) -> np.ndarray:
    """Place of every slice between the first (0) and the last (1) that hold something, ``nan`` outside."""
    places = np.full(held.size, np.nan)
    places[held] = (np.arange(held.sum()) + 0.5) / max(held.sum(), 1)
    return places


def _thicknesses(
    mask: Cine, frame: int, spacing: tuple[float, float], *, forward: bool
) -> Float[np.ndarray, " segments"]:
    """Mean thickness of every segment in one frame."""
    slices = np.moveaxis(mask.array[..., frame], 2, 0)
    walls = trace_walls(slices if forward else slices[::-1], spacing)
    bearing = _bearings(mask, walls)
    six = sector_means(walls.thickness_mm, bearing, 6)[:, _SIX_FROM_ANTERIOR]
    four = sector_means(walls.thickness_mm, np.mod(bearing + np.pi / 4, 2 * np.pi), 4)[:, _FOUR_FROM_ANTERIOR]
    third = np.floor(3 * _positions(ring_slices(walls)))
    return np.concatenate([_mean(values[third == level]) for level, values in enumerate((six, six, four))])


def _bearings(mask: Cine, walls: Walls) -> Float[np.ndarray, "z rays"]:
    """Bearing of every ray in every slice, from its own septum or else that of the stack."""
    placed = [orientation(mask.affine, own, walls.mean_septum) for own in walls.septum]
    return np.stack([each.bearing(ANGLES) for each in placed])


def _mean(values: Float[np.ndarray, "z sectors"]) -> Float[np.ndarray, " sectors"]:
    """Mean over the slices that have a value, ``nan`` where none has."""
    count = np.isfinite(values).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)
