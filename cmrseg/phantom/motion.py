"""How the ventricles move over the cycle: contraction, base plane, and sizes that give the wanted volumes."""

from __future__ import annotations

import math

import numpy as np

from cmrseg.phantom.spec import PhantomSpec

MM3_PER_ML = 1000.0
_EARLY_FILLING = 0.75  # share of the filling before the atria contract
_EARLY_END, _ATRIAL_START = 0.5, 0.72  # of diastole


def half_ellipsoid_volume_ml(radius_mm: float, length_mm: float, base_fraction: float = 0.0) -> float:
    """Closed form of the LV cavity: an ellipsoid of revolution, cut off by the base plane.

    Parameters
    ----------
    radius_mm
        Short semi-axis (area-equivalent, where the cross-section is not a circle).
    length_mm
        Base plane to apex.
    base_fraction
        Base plane above the equator, as a fraction of the long semi-axis; 0 is half an ellipsoid.

    Returns
    -------
    Volume in ml.

    Raises
    ------
    ValueError
        If a length is not positive, or the base plane is outside the ellipsoid.
    """
    if min(radius_mm, length_mm) <= 0:
        raise ValueError(f"radius and length must be positive (mm), got {radius_mm} mm and {length_mm} mm")
    if not -1 < base_fraction <= 1:
        raise ValueError(f"base_fraction must be in (-1, 1] of the long semi-axis, got {base_fraction}")
    semi_axis = length_mm / (1 + base_fraction)
    shape = 2 / 3 + base_fraction - base_fraction**3 / 3
    return math.pi * radius_mm**2 * semi_axis * shape / MM3_PER_ML


def contraction(spec: PhantomSpec) -> np.ndarray:
    """Contraction at every frame, 0 at end-diastole and 1 at end-systole, shape ``(t,)``."""
    frame = np.arange(spec.n_frames)
    systole = frame / spec.es_frame
    diastole = np.clip((frame - spec.es_frame) / (spec.n_frames - spec.es_frame), 0, 1)
    filled = _EARLY_FILLING * _smooth_step(diastole / _EARLY_END)
    filled += (1 - _EARLY_FILLING) * _smooth_step((diastole - _ATRIAL_START) / (1 - _ATRIAL_START))
    return np.where(frame <= spec.es_frame, _smooth_step(systole), 1 - filled)


def base_heights_mm(spec: PhantomSpec) -> np.ndarray:
    """Height of the base plane above the apex at every frame, shape ``(t,)``."""
    return spec.lv_length_mm * (1 - spec.lv_shortening_percent / 100 * contraction(spec))


def slice_weights(spec: PhantomSpec) -> np.ndarray:
    """Quadrature weights of the slices: how much of each counts as ventricle, shape ``(z, t)``.

    At end-diastole and end-systole the weights are 0 or 1, so that counted volumes are the wanted ones.
    Between them they go half-way with the base plane itself: counting every slice whole would make the
    heart jump when a slice leaves it, following the plane would let counted mass stray.
    """
    depth = (base_heights_mm(spec) - spec.slice_heights_mm[:, None]) / spec.slice_spacing_mm
    counted = (depth > 0).astype(float)
    excess = counted - np.clip(depth + 0.5, 0, 1)
    phase = contraction(spec)
    at_ends = (1 - phase) * excess[:, :1] + phase * excess[:, [spec.es_frame]]
    return counted + (at_ends - excess) / 2


def cavity_radii_mm(spec: PhantomSpec) -> np.ndarray:
    """Area-equivalent radius of the LV cavity, shape ``(z, t)``; it goes on above the base plane."""
    semi_axis = base_heights_mm(spec) / (1 + spec.base_fraction)
    profile = np.clip(1 - (spec.slice_heights_mm[:, None] / semi_axis - 1) ** 2, 0, None)
    volume = (spec.edv_ml - spec.stroke_volume_ml * contraction(spec)) * MM3_PER_ML
    areas = (slice_weights(spec) * profile).sum(0) * spec.slice_spacing_mm
    return np.sqrt(profile * volume / (np.pi * areas))


def layer_volume_ml(inner: np.ndarray, thickness: np.ndarray, spec: PhantomSpec) -> np.ndarray:
    """Volume between contours ``inner`` and ``inner + thickness`` (mm, ``(z, t, angle)``), shape ``(t,)``."""
    linear, square = _layer_terms(inner, thickness, spec)
    return (linear + square) / MM3_PER_ML


def layer_scale(
    inner: np.ndarray, thickness: np.ndarray, volume_ml: np.ndarray, spec: PhantomSpec
) -> np.ndarray:
    """Factor on ``thickness`` that gives the layer around ``inner`` the wanted volumes, shape ``(t,)``.

    The area between two star-shaped contours is quadratic in the distance between them.
    """
    linear, square = _layer_terms(inner, thickness, spec)
    return (np.sqrt(linear**2 + 4 * square * volume_ml * MM3_PER_ML) - linear) / (2 * square)


def _layer_terms(
    inner: np.ndarray, thickness: np.ndarray, spec: PhantomSpec
) -> tuple[np.ndarray, np.ndarray]:
    """Volume of a layer (mm3), apart by its power of the thickness, each ``(t,)``."""
    weights = slice_weights(spec) * spec.slice_spacing_mm * 2 * np.pi
    linear = (weights * (inner * thickness).mean(-1)).sum(0)
    return linear, (weights * (thickness**2).mean(-1)).sum(0) / 2


def _smooth_step(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, half a cosine between."""
    return (1 - np.cos(np.pi * np.clip(x, 0, 1))) / 2
