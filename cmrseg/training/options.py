"""What a person may say of a training run beside its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainOptions:
    """What a person said of a training run; None keeps what the recipe, or the model to start from, says.

    It stands apart from `TrainConfig` so that the command and a study can hold it before a network is known.

    Attributes
    ----------
    file
        ``train.toml`` of a model of the zoo; keys are those of `TrainConfig`, its ``[preprocessing]`` and
        ``[[schedule]]``. The other options win over it.
    epochs
        Epochs in all; the stages share them in proportion.
    lr
        Largest learning rate of every stage.
    neighbours
        Neighbouring slices given as channels.
    neighbours_in
        ``space`` or ``time``, see `cmrseg.preprocess.Preprocessing`; with ``time`` three unless
        ``neighbours`` says otherwise.
    augmentation
        Of a transfer: that of the architecture's defaults when None. In training the recipe's name says it.
    architecture
        Of a transfer: one that is inflated from the base model's, such as light3d from light2d; the base
        model's own when None.
    batch_size, seed, start, labels, subset, keep_structures, weights, structures, shares, region_sampling,
    region, class_weights, checkpointing
        As in `TrainConfig`.

    Examples
    --------
    >>> import cmrseg
    >>> cmrseg.TrainOptions(epochs=5).said()
    {'epochs': 5}
    """

    file: Path | None = None
    epochs: int | None = None
    lr: float | None = None
    neighbours: int | None = None
    neighbours_in: str | None = None
    augmentation: str | None = None
    architecture: str | None = None
    batch_size: int | None = None
    seed: int | None = None
    start: str | None = None
    labels: str | None = None
    subset: str | None = None
    keep_structures: bool | None = None
    weights: str | None = None
    structures: tuple[str, ...] | None = None
    shares: tuple[float, ...] | None = None
    region_sampling: float | None = None
    region: str | None = None
    class_weights: Mapping[str, float] | None = None
    checkpointing: bool | None = None

    def said(self) -> dict[str, object]:
        """The options that are not None, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}
