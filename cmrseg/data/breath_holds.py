"""What breath-holds do to a stack: slices that lie beside the others, and slices that are missing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cmrseg.partial_labels import PADDING

Draw = Callable[..., Tensor]  # (*shape) -> uniform numbers in [0, 1), on the images' device
FEWEST_SLICES = 3  # of a stack that may lose one


def slice_shifts(stacks: int, slices: int, *, probability: float, max_px: float, draw: Draw) -> Tensor:
    """How far every slice lies beside its stack, because the diaphragm stood elsewhere in its breath-hold.

    Parameters
    ----------
    stacks, slices
        How many.
    probability
        That a stack has shifted slices at all.
    max_px
        Largest shift along either axis in pixels; every stack has a largest one of its own up to it.
    draw
        Source of uniform random numbers.

    Returns
    -------
    Shifts ``(x, y)`` in pixels, shape ``(stacks, slices, 2)``.
    """
    reach = (draw(stacks, 1, 1) < probability) * draw(stacks, 1, 1) * max_px
    return (2 * draw(stacks, slices, 2) - 1) * reach


def drop_slices(images: Tensor, masks: Tensor, *, probability: float, draw: Draw) -> tuple[Tensor, Tensor]:
    """Leave a slice out of some stacks, as happens where a breath-hold failed.

    Parameters
    ----------
    images
        Stacks ``(b, z, h, w)``.
    masks
        Of every slice, ``(b, z, h, w)``; those that fill a stack up, at its end, are `PADDING`.
    probability
        That a stack of three slices or more loses one.
    draw
        Source of uniform random numbers.

    Returns
    -------
    Images and masks of the same shapes: what comes after moves up, and the last slice that is left is
    repeated to fill the stack up, with masks of `PADDING`.
    """
    count = masks.shape[1]
    real = (masks != PADDING).flatten(2).any(dim=2).sum(dim=1)
    chosen = (draw(len(masks)) < probability) & (real >= FEWEST_SLICES)
    lost = torch.where(chosen, (draw(len(masks)) * real).long(), count)
    order = torch.arange(count, device=masks.device)
    order = order + (order >= lost[:, None])
    rows = torch.arange(len(masks), device=masks.device)[:, None]
    last = real - 1 - (lost == real - 1).long()
    kept = torch.minimum(order, last[:, None])
    return images[rows, kept], masks[rows, kept].masked_fill(
        (order > last[:, None])[..., None, None], PADDING
    )
