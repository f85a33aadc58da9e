"""The heart as contours around the LV axis: radii in mm by slice, frame and angle, and labels from them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import gaussian_filter1d

from cmrseg.labels import Label
from cmrseg.phantom.motion import (
    base_heights_mm,
    cavity_radii_mm,
    contraction,
    layer_scale,
    layer_volume_ml,
)
from cmrseg.phantom.spec import PhantomSpec

N_ANGLES = 720
SEPTUM_DEG = 180.0  # direction from the LV axis to the middle of the septum, before rotation
# Angle is clockwise on screen (x to the right, y down), 0 at the lateral wall.
ANGLES_DEG = np.arange(N_ANGLES) * (360.0 / N_ANGLES)


@dataclass(frozen=True)
class HeartShape:
    """Proportions that all subjects share.

    Attributes
    ----------
    apical_cap
        Myocardium below the cavity, as a fraction of the mean wall thickness.
    apical_thinning
        How much thinner the wall is at the apex.
    rv_apex
        Height of the lowest RV, as a fraction of the LV length.
    rv_half_width_deg, rv_apical_half_width_deg
        Angle from mid septum to the insertions of the RV, at the base and at the RV apex.
    rv_outflow
        How much the RV leans towards the anterior insertion.
    rv_flatness, rv_fullness
        Exponents of the crescent: the higher the first, the flatter the free wall; the lower the second, the
        more it bulges at the insertions.
    rv_wall_mm, atrial_wall_mm
        Thickness of the walls that no label has.
    fat_mm, lateral_fat, fat_variation, fat_patch_deg
        Epicardial fat on the side of the RV, its share at the lateral wall, and how patchy it is.
    groove_deg, pericardium
        Smoothing that fills the grooves with fat, and how much of the place of the contracting RV it takes.
    papillary_deg, papillary_depth, papillary_share, papillary_heights
        Angles of both muscles, their centre and largest size as fractions of the radius, their extent along
        the long axis.
    trabeculae, apical_trabeculae, trabecula_deg
        Depth of the trabeculae at the base and at the apex, as a fraction of the radius; width of single
        ones and of groups.
    """

    apical_cap: float = 0.9
    apical_thinning: float = 0.15
    rv_apex: float = 0.13
    rv_half_width_deg: float = 80.0
    rv_apical_half_width_deg: float = 50.0
    rv_outflow: float = 0.3
    rv_flatness: float = 2.6
    rv_fullness: float = 0.85
    rv_wall_mm: float = 2.5
    atrial_wall_mm: float = 2.0
    fat_mm: float = 5.0
    lateral_fat: float = 0.35
    fat_variation: float = 0.6
    fat_patch_deg: float = 15.0
    groove_deg: float = 14.0
    pericardium: float = 0.7
    papillary_deg: tuple[float, float] = (-48.0, 58.0)
    papillary_depth: float = 0.72
    papillary_share: float = 0.25
    papillary_heights: tuple[float, float] = (0.18, 0.72)
    trabeculae: float = 0.05
    apical_trabeculae: float = 0.24
    trabecula_deg: tuple[float, float] = (3.5, 16.0)


HEART_SHAPE = HeartShape()


@dataclass(frozen=True)
class Heart:
    """Contours of one subject.

    Attributes
    ----------
    endo, epi, rv
        Radii in mm around `centre_mm`, shape ``(z, t, angle)``; ``rv`` equals ``epi`` away from the RV.
    blood, rv_blood, thin, wall, outline
        What only the picture shows: blood between trabeculae, atrial wall, outer border of the muscle and
        of the fat around it.
    ventricle
        Share of every slice below the base plane, shape ``(z, t)``; labels need one half.
    centre_mm
        LV axis in every slice, in image coordinates (mm from the image centre), shape ``(z, 2)``.
    slope_mm
        Blur of the inner and of the outer border by the slope of the wall in a slice, ``(z, 2, t)``.
    papillaries
        ``(x, y, radius)`` mm of both papillary muscles, in heart coordinates, shape ``(z, 2, 3, t)``.
    """

    endo: np.ndarray
    epi: np.ndarray
    rv: np.ndarray
    blood: np.ndarray
    rv_blood: np.ndarray
    thin: np.ndarray
    wall: np.ndarray
    outline: np.ndarray
    ventricle: np.ndarray
    centre_mm: np.ndarray
    slope_mm: np.ndarray
    papillaries: np.ndarray

    def at(self, z: int) -> Heart:
        """Contours of one slice, without the slice axis."""
        return Heart(**{f.name: getattr(self, f.name)[z] for f in fields(self)})


def build_heart(spec: PhantomSpec, rng: np.random.Generator, shape: HeartShape) -> Heart:
    """Contours whose slices enclose the volumes of ``spec`` at end-diastole and end-systole."""
    endo = cavity_radii_mm(spec)[:, :, None] * _ring(rng, spec.ellipticity)
    epi = _epicardium(endo, spec, rng, shape)
    rv = _right_ventricle(epi, spec, shape)
    ventricle = _ventricle_share(spec)
    atrial = np.clip(1 - 2 * ventricle, 0, 1)[:, :, None]  # atria fill the place that the base plane left
    lv_seen, rv_seen = (c + atrial * (c[:, :1] - c) for c in (endo, rv))
    thin, inner = lv_seen + shape.atrial_wall_mm, np.minimum(epi, rv_seen)
    wall = np.maximum(np.maximum(epi, thin), rv_seen + np.minimum(rv_seen - inner, shape.rv_wall_mm))
    roughness = _roughness(spec, rng, shape)
    return Heart(
        endo=endo,
        epi=epi,
        rv=rv,
        blood=lv_seen * (1 - roughness),
        rv_blood=inner + (rv_seen - inner) * (1 - 1.5 * roughness[..., ::-1]),
        thin=thin,
        wall=wall,
        outline=_outline(wall, rng, shape),
        ventricle=ventricle,
        centre_mm=_centres(spec, rng),
        slope_mm=_slope_blur_mm(endo, epi, spec),
        papillaries=_papillaries(endo, spec, shape),
    )


def label_slice(radius_mm: np.ndarray, angle: np.ndarray, heart: Heart) -> np.ndarray:
    """Labels of one slice at every frame.

    Parameters
    ----------
    radius_mm, angle
        Distance from the LV axis and index of the angle of every pixel, shape ``(x, y)``.
    heart
        Contours of the slice, as `Heart.at` returns them.

    Returns
    -------
    `Label` ids, shape ``(t, x, y)``, ``uint8``.
    """
    labels = np.where(radius_mm < heart.rv[:, angle], np.uint8(Label.RV), np.uint8(Label.BACKGROUND))
    labels[radius_mm < heart.epi[:, angle]] = Label.MYO
    labels[radius_mm < heart.endo[:, angle]] = Label.LV
    labels[heart.ventricle <= 0.5] = Label.BACKGROUND
    return labels


def _ring(rng: np.random.Generator, ellipticity: float) -> np.ndarray:
    """Radius by angle of a slightly elliptic ring with the area of the unit circle."""
    angle = np.deg2rad(ANGLES_DEG - rng.uniform(0, 360))
    ring = 1 + ellipticity * np.cos(2 * angle) + ellipticity / 4 * np.cos(3 * angle + rng.uniform(0, 6))
    return ring / np.sqrt((ring**2).mean())


def _epicardium(
    endo: np.ndarray, spec: PhantomSpec, rng: np.random.Generator, shape: HeartShape
) -> np.ndarray:
    """Outer contour of a wall that keeps its volume, thicker in systole; a cap closes the apex."""
    height = spec.slice_heights_mm / spec.wall_thickness_mm
    cap = np.sqrt(np.clip(1 - np.minimum(height / shape.apical_cap, 0) ** 2, 0, None))
    along = cap * (1 - shape.apical_thinning * np.exp(-np.maximum(height, 0) / 2.5))
    angle = np.deg2rad(ANGLES_DEG - SEPTUM_DEG)
    around = 1 + spec.wall_variation * (
        0.6 * np.cos(angle) + 0.4 * np.cos(2 * angle + rng.uniform(-1, 1)) + 0.3 * np.cos(3 * angle)
    )
    thickness = spec.wall_thickness_mm * along[:, None, None] * around
    volume = layer_volume_ml(endo, thickness, spec)[0]
    return endo + thickness * layer_scale(endo, thickness, volume, spec)[:, None]


def _right_ventricle(epi: np.ndarray, spec: PhantomSpec, shape: HeartShape) -> np.ndarray:
    """Outer contour of a crescent on the septum that ejects the same volume as the LV."""
    height = (spec.slice_heights_mm / spec.lv_length_mm - shape.rv_apex) / (1 - shape.rv_apex)
    depth = np.clip(height, 0, 1)[:, None, None]
    narrow, wide = shape.rv_apical_half_width_deg, shape.rv_half_width_deg
    half_width = narrow + (wide - narrow) * depth
    offset = (ANGLES_DEG - SEPTUM_DEG) / half_width
    lean = 1 + shape.rv_outflow * np.sin(np.clip(offset, -1, 1) * np.pi / 2) * depth
    crescent = (
        np.clip(1 - np.abs(offset) ** shape.rv_flatness, 0, None) ** shape.rv_fullness * lean * depth**0.55
    )
    volume = spec.rv_edv_ml - spec.stroke_volume_ml * contraction(spec)
    crescent = np.broadcast_to(crescent, epi.shape)
    return epi + crescent * layer_scale(epi, crescent, volume, spec)[:, None]


def _outline(wall: np.ndarray, rng: np.random.Generator, shape: HeartShape) -> np.ndarray:
    """Outer border of the epicardial fat, which fills the grooves and is thin where the lung is."""
    smooth = gaussian_filter1d(wall, shape.groove_deg * N_ANGLES / 360, axis=-1, mode="wrap")
    septal = (1 - np.cos(np.deg2rad(ANGLES_DEG))) / 2
    share = shape.lateral_fat + (1 - shape.lateral_fat) * septal
    patches = 1 + shape.fat_variation * _ring_noise(rng, len(wall), shape.fat_patch_deg)
    outline = np.maximum(wall, smooth) + shape.fat_mm * share * np.clip(patches, 0.2, None)
    filled = outline + shape.pericardium * septal * (outline[:, :1] - outline)
    return np.maximum(outline, filled)


def _roughness(spec: PhantomSpec, rng: np.random.Generator, shape: HeartShape) -> np.ndarray:
    """Depth of the trabeculae as a fraction of the radius, shape ``(z, 1, angle)``."""
    fine, coarse = (_ring_noise(rng, spec.n_slices, width) for width in shape.trabecula_deg)
    ridges = np.clip(0.3 + fine + 0.7 * coarse, 0, 2.5) / 2
    height = np.clip(spec.slice_heights_mm / spec.lv_length_mm, 0, 1)[:, None, None]
    depth = shape.trabeculae + (shape.apical_trabeculae - shape.trabeculae) * (1 - height) ** 1.5
    return np.clip(spec.trabeculation * depth * ridges, 0, 0.6)


def _ring_noise(rng: np.random.Generator, n_slices: int, width_deg: float) -> np.ndarray:
    """Random function of the angle with unit variance, shape ``(z, 1, angle)``."""
    noise = rng.standard_normal((n_slices, 1, N_ANGLES))
    noise = gaussian_filter1d(noise, width_deg * N_ANGLES / 360, axis=-1, mode="wrap")
    return noise / noise.std()


def _ventricle_share(spec: PhantomSpec) -> np.ndarray:
    """Share of every slice below the base plane, shape ``(z, t)``."""
    depth = base_heights_mm(spec) - spec.slice_heights_mm[:, None]
    return np.clip(depth / spec.slice_thickness_mm + 0.5, 0, 1)


def _centres(spec: PhantomSpec, rng: np.random.Generator) -> np.ndarray:
    """LV axis in every slice: tilted against the stack, and moved by every breath hold."""
    along = spec.slice_heights_mm - spec.lv_length_mm / 2
    direction = np.deg2rad(rng.uniform(0, 360))
    tilt = np.tan(np.deg2rad(spec.tilt_deg)) * np.array([np.cos(direction), np.sin(direction)])
    shift = rng.normal(0, spec.slice_shift_mm, (spec.n_slices, 2))
    return np.asarray(spec.centre_mm) + along[:, None] * tilt + shift


def _slope_blur_mm(endo: np.ndarray, epi: np.ndarray, spec: PhantomSpec) -> np.ndarray:
    """How far both borders move within half a thick slice, at most 45 degrees, shape ``(z, 2, t)``."""
    radii = np.stack([endo.mean(-1), epi.mean(-1)], axis=1)
    slope = np.abs(np.gradient(radii, spec.slice_spacing_mm, axis=0))
    return np.minimum(slope, 1) * spec.slice_thickness_mm / 2


def _papillaries(endo: np.ndarray, spec: PhantomSpec, shape: HeartShape) -> np.ndarray:
    """Centre and radius of both papillary muscles, in mm, shape ``(z, 2, 3, t)``."""
    low, high = shape.papillary_heights
    height = (spec.slice_heights_mm / spec.lv_length_mm - low) / (high - low)
    size = spec.papillary_mm * np.sqrt(np.clip(4 * height * (1 - height), 0, None))
    angle = np.deg2rad(shape.papillary_deg)
    index = np.rint(np.rad2deg(angle) % 360 * N_ANGLES / 360).astype(int) % N_ANGLES
    radius = endo[:, :, index] * shape.papillary_depth
    size = np.broadcast_to(
        np.minimum(size[:, None], shape.papillary_share * endo.mean(-1))[..., None], radius.shape
    )
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), size]).transpose(1, 3, 0, 2)
