"""The augmentations that recipes name: s1 and s2 of the paper, s3 for any scanner, s4 for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from cmrseg.data.augment_strong import StrongAugment, augment_strong

# fastai is imported where it is used: a recipe name can be read without it.


def paper_transforms(*, rotation_degrees: float, flip: bool) -> list[Any]:
    """fastai batch transforms of the paper: rotation, zoom 1.2, lighting 0.4, zeros outside.

    Parameters
    ----------
    rotation_degrees
        Largest rotation, 20 for s1 and 90 for s2.
    flip
        Flip left-right in half of the images (s2).

    Returns
    -------
    fastai transforms for images and masks.

    References
    ----------
    Ankenbrand et al. 2021, II.C.
    """
    from fastai.vision.augment import PadMode, aug_transforms

    return list(
        aug_transforms(
            do_flip=flip,
            max_rotate=rotation_degrees,
            max_zoom=1.2,
            max_lighting=0.4,
            max_warp=0,
            pad_mode=PadMode.Zeros,
        )
    )


def strong_transforms(spec: StrongAugment) -> list[Any]:
    """One fastai batch transform that applies `augment_strong`."""
    from fastai.torch_core import TensorImage, TensorMask
    from fasttransform import ItemTransform

    class StrongTransform(ItemTransform):
        """Warp and change grey values of training batches."""

        split_idx, order = 0, 20

        def encodes(self, batch):  # type hints would be taken for dispatch
            images, masks = augment_strong(*batch, spec)
            return TensorImage(images), TensorMask(masks)

    return [StrongTransform()]


# s4: s3 for one scanner, which writes all its images in one orientation and at one scale.
ONE_ORIENTATION = StrongAugment(
    rotation_max_degrees=20, flip_probability=0, scale_min_ratio=0.8, scale_max_ratio=1.25
)
AUGMENTATIONS: Mapping[str, Callable[[int], list[Any]]] = MappingProxyType(
    {
        "s1": lambda size: paper_transforms(rotation_degrees=20, flip=False),
        "s2": lambda size: paper_transforms(rotation_degrees=90, flip=True),
        "s3": lambda size: strong_transforms(StrongAugment(crop_px=size)),
        "s4": lambda size: strong_transforms(replace(ONE_ORIENTATION, crop_px=size)),
    }
)
# s3 and s4 crop from a wider field, so that zooming out and shifting show tissue rather than black.
FIELD_RATIO: Mapping[str, float] = MappingProxyType({"s1": 1.0, "s2": 1.0, "s3": 1.4, "s4": 1.4})
