"""Numbers of images, as indices are: what tasks that give them have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cmrseg.labels import Label
from cmrseg.tasks.prediction import Answer, Kept, Read, Study

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cmrseg.cine import Cine
    from cmrseg.data.catalog import Catalog
    from cmrseg.parallel import Progress
    from cmrseg.tasks.asking import Network
    from cmrseg.tasks.exported import Exported
    from cmrseg.tasks.options import Options


class ImageTable:
    """A keeper of numbers: a row for every slice of every frame.

    Parameters
    ----------
    file
        Name of the table.
    columns
        Names of the numbers.
    title
        Of the table that a person is shown: the mean over the images of every study.
    """

    def __init__(self, file: str, columns: Sequence[str], title: str) -> None:
        self.file, self.columns, self.title = file, list(columns), title
        self.parts: list[pd.DataFrame] = []

    def keep(self, study: Study, read: Read, answer: Answer) -> None:
        """Add the rows of a study; the answer is an array ``(t, z, columns)``."""
        image, frames = read()
        numbers = np.asarray(answer(study, image))
        frame, place = np.indices(numbers.shape[:2]).reshape(2, -1)
        rows = pd.DataFrame(numbers.reshape(-1, len(self.columns)), columns=self.columns)
        places = {"study": study[0].subject, "frame": np.array(frames)[frame], "slice": place}
        self.parts.append(rows.assign(**places)[[*places, *self.columns]])

    def finish(self) -> Kept:
        """The table, and its means."""
        empty = pd.DataFrame(columns=["study", "frame", "slice", *self.columns])
        table = pd.concat(self.parts, ignore_index=True) if self.parts else empty
        means = table.groupby("study", sort=False)[self.columns].mean().reset_index()
        return Kept({self.file: table}, (self.title, means))


class Numbers(ABC):
    """A task that gives numbers of every slice; what its outputs mean is for a task to add.

    Attributes
    ----------
    file
        Name of the table that prediction writes.
    title
        Of the means that a person is shown.
    table
        Who writes the table.
    """

    gives = "numbers"
    file = "numbers.csv"
    title = "mean over the images"
    table: type[ImageTable] = ImageTable
    classes: tuple[str, ...] = ()

    def labels(self, classes: Sequence[str]) -> tuple[str, ...]:
        """A number for every structure; the background has none."""
        return tuple(classes[1:])

    def outputs(self, labels: Sequence[str]) -> int:
        """One number each."""
        return len(labels)

    def activation(self) -> nn.Module:
        """Outputs are the numbers."""
        from torch import nn

        return nn.Identity()

    def prepare(self, masks: Tensor, places: Sequence[tuple[str, int, int]]) -> Tensor:
        """The masks themselves."""
        return masks

    def numbers(self, catalog: Catalog) -> pd.DataFrame | None:
        """Masks tell all."""
        return None

    def needs_masks(self, root: Path) -> bool:
        """They tell all."""
        return True

    def powers(self, labels: Sequence[str]) -> np.ndarray:
        """None: numbers that are made of augmented masks follow these."""
        return np.zeros(0, np.float32)

    @abstractmethod
    def target(self, masks: Tensor) -> Tensor:
        """The numbers of images with these masks of class numbers; a task says what they are."""

    def truth(self, mask: Cine, labels: Sequence[str]) -> np.ndarray:
        """The numbers that contours give, ``(t, z, numbers)``; every label is that of a structure."""
        import torch

        x, y, n_slices, n_frames = mask.array.shape
        classes = np.zeros(len(Label), np.uint8)
        classes[[Label[name] for name in labels]] = np.arange(1, len(labels) + 1)
        slices = classes[mask.array].transpose(3, 2, 1, 0).reshape(-1, y, x)
        return self.target(torch.from_numpy(slices)).numpy().reshape(n_frames, n_slices, -1)

    def exported(self, labels: Sequence[str]) -> Exported:
        """The numbers themselves."""
        from cmrseg.tasks.exported import Exported

        return Exported(
            name="numbers",
            meaning=f"of every image: {', '.join(labels)}",
            start="table = np.zeros((*study.shape[:2], session.get_outputs()[0].shape[1]), np.float32)",
            each="table[t] = numbers",
            end='np.save("numbers.npy", table)',
            closing="The numbers are those of `cmrseg predict` before it averages over flips.",
        )

    def answer(
        self, cine: Cine, network: Network, options: Options, progress: Progress | None = None
    ) -> np.ndarray:
        """Numbers of every slice of every frame, ``(t, z, numbers)``."""
        from cmrseg.tasks.asking import outputs_of_images

        n_slices, n_frames = cine.array.shape[2:]
        return outputs_of_images(cine, network, options, progress).reshape(n_frames, n_slices, -1)

    def keeper(
        self,
        catalog: Catalog,
        out: Path,
        *,
        labels: Sequence[str],
        source: Callable[[Study], str],
        resume: bool,
    ) -> ImageTable:
        """Writes one table; there is nothing to resume that takes long."""
        return self.table(self.file, labels, self.title)


class PlainLoss:
    """A loss whose outputs are the answer.

    Parameters
    ----------
    loss
        From outputs and targets to a scalar.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.loss = loss

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scalar."""
        return self.loss(outputs, targets)

    def activation(self, outputs: Tensor) -> Tensor:
        """As they are."""
        return outputs

    def decodes(self, activated: Tensor) -> Tensor:
        """As they are."""
        return activated
