"""Pixels in heart coordinates, and painting tissue on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cmrseg.phantom.anatomy import N_ANGLES, Heart
from cmrseg.phantom.scanner import Scanner
from cmrseg.phantom.spec import PhantomSpec


@dataclass(frozen=True)
class Grid:
    """Pixels of every slice in heart coordinates.

    Attributes
    ----------
    xy_mm
        Position relative to the LV axis, septum to the left, shape ``(z, 2, x, y)``.
    radius_mm, angle
        The same, polar; ``angle`` indexes contours. Shape ``(z, x, y)``.
    spacing_mm
        Pixel size.
    """

    xy_mm: np.ndarray
    radius_mm: np.ndarray
    angle: np.ndarray
    spacing_mm: tuple[float, float]

    @property
    def pixel_mm(self) -> float:
        """Width of an edge that is sharp."""
        return math.sqrt(math.prod(self.spacing_mm))

    def at(self, z: int) -> Grid:
        """Pixels of one slice, without the slice axis."""
        return Grid(self.xy_mm[z], self.radius_mm[z], self.angle[z], self.spacing_mm)

    def noise(self, rng: np.random.Generator, scale_mm: float, slices: float = 1.0) -> np.ndarray:
        """Random field that varies over ``scale_mm`` in plane and over ``slices``, shape ``(z, x, y)``."""
        return smooth_noise(rng, self.angle.shape, (slices, *(scale_mm / s for s in self.spacing_mm)))

    def outside_mm(self, contour: np.ndarray) -> np.ndarray:
        """Distance to contours ``(t, angle)`` along the radius, negative inside, shape ``(t, x, y)``."""
        return self.radius_mm - contour.astype(np.float32)[:, self.angle]


def make_grid(spec: PhantomSpec, scanner: Scanner, heart: Heart) -> Grid:
    """Heart coordinates of all pixels."""
    x, y = (
        (np.arange(n, dtype=np.float32) - (n - 1) / 2) * s
        for n, s in zip(scanner.matrix, scanner.spacing_mm, strict=True)
    )
    centre = heart.centre_mm.astype(np.float32)[:, :, None, None]
    dx, dy = x[:, None] - centre[:, 0], y[None, :] - centre[:, 1]
    turn = np.deg2rad(spec.rotation_deg)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    across, down = dx * cos + dy * sin, dy * cos - dx * sin
    angle = np.rint(np.arctan2(down, across) * np.float32(N_ANGLES / 2 / np.pi)).astype(np.intp) % N_ANGLES
    return Grid(np.stack([across, down], axis=1), np.hypot(across, down), angle, scanner.spacing_mm)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], scale: tuple[float, ...]) -> np.ndarray:
    """Random field of unit variance, ``float32``, that varies over ``scale`` pixels along every axis."""
    knots = [math.ceil(n / s) + 4 for n, s in zip(shape, scale, strict=True)]
    out = rng.standard_normal(knots, dtype=np.float32)
    for n, s, k in zip(shape, scale, knots, strict=True):
        weights = np.exp(-0.5 * ((np.arange(n)[:, None] / s + 1.5 - np.arange(k)) / 0.6) ** 2)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        out = np.tensordot(out, weights.astype(np.float32), axes=(0, 1))  # the axes rotate back into place
    return out


def alpha(distance: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Share of a pixel inside a surface at this signed distance, for an edge of this width."""
    return np.clip(np.float32(0.5) - distance / np.float32(width), 0, 1)


def paint(
    image: np.ndarray, distance: np.ndarray, value: np.ndarray | float, width: np.ndarray | float
) -> None:
    """Put a tissue over the image, inside a surface."""
    image += alpha(distance, width) * (value - image)
