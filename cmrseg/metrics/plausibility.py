"""What a mask shows by itself, without a reference: loose pieces, holes, open rings, cut ends, moving mass.

All measures are relative or in pixels, so that none needs a spacing. What a number means is said by
`cmrseg.examination.trust`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from cmrseg.arrays import CineLabels, Curve
from cmrseg.labels import Label
from cmrseg.metrics.cycle import MIN_FRAMES, smooth_cycle

PerImage = Int[np.ndarray, "z t"]
_DIAGONALS = np.ones((3, 3), bool)
_CANCELS_SLOPES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_MID_SHARE = 0.5  # of the largest slice
_MOVES = 0.25  # of the largest area: less is no clear systole
_REPEATED = 0.7  # correlation of a beat with the next one
_MEDIAN_OF_NORMAL = 0.6745  # median of the absolute value, in standard deviations


@dataclass(frozen=True)
class Pieces:
    """How one structure falls apart, image by image.

    Attributes
    ----------
    pixels
        Size of the structure, shape ``(z, t)``.
    count
        Connected pieces in the plane, diagonals included.
    loose
        Pixels outside the largest piece.
    holes
        Pixels that it encloses without being part of it.
    """

    pixels: PerImage
    count: PerImage
    loose: PerImage
    holes: PerImage

    @property
    def fault(self) -> PerImage:
        """Loose pixels and holes together."""
        return self.loose + self.holes


def heart_box(mask: CineLabels, *, margin: int = 2) -> tuple[slice, slice]:
    """The part of the plane that holds every structure.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.
    margin
        Pixels left free around it where the image allows.

    Returns
    -------
    Ranges along x and y; of an empty mask the whole plane.
    """
    seen = np.any(mask, axis=(2, 3))
    along_x, along_y = (_range(seen.any(axis=axis), margin) for axis in (1, 0))
    return along_x, along_y


def _range(seen: Bool[np.ndarray, " n"], margin: int) -> slice:
    """From the first to the last place that is true, and a margin."""
    where = np.flatnonzero(seen)
    return (
        slice(max(0, where[0] - margin), min(len(seen), where[-1] + 1 + margin))
        if where.size
        else slice(None)
    )


def pieces(structure: Bool[np.ndarray, "x y z t"]) -> Pieces:
    """Connected pieces and holes of a structure in every image.

    Parameters
    ----------
    structure
        Its pixels, shape ``(x, y, z, t)``. For the myocardium pass LV and MYO together, or the cavity is a
        hole.

    Returns
    -------
    Numbers per image, shape ``(z, t)``.
    """
    found = np.zeros((4, *structure.shape[2:]), int)
    for z, t in np.ndindex(structure.shape[2:]):
        plane = structure[:, :, z, t]
        if plane.any():
            labelled, n = ndimage.label(plane, _DIAGONALS)
            sizes = np.bincount(labelled.ravel())[1:]
            found[:, z, t] = sizes.sum(), n, sizes.sum() - sizes.max(), _hole_pixels(plane)
    return Pieces(*found)


def _hole_pixels(plane: Bool[np.ndarray, "x y"]) -> int:
    """Pixels outside a structure that cannot reach the border of the image."""
    outside, _ = ndimage.label(np.pad(~plane, 1, constant_values=True))
    return int(np.count_nonzero(outside > 1))  # the border is met first and gets 1


def exposed_share(mask: CineLabels) -> Float[np.ndarray, "z t"]:
    """Share of the LV's outline that does not touch myocardium.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.

    Returns
    -------
    From 0 (closed ring) to 1 (no myocardium), shape ``(z, t)``; nan without LV. Outline is counted in edges
    of pixels; the border of the image counts as background.
    """
    padded = np.pad(mask, ((1, 1), (1, 1), (0, 0), (0, 0)))
    lv, open_side = padded == Label.LV, (padded != Label.LV) & (padded != Label.MYO)
    outline, exposed = np.zeros((2, *mask.shape[2:]), int)
    for axis in (0, 1):
        for shift in (-1, 1):
            outline += np.count_nonzero(lv & ~np.roll(lv, shift, axis), axis=(0, 1))
            exposed += np.count_nonzero(lv & np.roll(open_side, shift, axis), axis=(0, 1))
    with np.errstate(invalid="ignore"):
        return np.where(outline > 0, exposed / outline, np.nan)


def gaps(areas: PerImage) -> PerImage:
    """Images without a structure although it is in slices on both sides, at the same time.

    Parameters
    ----------
    areas
        Pixels of the structure, shape ``(z, t)``.

    Returns
    -------
    1 in a gap, else 0, shape ``(z, t)``.
    """
    present = areas > 0
    below = np.maximum.accumulate(present, axis=0)
    above = np.maximum.accumulate(present[::-1], axis=0)[::-1]
    return (below & above & ~present).astype(int)


def curve_deviation(curve: Curve) -> Curve:
    """How far the volume of every frame is from the smoothed curve.

    Parameters
    ----------
    curve
        Volumes or voxel counts over the cycle, shape ``(t,)``.

    Returns
    -------
    Volume minus smoothed volume, in % of the largest smoothed volume, shape ``(t,)``; 0 for an empty curve.
    """
    smooth = smooth_cycle(curve)
    return 100 * (curve - smooth) / smooth.max() if curve.any() else np.zeros(len(curve))


def count_minima(curve: Curve, *, prominence: float = 0.1) -> int:
    """Number of minima of a smoothed volume curve over one cycle; a heart contracts once.

    Parameters
    ----------
    curve
        Volumes or voxel counts over the cycle, shape ``(t,)``.
    prominence
        How far the curve has to rise on both sides, as a share of its range.
    """
    smooth = smooth_cycle(curve)
    height = max(prominence * np.ptp(smooth), 1e-9)
    from_top = np.roll(smooth, -smooth.argmax())
    count, falls, turn = 0, False, from_top[0]  # turn: the lowest value since it falls, else the highest
    for volume in (*from_top[1:], from_top[0]):
        turn = min(turn, volume) if falls else max(turn, volume)
        if abs(volume - turn) >= height:
            count, falls, turn = count + falls, not falls, volume
    return count


def shows_several_beats(areas: PerImage) -> bool:
    """Whether the LV contracts more than once in most slices, each time in the same way.

    Slices are looked at one by one, because beats of slices that were not measured together cancel out in the
    sum. Noise makes minima too, but does not repeat itself.

    Parameters
    ----------
    areas
        Pixels of the LV, shape ``(z, t)``.
    """
    mid = areas[_are_mid(areas)]
    if not len(mid) or areas.shape[1] < MIN_FRAMES:
        return False
    repeated = [count_minima(area) > 1 and _self_similarity(smooth_cycle(area)) > _REPEATED for area in mid]
    return 2 * sum(repeated) > len(repeated)


def systole_delays(areas: PerImage) -> Float[np.ndarray, " slices"]:
    """How far from the usual time of the cycle slices are smallest, as shares of the cycle.

    Parameters
    ----------
    areas
        Pixels of the LV, shape ``(z, t)``.

    Returns
    -------
    From 0 to 0.5, for the slices that are large enough and move enough to tell.
    """
    curves = np.array([smooth_cycle(area) for area in areas[_are_mid(areas)]]).reshape(-1, areas.shape[1])
    moving = curves[np.ptp(curves, axis=1) >= _MOVES * curves.max(axis=1)]
    if not len(moving):
        return np.empty(0)
    frames, smallest = areas.shape[1], moving.argmin(axis=1)
    apart = abs(smallest - np.arange(frames)[:, None])
    apart = np.minimum(apart, frames - apart)
    return apart[apart.sum(axis=1).argmin()] / frames


def _are_mid(areas: PerImage) -> Bool[np.ndarray, " z"]:
    """Slices with LV that are not much smaller than the largest."""
    largest = areas.max(axis=1, initial=0)
    return (largest > 0) & (largest >= _MID_SHARE * largest.max(initial=0))


def _self_similarity(curve: Curve) -> float:
    """Largest correlation of a curve with itself, a third to a half of its length later."""
    n = len(curve)
    shifts = range(n // 3, n // 2 + 1)
    with np.errstate(invalid="ignore"):
        return max(float(np.corrcoef(curve[:-shift], curve[shift:])[0, 1]) for shift in shifts)


def variation(curve: Curve) -> float:
    """Standard deviation over mean, in %; nan if the mean is 0."""
    mean = float(np.mean(curve))
    return 100 * float(np.std(curve)) / mean if mean > 0 else np.nan


def tissue_contrast(image: Float[np.ndarray, "..."], mask: Int[np.ndarray, "..."]) -> float:
    """How much brighter blood is than myocardium, from 0 (equal) to 1 (black myocardium).

    Parameters
    ----------
    image, mask
        Intensities from 0 on and `Label` ids, of the same shape.

    Returns
    -------
    ``(blood - myocardium) / blood`` of the medians; nan where one of them is missing.
    """
    blood, muscle = image[mask == Label.LV], image[mask == Label.MYO]
    if not (blood.size and muscle.size) or np.median(blood) <= 0:
        return np.nan
    return float(1 - np.median(muscle) / np.median(blood))


def noise_level(image: Float[np.ndarray, "x y z t"], inside: Bool[np.ndarray, "x y z t"]) -> float:
    """Standard deviation of the noise, from what a mask that cancels slopes leaves of the image.

    Parameters
    ----------
    image
        Intensities, shape ``(x, y, z, t)``.
    inside
        Where to measure, the same shape.

    Returns
    -------
    In the unit of the image; nan if nothing is inside. The median is taken, so that edges do not count.

    References
    ----------
    Immerkaer, Comput Vis Image Underst 64:300 (1996), doi:10.1006/cviu.1996.0060.
    """
    if not inside.any():
        return np.nan
    left = ndimage.convolve(image.astype(np.float32), _CANCELS_SLOPES[:, :, None, None])
    return float(np.median(np.abs(left[inside]))) / (
        _MEDIAN_OF_NORMAL * float(np.linalg.norm(_CANCELS_SLOPES))
    )
