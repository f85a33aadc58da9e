"""What a loader hands out one by one: slices with their neighbours, or the stack of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from fastai.torch_core import TensorBase, TensorImage, TensorMask
from jaxtyping import Float
from torch.nn.functional import pad

from cmrseg.partial_labels import PADDING
from cmrseg.training.images import TrainingImages

Item = tuple[TensorImage, TensorMask]


class TensorNumbers(TensorBase):
    """Numbers of an image and the powers of the length that they grow with, ``(2, k)``."""


class Slices:
    """Indexable pairs of a slice with its neighbours ``(c, h, w)`` and its mask ``(h, w)``, and its numbers.

    Parameters
    ----------
    images
        What is indexed.
    split_idx
        0 for training, 1 for validation: fastai augments batches by it.
    """

    def __init__(self, images: TrainingImages, *, split_idx: int) -> None:
        self.data, self.split_idx = images, split_idx
        if images.numbers is not None:
            self.n_inp = 1  # fastai takes all but the last of three for input

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> tuple[TensorBase, ...]:
        image = self.data.images[self.data.neighbours[row]]
        pair = TensorImage(image), TensorMask(self.data.masks[row])
        return pair if self.data.numbers is None else (*pair, TensorNumbers(self.data.numbers[row].clone()))

    def weights(self, of_rows: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Weights of the items from those of all slices."""
        return of_rows


class Stacks:
    """Indexable pairs of the stack of a frame ``(z, h, w)`` and its masks ``(z, h, w)``.

    Parameters
    ----------
    images, split_idx
        As of `Slices`.
    """

    def __init__(self, images: TrainingImages, *, split_idx: int) -> None:
        self.data, self.split_idx = images, split_idx
        rows = sorted(range(len(images)), key=images.places.__getitem__)
        stacks = groupby(rows, key=lambda row: images.places[row][:2])
        self.rows = [torch.tensor(list(stack)) for _, stack in stacks]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, stack: int) -> Item:
        rows = self.rows[stack]
        centre = self.data.neighbours[rows, self.data.neighbours.shape[1] // 2]
        return TensorImage(self.data.images[centre]), TensorMask(self.data.masks[rows])

    def weights(self, of_rows: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Weights of the items from those of all slices: their mean."""
        return np.array([of_rows[rows.numpy()].mean() for rows in self.rows])


ITEMS = {2: Slices, 3: Stacks}  # by the spatial dimensions of a network


def pad_stacks(batch: Sequence[Item]) -> list:  # fastai casts to a type that it can check
    """Stacks of one batch to the same number of slices.

    The last slice is repeated, as convolutions repeat it where a stack ends; its masks are `PADDING`, which
    no loss and no score takes into account.
    """
    most = max(len(mask) for _, mask in batch)
    padded = []
    for image, mask in batch:
        missing = most - len(mask)
        last = image[-1:].expand(missing, -1, -1)
        more = pad(mask, (0, 0, 0, 0, 0, missing), value=PADDING)
        padded.append((TensorImage(torch.cat([image, last])), TensorMask(more)))
    return padded
