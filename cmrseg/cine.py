"""A short-axis cine (or its mask) on one grid, and slices of another size or resolution."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Cine:
    """Stack of short-axis slices over the cardiac cycle.

    Attributes
    ----------
    array
        Intensities or label ids, shape ``(x, y, z, t)``.
    spacing
        ``(dx, dy, dz)`` in mm, ``dz`` with the gap between slices; ``nan`` where it is unknown.
    affine
        Voxel index to scanner coordinates (mm), shape ``(4, 4)``, NIfTI convention.
    frame_times_ms
        Time of every frame after the R wave, shape ``(t,)``; empty when unknown.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    frame_times_ms: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.array.ndim != 4:
            raise ValueError(f"a cine has 4 axes (x y z t), got shape {self.array.shape}")
        if any(s <= 0 for s in self.spacing):
            raise ValueError(f"spacing must be positive (mm), got {self.spacing}")

    @property
    def has_spacing(self) -> bool:
        """Whether lengths and volumes can be measured."""
        return bool(np.isfinite(self.spacing).all())

    def with_array(self, array: np.ndarray) -> Cine:
        """Another array on the same grid."""
        if array.shape != self.array.shape:
            raise ValueError(f"array of shape {array.shape} does not fit the grid {self.array.shape}")
        return replace(self, array=array)


def fit(array: np.ndarray, size: tuple[int, int], *, fill: float = 0) -> np.ndarray:
    """Centre-crop and pad the last two axes to a size.

    Parameters
    ----------
    array
        Shape ``(..., h, w)``.
    size
        Wanted ``(h, w)`` in pixels.
    fill
        Value of the padded border.

    Returns
    -------
    Array of shape ``(..., *size)``.
    """
    out = np.full((*array.shape[:-2], *size), fill, array.dtype)
    source, target = _overlap(array.shape[-2:], size)
    out[(..., *target)] = array[(..., *source)]
    return out


def resample(images: np.ndarray, shape: tuple[int, int], *, antialias: bool = False) -> np.ndarray:
    """Resample the last two axes bilinearly; the edges of the field of view are kept.

    Parameters
    ----------
    images
        Shape ``(..., h, w)``.
    shape
        Wanted ``(h, w)`` in pixels.
    antialias
        Average over all pixels that a larger one covers.

    Returns
    -------
    Array of shape ``(..., *shape)``.
    """
    if shape == images.shape[-2:]:
        return images
    return weighted_sums(
        images, *(bilinear_weights(n, m, antialias) for n, m in zip(images.shape[-2:], shape, strict=True))
    )


def weighted_sums(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Images whose rows and columns are weighted sums of those of other images."""
    return _weighted(_weighted(images, rows, axis=-2), columns, axis=-1)


def _weighted(images: np.ndarray, weights: np.ndarray, *, axis: int) -> np.ndarray:
    """Weighted sums of the few neighbours along an axis of which the weights are not zero.

    A matrix product would be shorter, but its library's threads fight for the cores with those of prediction.
    """
    used = weights != 0
    taps = used.sum(axis=1).max()
    first = np.minimum(used.argmax(axis=1), weights.shape[1] - taps)
    total = 0
    for tap in first + np.arange(taps)[:, None]:
        weight = weights[np.arange(len(weights)), tap]
        total = total + images.take(tap, axis) * (weight if axis == -1 else weight[:, None])
    return total


@lru_cache(maxsize=32)
def bilinear_weights(n: int, m: int, antialias: bool = False) -> np.ndarray:
    """What each of ``m`` pixels takes from ``n`` over the same length, ``(m, n)``; rows add to 1."""
    step = n / m
    reach = max(step, 1.0) if antialias else 1.0
    centres = (np.arange(m)[:, None] + 0.5) * step
    weights = np.maximum(0, 1 - np.abs(np.arange(n) + 0.5 - centres) / reach)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _overlap(source: tuple[int, int], target: tuple[int, int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices that select the common centre of two sizes in either of them."""
    pairs = [_overlap_1d(s, t) for s, t in zip(source, target, strict=True)]
    return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)


def _overlap_1d(source: int, target: int) -> tuple[slice, slice]:
    """The common centre along one axis."""
    length = min(source, target)
    start, stop = (source - length) // 2, (target - length) // 2
    return slice(start, start + length), slice(stop, stop + length)
