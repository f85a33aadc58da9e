"""From a cine on its native grid to the images a network sees, and from its answer exactly back.

The preprocessing is part of the model file: grey values by percentiles to [0, 1], pixels of one size,
the whole field padded to what the network can halve, neighbouring slices or three equal channels.
Network images have rows ``h`` along y and columns ``w`` along x, as a radiologist sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cmrseg.cine import Cine, bilinear_weights, fit, resample, weighted_sums

if TYPE_CHECKING:
    from torch import Tensor

DIVISOR = 32  # a ResNet U-Net halves five times
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
Box = tuple[slice, slice]  # rows and columns
WHOLE: Box = (slice(None), slice(None))
_NO_CONTRAST = 1e-5  # keeps the sd of an empty image from being 0


@dataclass(frozen=True)
class Preprocessing:
    """What a model expects of its input.

    Attributes
    ----------
    pixel_mm
        In-plane pixel size that images are resampled to; None keeps the pixels of the file (the paper's way).
    size
        Height and width of the training images in pixels.
    neighbours
        Odd number of neighbouring slices given as channels; 1 is the slice alone.
    rgb
        Repeat a single slice three times and use ImageNet's mean and sd (the paper's convention); otherwise
        every image is brought to zero mean and unit sd.
    low_percentile, high_percentile
        Grey values of the study that become 0 and 1.
    """

    pixel_mm: float | None = 1.5
    size: int = 160
    neighbours: int = 1
    rgb: bool = False
    low_percentile: float = 0.5
    high_percentile: float = 99.5

    def __post_init__(self) -> None:
        if self.pixel_mm is not None and self.pixel_mm <= 0:
            raise ValueError(f"pixel_mm must be positive (mm), got {self.pixel_mm}")
        if self.size < DIVISOR or self.size % DIVISOR:
            raise ValueError(f"size must be a multiple of {DIVISOR} (pixels), got {self.size}")
        if self.neighbours < 1 or self.neighbours % 2 == 0:
            raise ValueError(f"neighbours must be an odd number of slices, got {self.neighbours}")
        if self.rgb and self.neighbours not in (1, 3):
            raise ValueError(
                f"rgb input has 3 channels; neighbours must be 1 or 3 slices, got {self.neighbours}"
            )

    @property
    def channels(self) -> int:
        """Input channels of the network."""
        return 3 if self.rgb else self.neighbours


@dataclass(frozen=True)
class NetworkImages:
    """Slices of a cine on the network's grid, and what turns them into network input.

    Attributes
    ----------
    slices
        Grey values in [0, 1], padded with 0, ``float32`` ``(t * z, H, W)``, slices of one frame side by side.
    neighbours
        Row numbers of every slice's neighbours in ``slices``, ``(t * z, neighbours)``.
    mean, sd
        What is subtracted, and what is divided by, ``float32`` ``(t * z, channels)``; they are those of the
        whole padded image, so that a part of it looks the same to the network.
    """

    slices: np.ndarray
    neighbours: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a padded image."""
        return self.slices.shape[1:]


def to_unit_range(array: np.ndarray, spec: Preprocessing) -> np.ndarray:
    """Grey values of a study to [0, 1] by its percentiles; an image without contrast becomes 0.

    Parameters
    ----------
    array
        Intensities, any shape.
    spec
        Percentiles.

    Returns
    -------
    ``float32`` array of the same shape.
    """
    return _unit(array, *_grey_range(array, spec))


def network_shape(cine: Cine, spec: Preprocessing) -> tuple[int, int]:
    """Rows and columns of a slice after resampling to the model's pixel size.

    The field of view is kept, so the true pixel size differs from ``pixel_mm`` by less than half a pixel
    over the whole image. An unknown pixel size is taken to be the model's own.
    """
    x, y = cine.array.shape[:2]
    dx, dy = cine.spacing[:2]
    if spec.pixel_mm is None or not np.isfinite([dx, dy]).all():
        return y, x
    return max(1, round(y * dy / spec.pixel_mm)), max(1, round(x * dx / spec.pixel_mm))


def to_slices(cine: Cine, spec: Preprocessing, *, frames: Sequence[int] | None = None) -> np.ndarray:
    """All slices of a cine as resampled grey values in [0, 1], before padding and normalisation.

    Parameters
    ----------
    cine
        Intensities ``(x, y, z, t)``.
    spec
        Preprocessing of the model.
    frames
        Positions of the frames to return, all by default; grey values are scaled by the whole cine anyway.

    Returns
    -------
    ``float32`` array ``(t * z, h, w)``, slices of one frame side by side.
    """
    n_slices, n_frames = cine.array.shape[2:]
    chosen = range(n_frames) if frames is None else frames
    slices = np.empty((len(chosen) * n_slices, *network_shape(cine, spec)), np.float32)
    _fill(slices, cine, spec, chosen)
    return slices


def mask_to_slices(mask: Cine, spec: Preprocessing, n_labels: int) -> np.ndarray:
    """All slices of a mask on the network's grid, each pixel with its most likely label.

    Parameters
    ----------
    mask
        Label ids ``(x, y, z, t)``, below ``n_labels``.

    Returns
    -------
    ``uint8`` array ``(t * z, h, w)``.
    """
    labels = _slices(mask.array)
    shape = network_shape(mask, spec)
    if shape == labels.shape[1:]:
        return labels.astype(np.uint8)
    onehot = np.stack([labels == label for label in range(n_labels)], axis=1).astype(np.float32)
    return most_likely(resample(onehot, shape))


def neighbour_table(n_slices: int, n_frames: int, neighbours: int) -> np.ndarray:
    """Row numbers of every slice's neighbours in the output of `to_slices`; the ends are repeated.

    Returns
    -------
    ``int64`` array ``(n_frames * n_slices, neighbours)``.
    """
    reach = neighbours // 2
    within = np.arange(n_slices)[:, None] + np.arange(-reach, reach + 1)
    starts = np.arange(n_frames)[:, None, None] * n_slices
    return (starts + within.clip(0, n_slices - 1)).reshape(-1, neighbours)


def padded_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns that a network can halve: multiples of `DIVISOR`; `fit` pads to them evenly."""
    return tuple(-(-n // DIVISOR) * DIVISOR for n in shape)


def normalise(images: Tensor, spec: Preprocessing) -> Tensor:
    """Grey values in [0, 1] to network input.

    Parameters
    ----------
    images
        Shape ``(b, neighbours, h, w)``, padded.

    Returns
    -------
    Tensor ``(b, channels, h, w)``: zero mean and unit sd per image, or ImageNet's convention when ``rgb``.
    """
    if spec.rgb:
        mean = images.new_tensor(IMAGENET_MEAN)[:, None, None]
        return (images.expand(-1, 3, -1, -1) - mean) / images.new_tensor(IMAGENET_SD)[:, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) / (images.std(dim=(1, 2, 3), keepdim=True) + _NO_CONTRAST)


def network_images(cine: Cine, spec: Preprocessing) -> NetworkImages:
    """All slices of a cine as a network sees them.

    Parameters
    ----------
    cine
        Intensities ``(x, y, z, t)``.
    spec
        Preprocessing of the model.

    Returns
    -------
    Padded slices with their neighbours and the numbers that normalise them, as `normalise` does.
    """
    n_slices, n_frames = cine.array.shape[2:]
    slices = np.empty((n_frames * n_slices, *padded_shape(network_shape(cine, spec))), np.float32)
    _fill(slices, cine, spec, range(n_frames))
    table = neighbour_table(n_slices, n_frames, spec.neighbours)
    if spec.rgb:
        mean, sd = (np.tile(np.float32(v), (len(slices), 1)) for v in (IMAGENET_MEAN, IMAGENET_SD))
        return NetworkImages(slices, table, mean, sd)
    flat = slices.reshape(len(slices), -1)
    n = flat.shape[1] * spec.neighbours  # sums of slices give those of their neighbourhoods
    mean = flat.sum(1, dtype=np.float64)[table].sum(1) / n
    squares = np.einsum("np,np->n", flat, flat, dtype=np.float64)[table].sum(1)
    sd = np.sqrt(np.maximum(squares - n * mean**2, 0) / (n - 1)) + _NO_CONTRAST
    return NetworkImages(slices, table, *(v.astype(np.float32)[:, None] for v in (mean, sd)))


def network_input(images: NetworkImages, rows: slice | np.ndarray, box: Box = WHOLE) -> np.ndarray:
    """Input of a network for some slices, or for a part of their field.

    Parameters
    ----------
    images
        Output of `network_images`.
    rows
        Which slices.
    box
        Rows and columns of the padded images.

    Returns
    -------
    ``float32`` array ``(b, channels, h, w)``.
    """
    grey = images.slices[:, *box][images.neighbours[rows]]
    mean, sd = (v[rows, :, None, None] for v in (images.mean, images.sd))
    return (grey - mean) / sd


def restore(
    probabilities: np.ndarray, cine: Cine, spec: Preprocessing, box: Box = WHOLE
) -> tuple[np.ndarray, Box]:
    """Class probabilities back on the native grid: the exact inverse of padding and resampling.

    Parameters
    ----------
    probabilities
        Shape ``(b, classes, h, w)`` as the network gives them.
    cine
        The input, for its grid.
    box
        The part of the padded image that they are about.

    Returns
    -------
    Array ``(b, classes, y, x)`` and the rows and columns of the native grid that it covers: those of which
    the network has seen everything that they are interpolated from; the whole slice for the whole image.
    """
    x, y = cine.array.shape[:2]
    inner = network_shape(cine, spec)
    sides = zip(padded_shape(inner), inner, (y, x), box, strict=True)
    (rows, to_rows), (columns, to_columns) = (_native(*side) for side in sides)
    return weighted_sums(probabilities, to_rows, to_columns), (rows, columns)


def most_likely(probabilities: np.ndarray) -> np.ndarray:
    """Number of the most likely class, the first of equals.

    Parameters
    ----------
    probabilities
        Shape ``(b, classes, h, w)``.

    Returns
    -------
    ``uint8`` array ``(b, h, w)``.
    """
    best = probabilities[:, 0].copy()
    number = np.zeros(best.shape, np.uint8)
    for label in range(1, probabilities.shape[1]):  # numpy's argmax over this axis is ten times slower
        number[probabilities[:, label] > best] = label
        np.maximum(best, probabilities[:, label], out=best)
    return number


def _grey_range(array: np.ndarray, spec: Preprocessing) -> tuple[float, float]:
    """Grey values that become 0 and 1."""
    flat = array.ravel(order="K")  # in memory order: numpy would copy a transposed array slowly
    low, high = np.percentile(flat, [spec.low_percentile, spec.high_percentile])
    return float(low), float(high)


def _unit(array: np.ndarray, low: float, high: float) -> np.ndarray:
    """Grey values of a range to [0, 1]."""
    if high <= low:
        return np.zeros(array.shape, np.float32)
    unit = np.subtract(array, low, dtype=np.float32)
    unit /= high - low
    return np.clip(unit, 0, 1, out=unit)


def _fill(slices: np.ndarray, cine: Cine, spec: Preprocessing, frames: Sequence[int]) -> None:
    """Put resampled, padded slices into an array, frame by frame, which spares memory and hence time."""
    shape, grey_range = network_shape(cine, spec), _grey_range(cine.array, spec)
    antialias = shape[0] < cine.array.shape[1]
    for part, frame in zip(np.split(slices, len(frames)), frames, strict=True):
        images = _slices(_unit(cine.array[..., frame : frame + 1], *grey_range))
        part[:] = fit(resample(images, shape, antialias=antialias), part.shape[1:])


def _slices(array: np.ndarray) -> np.ndarray:
    """``(x, y, z, t)`` as images ``(t * z, y, x)``."""
    x, y = array.shape[:2]
    return np.ascontiguousarray(array.transpose(3, 2, 1, 0)).reshape(-1, y, x)


def _native(padded: int, inner: int, native: int, part: slice) -> tuple[slice, np.ndarray]:
    """Native pixels along one axis that need nothing but a part of the padded image, and their weights."""
    weights = fit(bilinear_weights(inner, native), (native, padded))
    inside = weights[:, part]
    known = np.flatnonzero(inside.sum(axis=1) > 1 - 1e-4)
    pixels = slice(int(known[0]), int(known[-1]) + 1)
    return pixels, inside[pixels]
