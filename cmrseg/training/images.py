"""The images of a data set as a network is trained on them: small integers in memory, ready to batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cmrseg.cine import fit
from cmrseg.data.catalog import Catalog, VolumeRef, load_volume_mask, load_whole_image
from cmrseg.labels import Label
from cmrseg.preprocess import Preprocessing, mask_to_slices, neighbour_table, to_slices
from cmrseg.problems import DataError, Problem, left_out

Progress = Callable[[int, int], None]  # (done, total)


@dataclass(frozen=True)
class TrainingImages:
    """Slices of one split on the network's grid.

    Attributes
    ----------
    images
        Grey values, ``uint8`` ``(n, h, w)``.
    masks
        `Label` ids, ``uint8`` ``(n, h, w)``.
    neighbours
        Rows of every slice's neighbours, ``(n, neighbours)``.
    subjects
        Subject of every slice.
    problems
        Volumes that could not be used.
    """

    images: Tensor
    masks: Tensor
    neighbours: Tensor
    subjects: tuple[str, ...]
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def labels(self) -> set[Label]:
        """Labels that occur in the masks."""
        return {Label(int(v)) for v in torch.unique(self.masks)}

    def with_classes(self, labels: Sequence[Label]) -> TrainingImages:
        """Masks as class numbers of a model with these labels; other structures become background."""
        table = torch.zeros(len(Label), dtype=torch.uint8)
        for number, label in enumerate(labels):
            table[label] = number
        return TrainingImages(
            self.images, table[self.masks.long()], self.neighbours, self.subjects, self.problems
        )


def read_training_images(
    catalog: Catalog, spec: Preprocessing, *, field_px: int, progress: Progress | None = None
) -> TrainingImages:
    """Read and preprocess all images of a catalog that have masks.

    Parameters
    ----------
    catalog
        One split.
    spec
        Preprocessing of the model.
    field_px
        Every slice is centre-cropped or padded to this height and width.
    progress
        Told after every volume.

    Returns
    -------
    The images; volumes that cannot be read become problems.

    Raises
    ------
    DataError
        If none of the volumes can be used.
    """
    studies = catalog.with_masks().studies()
    images, masks, tables, subjects, problems = [], [], [], [], []
    rows = 0
    for number, study in enumerate(studies, start=1):
        try:
            image, mask, table = _read_study(study, spec, field_px)
        except DataError as error:
            problems.append(left_out(study[0].subject, study[0].image, error))
            continue
        finally:
            if progress:
                progress(number, len(studies))
        images.append(image)
        masks.append(mask)
        tables.append(rows + table)
        subjects += [study[0].subject] * len(image)
        rows += len(image)
    if not images:
        raise DataError(problems[0].extra_info if problems else "no images with masks to train on")
    return TrainingImages(
        torch.cat(images), torch.cat(masks), torch.cat(tables), tuple(subjects), tuple(problems)
    )


def _read_study(
    study: tuple[VolumeRef, ...], spec: Preprocessing, field_px: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Grey values and labels of all slices of the contoured frames, ``uint8``, and their neighbours."""
    image, numbers = load_whole_image(*study)
    mask = load_volume_mask(*study)
    contoured = contoured_frames(mask.array)
    positions = [numbers.index(study[i].frame) for i in contoured]
    slices = list(study[0].slices) if study[0].is_stack else slice(None)
    listed = replace(image, array=image.array[:, :, slices])
    grey = (to_slices(listed, spec, frames=positions) * 255).round().numpy().astype(np.uint8)
    labels = mask_to_slices(replace(mask, array=mask.array[..., contoured]), spec, len(Label)).numpy()
    size = (field_px, field_px)
    table = neighbour_table(listed.array.shape[2], len(contoured), spec.neighbours)
    return torch.from_numpy(fit(grey, size)), torch.from_numpy(fit(labels, size)), table


def contoured_frames(mask: np.ndarray) -> list[int]:
    """Frames of a cine that a reader contoured: those with any label, or all when there is none.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``. Often only end-diastole and end-systole are contoured; an
        empty frame between them says nothing about the heart.
    """
    contoured = np.flatnonzero(mask.any(axis=(0, 1, 2)))
    return [int(t) for t in contoured] or list(range(mask.shape[3]))
