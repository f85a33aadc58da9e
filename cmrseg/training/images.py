"""The images of a data set as a network is trained on them: small integers in memory, ready to batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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
Place = tuple[str, int, int]  # subject, frame, slice


@dataclass(frozen=True)
class TrainingImages:
    """Slices of one split on the network's grid.

    Attributes
    ----------
    images
        Grey values of all slices, ``uint8`` ``(m, h, w)``.
    masks
        `Label` ids of the slices to train on, ``uint8`` ``(n, h, w)``.
    neighbours
        Where they and their neighbours are in ``images``, ``(n, neighbours)``.
    places
        Subject, frame and slice of every row.
    problems
        Volumes that could not be used.
    """

    images: Tensor
    masks: Tensor
    neighbours: Tensor
    places: tuple[Place, ...]
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subject of every row."""
        return tuple(subject for subject, _, _ in self.places)

    def labels(self) -> set[Label]:
        """Labels that occur in the masks."""
        return {Label(int(v)) for v in torch.unique(self.masks)}

    def with_classes(self, labels: Sequence[Label]) -> TrainingImages:
        """Masks as class numbers of a model with these labels; other structures become background."""
        table = torch.zeros(len(Label), dtype=torch.uint8)
        for number, label in enumerate(labels):
            table[label] = number
        return replace(self, masks=table[self.masks.long()])

    def only(self, wanted: Collection[Place]) -> TrainingImages:
        """The rows of some places; their neighbours stay, which need no contours."""
        rows = [row for row, place in enumerate(self.places) if place in wanted]
        places = tuple(self.places[row] for row in rows)
        return replace(self, masks=self.masks[rows], neighbours=self.neighbours[rows], places=places)


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
    images, masks, tables, places, problems = [], [], [], [], []
    rows = 0
    for number, study in enumerate(studies, start=1):
        try:
            image, mask, table, frames = _read_study(study, spec, field_px)
        except DataError as error:
            problems.append(left_out(study[0].subject, study[0].image, error))
            continue
        finally:
            if progress:
                progress(number, len(studies))
        images.append(image)
        masks.append(mask)
        tables.append(rows + table)
        places += [(study[0].subject, frame, number) for frame in frames for number in study[0].slices]
        rows += len(image)
    if not images:
        raise DataError(problems[0].extra_info if problems else "no images with masks to train on")
    return TrainingImages(
        torch.cat(images), torch.cat(masks), torch.cat(tables), tuple(places), tuple(problems)
    )


def _read_study(
    study: tuple[VolumeRef, ...], spec: Preprocessing, field_px: int
) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Grey values and labels of the slices of contoured frames, ``uint8``; neighbours; those frames."""
    image, numbers = load_whole_image(*study)
    mask = load_volume_mask(*study)
    contoured = contoured_frames(mask.array)
    positions = [numbers.index(study[i].frame) for i in contoured]
    slices = list(study[0].slices) if study[0].is_stack else slice(None)
    listed = replace(image, array=image.array[:, :, slices])
    grey = (to_slices(listed, spec, frames=positions) * 255).round().astype(np.uint8)
    labels = mask_to_slices(replace(mask, array=mask.array[..., contoured]), spec, len(Label))
    size = (field_px, field_px)
    table = torch.from_numpy(neighbour_table(listed.array.shape[2], len(contoured), spec.neighbours))
    frames = [study[i].frame for i in contoured]
    return torch.from_numpy(fit(grey, size)), torch.from_numpy(fit(labels, size)), table, frames


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
