"""From a specification and a scanner to a cine with its true mask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cmrseg.cine import Cine
from cmrseg.labels import STRUCTURES
from cmrseg.phantom.anatomy import HEART_SHAPE, HeartShape, build_heart, label_slice
from cmrseg.phantom.grid import make_grid
from cmrseg.phantom.heartbeat import paint_heart
from cmrseg.phantom.imaging import acquire, receive_field
from cmrseg.phantom.motion import MM3_PER_ML
from cmrseg.phantom.scanner import Scanner
from cmrseg.phantom.spec import PhantomSpec
from cmrseg.phantom.torso import TORSO, Torso, make_chest, paint_torso

# Base to apex in scanner coordinates (right, anterior, superior): to the left, forward and down.
_APEX_DIRECTION = (-0.65, 0.60, -0.47)
_LEFT_POSTERIOR = (-0.70, -0.71, 0.0)


@dataclass(frozen=True)
class PhantomStudy:
    """One synthetic study.

    Attributes
    ----------
    cine
        Images, shape ``(x, y, z, t)``, ``float32``, base first.
    mask
        `Label` ids on the same grid, ``uint8``.
    spec
        What the subject is like.
    """

    cine: Cine
    mask: Cine
    spec: PhantomSpec


def make_study(
    spec: PhantomSpec,
    scanner: Scanner,
    seed: int,
    *,
    shape: HeartShape = HEART_SHAPE,
    torso: Torso = TORSO,
) -> PhantomStudy:
    """Synthetic short-axis cine with its true mask.

    Parameters
    ----------
    spec
        The subject.
    scanner
        The scanner, one of `SCANNERS` or your own.
    seed
        Anatomical detail and noise; the same seed gives the same study, and the same heart on any scanner.
    shape, torso
        Proportions that all subjects share.

    Returns
    -------
    Cine and mask on one grid, with an oblique affine and frame times.
    """
    anatomy, body, noise = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    heart = build_heart(spec, anatomy, shape)
    grid = make_grid(spec, scanner, heart)
    chest = make_chest(grid, heart, spec, torso, body)
    background = paint_torso(grid, chest, spec, scanner.contrast, body)
    signal = paint_heart(background, grid, heart, spec, scanner.contrast, body)
    image = acquire(signal, receive_field(-chest.skin, grid, scanner, body), scanner, noise)
    labels = np.stack(
        [
            label_slice(r, a, heart.at(z))
            for z, (r, a) in enumerate(zip(grid.radius_mm, grid.angle, strict=True))
        ]
    )
    return PhantomStudy(_cine(image, spec, scanner), _cine(labels, spec, scanner), spec)


def true_volumes_ml(study: PhantomStudy) -> dict[str, np.ndarray]:
    """Volume of every structure at every frame, by counting voxels of the true mask.

    Returns
    -------
    ``LV``, ``MYO`` and ``RV`` to volumes in ml, shape ``(t,)``.
    """
    voxel_ml = math.prod(study.mask.spacing) / MM3_PER_ML
    return {s.name: (study.mask.array == s).sum(axis=(0, 1, 2)) * voxel_ml for s in STRUCTURES}


def _cine(array: np.ndarray, spec: PhantomSpec, scanner: Scanner) -> Cine:
    """Array of shape ``(z, t, x, y)`` on the grid of the scan."""
    spacing = (*scanner.spacing_mm, spec.slice_spacing_mm)
    volume = np.ascontiguousarray(array.transpose(2, 3, 0, 1))
    return Cine(volume, spacing, _affine(volume.shape, spacing, spec.rotation_deg), spec.frame_times_ms)


def _affine(shape: tuple[int, ...], spacing: tuple[float, ...], rotation_deg: float) -> np.ndarray:
    """Short-axis orientation: columns to the left and down, slices from base to apex, centred."""
    slices = np.array(_APEX_DIRECTION) / np.linalg.norm(_APEX_DIRECTION)
    left = np.array(_LEFT_POSTERIOR) - slices * np.dot(_LEFT_POSTERIOR, slices)
    left /= np.linalg.norm(left)
    down = np.cross(left, slices)  # seen from the apex
    turn = np.deg2rad(rotation_deg)
    columns = left * np.cos(turn) - down * np.sin(turn)
    rows = left * np.sin(turn) + down * np.cos(turn)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([columns, rows, slices], axis=1) * spacing
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[:3]) - 1) / 2)
    return affine
