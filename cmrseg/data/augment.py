"""The augmentations that recipes name: s1, s2 of the paper, s3 for any scanner, s4 for one; s5 for sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

# fastai and torch are imported where they are used: models are opened without them.

Flips = tuple[tuple[int, ...], ...]  # axes of an image (h, w); none is the image as it is
ONCE: Flips = ((),)


def paper_transforms(*, rotation_degrees: float, flip: bool) -> list[Any]:
    """fastai batch transforms of the authors: warp, rotation, zoom 1.2, lighting 0.4, zeros outside.

    Their scripts call fastai 1's ``get_transforms(do_flip, max_rotate, max_lighting=0.4, max_zoom=1.2)`` and
    leave the rest as it is: a perspective warp of up to 0.2 that the paper does not name, 0.75 as the chance
    of warp, rotation, zoom, brightness and contrast (each for itself), 0.5 as that of the flip. fastai 2 has
    the same numbers. Its warp draws two magnitudes (left-right and up-down, each with that chance), where
    fastai 1 drew one for every side; all other ranges are equal.

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
    Ankenbrand et al. 2021, II.C, and their training scripts: github.com/chfc-cmi/cmr-seg-tl,
    ``code/kaggle/train_fastai_segmentation.py`` and ``code/7T/transfer_learning.ipynb``.
    """
    from fastai.vision.augment import PadMode, aug_transforms

    return list(
        aug_transforms(
            do_flip=flip,
            max_rotate=rotation_degrees,
            max_zoom=1.2,
            max_lighting=0.4,
            max_warp=0.2,
            p_affine=0.75,
            p_lighting=0.75,
            pad_mode=PadMode.Zeros,
        )
    )


def strong_transforms(**ranges: Any) -> list[Any]:
    """One fastai batch transform that applies `augment_strong`; ranges as of `StrongAugment`."""
    from fastai.torch_core import TensorImage, TensorMask
    from fasttransform import ItemTransform

    from cmrseg.data.augment_strong import StrongAugment, augment_strong

    spec = StrongAugment(**ranges)

    class StrongTransform(ItemTransform):
        """Warp and change grey values of training batches."""

        split_idx, order = 0, 20

        def encodes(self, batch):  # type hints would be taken for dispatch
            images, masks = augment_strong(*batch, spec)
            return TensorImage(images), TensorMask(masks)

    return [StrongTransform()]


def view_transforms(crop_px: int) -> list[Any]:
    """One fastai batch transform that applies `random_view` and scales the numbers of images with them.

    Batches are images and masks, and may have numbers beside them, ``(b, 2, k)``: values, and the power of
    the length that each grows with (1 of a length, 2 of an area).
    """
    from fastai.torch_core import TensorImage, TensorMask
    from fasttransform import ItemTransform

    from cmrseg.data.augment_view import RandomView, random_view

    spec = RandomView(crop_px=crop_px)

    class ViewTransform(ItemTransform):
        """Turn, scale and crop training batches."""

        split_idx, order = 0, 20

        def encodes(self, batch):  # type hints would be taken for dispatch
            images, masks, *numbers = batch
            images, masks, scale = random_view(images, masks, spec)
            for each in numbers:
                each[:, 0] *= scale[:, None] ** each[:, 1]
            return TensorImage(images), TensorMask(masks), *numbers

    return [ViewTransform()]


@dataclass(frozen=True)
class Augmentation:
    """What a recipe's augmentation does to training images, and what a model that saw it may be asked.

    Attributes
    ----------
    transforms
        From the size of the training images in pixels to fastai's transforms of batches.
    field_ratio
        Side of the field that is read over that of the training images: those that shift and zoom out crop
        from a wider one, so that they show tissue rather than black.
    flips
        Axes ``(h, w)`` of the flips that it teaches: prediction may average over these and no others.
    scales_numbers
        Whether lengths and areas that stand beside an image follow what it does to the image.
    """

    transforms: Callable[[int], list[Any]]
    field_ratio: float = 1.0
    flips: Flips = ONCE
    scales_numbers: bool = False


# s4 is s3 for one scanner, which writes all its images in one orientation and at one scale.
AUGMENTATIONS: Mapping[str, Augmentation] = MappingProxyType(
    {
        "s1": Augmentation(lambda size: paper_transforms(rotation_degrees=20, flip=False)),
        "s2": Augmentation(lambda size: paper_transforms(rotation_degrees=90, flip=True), flips=((), (-1,))),
        "s3": Augmentation(lambda size: strong_transforms(crop_px=size), 1.4, ((), (-1,), (-2,), (-2, -1))),
        "s4": Augmentation(
            lambda size: strong_transforms(
                crop_px=size,
                rotation_max_degrees=20,
                flip_probability=0,
                scale_min_ratio=0.8,
                scale_max_ratio=1.25,
            ),
            1.4,
        ),
        "s5": Augmentation(view_transforms, 300 / 224, scales_numbers=True),
    }
)


def flips_of(recipe: str) -> Flips:
    """Flips that the augmentation in a recipe's name teaches, for models that do not say themselves."""
    augmentation = AUGMENTATIONS.get("".join(recipe.split("_")[3:4]))  # architecture_loss_set_augmentation
    return ONCE if augmentation is None else augmentation.flips
