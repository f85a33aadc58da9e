"""From a cine on its native grid to the images a network sees, and from its answer exactly back.

The preprocessing is part of the model file: grey values by percentiles to [0, 1], pixels of one size,
the whole field padded to what the network can halve, neighbouring slices or three equal channels.
Network images have rows ``h`` along y and columns ``w`` along x, as a radiologist sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cmrseg.cine import Cine, fit, unfit

DIVISOR = 32  # a ResNet U-Net halves five times
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)


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
    low, high = np.percentile(array, [spec.low_percentile, spec.high_percentile])
    if high <= low:
        return np.zeros(array.shape, np.float32)
    return np.clip((array - low) / (high - low), 0, 1).astype(np.float32)


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


def to_slices(cine: Cine, spec: Preprocessing, *, frames: Sequence[int] | None = None) -> Tensor:
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
    ``float32`` tensor ``(t * z, h, w)``, slices of one frame side by side.
    """
    array = to_unit_range(cine.array, spec)
    chosen = array if frames is None else array[..., list(frames)]
    images = torch.from_numpy(np.ascontiguousarray(chosen.transpose(3, 2, 1, 0)))
    images = images.flatten(0, 1)
    shape = network_shape(cine, spec)
    if shape == images.shape[1:]:
        return images
    shrinks = shape[0] < images.shape[1]
    return _interpolate(images[:, None], shape, antialias=shrinks)[:, 0]


def mask_to_slices(mask: Cine, spec: Preprocessing, n_labels: int) -> Tensor:
    """All slices of a mask on the network's grid, each pixel with its most likely label.

    Parameters
    ----------
    mask
        Label ids ``(x, y, z, t)``, below ``n_labels``.

    Returns
    -------
    ``uint8`` tensor ``(t * z, h, w)``.
    """
    labels = torch.from_numpy(np.ascontiguousarray(mask.array.transpose(3, 2, 1, 0))).flatten(0, 1)
    shape = network_shape(mask, spec)
    if shape == labels.shape[1:]:
        return labels.to(torch.uint8)
    onehot = F.one_hot(labels.long(), n_labels).permute(0, 3, 1, 2).float()
    return _interpolate(onehot, shape).argmax(1).to(torch.uint8)


def neighbour_table(n_slices: int, n_frames: int, neighbours: int) -> Tensor:
    """Row numbers of every slice's neighbours in the output of `to_slices`; the ends are repeated.

    Returns
    -------
    ``int64`` tensor ``(n_frames * n_slices, neighbours)``.
    """
    reach = neighbours // 2
    within = (torch.arange(n_slices)[:, None] + torch.arange(-reach, reach + 1)).clamp(0, n_slices - 1)
    starts = torch.arange(n_frames)[:, None, None] * n_slices
    return (starts + within).flatten(0, 1)


def pad_to_divisible(images: Tensor) -> Tensor:
    """Pad the last two axes with zeros, evenly on both sides, to multiples of `DIVISOR`."""
    h, w = (-(-n // DIVISOR) * DIVISOR for n in images.shape[-2:])
    return torch.from_numpy(fit(images.numpy(), (h, w)))


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
    return (images - mean) / (images.std(dim=(1, 2, 3), keepdim=True) + 1e-5)


def batches(slices: Tensor, table: Tensor, spec: Preprocessing, *, batch_size: int) -> Iterator[Tensor]:
    """Network input, batch by batch.

    Parameters
    ----------
    slices
        Output of `to_slices`, ``(n, h, w)``.
    table
        Output of `neighbour_table`.

    Yields
    ------
    Normalised tensors ``(b, channels, H, W)``, ``H`` and ``W`` multiples of `DIVISOR`.
    """
    padded = pad_to_divisible(slices)
    for rows in table.split(batch_size):
        yield normalise(padded[rows], spec)


def restore(probabilities: Tensor, cine: Cine, spec: Preprocessing) -> Tensor:
    """Class probabilities back on the native grid: the exact inverse of padding and resampling.

    Parameters
    ----------
    probabilities
        Shape ``(b, classes, H, W)`` as the network sees it.
    cine
        The input, for its grid.

    Returns
    -------
    Tensor ``(b, classes, y, x)``; what padding had added is gone, nothing is cropped.
    """
    cropped = torch.from_numpy(unfit(probabilities.float().numpy(), network_shape(cine, spec)))
    x, y = cine.array.shape[:2]
    return cropped if cropped.shape[-2:] == (y, x) else _interpolate(cropped, (y, x))


def _interpolate(images: Tensor, shape: tuple[int, int], *, antialias: bool = False) -> Tensor:
    """Bilinear resampling that keeps the edges of the field of view."""
    return F.interpolate(images, shape, mode="bilinear", align_corners=False, antialias=antialias)
