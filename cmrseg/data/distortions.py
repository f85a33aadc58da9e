"""Known distortions of a cine, from none to severe: turned, zoomed, other grey values, artefacts.

Each is a function of the images and one level, without chance: the same level gives the same images. A turned
or zoomed cine keeps its pixel size and gets a grid on which the whole field stays visible, so that nothing of
the heart is cut off and a mask can be brought back to where it came from.

Brightness and linear contrast are not here: models scale grey values by percentiles, which undoes both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from numpy.polynomial.legendre import leggrid2d
from torch import Tensor
from torch.nn import functional as F

from cmrseg.cine import Cine
from cmrseg.labels import Label

Size = tuple[int, int]  # pixels along x and y
Move = Callable[[Tensor, Cine, float, Size], Tensor]  # images, their cine, level, new size -> images
_DARK, _BRIGHT = 0.5, 99.5  # percentiles, as models scale their grey values
_FIELD = np.array([[0.0, 0.5, 0.3], [1.0, 0.3, 0.0], [0.4, 0.0, 0.0]])  # falls off towards one corner
_GHOST_SHIFT = 4  # ghosts lie a quarter of the field away, so that they reach the heart


@dataclass(frozen=True)
class Distortion:
    """One kind of distortion and its levels.

    Attributes
    ----------
    name, unit
        Such as ``rotation`` and ``degrees``.
    what
        What the level measures, for the axis of a figure.
    levels
        In rising order, with the level ``untouched`` that changes nothing.
    change
        Grey values of an array ``(x, y, z, t)`` at a level; None where ``move`` changes the geometry.
    move, size
        Geometry: images on another grid, and that grid's size for a cine and a level.
    log
        Whether the levels are ratios, which an axis shows by their logarithm.
    """

    name: str
    unit: str
    what: str
    levels: tuple[float, ...]
    untouched: float
    change: Callable[[np.ndarray, float], np.ndarray] | None = None
    move: Move | None = None
    size: Callable[[Cine, float], Size] | None = None
    log: bool = False


def distort(cine: Cine, distortion: Distortion, level: float) -> Cine:
    """Distort the images of a cine.

    Parameters
    ----------
    cine
        Intensities, shape ``(x, y, z, t)``.
    distortion
        One of `DISTORTIONS`.
    level
        How much, in the unit of the distortion.

    Returns
    -------
    Intensities; of another size in the plane where the geometry changes, always with the same spacing.
    """
    if level == distortion.untouched:
        return cine
    if distortion.change is not None:
        return cine.with_array(distortion.change(cine.array.astype(np.float32), level))
    images = _planes(cine.array)[:, None].float()
    moved = distortion.move(images, cine, level, distortion.size(cine, level))
    return replace(cine, array=_stack(moved[:, 0], cine))


def distort_mask(mask: Cine, distortion: Distortion, level: float) -> Cine:
    """A mask as it lies on the distorted images.

    Parameters
    ----------
    mask
        `Label` ids on the grid of the untouched images, shape ``(x, y, z, t)``.
    distortion, level
        As for `distort`.

    Returns
    -------
    Mask on the grid of the distorted images; the mask itself where the geometry is untouched.
    """
    if level == distortion.untouched or distortion.move is None:
        return mask
    return _move_mask(mask, distortion, level, distortion.size(mask, level))


def restore_mask(mask: Cine, distortion: Distortion, level: float, grid: Cine) -> Cine:
    """Bring a mask of distorted images back.

    Probabilities are not known here, so each class is interpolated linearly and the largest wins; there and
    back costs some pixels at the contours, also for a perfect mask.

    Parameters
    ----------
    mask
        `Label` ids on the grid of the distorted images, shape ``(x, y, z, t)``.
    distortion, level
        As for `distort`.
    grid
        The cine before it was distorted.

    Returns
    -------
    Mask on the grid of ``grid``.
    """
    if level == distortion.untouched or distortion.move is None:
        return mask
    inverse = -level if distortion.move is _rotate else 1 / level
    return _move_mask(mask, distortion, inverse, grid.array.shape[:2])


def _move_mask(mask: Cine, distortion: Distortion, level: float, size: Size) -> Cine:
    """Each class moved as an image; the largest wins."""
    classes = F.one_hot(_planes(mask.array).long(), len(Label)).permute(0, 3, 1, 2).float()
    moved = distortion.move(classes, mask, level, size).argmax(1).to(torch.uint8)
    return replace(mask, array=_stack(moved, mask))


def _planes(array: np.ndarray) -> Tensor:
    """All images of a cine ``(x, y, z, t)`` as ``(z * t, x, y)``."""
    x, y, *_ = array.shape
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 3, 0, 1).reshape(-1, x, y)))


def _stack(planes: Tensor, like: Cine) -> np.ndarray:
    """Undo `_planes`."""
    return planes.numpy().reshape(*like.array.shape[2:], *planes.shape[1:]).transpose(2, 3, 0, 1)


def _pixel(cine: Cine) -> np.ndarray:
    """Pixel size along x and y in mm, squares where it is unknown."""
    pixel = np.array(cine.spacing[:2], float)
    return pixel if np.isfinite(pixel).all() else np.ones(2)


def _turn(degrees: float) -> np.ndarray:
    """Rotation matrix."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s], [s, c]])


def _rotated_size(cine: Cine, degrees: float) -> Size:
    """The smallest grid that shows the whole turned field."""
    pixel = _pixel(cine)
    extent = np.abs(_turn(degrees)) @ (np.array(cine.array.shape[:2]) * pixel)
    x, y = np.ceil(extent / pixel - 1e-6).astype(int)
    return int(x), int(y)


def _rotate(images: Tensor, cine: Cine, degrees: float, size: Size) -> Tensor:
    """Turn images ``(n, c, x, y)`` about their centre, in mm, from x towards y; black outside."""
    pixel = _pixel(cine)
    half_in, half_out = np.array(images.shape[2:]) * pixel / 2, np.array(size) * pixel / 2
    matrix = _turn(degrees).T * half_out / half_in[:, None]
    affine = torch.zeros(1, 2, 3)
    affine[0, :, :2] = torch.from_numpy(matrix[::-1, ::-1].copy())  # torch names the last axis first
    grid = F.affine_grid(affine, [1, 1, *size], align_corners=False).expand(len(images), -1, -1, -1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _zoomed_size(cine: Cine, ratio: float) -> Size:
    """The grid that shows the whole zoomed field."""
    x, y = (max(1, round(n * ratio)) for n in cine.array.shape[:2])
    return x, y


def _zoom(images: Tensor, cine: Cine, ratio: float, size: Size) -> Tensor:
    """Images ``(n, c, x, y)`` with more or fewer pixels, which the model takes to be as large as before."""
    return F.interpolate(images, size, mode="bilinear", antialias=ratio < 1)


def _unit_range(array: np.ndarray) -> np.ndarray:
    """Grey values of a study from 0 (dark) to 1 (bright blood and fat)."""
    low, high = np.percentile(array, [_DARK, _BRIGHT])
    return np.clip((array - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def _gamma(array: np.ndarray, exponent: float) -> np.ndarray:
    """Grey values to a power: below 1 dark tissue becomes brighter, above 1 darker."""
    return _unit_range(array) ** exponent


def _bias_field(array: np.ndarray, ratio: float) -> np.ndarray:
    """A smooth gain that differs by a ratio over the field, as near a surface coil."""
    x, y = (np.linspace(-1, 1, n) for n in array.shape[:2])
    field = leggrid2d(x, y, _FIELD)
    exponent = (field - field.min()) / np.ptp(field) - 0.5
    return (array * (ratio**exponent)[..., None, None]).astype(np.float32)


def _rician(array: np.ndarray, percent: float) -> np.ndarray:
    """Magnitude of the images plus complex noise, the same pattern at every level."""
    noise = np.random.default_rng(0).standard_normal((2, *array.shape), np.float32) * (percent / 100)
    return np.hypot(_unit_range(array) + noise[0], noise[1])


def _ghosts(array: np.ndarray, percent: float) -> np.ndarray:
    """Copies shifted along y, as a signal makes them that changes from phase-encoding line to line."""
    shift = array.shape[1] // _GHOST_SHIFT
    copies = np.roll(array, shift, axis=1) + np.roll(array, -shift, axis=1)
    return array + copies * (percent / 100)


def _coarse(array: np.ndarray, ratio: float) -> np.ndarray:
    """A smaller acquisition matrix, filled with zeros to the same grid."""
    kx, ky = (torch.fft.fftfreq(n).abs() <= 0.5 / ratio for n in array.shape[:2])
    kept = torch.fft.fft2(torch.from_numpy(array), dim=(0, 1)) * (kx[:, None] & ky)[..., None, None]
    return torch.fft.ifft2(kept, dim=(0, 1)).abs().numpy()


_PERCENTS = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0)
_ALL = (
    Distortion(
        "rotation", "degrees", "rotation in the plane", (-180, -90, -45, -20, 0, 20, 45, 90, 180), 0,
        move=_rotate, size=_rotated_size,
    ),
    Distortion(
        "zoom", "times", "size of the heart", (0.5, 0.6, 0.7, 0.85, 1, 1.2, 1.4, 1.7, 2), 1,
        move=_zoom, size=_zoomed_size, log=True,
    ),
    Distortion(
        "contrast", "gamma", "exponent of grey values", (0.3, 0.5, 0.7, 0.85, 1, 1.2, 1.5, 2, 3), 1,
        change=_gamma, log=True,
    ),
    Distortion(
        "bias_field", "times", "brightest over darkest gain", (1, 1.5, 2, 3, 5, 8, 12), 1,
        change=_bias_field, log=True,
    ),
    Distortion("noise", "%", "noise sd over bright blood", _PERCENTS, 0, change=_rician),
    Distortion("ghosting", "%", "ghosts over image", _PERCENTS, 0, change=_ghosts),
    Distortion(
        "resolution", "times", "acquired pixel size", (1, 1.5, 2, 2.5, 3, 4, 6), 1, change=_coarse, log=True,
    ),
)  # fmt: skip
DISTORTIONS: Mapping[str, Distortion] = MappingProxyType({each.name: each for each in _ALL})
