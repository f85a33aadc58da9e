"""The signal of the beating heart, over that of the chest."""

from __future__ import annotations

import numpy as np

from cmrseg.phantom.anatomy import Heart
from cmrseg.phantom.grid import Grid, alpha, paint
from cmrseg.phantom.motion import contraction
from cmrseg.phantom.scanner import Contrast
from cmrseg.phantom.spec import PhantomSpec


def paint_heart(
    torso: np.ndarray, grid: Grid, heart: Heart, spec: PhantomSpec, tissue: Contrast, rng: np.random.Generator
) -> np.ndarray:
    """Signal with the heart over the chest.

    Parameters
    ----------
    torso
        Signal without the heart, shape ``(z, x, y)``.
    grid, heart
        Pixels and contours.
    spec
        For the contraction, which changes the signal of blood.
    tissue
        Signal of every tissue.
    rng
        Source of the flow pattern.

    Returns
    -------
    Signal, shape ``(z, t, x, y)``, ``float32``.
    """
    image = np.repeat(torso[:, None], spec.n_frames, axis=1)
    lv, rv = (_blood_level(grid, spec, tissue, rng) for _ in range(2))
    for z in range(spec.n_slices):
        _paint_right_heart(image[z], grid.at(z), heart.at(z), tissue, rv[z])
        _paint_left_heart(image[z], grid.at(z), heart.at(z), tissue, lv[z])
    return image


def _paint_right_heart(
    image: np.ndarray, grid: Grid, heart: Heart, tissue: Contrast, blood: np.ndarray
) -> None:
    """Fat, muscle and RV blood of one slice ``(t, x, y)``; the left heart comes over it."""
    paint(image, grid.outside_mm(heart.outline), tissue.visceral_fat, grid.pixel_mm)
    paint(image, grid.outside_mm(heart.wall), tissue.myocardium, grid.pixel_mm)
    paint(image, grid.outside_mm(heart.rv_blood), tissue.rv_blood * blood, grid.pixel_mm)


def _paint_left_heart(
    image: np.ndarray, grid: Grid, heart: Heart, tissue: Contrast, blood: np.ndarray
) -> None:
    """Wall, blood and papillary muscles of one slice ``(t, x, y)``; above the base plane the atrium."""
    ventricle = heart.ventricle.astype(np.float32)[:, None, None]
    blood_width, wall_width = (heart.slope_mm.astype(np.float32) + np.float32(grid.pixel_mm))[..., None, None]
    wall = ventricle * alpha(grid.outside_mm(heart.epi), wall_width)
    wall += (1 - ventricle) * alpha(grid.outside_mm(heart.thin), grid.pixel_mm)
    image += wall * (tissue.myocardium - image)
    level = blood * (ventricle * tissue.blood + (1 - ventricle) * tissue.atrium)
    paint(image, grid.outside_mm(heart.blood), level, blood_width)
    for x, y, size in heart.papillaries.astype(np.float32)[..., None, None]:
        away = np.hypot(grid.xy_mm[0] - x, grid.xy_mm[1] - y) - size
        muscle = alpha(away, 1.5 * grid.pixel_mm) * (size > 0) * ventricle
        image += muscle * (tissue.papillary - image)


def _blood_level(grid: Grid, spec: PhantomSpec, tissue: Contrast, rng: np.random.Generator) -> np.ndarray:
    """Relative signal of blood, which flows and loses its inflow, shape ``(z, t, x, y)``."""
    turn = np.float32(2 * np.pi) * np.arange(spec.n_frames, dtype=np.float32)[:, None, None] / spec.n_frames
    even, odd = (tissue.blood_mottle * grid.noise(rng, tissue.mottle_mm)[:, None] for _ in range(2))
    along = 1 - np.clip(spec.slice_heights_mm / spec.lv_length_mm, 0, 1)
    level = 1 - tissue.inflow * along[:, None] - tissue.es_saturation * contraction(spec)
    return level.astype(np.float32)[:, :, None, None] * (1 + even * np.cos(turn) + odd * np.sin(turn))
