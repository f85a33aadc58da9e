"""The flips that an augmentation teaches: prediction may average over these and no others."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Flips = tuple[tuple[int, ...], ...]  # axes of an image (h, w); none is the image as it is
ONCE: Flips = ((),)
FLIPS: Mapping[str, Flips] = MappingProxyType(
    {"s1": ONCE, "s2": ((), (-1,)), "s3": ((), (-1,), (-2,), (-2, -1)), "s4": ONCE}
)


def flips_of(recipe: str) -> Flips:
    """The flips that the augmentation in a recipe's name teaches; where it names none, there are none."""
    augmentation = recipe.split("_")[3:4]  # architecture_loss_set_augmentation[_size]
    return FLIPS.get(augmentation[0], ONCE) if augmentation else ONCE
