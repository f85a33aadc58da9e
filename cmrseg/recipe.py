"""The name is the recipe: architecture, loss, training set and augmentation in one word."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cmrseg.data.augment import AUGMENTATIONS, Augmentation
from cmrseg.labels import near_matches
from cmrseg.losses import LOSSES, NUMBER_LOSSES
from cmrseg.models import ARCHITECTURES, Architecture, get_architecture

_SET = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True)
class Recipe:
    """What a model name says about its training.

    Attributes
    ----------
    architecture
        Name in the registry, such as ``r34`` or ``light2d``.
    loss
        CE, focal, DICE, batchDICE, logDICE, hybrid or hybridlog; MSE of numbers.
    train_set
        Name of the training data, such as ``p5`` or ``acdc``.
    augmentation
        s1, s2, s3, s4 or s5.
    size
        Image size in pixels; None is the architecture's own.

    References
    ----------
    Ankenbrand et al. 2021 name their models this way (github.com/chfc-cmi/cmr-seg-tl).
    """

    architecture: str
    loss: str
    train_set: str
    augmentation: str
    size: int | None = None

    def __str__(self) -> str:
        size = () if self.size is None else (str(self.size),)
        return "_".join((self.architecture, self.loss, self.train_set, self.augmentation, *size))

    @property
    def network(self) -> Architecture:
        """Entry of the registry."""
        return get_architecture(self.architecture)

    @property
    def images(self) -> Augmentation:
        """What is done to the training images."""
        return AUGMENTATIONS[self.augmentation]

    @classmethod
    def parse(cls, name: str) -> Recipe:
        """Read a name such as ``r34_CE_p5_s2`` or ``r34_CE_p5_s2_128``.

        Raises
        ------
        ValueError
            If a part is missing or unknown; near matches are named.
        """
        parts = _network_first(name.split("_"))
        if len(parts) not in (4, 5):
            raise ValueError(
                f"recipe '{name}' has {len(parts)} parts; it needs architecture_loss_set_augmentation[_size]"
                ", such as r34_CE_p5_s2"
            )
        _check("architecture", parts[0], list(ARCHITECTURES))
        _check("loss", parts[1], [*LOSSES, *NUMBER_LOSSES])
        _check("augmentation", parts[3], list(AUGMENTATIONS))
        if not _SET.fullmatch(parts[2]):
            raise ValueError(
                f"training set '{parts[2]}' in recipe '{name}' may hold letters, digits and '-' only"
            )
        size = _size(parts[4]) if len(parts) == 5 else None
        return cls(parts[0], parts[1], parts[2], parts[3], size=size)


def _network_first(parts: list[str]) -> list[str]:
    """Parts of a name whose network is written as in tables: ``dn121_2D_SR`` is ``dn121-2D-SR``."""
    for n in range(len(parts), 1, -1):
        if (network := "-".join(parts[:n])) in ARCHITECTURES:
            return [network, *parts[n:]]
    return parts


def _check(what: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise ValueError(f"unknown {what} '{name}'; {near_matches(name, known)}")


def _size(text: str) -> int:
    if not text.isdigit() or int(text) % 32 or not int(text):
        raise ValueError(f"size '{text}' must be a multiple of 32 (pixels)")
    return int(text)
