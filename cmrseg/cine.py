"""A short-axis cine (or its mask) on one grid, and fitting slices to a size and back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

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


def unfit(array: np.ndarray, size: tuple[int, int], *, fill: float = 0) -> np.ndarray:
    """Undo `fit`: every pixel returns to where it came from, what had been cropped is ``fill``.

    Parameters
    ----------
    array
        Shape ``(..., h, w)``, as `fit` returned it.
    size
        The ``(h, w)`` that the array had before `fit`.
    fill
        Value of what `fit` had cropped away.

    Returns
    -------
    Array of shape ``(..., *size)``.
    """
    out = np.full((*array.shape[:-2], *size), fill, array.dtype)
    source, target = _overlap(size, array.shape[-2:])
    out[(..., *source)] = array[(..., *target)]
    return out


def _overlap(source: tuple[int, int], target: tuple[int, int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices that select the common centre of two sizes in either of them."""
    pairs = [_overlap_1d(s, t) for s, t in zip(source, target, strict=True)]
    return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)


def _overlap_1d(source: int, target: int) -> tuple[slice, slice]:
    """The common centre along one axis."""
    length = min(source, target)
    start, stop = (source - length) // 2, (target - length) // 2
    return slice(start, start + length), slice(stop, stop + length)
