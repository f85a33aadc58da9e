"""Short-axis masks of rings whose sizes are known, in mm."""

import numpy as np

from cmrseg.cine import Cine
from cmrseg.labels import Label

# Columns to the left, rows down, slices from base to apex: how a scanner stores a short-axis stack.
SHORT_AXIS = np.array(
    [[-0.70, 0.33, -0.65, 0.0], [-0.71, -0.33, 0.60, 0.0], [0.0, -0.88, -0.47, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
LOST = np.eye(4)


def ring(endo, epi, *, spacing=(1.0, 1.0), centre=(0.0, 0.0), epi_centre=None, size=96, rv_deg=None):
    """Mask ``(x, y)`` of circles, or of ellipses where a radius is a pair, around a centre in mm.

    ``rv_deg`` is the direction of the middle of an RV that lies against the wall, from +x to +y.
    """
    x, y = (((np.arange(size) - (size - 1) / 2) * side) for side in spacing)
    x, y = x[:, None], y[None, :]
    mask = np.zeros((size, size), np.uint8)
    epi_centre = centre if epi_centre is None else epi_centre
    if rv_deg is not None:
        angle = np.rad2deg(np.arctan2(y - epi_centre[1], x - epi_centre[0]))
        beside = abs((angle - rv_deg + 180) % 360 - 180) < 60
        mask[_inside(x, y, np.add(epi, 12), epi_centre) & beside] = Label.RV
    mask[_inside(x, y, epi, epi_centre)] = Label.MYO
    mask[_inside(x, y, endo, centre)] = Label.LV
    return mask


def stack(slices, *, affine=SHORT_AXIS, spacing=(1.0, 1.0, 8.0), frames=None):
    """Mask of a study from a list of slices, or from one list per frame."""
    frames = [slices] if frames is None else frames
    array = np.stack([np.stack(each, axis=-1) for each in frames], axis=-1)
    scaled = affine * np.array([*spacing, 1.0])
    return Cine(array, spacing, np.nan_to_num(scaled, nan=1.0))


def _inside(x, y, radii, centre):
    a, b = np.broadcast_to(radii, 2)
    return ((x - centre[0]) / a) ** 2 + ((y - centre[1]) / b) ** 2 < 1
