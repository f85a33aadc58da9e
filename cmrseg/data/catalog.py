"""One table of all images of a data set, whatever its layout."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.layouts import ALL, ImageFile, _png_file, find_layout, read_table
from cmrseg.io.images import is_nifti, load_image, load_mask, read_grid, stem
from cmrseg.labels import Label, get_scheme
from cmrseg.problems import DataError, Problem, existing_folder

COLUMNS = (
    "subject", "frame", "phase", "slice", "image", "mask", "dx", "dy", "dz", "split", "labels",
)  # fmt: skip
VALIDATION_SHARE = TEST_SHARE = 0.15


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
        table = self.table[self.table["split"].isin(splits)] if splits else self.table
        if table.empty:
            known = ", ".join(sorted(s for s in self.table["split"].unique() if s)) or "none"
            raise DataError(f"no images in split {', '.join(splits)}; the data has: {known}")
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
        return [tuple(group) for _, group in groupby(self.volumes(), key=lambda v: (v.subject, v.images))]


def read_catalog(root: Path, *, labels: str | None = None, splits: Sequence[str] = ()) -> Catalog:
    """Read a data set of any known layout, or a single image file.

    Parameters
    ----------
    root
        Folder of the data set, or one NIfTI or PNG file.
    labels
        Label scheme of the masks where the layout does not tell; see `cmrseg.labels.get_scheme`.
    splits
        Keep these splits only.

    Returns
    -------
    Catalog; unreadable files and masks that do not fit their image are in its ``problems``.

    Raises
    ------
    DataError
        If the folder is missing or empty, its layout is unknown, or no image can be read.
    """
    if labels is not None:
        get_scheme(labels)
    files, notes = (_single_file(root), []) if root.is_file() else _folder(root)
    rows, problems = [], []
    for file in files:
        try:
            rows.extend(_rows(file if labels is None else replace(file, labels=labels)))
        except DataError as error:
            problems.append(Problem(file.subject, "unreadable", "left out", file.image.name, str(error)))
    if not rows:
        raise DataError(problems[0].extra_info if problems else f"no images in {root}")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table, split_notes = _apply_splits(table, root)
    if table[["dx", "dy"]].isna().any(axis=None):
        notes.append(_spacing_note(table))
    notes += _leak_notes(table)
    catalog = Catalog(table, problems, notes + split_notes, root)
    return catalog.select(splits) if splits else catalog


def assign_splits(catalog: Catalog, *, seed: int) -> Catalog:
    """Make sure that there are training and validation images, splitting by subject where there are none.

    Parameters
    ----------
    catalog
        Images with masks. Splits that are there are kept; ``test`` is only drawn when there are no splits.
    seed
        Of the random order of the subjects.

    Raises
    ------
    DataError
        If there are fewer than two subjects to train and validate with.
    """
    table = catalog.table.copy()
    have = set(table["split"])
    if {"train", "val"} <= have:
        return catalog
    pool = sorted(table.loc[table["split"].isin(["train", ""]), "subject"].unique())
    if len(pool) + ("val" in have) < 2:
        raise DataError(
            f"{len(pool)} subject(s) with masks to train with; at least 2 are needed, one of them to validate"
        )
    random.Random(seed).shuffle(pool)
    n_val = 0 if "val" in have else max(1, round(VALIDATION_SHARE * len(pool)))
    n_test = round(TEST_SHARE * len(pool)) if have == {""} and len(pool) >= 6 else 0
    chosen = {s: "val" for s in pool[:n_val]} | {s: "test" for s in pool[n_val : n_val + n_test]}
    chosen |= {s: "train" for s in pool[n_val + n_test :]}
    table["split"] = [chosen.get(s, old) for s, old in zip(table["subject"], table["split"], strict=True)]
    note = (
        f"split by subject with seed {seed}: {len(pool) - n_val - n_test} train, {n_val} val, {n_test} test"
    )
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
    ref = refs[0]
    if not ref.has_masks:
        raise DataError(f"{ref.subject} frame {ref.frame} has no mask beside {ref.image}")
    return _load_frames(refs, [load_mask(path, ref.labels) for path in dict.fromkeys(ref.masks) if path])


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


def structures_of(schemes: Sequence[str]) -> tuple[Label, ...]:
    """Structures that the label schemes can hold, in the order of their ids."""
    present = {label for scheme in schemes for label in get_scheme(scheme).values()}
    return tuple(sorted(present - {Label.BACKGROUND}))


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


def _single_file(path: Path) -> list[ImageFile]:
    """A data set of one image file."""
    return [ImageFile(_study_name(path), path) if is_nifti(path) else _png_file(path)]


def _study_name(path: Path) -> str:
    """A curated cine is named by its folder, any other file by itself."""
    return path.resolve().parent.name if path.name == "sa.nii.gz" else stem(path)


def _folder(root: Path) -> tuple[list[ImageFile], list[str]]:
    """Image files of a folder and the layout that was recognised."""
    existing_folder(root, "data")
    layout = find_layout(root)
    return list(layout.read(root)), [f"data layout: {layout.name}"]


def _rows(file: ImageFile) -> list[tuple]:
    """One row per 2D image of a file, after a look at the headers."""
    shape, spacing = read_grid(file.image)
    _check_mask_grid(file, shape)
    spacing = file.spacing or spacing
    slices = range(shape[2]) if file.slice == ALL else [file.slice]
    frames = range(shape[3]) if file.frame == ALL else [file.frame]
    mask = "" if file.mask is None else str(file.mask)
    return [
        (file.subject, t, file.phase, z, str(file.image), mask, *spacing, file.split, file.labels)
        for t in frames
        for z in slices
    ]


def _check_mask_grid(file: ImageFile, shape: tuple[int, int, int, int]) -> None:
    """A mask has the shape of its image."""
    if file.mask is None:
        return
    mask_shape = read_grid(file.mask)[0]
    if mask_shape != shape:
        raise DataError(
            f"mask {file.mask} of shape {_times(mask_shape)} does not fit its image of shape {_times(shape)}"
            "; export both on one grid"
        )


def _times(shape: tuple[int, ...]) -> str:
    """Shape as ``216 x 256 x 10``."""
    return " x ".join(map(str, shape[:3] if shape[3] == 1 else shape))


def _apply_splits(table: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, list[str]]:
    """Honour splits.csv (subject, split) beside the data."""
    path = root / "splits.csv"
    if not path.exists():
        return table, []
    splits = read_table(path, str)
    if not {"subject", "split"} <= set(splits.columns):
        raise DataError(f"{path} needs the columns subject, split")
    table["split"] = (
        table["subject"].map(dict(zip(splits["subject"], splits["split"], strict=True))).fillna("")
    )
    lost = sorted(table.loc[table["split"] == "", "subject"].unique())
    return table, [
        f"{len(lost)} subject(s) are not in splits.csv and belong to no split: {', '.join(lost[:5])}"
    ] * bool(lost)


def _leak_notes(table: pd.DataFrame) -> list[str]:
    """Which subjects are in more than one split: scores on them mean little."""
    splits = table[table["split"] != ""].groupby("subject")["split"].nunique()
    shared = sorted(splits.index[splits > 1])
    return [f"{len(shared)} subject(s) are in more than one split: {', '.join(shared[:5])}"] * bool(shared)


def _spacing_note(table: pd.DataFrame) -> str:
    """How many volumes have no pixel size, and what follows."""
    subjects = table.loc[table["dx"].isna(), "subject"].nunique()
    return (
        f"pixel size unknown for {subjects} subject(s) (PNG, or a header of 1 x 1 x 1 mm): "
        "pixels are taken as they are, and nothing is measured in mm or ml"
    )
