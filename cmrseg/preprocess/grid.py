"""From a cine on its native grid to slices on the network's, and from its answer exactly back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmrseg.cine import Cine, bilinear_weights, fit, resample, weighted_sums
from cmrseg.preprocess.spec import DIVISOR, MOST_ENLARGED, Preprocessing
from cmrseg.problems import DataError

Box = tuple[slice, slice]  # rows and columns
WHOLE: Box = (slice(None), slice(None))


def to_unit_range(array: np.ndarray, spec: Preprocessing) -> np.ndarray:
    """Grey values of a study to [0, 1]; what has no contrast becomes 0.

    Parameters
    ----------
    array
        Intensities ``(x, y, z, t)``.
    spec
        How the model wants them.

    Returns
    -------
    ``float32`` array of the same shape.
    """
    return _unit(array, *_grey_range(array, spec), spec)


def network_shape(cine: Cine, spec: Preprocessing) -> tuple[int, int]:
    """Rows and columns of a slice after resampling to the model's pixel or image size.

    The field of view is kept, so the true pixel size differs from ``pixel_mm`` by less than half a pixel
    over the whole image. An unknown pixel size is taken to be the model's own.

    Raises
    ------
    DataError
        If every pixel would become more than 25, which no heart of the model's kind asks for.
    """
    x, y = cine.array.shape[:2]
    if spec.resize == "longer_side":
        return max(1, round(y * spec.size / max(x, y))), max(1, round(x * spec.size / max(x, y)))
    dx, dy = cine.spacing[:2]
    if spec.pixel_mm is None or not np.isfinite([dx, dy]).all():
        return y, x
    if dx * dy > MOST_ENLARGED * spec.pixel_mm**2:
        raise DataError(
            f"pixels of {dx:g} x {dy:g} mm are far larger than the model's {spec.pixel_mm:g} mm: it is for "
            "another kind of heart, or the image tells a wrong size; choose another model or mend the image"
        )
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
    fill(slices, cine, spec, chosen)
    return slices


def fill(slices: np.ndarray, cine: Cine, spec: Preprocessing, frames: Sequence[int]) -> None:
    """Put resampled, padded slices into an array, frame by frame, which spares memory and hence time.

    Parameters
    ----------
    slices
        Array ``(frames * z, H, W)`` to fill.
    cine
        Intensities ``(x, y, z, t)``.
    spec
        Preprocessing of the model.
    frames
        Positions of the frames.
    """
    shape, limits = network_shape(cine, spec), _grey_range(cine.array, spec)
    antialias = shape[0] < cine.array.shape[1]
    for part, frame in zip(np.split(slices, len(frames)), frames, strict=True):
        low, high = (limit[..., frame : frame + 1] if np.ndim(limit) else limit for limit in limits)
        images = _slices(_unit(cine.array[..., frame : frame + 1], low, high, spec))
        part[:] = fit(resample(images, shape, antialias=antialias), part.shape[1:])


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


def padded_shape(shape: tuple[int, int], spec: Preprocessing) -> tuple[int, int]:
    """Rows and columns that a network can halve, to which `fit` pads evenly.

    They are multiples of `DIVISOR`; of an image that was resized as a whole, those of the training images.
    """
    if spec.resize == "longer_side":
        return spec.size, spec.size
    return tuple(-(-n // DIVISOR) * DIVISOR for n in shape)


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
    sides = zip(padded_shape(inner, spec), inner, (y, x), box, strict=True)
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


def _grey_range(array: np.ndarray, spec: Preprocessing) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Grey values that become 0 and 1: of the study, or of each slice ``(1, 1, z, t)``."""
    if spec.grey == "png":
        low, high = (limit(axis=(0, 1), keepdims=True) for limit in (array.min, array.max))
        is_8_bit = low.min() >= 0 and high.max() <= 255 and not np.any(array % 1)
        return (0, 255) if is_8_bit else (low, high)
    if spec.grey == "slice_percentiles":
        limits = [spec.low_percentile, spec.high_percentile]
        return tuple(np.percentile(array, limits, axis=(0, 1), keepdims=True))
    flat = array.ravel(order="K")  # in memory order: numpy would copy a transposed array slowly
    low, high = np.percentile(flat, [spec.low_percentile, spec.high_percentile])
    return float(low), float(high)


def _unit(
    array: np.ndarray, low: float | np.ndarray, high: float | np.ndarray, spec: Preprocessing
) -> np.ndarray:
    """Grey values of a range to [0, 1]; 0 where the range is empty."""
    unit = np.subtract(array, low, dtype=np.float32)
    unit /= np.where(np.greater(high, low), np.subtract(high, low), np.inf).astype(np.float32)
    np.clip(unit, 0, 1, out=unit)
    return np.round(unit * 255) / 255 if spec.grey == "png" else unit


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
