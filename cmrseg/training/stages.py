"""Schedules as data: stages of one-cycle training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One run of the one-cycle policy.

    Attributes
    ----------
    epochs
        Passes over the training images.
    lr
        Largest learning rate.
    frozen
        Keep the encoder's weights (its batch norms go on learning).
    """

    epochs: int
    lr: float
    frozen: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"a stage needs at least 1 epoch, got {self.epochs}")
        if self.lr <= 0:
            raise ValueError(f"the learning rate must be positive, got {self.lr}")


Schedule = tuple[Stage, ...]


@dataclass(frozen=True)
class Defaults:
    """How an architecture is trained when nothing else is said.

    Attributes
    ----------
    base, transfer
        Schedules from the start, and from a model trained on another data set.
    transfer_augmentation
        Augmentation of the transfer; empty keeps that of the base model.
    batch_size, weight_decay
        Of the optimizer (AdamW).
    ema_decay
        Decay per step of the running average of the weights that is validated and kept; 0 for none.
    gradient_clip
        Largest norm of the gradient; 0 for no limit.
    size
        Training image size in pixels.
    pixel_mm
        Pixel size that images are resampled to; None keeps the pixels.
    """

    base: Schedule
    transfer: Schedule
    transfer_augmentation: str
    batch_size: int
    weight_decay: float
    ema_decay: float
    gradient_clip: float
    size: int
    pixel_mm: float | None


# Ankenbrand et al. 2021, II.C.1 and II.D.
PAPER = Defaults(
    base=(Stage(30, 1e-4, frozen=True), Stage(30, 1e-5)),
    transfer=(Stage(10, 1e-4, frozen=True), Stage(10, 1e-5)),
    transfer_augmentation="",
    batch_size=32,
    weight_decay=0.02,
    ema_decay=0.0,
    gradient_clip=0.0,
    size=256,
    pixel_mm=None,
)
LIGHT = Defaults(
    base=(Stage(100, 3e-3),),
    transfer=(Stage(3, 1e-3, frozen=True), Stage(37, 1e-3)),
    # One scanner writes its images in one orientation: s3's rotations and flips only cost accuracy there.
    transfer_augmentation="s4",
    batch_size=16,
    weight_decay=0.02,
    ema_decay=0.99,
    gradient_clip=5.0,
    size=160,
    pixel_mm=1.5,
)


def defaults_of(architecture: str) -> Defaults:
    """Training defaults: the paper's for fastai U-Nets, our own for the light ones."""
    return LIGHT if architecture.startswith("light") else PAPER
