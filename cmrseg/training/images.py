"""The images of a data set as a network is trained on them: small integers in memory, ready to batch.

Notes
-----
They are kept as 8-bit integers: 1/255 is far below the noise of a cine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cmrseg.cine import fit
from cmrseg.data.catalog import Catalog, VolumeRef, load_volume_mask, load_whole_image
from cmrseg.data.together import subject_in
from cmrseg.labels import STRUCTURES, Label, structures_of
from cmrseg.metrics.contoured import contoured_structures
from cmrseg.metrics.contrast import MIN_CONTRAST, blood_contrast
from cmrseg.parallel import Progress
from cmrseg.partial_labels import code_of, join_codes
from cmrseg.preprocess import Preprocessing, mask_to_slices, neighbour_table, to_slices
from cmrseg.problems import DataError, Problem, left_out

Place = tuple[str, int, int]  # subject, frame, slice


@dataclass(frozen=True)
class TrainingImages:
    """Slices of one split on the network's grid.

    Attributes
    ----------
    images
        Grey values of all slices, and of their neighbours at other frames, ``uint8`` ``(m, h, w)``.
    masks
        `Label` ids of the slices to train on, ``uint8`` ``(n, h, w)``.
    neighbours
        Where they and their neighbours are in ``images``, ``(n, neighbours)``.
    places
        Subject, frame and slice of every row.
    problems
        Volumes that could not be used.
    data_sets
        Name of the data set of every row where there are several; empty where there is one.
    known
        Structures that the label scheme of every row tells something about; empty: all.
    numbers
        What is to be answered for every row, and the power of the length that each number grows with,
        ``float32`` ``(n, 2, k)``; None where the masks tell it.
    """

    images: Tensor
    masks: Tensor
    neighbours: Tensor
    places: tuple[Place, ...]
    problems: tuple[Problem, ...] = ()
    data_sets: tuple[str, ...] = ()
    known: tuple[tuple[Label, ...], ...] = ()
    numbers: Tensor | None = None

    def __len__(self) -> int:
        return len(self.masks)

    def __getstate__(self) -> dict[str, object]:
        """For another process: tensors would go to shared memory, which containers hardly have."""
        return {name: v.numpy() if isinstance(v, Tensor) else v for name, v in vars(self).items()}

    def __setstate__(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            value = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            object.__setattr__(self, name, value)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subject of every row."""
        return tuple(subject for subject, _, _ in self.places)

    def labels(self) -> set[Label]:
        """Labels that occur in the masks."""
        return {Label(int(v)) for v in torch.unique(self.masks)}

    def contoured(self, anywhere: Collection[Label]) -> list[tuple[Label, ...]]:
        """Structures that were contoured, of every row; few slices are judged by those of the whole data."""
        shown = torch.stack([(self.masks == label).flatten(1).any(1) for label in Label], dim=1).numpy()
        volumes: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for row, (subject, frame, _) in enumerate(self.places):
            volumes[subject, frame].append(row)
        found: list[tuple[Label, ...]] = [()] * len(self)
        for rows in volumes.values():
            structures = contoured_structures(shown[rows], anywhere)
            for row in rows:
                known = self.known[row] if self.known else STRUCTURES
                found[row] = tuple(label for label in structures if label in known)
        return found

    def with_classes(
        self, labels: Sequence[Label], anywhere: Collection[Label] | None = None
    ) -> TrainingImages:
        """Masks as class numbers of a model with these labels; other structures become background.

        Where a structure of the model was not contoured, what has no contour is unknown rather than
        background, see `cmrseg.partial_labels`.

        Parameters
        ----------
        labels
            Of the model, background first.
        anywhere
            Structures that were contoured in any image of the data; in any of these when None.
        """
        table = torch.zeros(len(Label), dtype=torch.uint8)
        for number, label in enumerate(labels):
            table[label] = number
        codes = [
            code_of([n for n, label in enumerate(labels) if n and label not in contoured])
            for contoured in self.contoured(self.labels() if anywhere is None else anywhere)
        ]
        masks = table[self.masks.long()]
        return replace(self, masks=join_codes(masks, torch.tensor(codes, dtype=torch.uint8)))

    def doubtful(self) -> list[str]:
        """Subjects whose contours do not lie where their images show blood and muscle.

        To be asked while the masks hold `Label` ids. Subjects of one or two images say too little.
        """
        centre = self.neighbours[:, self.neighbours.shape[1] // 2]
        found, subjects = [], np.array(self.subjects)
        for subject in dict.fromkeys(self.subjects):
            rows = np.flatnonzero(subjects == subject)
            stack = (
                np.moveaxis(each.numpy(), 0, 2) for each in (self.masks[rows], self.images[centre[rows]])
            )
            if len(rows) > 2 and blood_contrast(*stack) < MIN_CONTRAST:
                found.append(subject)
        return found

    def only(self, wanted: Collection[Place]) -> TrainingImages:
        """The rows of some places; their neighbours stay, which need no contours."""
        rows = [row for row, place in enumerate(self.places) if place in wanted]
        return replace(
            self,
            masks=self.masks[rows],
            neighbours=self.neighbours[rows],
            places=tuple(self.places[row] for row in rows),
            data_sets=tuple(self.data_sets[row] for row in rows if self.data_sets),
            known=tuple(self.known[row] for row in rows if self.known),
            numbers=None if self.numbers is None else self.numbers[rows],
        )

    def with_numbers(self, table: pd.DataFrame, powers: np.ndarray) -> TrainingImages:
        """The rows of which numbers are known, with these.

        Parameters
        ----------
        table
            Columns subject, frame, slice and then the numbers.
        powers
            Of every number: 2 grows as an area does, 1 as a length, 0 stays.
        """
        places = list(table[["subject", "frame", "slice"]].itertuples(index=False, name=None))
        values = dict(zip(places, table.iloc[:, 3:].to_numpy(np.float32), strict=True))
        chosen = self.only(values.keys())
        found = np.array([values[place] for place in chosen.places], np.float32).reshape(-1, len(powers))
        both = np.stack([found, np.broadcast_to(np.float32(powers), found.shape)], axis=1)
        return replace(chosen, numbers=torch.from_numpy(both))


def join_images(parts: Mapping[str, TrainingImages]) -> TrainingImages:
    """The images of several data sets as one; their subjects are named `data_set_subject`.

    Parameters
    ----------
    parts
        Images of one size by the names of their data sets, with masks as class numbers of one model.
    """
    if len(parts) == 1:
        return next(iter(parts.values()))
    numbers = [part.numbers for part in parts.values() if part.numbers is not None]
    offsets = accumulate((len(part.images) for part in parts.values()), initial=0)
    return TrainingImages(
        images=torch.cat([part.images for part in parts.values()]),
        masks=torch.cat([part.masks for part in parts.values()]),
        neighbours=torch.cat(
            [part.neighbours + offset for part, offset in zip(parts.values(), offsets, strict=False)]
        ),
        places=tuple(
            (subject_in(name, subject), frame, number)
            for name, part in parts.items()
            for subject, frame, number in part.places
        ),
        problems=tuple(
            replace(problem, study=subject_in(name, problem.study))
            for name, part in parts.items()
            for problem in part.problems
        ),
        data_sets=tuple(name for name, part in parts.items() for _ in part.places),
        numbers=torch.cat(numbers) if numbers else None,
    )


def read_training_images(
    catalog: Catalog,
    spec: Preprocessing,
    *,
    field_px: int,
    masks: bool = True,
    progress: Progress | None = None,
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
    masks
        Without, masks are neither needed nor read: all images, with masks of background.
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
    studies = (catalog.with_masks() if masks else catalog).studies()
    images, labels, tables, places, known, problems = [], [], [], [], [], []
    rows = 0
    for number, study in enumerate(studies, start=1):
        try:
            image, mask, table, frames = _read_study(study, spec, field_px, masks)
        except DataError as error:
            problems.append(left_out(study[0].subject, study[0].image, error))
            continue
        finally:
            if progress:
                progress(number, len(studies))
        images.append(image)
        labels.append(mask)
        tables.append(rows + table)
        places += [(study[0].subject, frame, number) for frame in frames for number in study[0].slices]
        schemes = {ref.frame: structures_of([ref.labels]) for ref in study}
        known += [schemes[frame] for frame in frames for _ in study[0].slices]
        rows += len(image)
    if not images:
        raise DataError(problems[0].extra_info if problems else "no images with masks to train on")
    greys, joined, neighbours = (torch.cat(parts) for parts in (images, labels, tables))
    return TrainingImages(greys, joined, neighbours, tuple(places), tuple(problems), known=tuple(known))


def _read_study(
    study: tuple[VolumeRef, ...], spec: Preprocessing, field_px: int, with_mask: bool
) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Grey values and labels of the slices of contoured frames, ``uint8``; neighbours; those frames."""
    image, numbers = load_whole_image(*study)
    mask = load_volume_mask(*study) if with_mask else None
    contoured = list(range(len(study))) if mask is None else contoured_frames(mask.array)
    positions = [numbers.index(study[i].frame) for i in contoured]
    slices = list(study[0].slices) if study[0].is_stack else slice(None)
    listed = replace(image, array=image.array[:, :, slices])
    frames_shown, table = _shown(listed.array.shape[2:], positions, spec)
    grey = (to_slices(listed, spec, frames=frames_shown) * 255).round().astype(np.uint8)
    labels = np.zeros((len(contoured) * listed.array.shape[2], 1, 1), np.uint8)
    if mask is not None:
        labels = mask_to_slices(replace(mask, array=mask.array[..., contoured]), spec, len(Label))
    size = (field_px, field_px)
    frames = [study[i].frame for i in contoured]
    greys, masks = (torch.from_numpy(fit(each, size)) for each in (grey, labels))
    return greys, masks, torch.from_numpy(table), frames


def _shown(
    shape: tuple[int, int], positions: Sequence[int], spec: Preprocessing
) -> tuple[list[int], np.ndarray]:
    """Frames of a cine ``(z, t)`` that images at some of them need, and the neighbours in their slices."""
    n_slices, n_frames = shape
    whole = neighbour_table(n_slices, n_frames, spec.neighbours, in_time=spec.neighbours_in == "time")
    table = whole.reshape(n_frames, n_slices, -1)[list(positions)].reshape(-1, spec.neighbours)
    frames = np.unique(table // n_slices)
    return frames.tolist(), np.searchsorted(frames, table // n_slices) * n_slices + table % n_slices


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
