"""Files as the LVQuan challenges describe theirs; the data themselves are not public."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

FRAMES = 20


def hearts(size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A beating ring in pixels, MATLAB's rows x columns x frames: image, endo, epi, and what they measure."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:size, :size]
    far = np.hypot(rows - 0.45 * size, columns - 0.55 * size)  # off the diagonal
    endo_px = size * (0.14 + 0.04 * np.cos(2 * np.pi * np.arange(FRAMES) / FRAMES)) * rng.uniform(0.9, 1.1)
    epi_px = endo_px + 0.07 * size
    endo, epi = (far[..., None] <= radius for radius in (endo_px, epi_px))
    image = 40 + 120 * endo + 20 * epi + rng.integers(0, 5, (size, size, FRAMES))
    areas = np.array([endo.sum((0, 1)), (epi & ~endo).sum((0, 1))], float)
    phase = (np.arange(FRAMES) > 0) & (np.arange(FRAMES) <= FRAMES // 2)
    return {
        "image": image.astype(np.uint16),
        "endo": endo,
        "epi": epi,
        "areas": areas,
        "dims": np.repeat(2 * endo_px[None], 3, axis=0),
        "rwt": np.repeat((epi_px - endo_px)[None], 6, axis=0),
        "lv_phase": phase[None].astype(np.uint8),
    }


def write_patient(path: Path, size: int, pixel_mm: float, *, in_mm: bool = False, **changes: object) -> dict:
    """A file of LVQuan19; what is None is left out."""
    told = hearts(size, seed=int(path.stem[7:]))
    if in_mm:
        told |= {"areas": told["areas"] * pixel_mm**2}
        told |= {name: told[name] * pixel_mm for name in ("dims", "rwt")}
    told |= {"pix_spacing": np.array([[pixel_mm]]), **changes}
    savemat(path, {name: value for name, value in told.items() if value is not None}, do_compression=True)
    return told


def write_dig(path: Path, pixels_mm: list[float], ratios: list[float], **changes: object) -> list[dict]:
    """A file of LVQuan18: all subjects one after the other, numbers over the side or its square."""
    subjects = [hearts(80, seed) for seed in range(len(pixels_mm))]
    told: dict[str, object] = {}
    for name, key in (("image", "images_LV"), ("endo", "endo_LV"), ("epi", "epi_LV")):
        told[key] = np.concatenate([s[name].astype(float) for s in subjects], axis=2)
    for name, over in (("areas", 80**2), ("dims", 80), ("rwt", 80), ("lv_phase", 1)):
        told[name] = np.concatenate([s[name] / over for s in subjects], axis=1)
    told |= {"pix_spa": np.array(pixels_mm)[:, None], "ratio": np.array(ratios)[:, None], **changes}
    savemat(path, {name: value for name, value in told.items() if value is not None})
    return subjects
