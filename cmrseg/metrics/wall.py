"""Both borders of the LV wall in a short-axis slice, and how thick the wall is between them.

Rays leave the centroid of the cavity every three degrees. On every ray the outermost cavity pixel gives the
endocardium and the outermost pixel of cavity or wall the epicardium, so papillary muscles and holes inside
belong to the cavity. Only the slow part of both radii around the ring is kept, which brings their error
below the size of a pixel. Thickness at a ray is the mean of two shortest distances: from its endocardial
point to the epicardium and from its epicardial point to the endocardium. Between concentric circles that is
the difference of the radii. Rings and ellipses of known size come out to half a pixel in every sector of 60
degrees, and to a fifth of a pixel on average over the ring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, UInt8
from scipy import ndimage

from cmrseg.labels import Label

N_RAYS = 120
ANGLES = np.arange(N_RAYS) * (2 * np.pi / N_RAYS)
_SAMPLES_PER_PIXEL = 4
_WAVES = (3, 10)  # fewest and most waves around the ring that are kept, half of the radius in pixels between
_RV_GAP = 0.15  # of the epicardial radius: so near must the RV be for the ray to cross the septum


@dataclass(frozen=True)
class Walls:
    """The LV wall in some slices or frames; angles run from +x to +y of the mask, `ANGLES`.

    Attributes
    ----------
    endo_mm, epi_mm
        Distance of both borders from the centroid of the cavity, shape ``(n, rays)``; ``nan`` without cavity.
    thickness_mm
        Wall thickness, shape ``(n, rays)``; ``nan`` where a ray crosses no wall.
    septum
        Mean direction of the rays that cross wall and then RV, as a complex number whose size is their share,
        shape ``(n,)``; 0 without an RV.
    """

    endo_mm: Float[np.ndarray, "n rays"]
    epi_mm: Float[np.ndarray, "n rays"]
    thickness_mm: Float[np.ndarray, "n rays"]
    septum: Complex[np.ndarray, " n"]

    @property
    def mean_septum(self) -> complex:
        """Mean over the slices or frames that show an RV, 0 without any."""
        return complex(self.septum.sum() / max(np.count_nonzero(self.septum), 1))


def trace_walls(masks: UInt8[np.ndarray, "n x y"], spacing: tuple[float, float]) -> Walls:
    """Borders and thickness of the LV wall in every mask.

    Parameters
    ----------
    masks
        `Label` ids, shape ``(n, x, y)``. of several left ventricles that with the largest cavity counts.
    spacing
        ``(dx, dy)`` in mm, or 1 for lengths in pixels.

    Returns
    -------
    Lengths in mm along `N_RAYS` rays.

    Raises
    ------
    ValueError
        If the spacing is not positive.

    References
    ----------
    Sheehan et al., Circulation 74:293 (1986), doi:10.1161/01.CIR.74.2.293: the centre-line method, which this
    comes close to without drawing a centre line.
    """
    if not min(spacing) > 0:
        raise ValueError(f"spacing must be positive (mm), got {spacing}")
    step = min(spacing) / _SAMPLES_PER_PIXEL
    rays = _along_rays(_cropped(masks), spacing, step)
    cavity = rays == Label.LV
    endo, epi = (_outermost(inside, step) for inside in (cavity, cavity | (rays == Label.MYO)))
    walled = epi - endo > min(spacing) / 2
    smooth_endo, smooth_epi = (
        _smooth(radius, min(spacing)) for radius in (endo, _bridged(endo, epi, walled))
    )
    thickness = _thickness(smooth_endo, smooth_epi, walled)
    return Walls(smooth_endo, smooth_epi, thickness, _septum(rays, epi, walled, step))


def sector_means(
    values: Float[np.ndarray, "n rays"], bearing: Float[np.ndarray, "n rays"], n_sectors: int
) -> Float[np.ndarray, "n sectors"]:
    """Mean over every sector of the circle.

    Parameters
    ----------
    values
        One value per ray, ``nan`` where there is none.
    bearing
        Angle of every ray from the border of the first sector, in radians.
    n_sectors
        Number of equal sectors.

    Returns
    -------
    Means, shape ``(n, n_sectors)``; ``nan`` where less than half of the rays of a sector have a value.
    """
    sector = np.floor(bearing * n_sectors / (2 * np.pi) + 1e-9).astype(int) % n_sectors
    member = sector[..., None] == np.arange(n_sectors)
    known = np.isfinite(values)[..., None] & member
    count = known.sum(axis=1)
    total = np.where(known, values[..., None], 0.0).sum(axis=1)
    enough = count * 2 >= np.maximum(member.sum(axis=1), 1)
    return np.where(enough, total / np.maximum(count, 1), np.nan)


def _cropped(masks: np.ndarray) -> np.ndarray:
    """Masks cut to the left ventricle and what lies just behind its wall, with a border of background."""
    ventricle = (masks == Label.LV) | (masks == Label.MYO)
    box = ndimage.find_objects(ventricle.any(axis=0).astype(np.uint8))
    if not box:
        return np.zeros((len(masks), 3, 3), np.uint8)
    margins = [int(_RV_GAP * (side.stop - side.start)) + 1 for side in box[0]]
    wider = (slice(max(s.start - m, 0), s.stop + m) for s, m in zip(box[0], margins, strict=True))
    return np.pad(masks[(slice(None), *wider)], ((0, 0), (1, 1), (1, 1)))


def _along_rays(masks: np.ndarray, spacing: tuple[float, float], step: float) -> np.ndarray:
    """Labels along every ray, shape ``(n, rays, samples)``; without a cavity all background."""
    pieces = [_one_piece(mask) for mask in masks]
    centres = np.array([_centroid(mask) for mask in pieces])
    corner = np.fmax(centres, np.array(masks.shape[1:]) - 1 - centres) * spacing
    far = np.nanmax(np.hypot(*corner.T), initial=step)
    radii = (np.arange(far / step) + 0.5) * step
    offsets = [
        wave[:, None] * radii / s for wave, s in zip((np.cos(ANGLES), np.sin(ANGLES)), spacing, strict=True)
    ]
    rays = np.zeros((len(masks), N_RAYS, radii.size), np.uint8)
    for i in np.flatnonzero(np.isfinite(centres).all(axis=1)):
        x, y = (
            np.clip(np.rint(offset + centre), 0, n - 1).astype(np.intp)
            for offset, centre, n in zip(offsets, centres[i], masks.shape[1:], strict=True)
        )
        rays[i] = pieces[i][x, y]
    return rays


def _centroid(mask: np.ndarray) -> tuple[float, float]:
    """Mean position of the cavity in pixels, ``nan`` without one."""
    x, y = np.nonzero(mask == Label.LV)
    return (x.mean(), y.mean()) if x.size else (np.nan, np.nan)


def _one_piece(mask: np.ndarray) -> np.ndarray:
    """The mask without pieces of the left ventricle other than that with the largest cavity."""
    cavity = mask == Label.LV
    ventricle = cavity | (mask == Label.MYO)
    pieces, count = ndimage.label(ventricle)
    if count < 2 or not cavity.any():
        return mask
    largest = np.bincount(pieces[cavity]).argmax()
    return np.where(ventricle & (pieces != largest), Label.BACKGROUND, mask)


def _outermost(inside: np.ndarray, step: float) -> np.ndarray:
    """Radius in mm at which every ray leaves a region for good, ``nan`` where it never meets it."""
    samples = inside.shape[-1] - inside[..., ::-1].argmax(axis=-1)
    return np.where(inside.any(axis=-1), samples * step, np.nan)


def _bridged(endo: np.ndarray, epi: np.ndarray, walled: np.ndarray) -> np.ndarray:
    """The epicardium, carried on over gaps of the wall, whose edges smoothing would spread."""
    count = np.maximum(walled.sum(axis=-1, keepdims=True), 1)
    mean = np.where(walled, epi - endo, 0.0).sum(axis=-1, keepdims=True) / count
    return np.where(walled, epi, endo + mean)


def _smooth(radius: np.ndarray, pixel: float) -> np.ndarray:
    """Radii without the steps of the pixels."""
    spectrum = np.fft.rfft(radius, axis=-1)
    kept = np.clip(radius.mean(axis=-1, keepdims=True) / pixel / 2, *_WAVES)
    return np.fft.irfft(spectrum * (np.arange(spectrum.shape[-1]) <= kept), N_RAYS, axis=-1)


def _thickness(endo: np.ndarray, epi: np.ndarray, walled: np.ndarray) -> np.ndarray:
    """Mean of the distances from border to border, ``nan`` where there is no wall."""
    inner, outer = (np.where(walled, radius * np.exp(1j * ANGLES), np.nan) for radius in (endo, epi))
    pairs = zip(inner, outer, strict=True)  # the distances of one slice fit into the cache
    return np.array([(_distance(i, o) + _distance(o, i)) / 2 for i, o in pairs]).reshape(endo.shape)


def _distance(points: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Shortest distance of complex points to a closed polygon, of which ``nan`` sides are left out."""
    side = np.roll(border, -1) - border
    offset = points[:, None] - border
    along = np.clip((offset * side.conj()).real / np.maximum(abs(side) ** 2, 1e-12), 0, 1)
    return np.fmin.reduce(abs(offset - along * side), axis=1)


def _septum(rays: np.ndarray, epi: np.ndarray, walled: np.ndarray, step: float) -> np.ndarray:
    """Mean direction of the rays that meet the RV just behind the wall."""
    right = rays == Label.RV
    first = right.argmax(axis=-1) * step
    with np.errstate(invalid="ignore"):
        near = right.any(axis=-1) & walled & (abs(first - epi) < _RV_GAP * epi)
    return (near * np.exp(1j * ANGLES)).mean(axis=-1)
