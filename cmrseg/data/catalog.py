"""One table of all images of a data set, whatever its layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.layouts import ALL, ImageFile, list_images, png_file, pseudo_label_notes
from cmrseg.data.splits import apply_splits, draw_splits, leak_notes, patients_of
from cmrseg.io.images import is_nifti, load_image, load_mask, read_grid, stem
from cmrseg.labels import get_scheme
from cmrseg.problems import DataError, Problem, existing_folder

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
        """Whether one file holds all slices (NIfTI), or every slice has its own (PNG)."""
        return is_nifti(self.image)


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

    def volumes(self) -> list[VolumeRef]:
        """Volumes in the order of subjects and frames."""
        groups = self.table.groupby(["subject", "frame", "phase", "split", "labels"], sort=True)
        return [_volume(key, rows.sort_values("slice")) for key, rows in groups]

    def studies(self) -> list[tuple[VolumeRef, ...]]:
        """Volumes that share their files: the frames of a 4D cine together, any other volume alone."""
        studies: dict[tuple, list[VolumeRef]] = {}
        for volume in self.volumes():
            studies.setdefault((volume.subject, volume.images), []).append(volume)
        return [tuple(study) for study in studies.values()]


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
    """
    files, notes = _files(root, labels, masks)
    rows, problems = _readable_rows(files)
    if not rows:
        raise DataError(problems[0].extra_info if problems else f"no images in {root}")
    table, split_notes = apply_splits(pd.DataFrame(rows, columns=list(COLUMNS)), root)
    notes += [*_spacing_notes(table), *leak_notes(table, patients_of(table, root)), *split_notes]
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
    patients = patients_of(catalog.table, catalog.root)
    table, note = draw_splits(catalog.table, seed=seed, patients=patients)
    return replace(catalog, table=table, notes=[*catalog.notes, note])


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
    for (masks, scheme), group in groupby(refs, key=lambda ref: (ref.masks, ref.labels)):
        files = [load_mask(path, scheme) for path in dict.fromkeys(masks) if path]
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
        Frames that share their files, as `Catalog.studies` groups them.

    Returns
    -------
    Cine of shape ``(x, y, z, t)`` and the numbers of its frames.

    Raises
    ------
    DataError
        If a file cannot be read or the slices differ in size.
    """
    ref = refs[0]
    if not ref.is_stack:
        return load_volume_image(*refs), [ref.frame]
    cine = replace(load_image(ref.image), spacing=ref.spacing)
    n_frames = cine.array.shape[3]
    return cine, list(range(n_frames)) if n_frames > 1 else [ref.frame]


def prediction_path(out: Path, subject: str, image: Path) -> Path:
    """Where the mask of an image file goes.

    Parameters
    ----------
    out
        Folder of the predictions.
    subject
        Becomes a folder of that name.
    image
        A 4D cine becomes ``seg.nii.gz``; a single frame keeps its name.

    Returns
    -------
    ``<out>/<subject>/seg.nii.gz``, ``.../<name>_seg.nii.gz`` or ``.../<name>_seg.png``.
    """
    folder = out / subject
    if folder.resolve().parent != out.resolve():
        raise DataError(f"subject '{subject}' cannot name a folder; rename it in the data")
    if not is_nifti(image):
        return folder / f"{stem(image)}_seg.png"
    cine = read_grid(image)[0][3] > 1 if image.exists() else image.name == "sa.nii.gz"
    return folder / ("seg.nii.gz" if cine else f"{stem(image)}_seg.nii.gz")


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
    ref, first = refs[0], files[0]
    shapes = {c.array.shape[:2] for c in files}
    if len(shapes) > 1:
        raise DataError(f"{ref.subject} frame {ref.frame}: slices of different size {sorted(shapes)}")
    if not ref.is_stack:
        return Cine(np.concatenate([c.array for c in files], axis=2), ref.spacing, first.affine)
    if first.array.shape[2] <= max(ref.slices):
        raise DataError(
            f"{ref.subject} frame {ref.frame}: slice {max(ref.slices)} is not in {ref.image.name}"
        )
    is_cine = first.array.shape[3] > 1
    frames = [r.frame if is_cine else 0 for r in refs]
    if first.array.shape[3] <= max(frames):
        raise DataError(f"{ref.subject}: frame {max(frames)} is not in {ref.image.name}")
    times = tuple(first.frame_times_ms[f] for f in frames) if first.frame_times_ms else ()
    return Cine(first.array[:, :, list(ref.slices)][..., frames], ref.spacing, first.affine, times)


def _files(root: Path, labels: str | None, masks: bool) -> tuple[list[ImageFile], list[str]]:
    """Image files of a folder, or a single one, and notes."""
    if labels is not None:
        get_scheme(labels)
    if root.is_file():
        files, notes = [_single_file(root)], []
    else:
        files, notes = list_images(existing_folder(root, "data"))
    if not masks:
        return [replace(file, mask=None) for file in files], notes
    notes += pseudo_label_notes(files)
    if labels is not None:
        return [replace(file, labels=labels) for file in files], notes
    if any(file.mask and not file.labels for file in files):
        raise DataError(
            f"dataset.json of {root} names no left ventricle; name the ids with --labels, as LV=1,MYO=2,RV=3"
        )
    return files, notes


def _single_file(path: Path) -> ImageFile:
    """The only image file of a data set."""
    if is_nifti(path):
        return ImageFile(_study_name(path), path)
    if path.suffix.lower() != ".png":
        raise DataError(f"{path} is neither NIfTI nor PNG; DICOM folders are turned into NIfTI first")
    return png_file(path, path.parent)


def _study_name(path: Path) -> str:
    """A curated cine is named by its folder, any other file by itself."""
    return path.resolve().parent.name if path.name == "sa.nii.gz" else stem(path)


def _readable_rows(files: Sequence[ImageFile]) -> tuple[list[tuple], list[Problem]]:
    """Rows of the files that can be read and that are no second image of the same slice."""
    rows, problems, seen = [], [], {}
    for file in files:
        try:
            new = _rows(file)
        except DataError as error:
            problems.append(Problem(file.subject, "unreadable", "left out", file.image.name, str(error)))
            continue
        first = next((seen[row[:4]] for row in new if row[:4] in seen), None)
        if first is not None:
            problems.append(_duplicate(file, first))
            continue
        seen |= {row[:4]: file.image for row in new}
        rows += new
    return rows, problems


def _duplicate(file: ImageFile, first: Path) -> Problem:
    """A second image of the same subject, frame and slice."""
    info = f"{file.image} is the same subject, frame and slice as {first}; delete one or tell them apart"
    return Problem(file.subject, "duplicate image", "left out", file.image.name, info)


def _rows(file: ImageFile) -> list[tuple]:
    """One row per 2D image of a file, after a look at the headers."""
    shape, spacing = read_grid(file.image)
    _check_mask_grid(file, shape)
    spacing = tuple(a if a > 0 else b for a, b in zip(file.spacing, spacing, strict=True))
    slices = range(shape[2]) if file.slice == ALL else [file.slice]
    frames = range(shape[3]) if file.frame == ALL else [file.frame]
    mask = "" if file.mask is None else str(file.mask)
    return [
        (file.subject, t, file.phase, z, str(file.image), mask, *spacing, file.split, file.labels)
        for t in frames
        for z in slices
    ]


def _check_mask_grid(file: ImageFile, shape: tuple[int, int, int, int]) -> None:
    """A mask has the shape of its image, or of one frame where the data set says which."""
    if file.mask is None:
        return
    mask_shape = read_grid(file.mask)[0]
    one_frame = file.frame != ALL and mask_shape == (*shape[:3], 1)
    if mask_shape != shape and not one_frame:
        raise DataError(
            f"mask {file.mask} of shape {_times(mask_shape)} does not fit its image of shape {_times(shape)}"
            "; export both on one grid"
        )


def _times(shape: tuple[int, ...]) -> str:
    """Shape as ``216 x 256 x 10``."""
    return " x ".join(map(str, shape[:3] if shape[3] == 1 else shape))


def _spacing_notes(table: pd.DataFrame) -> list[str]:
    """How many subjects have no pixel size or slice distance, and what follows."""
    no_pixel = table["dx"].isna() | table["dy"].isna()
    pixel = table.loc[no_pixel, "subject"].nunique()
    distance = table.loc[table["dz"].isna() & ~no_pixel, "subject"].nunique()
    pixel_note = (
        f"pixel size unknown for {pixel} subject(s) (PNG, or a header of 1 x 1 x 1 mm): "
        "pixels are taken as they are, and nothing is measured in mm or ml"
    )
    distance_note = f"slice distance unknown for {distance} subject(s) (2D NIfTI): nothing is measured in ml"
    return [pixel_note] * bool(pixel) + [distance_note] * bool(distance)
