"""A short-axis cine (or its mask) on one grid, and slices of another size or resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

CYCLE_MS = (300.0, 3000.0)  # of a heart: 200 to 20 beats per minute


@dataclass(frozen=True)
class FileAxes:
    """How the axes of a file became x y z t, so that a mask is written on the grid of its image.

    Attributes
    ----------
    order
        Axes of the file that became x, y, z and t; -1 where it has none.
    shape
        Of the file.
    header
        What the file says of its grid.
    spacing
        ``(dx, dy, dz)`` in mm by the header; None where its lengths and its affine are those of other axes.
    """

    order: tuple[int, int, int, int]
    shape: tuple[int, ...]
    header: Any = field(default=None, compare=False, repr=False)
    spacing: tuple[float, float, float] | None = field(default=None, compare=False)

    def to_cine(self, array: np.ndarray) -> np.ndarray:
        """The array of the file as ``(x, y, z, t)``."""
        used = [axis for axis in self.order if axis >= 0]
        single = [axis for axis in range(array.ndim) if axis not in used]
        moved = iter(array.transpose([*used, *single]).shape)
        shape = [next(moved) if axis >= 0 else 1 for axis in self.order]
        return array.transpose([*used, *single]).reshape(shape)

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """An array ``(x, y, z, t)`` in the order of the file; a last axis of one frame is left out."""
        used = [number for number, axis in enumerate(self.order) if axis >= 0]
        absent = tuple(number for number, axis in enumerate(self.order) if axis < 0)
        kept = np.squeeze(array, axis=absent)
        sources = [self.order[number] for number in used]
        turned = kept.transpose(np.argsort(sources))
        for axis in sorted(set(range(len(self.shape))) - set(sources)):
            turned = np.expand_dims(turned, axis)
        time = self.order[3]
        is_last = time == turned.ndim - 1 and time >= 3
        return turned[..., 0] if is_last and turned.shape[time] == 1 else turned

    def columns(self, matrix: np.ndarray) -> np.ndarray:
        """An affine matrix of the file as that of x, y and z, shape ``(4, 4)``."""
        return matrix[:, [*_space(self.order), 3]]


def _space(order: Sequence[int]) -> list[int]:
    """The axes of space of a file for x, y and z; an absent one is that which is left over."""
    left = [axis for axis in (0, 1, 2) if axis not in order[:3]]
    return [axis if 0 <= axis < 3 else left.pop(0) for axis in order[:3]]


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
    axes
        How the file that it comes from orders its axes; None where there is none.

    Examples
    --------
    >>> import cmrseg
    >>> import numpy as np
    >>> cmrseg.Cine(np.zeros((64, 64, 8, 20)), spacing=(1.5, 1.5, 8.0)).array.shape
    (64, 64, 8, 20)
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    frame_times_ms: tuple[float, ...] = ()
    axes: FileAxes | None = None

    def __post_init__(self) -> None:
        if self.array.ndim != 4:
            raise ValueError(f"a cine has 4 axes (x y z t), got shape {self.array.shape}")
        if any(s <= 0 for s in self.spacing):
            raise ValueError(f"spacing must be positive (mm), got {self.spacing}")

    @property
    def has_spacing(self) -> bool:
        """Whether lengths and volumes can be measured."""
        return bool(np.isfinite(self.spacing).all())

    @property
    def duration_ms(self) -> float:
        """How long all frames last together; nan where their times are unknown."""
        steps = np.diff(self.frame_times_ms)
        return float(np.median(steps)) * (len(steps) + 1) if len(steps) else float("nan")

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
    (rows, columns), (to_rows, to_columns) = _overlap(array.shape[-2:], size)
    out[..., to_rows, to_columns] = array[..., rows, columns]
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
    total: Any = 0
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
