"""How networks are trained when nothing else is said: schedules as data, batches, images."""

from __future__ import annotations

from dataclasses import dataclass, replace


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
class TrainDefaults:
    """How an architecture is trained when nothing else is said.

    Attributes
    ----------
    base, transfer
        Schedules from the start, and from a model trained on another data set.
    transfer_augmentation
        Augmentation of the transfer; empty keeps that of the base model.
    batch_size, transfer_batch_size
        Images per step from the start, and in a transfer.
    weight_decay
        Of the optimizer (AdamW).
    ema_decay
        Decay per step of the running average of the weights that is validated and kept; 0 for none.
    gradient_clip
        Largest norm of the gradient; 0 for no limit.
    size
        Training image size in pixels.
    pixel_mm, resize, grey, low_percentile, high_percentile
        How images are brought to the network's grid, see `cmrseg.preprocess.Preprocessing`.
    """

    base: Schedule
    transfer: Schedule
    transfer_augmentation: str
    batch_size: int
    transfer_batch_size: int
    weight_decay: float
    ema_decay: float
    gradient_clip: float
    size: int
    pixel_mm: float | None
    resize: str = "pixel_mm"
    grey: str = "percentiles"
    low_percentile: float = 0.5
    high_percentile: float = 99.5


# Ankenbrand et al. 2021, II.C.1 and II.D; all their transfers to 7T have 8 images per batch.
PAPER = TrainDefaults(
    base=(Stage(30, 1e-4, frozen=True), Stage(30, 1e-5)),
    transfer=(Stage(10, 1e-4, frozen=True), Stage(10, 1e-5)),
    transfer_augmentation="",
    batch_size=32,
    transfer_batch_size=8,
    weight_decay=0.02,
    ema_decay=0.0,
    gradient_clip=0.0,
    size=256,
    pixel_mm=None,
    resize="longer_side",
)
# The authors had not the memory for more (II.C.1; the commands in the README of their repository).
PAPER_LARGE = replace(PAPER, batch_size=8)
