"""The chest and the abdomen around the heart, at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from cmrseg.phantom.anatomy import N_ANGLES, Heart
from cmrseg.phantom.grid import Grid, paint
from cmrseg.phantom.scanner import Contrast
from cmrseg.phantom.spec import PhantomSpec


@dataclass(frozen=True)
class Organ:
    """Ellipsoid in mm: x to the patient's left, y down, z along the LV from apex to base.

    ``x`` is from the LV axis, ``y`` from the lower border of the heart, ``z`` from mid ventricle. The wall,
    if any, is the outermost part. Organs of the abdomen end at the diaphragm.
    """

    tissue: str
    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    angle_deg: float = 0.0
    wall: str = ""
    wall_mm: float = 2.0
    in_abdomen: bool = True


# Painted in this order, each over the ones before.
ORGANS = (
    Organ("visceral_fat", (-66, -30, -30), (28, 34, 62), 20, in_abdomen=False),
    Organ("visceral_fat", (-18, -4, -50), (42, 20, 34), -16, in_abdomen=False),
    Organ("vessel", (36, 14, 45), (12.5, 12.5, 60), wall="muscle", wall_mm=1.5, in_abdomen=False),
    Organ("liver", (-62, 46, 10), (80, 42, 150), -14),
    Organ("vessel", (-48, 36, 40), (8, 5, 30), 30),
    Organ("vessel", (-80, 50, 0), (9, 3, 30), -40),
    Organ("spleen", (80, 40, -5), (24, 40, 70), 25),
    Organ("stomach", (30, 28, -34), (33, 22, 46), -12, wall="muscle", wall_mm=4.0),
    Organ("gas", (26, 20, -34), (14, 7, 26), -12),
    Organ("marrow", (64, 62, 45), (21, 18, 90), 30, wall="cortex"),
)


@dataclass(frozen=True)
class Torso:
    """Proportions of the chest.

    Attributes
    ----------
    radii_mm, lowering
        Half axes of the body, and how far its middle is below the LV, as a fraction of the lower one.
    clearance_mm
        Between the heart and the inside of the anterior chest wall.
    skin_mm, muscle_mm, rib_mm, cortex_mm
        Thickness of the skin, of the chest wall under the fat, of a rib (across, along) and of its cortex.
    rib_spacing_deg, rib_variation_mm
        Angle between ribs, seen from the middle of the chest; length over which their size varies.
    diaphragm_mm, diaphragm_radius_mm
        Top of the diaphragm below the lower border of the heart, and how curved it is.
    warp_mm, warp_scale_mm
        Random deformation that makes organs of ellipsoids.
    lung_vessel_level, lung_vessel_mm, lung_bare_mm
        How rare (standard deviations) and how large the bright dots of the lung are; where there are few,
        from the chest wall inwards.
    organ_shift_mm
        Standard deviation of the place of an organ.
    """

    radii_mm: tuple[float, float] = (150.0, 118.0)
    lowering: float = 0.15
    clearance_mm: float = 5.0
    skin_mm: float = 2.0
    muscle_mm: float = 11.0
    rib_mm: tuple[float, float] = (4.5, 8.0)
    cortex_mm: float = 1.2
    rib_spacing_deg: float = 15.0
    rib_variation_mm: float = 20.0
    diaphragm_mm: float = 3.0
    diaphragm_radius_mm: float = 190.0
    warp_mm: float = 5.0
    warp_scale_mm: float = 45.0
    lung_vessel_level: float = 1.7
    lung_vessel_mm: float = 3.5
    lung_bare_mm: float = 40.0
    organ_shift_mm: float = 4.0


TORSO = Torso()


@dataclass(frozen=True)
class Chest:
    """Where every pixel is in the chest; all in mm, shape ``(z, x, y)``.

    Attributes
    ----------
    x, y
        Warped position: from the LV axis, and below the lower border of the heart.
    skin, cavity, abdomen
        Distance to the skin, to the inner chest wall and to the diaphragm, negative inside.
    around
        Position along the chest wall, in degrees.
    pixel_mm, torso
        Pixel size, and the proportions that made it.
    """

    x: np.ndarray
    y: np.ndarray
    skin: np.ndarray
    cavity: np.ndarray
    abdomen: np.ndarray
    around: np.ndarray
    pixel_mm: float
    torso: Torso


def make_chest(grid: Grid, heart: Heart, spec: PhantomSpec, torso: Torso, rng: np.random.Generator) -> Chest:
    """Body around the heart: its wall in front of the septum, the diaphragm below."""
    x, y = (
        c + torso.warp_mm * grid.noise(rng, torso.warp_scale_mm, 5) for c in np.moveaxis(grid.xy_mm, 1, 0)
    )
    rx, ry = (r * spec.body_scale for r in torso.radii_mm)
    wall = spec.fat_mm + torso.muscle_mm
    u = (x + _reach(heart, N_ANGLES // 2) + wall + torso.clearance_mm) / rx - 1
    v = y / ry - torso.lowering
    skin = (np.sqrt(u * u + v * v) - 1) * np.float32(np.sqrt(rx * ry))
    y = y - _reach(heart, N_ANGLES // 4)
    dome = torso.diaphragm_mm + x * x / (2 * torso.diaphragm_radius_mm)
    return Chest(
        x=x,
        y=y,
        skin=skin,
        cavity=skin + wall,
        abdomen=np.maximum(dome - y, skin + wall),
        around=np.rad2deg(np.arctan2(v, -u)),
        pixel_mm=grid.pixel_mm,
        torso=torso,
    )


def paint_torso(
    grid: Grid, chest: Chest, spec: PhantomSpec, tissue: Contrast, rng: np.random.Generator
) -> np.ndarray:
    """Signal without the heart, shape ``(z, x, y)``."""
    pixel, torso = grid.pixel_mm, chest.torso
    image = np.zeros_like(chest.skin)
    paint(image, chest.skin, tissue.muscle, pixel)
    paint(image, chest.skin + torso.skin_mm, tissue.fat, pixel)
    paint(image, chest.skin + spec.fat_mm, tissue.muscle, pixel)
    rib = _rib_distance(chest, grid.noise(rng, torso.rib_variation_mm))
    paint(image, rib, tissue.cortex, pixel)
    paint(image, rib + torso.cortex_mm, tissue.marrow, pixel)
    paint(image, chest.cavity, tissue.lung, pixel)
    vessels = np.clip(grid.noise(rng, torso.lung_vessel_mm) - torso.lung_vessel_level, 0, 1)
    image += vessels * np.clip(-chest.cavity / torso.lung_bare_mm, 0, 1) * (tissue.lung_vessel - image)
    paint(image, chest.abdomen, tissue.visceral_fat, pixel)
    _paint_organs(image, chest, spec, tissue, rng)
    return image


def _paint_organs(
    image: np.ndarray, chest: Chest, spec: PhantomSpec, tissue: Contrast, rng: np.random.Generator
) -> None:
    """The organs, each a little off its usual place."""
    heights = spec.slice_heights_mm - spec.lv_length_mm / 2
    for organ in ORGANS:
        shift = rng.normal(0, chest.torso.organ_shift_mm, 2)
        border = chest.abdomen if organ.in_abdomen else chest.cavity
        distance = np.maximum(_organ_distance(organ, chest, heights, shift, spec.body_scale), border)
        if organ.wall:
            paint(image, distance, getattr(tissue, organ.wall), chest.pixel_mm)
            distance = distance + organ.wall_mm
        paint(image, distance, getattr(tissue, organ.tissue), chest.pixel_mm)


def _reach(heart: Heart, angle: int) -> np.ndarray:
    """How far the chest must clear the heart in one direction in mm, shape ``(z, 1, 1)``."""
    outline = heart.outline[:, 0, angle]
    reach = gaussian_filter1d((outline.max() + 2 * outline) / 3, 1.5, mode="nearest")
    return np.maximum(reach, outline).astype(np.float32)[:, None, None]


def _rib_distance(chest: Chest, size: np.ndarray) -> np.ndarray:
    """Distance to the surface of the nearest rib in mm, negative inside; ribs differ in size."""
    torso = chest.torso
    phase = (chest.around / torso.rib_spacing_deg) % 1 - 0.5
    degree_mm = np.deg2rad(1) * np.sqrt(np.prod(torso.radii_mm))
    thick, long = torso.rib_mm
    along = phase * np.float32(torso.rib_spacing_deg * degree_mm * thick / long)
    return np.hypot(chest.cavity - torso.muscle_mm / 2, along) - thick * (0.7 + 0.5 * size)


def _organ_distance(
    organ: Organ, chest: Chest, heights: np.ndarray, shift: np.ndarray, scale: float
) -> np.ndarray:
    """Distance to the surface of an ellipsoid in mm, about, negative inside."""
    (cx, cy, cz), (rx, ry, rz) = organ.centre_mm, organ.radii_mm
    cos, sin = np.cos(np.deg2rad(organ.angle_deg)), np.sin(np.deg2rad(organ.angle_deg))
    dx, dy = chest.x - np.float32(scale * cx + shift[0]), chest.y - np.float32(scale * cy + shift[1])
    u = dx * np.float32(cos / rx / scale) + dy * np.float32(sin / rx / scale)
    v = dy * np.float32(cos / ry / scale) - dx * np.float32(sin / ry / scale)
    w = ((heights - cz) / rz).astype(np.float32)[:, None, None]
    return (np.sqrt(u * u + v * v + w * w) - 1) * np.float32(scale * min(rx, ry))
