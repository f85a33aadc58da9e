"""Where the septum, the inferior wall and the base lie in a short-axis mask.

The RV shows the septum. Which way round the inferior wall follows, and which end of the stack is the base,
comes from the affine if its slices are cut like short-axis slices of a heart; a header that lost the
orientation (axial or coronal slices) is not believed. The slices are then taken as seen from the apex with
x to the right and y down, which is how scanners store them: with the septum on the left the inferior wall
is below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cmrseg.cine import Cine

# Scanner coordinates (to the right, anterior, superior) of a heart in the chest.
_TO_APEX = np.array([-0.65, 0.60, -0.47]) / math.hypot(0.65, 0.60, 0.47)
_TO_SEPTUM = np.array([0.70, 0.71, 0.0])
_SUPPORT = 0.1  # share of the rays around the LV that must meet the RV to show the septum
_BELIEVED_DEG = 45.0  # largest angle between the normal of the slices and the usual long axis


@dataclass(frozen=True)
class Orientation:
    """How the heart lies in the slices of a stack.

    Attributes
    ----------
    septum_rad
        Angle from the centre of the LV to the middle of the septum, from +x to +y of the mask.
    turn
        1 if the inferior wall follows the septum in the sense from +x to +y, -1 in the other.
    """

    septum_rad: float = math.pi
    turn: int = -1

    def bearing(self, angles: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Angles counted from mid-septum towards the inferior wall, in radians from 0 to 2 pi."""
        return np.mod(self.turn * (angles - self.septum_rad), 2 * np.pi)


def orientation(affine: Float[np.ndarray, "4 4"], *septa: complex) -> Orientation:
    """Orientation of the slices of a stack.

    Parameters
    ----------
    affine
        Voxel index to scanner coordinates (mm), NIfTI convention.
    *septa
        Directions of the septum, the preferred first, see `Walls`. The first counts that at least a tenth of
        the circle supports; without one the usual place of the septum in the chest is taken.

    Returns
    -------
    Orientation in the plane of the mask.
    """
    columns = _unit_columns(affine)
    believed = _is_short_axis(columns)
    turn = int(np.sign(_normal(columns) @ _TO_APEX)) if believed else -1
    usual = complex(*(_TO_SEPTUM @ columns[:, :2])) if believed else -1 + 0j
    septum = next((seen for seen in septa if abs(seen) >= _SUPPORT), usual)
    return Orientation(float(np.angle(septum)), turn)


def base_first(mask: Cine, frame: int | None = None) -> bool:
    """Whether the slices run from base to apex.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.
    frame
        The frame to look at, by default all of them.

    Returns
    -------
    From the affine if that is believed; otherwise the base is where the larger slices of the heart are, by
    the centre of their areas.
    """
    columns = _unit_columns(mask.affine)
    if _is_short_axis(columns):
        return bool(columns[:, 2] @ _TO_APEX > 0)
    frames = slice(None) if frame is None else slice(frame, frame + 1)
    area = np.count_nonzero(mask.array[..., frames], axis=(0, 1, 3))
    held = np.flatnonzero(area)
    return not held.size or bool(np.average(held, weights=area[held]) <= (held[0] + held[-1]) / 2)


def _unit_columns(affine: np.ndarray) -> np.ndarray:
    """Directions of the axes of the mask in scanner coordinates, as columns."""
    columns = np.asarray(affine, float)[:3, :3]
    return columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-12)


def _normal(columns: np.ndarray) -> np.ndarray:
    """Normal of the slices, from x to y."""
    return np.cross(columns[:, 0], columns[:, 1])


def _is_short_axis(columns: np.ndarray) -> bool:
    """Whether the slices stand across the usual long axis of the heart."""
    return bool(abs(_normal(columns) @ _TO_APEX) > math.cos(math.radians(_BELIEVED_DEG)))
