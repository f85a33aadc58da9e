"""One table of all images of a data set, whatever its layout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.catalog_rows import grid_notes, list_files, readable_rows, spacing_notes
from cmrseg.data.joining import join_parts
from cmrseg.data.splits import apply_splits, draw_splits, leak_notes, patients_of
from cmrseg.data.twins import twin_notes, twins
from cmrseg.io.images import is_nifti, load_image, load_mask, read_grid, stem
from cmrseg.labels import Label, scheme_of
from cmrseg.problems import DataError, Problem

COLUMNS = (
    "subject", "frame", "phase", "slice", "image", "mask", "dx", "dy", "dz", "split", "labels",
)  # fmt: skip
_NO_SPLITS = "none; a training run writes its split to OUT/splits.csv: copy it beside the data"


@dataclass(frozen=True)
class VolumeRef:
    """All slices of one subject at one cardiac frame: where they are, not their pixels."""

    subject: str
    frame: int
    phase: str
    split: str
    labels: str
    spacing: tuple[float, float, float]
    slices: tuple[int, ...]
    images: tuple[Path, ...]
    masks: tuple[Path | None, ...]

    @property
    def image(self) -> Path:
        """The (first) image file."""
        return self.images[0]

    @property
    def has_masks(self) -> bool:
        """Whether every slice has a mask."""
        return all(mask is not None for mask in self.masks)

    @property
    def is_stack(self) -> bool:
        """Whether one file holds all slices, or every slice has its own, as PNG always has."""
        return is_nifti(self.image) and len(set(self.images)) == 1


@dataclass(frozen=True)
class Catalog:
    """A data set: one row per 2D image, and what was wrong with it.

    Attributes
    ----------
    table
        Columns subject, frame, phase, slice, image, mask, dx, dy, dz (mm, nan when unknown), split, labels.
    problems
        Files that were left out, with the reason.
    notes
        What a user should know, one sentence each.
    root
        Where the data set is.
    """

    table: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    root: Path = Path()

    def select(self, splits: Sequence[str]) -> Catalog:
        """The images of some splits.

        Raises
        ------
        DataError
            If there is no image in them.
        """
        wanted = [split.strip() for split in splits]
        table = self.table[self.table["split"].isin(wanted)] if wanted else self.table
        if table.empty:
            known = ", ".join(sorted(s for s in self.table["split"].unique() if s)) or _NO_SPLITS
            raise DataError(f"no images in split {', '.join(wanted)}; the data has: {known}")
        return replace(self, table=table)

    def with_masks(self) -> Catalog:
        """The images that have a mask."""
        return replace(self, table=self.table[self.table["mask"] != ""])

    def only_structures(self, structures: Sequence[str]) -> Catalog:
        """The same images, of whose masks some structures are read and the others are background.

        Parameters
        ----------
        structures
            Such as LV and MYO; none keeps all.
        """
        if not structures:
            return self
        schemes = {name: scheme_of(name, structures) for name in self.table["labels"].unique()}
        return replace(self, table=self.table.assign(labels=self.table["labels"].map(schemes)))

    def volumes(self) -> list[VolumeRef]:
        """Volumes in the order of subjects and frames."""
        groups = self.table.groupby(["subject", "frame", "phase", "split", "labels"], sort=True)
        return [_volume(key, rows.sort_values("slice")) for key, rows in groups]

    def studies(self) -> list[tuple[VolumeRef, ...]]:
        """Volumes that share files and slices: the frames of a 4D cine together, any other volume alone."""
        studies: dict[tuple, list[VolumeRef]] = {}
        for volume in self.volumes():
            studies.setdefault((volume.subject, volume.images, volume.slices), []).append(volume)
        return [tuple(study) for study in studies.values()]

    def cines(self) -> list[tuple[VolumeRef, ...]]:
        """As `studies`, but all frames of a file together, and those of a subject that have a file each."""
        found = []
        for _, group in groupby(self.studies(), key=lambda study: study[0].subject):
            studies = _of_one_file(group)
            is_per_frame = all(len(study) == 1 for study in studies)
            found += [tuple(study[0] for study in studies)] if is_per_frame else studies
        return found


def read_catalog(
    root: Path, *, labels: str | None = None, splits: Sequence[str] = (), masks: bool = True
) -> Catalog:
    """Read a data set of any known layout, or a single image file.

    Parameters
    ----------
    root
        Folder of the data set, or one NIfTI or PNG file.
    labels
        Label scheme of the masks where the layout does not tell; see `cmrseg.labels.get_scheme`.
    splits
        Keep these splits only.
    masks
        Look for masks too; without them, one that does not fit its image is no problem.

    Returns
    -------
    Catalog; unreadable files and masks that do not fit their image are in its ``problems``.

    Raises
    ------
    DataError
        If the folder is missing or empty, its layout is unknown, or no image can be read.

    Examples
    --------
    >>> import cmrseg
    >>> len(cmrseg.read_catalog(cmrseg.synthetic_data()).studies())
    2
    """
    files, notes = list_files(root, labels, masks)
    files, joined, gaps = join_parts(files)
    rows, problems = readable_rows(files)
    problems = [*gaps, *problems]
    if not rows:
        raise DataError(problems[0].extra_info if problems else f"no images in {root}")
    table, split_notes = apply_splits(pd.DataFrame(rows, columns=list(COLUMNS)), root)
    same = twins(table)
    notes += [
        *joined,
        *grid_notes(table),
        *spacing_notes(table),
        *twin_notes(same),
        *leak_notes(table, patients_of(table, root, same)),
        *split_notes,
    ]
    catalog = Catalog(table, problems, notes, root)
    return catalog.select(splits) if splits else catalog


def assign_splits(catalog: Catalog, *, seed: int) -> Catalog:
    """Make sure that there are training and validation images, splitting by subject where there are none.

    Parameters
    ----------
    catalog
        Images with masks. Splits that are there are kept; ``test`` is only drawn when there are no splits,
        and subjects without a split are only trained on when there is no training split.
    seed
        Of the random order of the subjects.

    Raises
    ------
    DataError
        If the splits have other names, or there are fewer than two subjects to train and validate with.
    """
    if {"train", "val"} <= set(catalog.table["split"]):
        return catalog
    patients = patients_of(catalog.table, catalog.root, twins(catalog.table))
    structures = _structures_of_patients(catalog, patients)
    table, note = draw_splits(catalog.table, seed=seed, patients=patients, structures=structures)
    return replace(catalog, table=table, notes=[*catalog.notes, note])


def _structures_of_patients(catalog: Catalog, patients: pd.Series) -> dict[str, set[str]]:
    """Names of the structures that the masks of every patient hold; unreadable masks are told elsewhere."""
    patient = dict(zip(catalog.table["subject"], patients, strict=True))
    found: dict[str, set[str]] = {}
    for study in catalog.with_masks().studies():
        with suppress(DataError):
            present = np.unique(load_volume_mask(*study).array)
            found.setdefault(patient[study[0].subject], set()).update(
                Label(int(n)).name for n in present if n
            )
    return found


def load_volume_image(*refs: VolumeRef) -> Cine:
    """Intensities of one volume, or of several frames of one study.

    Parameters
    ----------
    refs
        Frames that share their files, as `Catalog.studies` groups them.

    Returns
    -------
    Cine of shape ``(x, y, z, len(refs))``.

    Raises
    ------
    DataError
        If a file cannot be read or the slices differ in size.
    """
    return _load_frames(refs, [load_image(path) for path in dict.fromkeys(refs[0].images)])


def load_volume_mask(*refs: VolumeRef) -> Cine:
    """Truth of one volume, or of several frames of one study, in `Label` ids.

    Returns
    -------
    Cine of shape ``(x, y, z, len(refs))``.

    Raises
    ------
    DataError
        If there is no mask, a file cannot be read, or a label is outside the scheme.
    """
    for ref in refs:
        if not ref.has_masks:
            raise DataError(f"{ref.subject} frame {ref.frame} has no mask beside {ref.image}")
    parts = []
    for key, group in groupby(refs, key=lambda ref: (ref.masks, ref.images, ref.slices, ref.labels)):
        masks, images, _, scheme = key
        pairs = dict.fromkeys(zip(masks, images, strict=True))
        files = [load_mask(mask, scheme, image=image) for mask, image in pairs if mask]
        parts.append(_load_frames(list(group), files))
    if len(parts) == 1:
        return parts[0]
    if len({part.array.shape[:3] for part in parts}) > 1:
        raise DataError(f"{refs[0].subject}: masks of different size; export them on the grid of the image")
    return replace(parts[0], array=np.concatenate([p.array for p in parts], axis=3), frame_times_ms=())


def load_whole_image(*refs: VolumeRef) -> tuple[Cine, list[int]]:
    """All slices and frames of the files of one study, also those that the data set does not list.

    Parameters
    ----------
    refs
        Frames that share their files, as `Catalog.studies` groups them, or that have a file each, as
        `Catalog.cines` does.

    Returns
    -------
    Cine of shape ``(x, y, z, t)`` and the numbers of its frames.

    Raises
    ------
    DataError
        If a file cannot be read or the slices differ in size.
    """
    ref = refs[0]
    if len({frozenset(other.images) for other in refs}) > 1:
        return _joined([load_whole_image(other) for other in refs], ref.subject)
    if not ref.is_stack:
        return load_volume_image(*refs), [other.frame for other in refs]
    cine = replace(load_image(ref.image), spacing=ref.spacing)
    n_frames = cine.array.shape[3]
    return cine, list(range(n_frames)) if n_frames > 1 else [ref.frame]


def prediction_path(out: Path, subject: str, image: Path, *, alone: bool = True) -> Path:
    """Where the mask of an image file goes.

    Parameters
    ----------
    out
        Folder of the predictions.
    subject
        Becomes a folder of that name.
    image
        A 4D cine becomes ``seg.nii.gz``; a single frame keeps its name.
    alone
        Whether the file holds all slices.

    Returns
    -------
    ``<out>/<subject>/seg.nii.gz``, ``.../<name>_seg.nii.gz`` or ``.../<name>_seg.png``.
    """
    folder = out / subject
    if folder.resolve().parent != out.resolve():
        raise DataError(f"subject '{subject}' cannot name a folder; rename it in the data")
    if not is_nifti(image):
        return folder / f"{stem(image)}_seg.png"
    cine = read_grid(image).shape[3] > 1 if image.exists() else image.name == "sa.nii.gz"
    return folder / ("seg.nii.gz" if cine and alone else f"{stem(image)}_seg.nii.gz")


def _of_one_file(studies: Iterable[tuple[VolumeRef, ...]]) -> list[tuple[VolumeRef, ...]]:
    """Studies, those together whose frames are of one file although other slices of them are listed."""
    found: dict[frozenset[Path] | tuple[Path, ...], tuple[VolumeRef, ...]] = {}
    for study in studies:
        key = frozenset(study[0].images) if study[0].is_stack else study[0].images
        found[key] = (*found.get(key, ()), *study)
    return list(found.values())


def _volume(key: tuple, rows: pd.DataFrame) -> VolumeRef:
    """One group of catalog rows as a volume."""
    subject, frame, phase, split, labels = key
    first = rows.iloc[0]
    return VolumeRef(
        subject=subject,
        frame=int(frame),
        phase=phase,
        split=split,
        labels=labels,
        spacing=(first["dx"], first["dy"], first["dz"]),
        slices=tuple(int(s) for s in rows["slice"]),
        images=tuple(Path(p) for p in rows["image"]),
        masks=tuple(Path(p) if p else None for p in rows["mask"]),
    )


def _load_frames(refs: Sequence[VolumeRef], files: list[Cine]) -> Cine:
    """Slices of some frames from one stack, or from one file per slice."""
    ref = refs[0]
    sizes = {(*c.array.shape[:2], c.array.shape[3]) for c in files}
    if len(sizes) > 1:
        raise DataError(
            f"{ref.subject} frame {ref.frame}: slices of different size {sorted(s[:2] for s in sizes)}"
        )
    stack = files[0] if ref.is_stack else _stack(files)
    slices = list(ref.slices) if ref.is_stack else list(range(len(files)))
    if stack.array.shape[2] <= max(slices):
        raise DataError(f"{ref.subject} frame {ref.frame}: slice {max(slices)} is not in {ref.image.name}")
    is_cine = stack.array.shape[3] > 1
    frames = [r.frame if is_cine else 0 for r in refs]
    if stack.array.shape[3] <= max(frames):
        raise DataError(f"{ref.subject}: frame {max(frames)} is not in {ref.image.name}")
    times = tuple(stack.frame_times_ms[f] for f in frames) if stack.frame_times_ms else ()
    return Cine(stack.array[:, :, slices][..., frames], ref.spacing, stack.affine, times)


def _stack(files: list[Cine]) -> Cine:
    """One cine from one file per slice; where they are placed, they lie as far apart as the files say."""
    affine = files[0].affine.copy()
    step = (files[-1].affine[:3, 3] - affine[:3, 3]) / max(len(files) - 1, 1)
    if step.any():
        affine[:3, 2] = step
    array = np.concatenate([cine.array for cine in files], axis=2)
    return replace(files[0], array=array, affine=affine, axes=None)


def _joined(parts: list[tuple[Cine, list[int]]], subject: str) -> tuple[Cine, list[int]]:
    """One cine from one file per frame."""
    cines = [cine for cine, _ in parts]
    if len({(cine.array.shape[:3], str(cine.spacing)) for cine in cines}) > 1:
        raise DataError(f"{subject}: its frames differ in size or spacing, so that they are no cine")
    array = np.concatenate([cine.array for cine in cines], axis=3)
    cine = replace(cines[0], array=array, frame_times_ms=(), axes=None)
    return cine, [number for _, numbers in parts for number in numbers]
