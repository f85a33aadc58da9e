"""What a network is shown of a cine: slices with their neighbours, or the stacks of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cmrseg.cine import Cine
from cmrseg.preprocess.grid import WHOLE, Box, fill, network_shape, padded_shape
from cmrseg.preprocess.spec import IMAGENET_MEAN, IMAGENET_SD, Preprocessing

if TYPE_CHECKING:
    from torch import Tensor

_NO_CONTRAST = 1e-5  # keeps the sd of an empty image from being 0


@dataclass(frozen=True)
class NetworkImages:
    """Slices of a cine on the network's grid, with their neighbours, and which of them make an image.

    Attributes
    ----------
    slices
        Grey values in [0, 1], padded with 0, ``float32`` ``(t * z, H, W)``, slices of one frame side by side.
    neighbours
        Row numbers of every slice's neighbours in ``slices``, ``(t * z, neighbours)``.
    mean, sd
        What is subtracted, and what is divided by, ``float32`` ``(t * z, channels)``; they are those of the
        whole padded slices, so that a part of them looks the same to the network. In a stack every slice has
        its own: a stack that starts from a 2D network shows it what it knows, and slices that only fill up
        a batch change nothing.
    table
        Row numbers of the slices that an image answers for, ``(n, 1)`` in 2D and ``(n, z)`` of stacks.
    dims
        Spatial dimensions of an image, 2 or 3.
    """

    slices: np.ndarray
    neighbours: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    table: np.ndarray
    dims: int = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a padded image."""
        return self.slices.shape[1:]

    @property
    def depth(self) -> int:
        """Slices that an image answers for."""
        return self.table.shape[1]

    def answered(self, rows: slice | np.ndarray) -> np.ndarray:
        """Row numbers in ``slices`` of what the network answers for when it is shown some images."""
        return self.table[rows].ravel()


def network_images(cine: Cine, spec: Preprocessing, *, dims: int = 2) -> NetworkImages:
    """All images of a cine as a network sees them.

    Parameters
    ----------
    cine
        Intensities ``(x, y, z, t)``.
    spec
        Preprocessing of the model.
    dims
        Spatial dimensions of the network: 2 is shown every slice of every frame, 3 the stack of every frame.

    Returns
    -------
    Padded slices and the numbers that normalise them, as `normalise` does.
    """
    n_slices, n_frames = cine.array.shape[2:]
    slices = np.empty((n_frames * n_slices, *padded_shape(network_shape(cine, spec), spec)), np.float32)
    fill(slices, cine, spec, range(n_frames))
    near = neighbour_table(n_slices, n_frames, spec.neighbours, in_time=spec.neighbours_in == "time")
    table = np.arange(len(slices)).reshape(-1, 1 if dims == 2 else n_slices)
    if spec.rgb:
        mean, sd = (np.tile(np.float32(v), (len(slices), 1)) for v in (IMAGENET_MEAN, IMAGENET_SD))
        return NetworkImages(slices, near, mean, sd, table, dims)
    flat = slices.reshape(len(slices), -1)
    n = flat.shape[1] * spec.neighbours  # sums of slices give those of their neighbourhoods
    mean = flat.sum(1, dtype=np.float64)[near].sum(1) / n
    squares = np.einsum("np,np->n", flat, flat, dtype=np.float64)[near].sum(1)
    sd = np.sqrt(np.maximum(squares - n * mean**2, 0) / (n - 1)) + _NO_CONTRAST
    return NetworkImages(slices, near, *(v.astype(np.float32)[:, None] for v in (mean, sd)), table, dims)


def network_input(images: NetworkImages, rows: slice | np.ndarray, box: Box = WHOLE) -> np.ndarray:
    """Input of a network for some images, or for a part of their field.

    Parameters
    ----------
    images
        Output of `network_images`.
    rows
        Which images.
    box
        Rows and columns of the padded images.

    Returns
    -------
    ``float32`` array ``(b, channels, h, w)``, or ``(b, channels, z, h, w)`` of stacks.
    """
    numbers = images.answered(rows)
    grey = images.slices[:, *box][images.neighbours[numbers]]
    mean, sd = (v[numbers, :, None, None] for v in (images.mean, images.sd))
    shown = (grey - mean) / sd
    if images.dims == 2:
        return shown
    return shown.reshape(-1, images.depth, *shown.shape[1:]).swapaxes(1, 2)


def by_slice(outputs: np.ndarray) -> np.ndarray:
    """Answers for every pixel slice by slice: those of stacks ``(b, c, z, h, w)`` as ``(b * z, c, h, w)``."""
    if outputs.ndim == 4:
        return outputs
    return np.moveaxis(outputs, 2, 1).reshape(-1, outputs.shape[1], *outputs.shape[3:])


def neighbour_table(n_slices: int, n_frames: int, neighbours: int, *, in_time: bool = False) -> np.ndarray:
    """Row numbers of every slice's neighbours in the output of `to_slices`.

    Parameters
    ----------
    n_slices, n_frames
        Of the cine.
    neighbours
        How many, the slice itself in the middle.
    in_time
        Neighbours at other frames, cyclic, instead of those in the stack, whose ends are repeated.

    Returns
    -------
    ``int64`` array ``(n_frames * n_slices, neighbours)``.
    """
    steps = np.arange(neighbours) - neighbours // 2
    frames, slices = np.arange(n_frames)[:, None, None], np.arange(n_slices)[:, None]
    if in_time:
        return ((frames + steps) % n_frames * n_slices + slices).reshape(-1, neighbours)
    return (frames * n_slices + (slices + steps).clip(0, n_slices - 1)).reshape(-1, neighbours)


def normalise(images: Tensor, spec: Preprocessing) -> Tensor:
    """Grey values in [0, 1] to network input.

    Parameters
    ----------
    images
        Shape ``(b, neighbours, h, w)``, padded, or stacks ``(b, neighbours, z, h, w)``.

    Returns
    -------
    Tensor ``(b, channels, ...)``: zero mean and unit sd per image (of a stack, per slice), or ImageNet's
    convention when ``rgb``.
    """
    if spec.rgb:
        space = [1] * (images.ndim - 2)
        mean, sd = (images.new_tensor(v).view(-1, *space) for v in (IMAGENET_MEAN, IMAGENET_SD))
        return (images.expand(-1, 3, *images.shape[2:]) - mean) / sd
    mean = images.mean(dim=(1, -2, -1), keepdim=True)
    return (images - mean) / (images.std(dim=(1, -2, -1), keepdim=True) + _NO_CONTRAST)
