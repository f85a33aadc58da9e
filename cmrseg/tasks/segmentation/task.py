"""Segmentation as a task: what training, prediction and model files ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmrseg import __version__
from cmrseg.labels import STRUCTURES, Label
from cmrseg.tasks.task import register_task

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from cmrseg.cine import Cine
    from cmrseg.data.catalog import Catalog
    from cmrseg.parallel import Progress
    from cmrseg.tasks.asking import Network
    from cmrseg.tasks.exported import Exported
    from cmrseg.tasks.options import Options
    from cmrseg.tasks.prediction import Study
    from cmrseg.tasks.segmentation.keeper import MaskKeeper
    from cmrseg.tasks.segmentation.training import DiceByStructure, SegmentationLoss


_CLOSING = """\
The masks are those of `cmrseg predict` before it averages over flips and keeps the largest piece of every
structure. Where pixels were resampled, resample the softmax of the logits back, not the labels."""


class SegmentationTask:
    """Pixels to classes; the mean Dice of the structures chooses the epoch."""

    name = "segmentation"
    gives = "masks"
    score_name = "validation_dice"
    columns = tuple(f"dice_{structure.name}" for structure in STRUCTURES)
    classes = tuple(Label.__members__)

    def check_labels(self, labels: Sequence[str]) -> None:
        """Names of output channels are the background and then structures, each once.

        Raises
        ------
        ValueError
            If they are not, or a structure is unknown.
        """
        if unknown := sorted({str(name)[:20] for name in labels} - set(Label.__members__)):
            raise ValueError(
                f"segments {', '.join(unknown[:5])}, which this cmrseg ({__version__}) does not know: "
                "update it"
            )
        if tuple(labels[:1]) != (Label.BACKGROUND.name,) or len(labels) < 2 or len(set(labels)) < len(labels):
            shown = ", ".join(labels[: len(Label) + 1])
            raise ValueError(f"labels must be BACKGROUND and then structures, each once, got {shown}")

    def outputs(self, labels: Sequence[str]) -> int:
        """One channel per class."""
        return len(labels)

    def labels(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The classes."""
        return tuple(classes)

    def prepare(self, masks: Tensor, places: Sequence[tuple[str, int, int]]) -> Tensor:
        """The masks themselves."""
        return masks

    def numbers(self, catalog: Catalog) -> None:
        """Masks tell all."""
        return None

    def needs_masks(self, root: Path) -> bool:
        """They tell all."""
        return True

    def powers(self, labels: Sequence[str]) -> np.ndarray:
        """None."""
        import numpy as np

        return np.zeros(0, np.float32)

    def target(self, masks: Tensor) -> Tensor:
        """The masks themselves."""
        return masks

    def loss(self, name: str, class_weights: Sequence[float] | None = None) -> SegmentationLoss:
        """A loss of `cmrseg.losses` that leaves out what was not contoured."""
        from cmrseg.tasks.segmentation.training import SegmentationLoss

        return SegmentationLoss(name, class_weights)

    def validator(self, labels: Sequence[str]) -> DiceByStructure:
        """Dice of every structure."""
        from cmrseg.tasks.segmentation.training import DiceByStructure

        return DiceByStructure(labels)

    def score(self, row: Mapping[str, Any]) -> float:
        """Mean Dice of an epoch over the structures that are known; 0 where there is none."""
        values = [row[name] for name in self.columns if row.get(name) == row.get(name) is not None]
        return sum(values) / len(values) if values else 0.0

    def activation(self) -> nn.Module:
        """Logits to class probabilities."""
        from torch import nn

        return nn.Softmax(dim=1)

    def exported(self, labels: Sequence[str]) -> Exported:
        """Logits, whose largest is the class of a pixel."""
        from cmrseg.tasks.exported import Exported

        ids = [int(Label[name]) for name in labels]
        channels = ", ".join(f"{i} {name}" for i, name in enumerate(labels))
        area = "[:, down // 2 :, right // 2 :][:, :rows, :columns]"
        return Exported(
            name="logits",
            meaning=f"on the pixels of the input, with the channels {channels}; the largest is the answer",
            start="masks = np.zeros(study.shape, np.uint8)",
            each=f"masks[t] = np.uint8({ids})[logits.argmax(1)]{area}",
            end='np.save("masks.npy", masks)',
            closing=_CLOSING,
            facts={"ids": ids},
        )

    def answer(
        self, cine: Cine, network: Network, options: Options, progress: Progress | None = None
    ) -> Cine:
        """The mask, in `Label` ids."""
        from cmrseg.tasks.segmentation.from_network import segment

        return segment(cine, network, options, progress).mask

    def keeper(
        self,
        catalog: Catalog,
        out: Path,
        *,
        labels: Sequence[str],
        source: Callable[[Study], str],
        resume: bool,
    ) -> MaskKeeper:
        """Writes masks and volumes; those of the data are never written over."""
        from cmrseg.tasks.segmentation.keeper import MaskKeeper
        from cmrseg.tasks.segmentation.mask_files import check_no_truth

        check_no_truth(catalog, out)
        return MaskKeeper(out, labels=labels, source=source, resume=resume)


register_task(SegmentationTask())
