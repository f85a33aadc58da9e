"""The seam between a network and everything else: what it computes, as one object.

Training, prediction and model files ask the task of a model and know nothing of masks or indices themselves.
No torch is imported before a task is asked for something that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cmrseg.labels import near_matches

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from fastai.learner import Metric
    from torch import Tensor, nn

    from cmrseg.cine import Cine
    from cmrseg.data.catalog import Catalog
    from cmrseg.parallel import Progress
    from cmrseg.tasks.asking import Network
    from cmrseg.tasks.exported import Exported
    from cmrseg.tasks.options import Options
    from cmrseg.tasks.prediction import Keeper, Study


class Loss(Protocol):
    """A loss with what fastai's `get_preds` and `show_results` ask of one."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scalar."""

    def activation(self, outputs: Tensor) -> Tensor:
        """What the outputs mean, such as probabilities."""

    def decodes(self, activated: Tensor) -> Tensor:
        """The answer, such as class numbers."""


class Validator(Protocol):
    """A fastai callback named ``validator`` that scores the validation of an epoch."""

    name: str

    @property
    def metrics(self) -> Sequence[Metric]:
        """The scores for fastai's own table."""

    def scores(self, images: slice = ...) -> dict[str, float]:
        """Columns of the history, of some or by default all validation images."""

    def details(self) -> dict[str, float]:
        """What a listener is told beside them."""


class Task(Protocol):
    """What a network computes.

    Attributes
    ----------
    name
        As in the registry and in model files.
    gives
        ``masks`` or ``numbers``: how a prediction is evaluated and shown.
    score_name
        What `score` is called in the description of a model.
    columns
        All columns that scores of the validation may have in ``history.csv``.
    classes
        Names that a person may give weights in the loss; none where the answer has no classes.
    """

    name: str
    gives: str
    score_name: str
    columns: tuple[str, ...]
    classes: tuple[str, ...]

    def check_labels(self, labels: Sequence[str]) -> None:
        """Refuse names of outputs that have no meaning; `ValueError`."""

    def outputs(self, labels: Sequence[str]) -> int:
        """Output channels of the network."""

    def labels(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Names of the outputs of a network that learns from masks with these classes, background first."""

    def prepare(self, masks: Tensor, places: Sequence[tuple[str, int, int]]) -> Tensor:
        """Masks of all images of a split as `target` takes them: what a stack tells is written into them.

        The masks are ``(n, h, w)`` in class numbers, the places subject, frame and slice of each.
        """

    def numbers(self, catalog: Catalog) -> pd.DataFrame | None:
        """Numbers of images that are known before these are augmented; None where masks tell all.

        Columns subject, frame, slice and then the numbers; only images in it are learnt from. Augmentations
        scale them with their images, and they are the targets in place of `target`.
        """

    def needs_masks(self, root: Path) -> bool:
        """Whether masks tell what is learnt of a data set, rather than a table in its folder."""

    def powers(self, labels: Sequence[str]) -> np.ndarray:
        """How every one of these numbers grows with lengths in the image: 2 of an area, 1 of a length."""

    def target(self, masks: Tensor) -> Tensor:
        """What the network should answer for images with these masks of class numbers.

        They are ``(b, h, w)`` or ``(b, z, h, w)``, augmented with their images; a slice that fills a stack up
        is `cmrseg.partial_labels.PADDING` everywhere.
        """

    def loss(self, name: str, class_weights: Sequence[float] | None = None) -> Loss:
        """Loss by the name that a recipe uses; it is given weights of the outputs where there are any."""

    def validator(self, labels: Sequence[str]) -> Validator:
        """What scores the validation of every epoch."""

    def score(self, row: Mapping[str, Any]) -> float:
        """Score of a row of the history that chooses the epoch; more is better."""

    def activation(self) -> nn.Module:
        """Closing layer that gives the network's outputs their meaning."""

    def exported(self, labels: Sequence[str]) -> Exported:
        """How another program reads the outputs of a network."""

    def answer(self, cine: Cine, network: Network, options: Options, progress: Progress | None = None) -> Any:
        """What a network says of a cine, on the grid of the cine: a mask, or numbers ``(t, z, columns)``."""

    def keeper(
        self,
        catalog: Catalog,
        out: Path,
        *,
        labels: Sequence[str],
        source: Callable[[Study], str],
        resume: bool,
    ) -> Keeper:
        """Who writes down what is said of a data set; `DataError` where ``out`` is no place for it."""


TASKS: dict[str, Task] = {}


def register_task(task: Task) -> Task:
    """Add a task under its name."""
    TASKS[task.name] = task
    return task


def get_task(name: str) -> Task:
    """Task by name.

    Raises
    ------
    ValueError
        If there is none of that name; near matches are named.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task '{name}'; {near_matches(name, sorted(TASKS))}")
    return TASKS[name]
