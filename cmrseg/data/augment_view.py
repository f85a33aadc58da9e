"""Augmentation ``s5``: turned, larger or smaller, and somewhere else, and what lengths become by it.

Rotation keeps numbers as they are. Those of the heart's own directions (mid-septum, anterior ...) turn with
it, so that this is exact; were they those of the image, it would not be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from cmrseg.data.augment_strong import warp
from cmrseg.partial_labels import join_codes, split_codes


@dataclass(frozen=True)
class RandomView:
    """Ranges of ``s5``; each is sampled anew for every image, and there are no flips.

    Attributes
    ----------
    crop_px
        Height and width of what is cut out.
    field_ratio
        Side of the square in the middle of the image that it is cut from, over ``crop_px``.
    rotation_max_degrees
        Either way.
    scale_min_ratio, scale_max_ratio
        Of lengths.
    """

    crop_px: int = 224
    field_ratio: float = 300 / 224
    rotation_max_degrees: float = 180.0
    scale_min_ratio: float = 0.8
    scale_max_ratio: float = 1.2


def random_view(
    images: Tensor, masks: Tensor, spec: RandomView, generator: Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """A random part of turned and scaled images and their masks; black lies outside.

    Parameters
    ----------
    images
        Shape ``(b, c, h, w)``.
    masks
        Label ids, integers of shape ``(b, h, w)``.
    spec
        Ranges.
    generator
        Source of random numbers; torch's global one when None.

    Returns
    -------
    Images ``(b, c, crop_px, crop_px)`` and masks ``(b, crop_px, crop_px)`` of the dtypes given, and the ratio
    by which lengths in pixels grew ``(b,)``.

    References
    ----------
    Gessert and Schlaefer, STACOM (2019), 2.2.
    """
    dtype, images, masks = images.dtype, images.as_subclass(Tensor).float(), masks.as_subclass(Tensor)
    draws = torch.rand(len(images), 4, generator=generator, device=images.device)
    scale = spec.scale_min_ratio + (spec.scale_max_ratio - spec.scale_min_ratio) * draws[:, 0]
    angle = math.radians(spec.rotation_max_degrees) * (2 * draws[:, 1] - 1)
    shift = spec.crop_px * (spec.field_ratio - 1) * (draws[:, 2:] - 0.5)
    grid = _grid(images, angle, scale, shift, spec.crop_px)
    plain, codes = split_codes(masks)
    images, plain = warp(images, plain, grid)
    return images.to(dtype), join_codes(plain, codes), scale


def _grid(images: Tensor, angle: Tensor, scale: Tensor, shift: Tensor, crop_px: int) -> Tensor:
    """Where every pixel of the part lies in the image, in units of ``grid_sample``."""
    line = torch.arange(crop_px, device=images.device) - (crop_px - 1) / 2
    x = line[None, None, :] + shift[:, 0, None, None]
    y = line[None, :, None] + shift[:, 1, None, None]
    cos, sin = ((f(angle) / scale)[:, None, None] for f in (torch.cos, torch.sin))
    height, width = images.shape[-2:]
    return torch.stack([(cos * x + sin * y) * 2 / width, (cos * y - sin * x) * 2 / height], dim=-1)
