"""From the files of a data set to the rows of its catalog, after a look at their headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cmrseg.data.layouts import ALL, LOOSE_FILES, ImageFile, list_images, png_file, pseudo_label_notes
from cmrseg.io.grid import Grid
from cmrseg.io.images import fitted, is_nifti, looks_like_mask, read_grid, stem
from cmrseg.labels import STRUCTURES, get_scheme, scheme_of
from cmrseg.problems import DataError, Problem, existing_folder


def list_files(root: Path, labels: str | None, masks: bool) -> tuple[list[ImageFile], list[str]]:
    """Image files of a folder, or a single one, and notes.

    Parameters
    ----------
    root
        Folder of the data set, or one file.
    labels
        Label scheme of the masks where the layout does not tell.
    masks
        Look for masks too.

    Raises
    ------
    DataError
        If the folder is missing or empty, or its layout or its labels are unknown.
    """
    if labels is not None:
        get_scheme(labels)
    if root.is_file():
        files, notes = [_single_file(root)], []
    else:
        files, notes = list_images(existing_folder(root, "data"))
        if notes[0].endswith(LOOSE_FILES):
            files, more = _without_masks(files)
            notes += more
    if not masks:
        return [replace(file, mask=None, contoured=None) for file in files], notes
    notes += pseudo_label_notes(files)
    if labels is not None:
        return [replace(file, labels=labels) for file in files], notes
    if any(file.mask and not file.labels for file in files):
        raise DataError(
            f"dataset.json of {root} names no left ventricle; name the ids with --labels, as LV=1,MYO=2,RV=3"
        )
    return files, notes


def _without_masks(files: list[ImageFile]) -> tuple[list[ImageFile], list[str]]:
    """Loose files without those that are masks by their values, which nobody wants to have segmented."""
    masks = {file.image for file in files if looks_like_mask(file.image)}
    if not masks or len(masks) == len(files):
        return files, []
    note = (
        f"{len(masks)} file(s) hold a few whole numbers, as masks do, and are not segmented: "
        f"{min(masks).name}; name one file alone to have it segmented all the same"
    )
    return [file for file in files if file.image not in masks], [note]


def _single_file(path: Path) -> ImageFile:
    """The only image file of a data set."""
    if is_nifti(path):
        return ImageFile(study_name(path), path)
    if path.suffix.lower() != ".png":
        raise DataError(f"{path} is neither NIfTI nor PNG; DICOM folders are turned into NIfTI first")
    return png_file(path, path.parent)


def study_name(path: Path) -> str:
    """A curated cine is named by its folder, any other file by itself."""
    return path.resolve().parent.name if path.name == "sa.nii.gz" else stem(path)


def readable_rows(files: Sequence[ImageFile]) -> tuple[list[tuple], list[Problem]]:
    """Rows of the files that can be read and that are no second image of the same slice.

    Parameters
    ----------
    files
        As `list_files` returns them.

    Returns
    -------
    One row per 2D image, as `cmrseg.data.catalog.COLUMNS` names its cells; and the files that were left out.
    """
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
    grid = read_grid(file.image)
    shape = grid.shape
    _check_mask_grid(file, grid)
    spacing = tuple(a if a > 0 else b for a, b in zip(file.spacing, grid.spacing, strict=True))
    slices = range(shape[2]) if file.slice == ALL else [file.slice]
    frames = range(shape[3]) if file.frame == ALL else [file.frame]
    return [
        (file.subject, t, file.phase, z, str(file.image), *_mask_of(file, t, z, spacing))
        for t in frames
        for z in slices
    ]


def _mask_of(file: ImageFile, t: int, z: int, spacing: tuple[float, float, float]) -> tuple:
    """The cells of an image from its mask on; without one where the mask tells nothing about it."""
    mask = "" if file.mask is None else str(file.mask)
    if file.contoured is None:
        return mask, *spacing, file.split, file.labels
    known = file.contoured.get((t, z))
    scheme = file.labels if known is None or len(known) == len(STRUCTURES) else scheme_of(file.labels, known)
    return mask if known is not None else "", *spacing, file.split, scheme


def _check_mask_grid(file: ImageFile, grid: Grid) -> None:
    """A mask lies where its image lies, with as many frames, or one where the data set says which."""
    if file.mask is None:
        return
    fitted(file.mask, grid)
    shape, frames = grid.shape, read_grid(file.mask, image=grid).shape[3]
    if frames != shape[3] and not (file.frame != ALL and frames == 1):
        raise DataError(
            f"mask {file.mask} of shape {_times((*shape[:3], frames))} does not fit its image of shape "
            f"{_times(shape)}; export both on one grid, or name the frame in the table"
        )


def _times(shape: tuple[int, ...]) -> str:
    """Shape as ``216 x 256 x 10``."""
    return " x ".join(map(str, shape[:3] if shape[3] == 1 else shape))


def grid_notes(table: pd.DataFrame) -> list[str]:
    """What the headers of the images say, one sentence of a kind with the first file that it is true of."""
    told: dict[str, list[str]] = {}
    images = table.drop_duplicates("image")
    for subject, image in zip(images["subject"], map(Path, images["image"]), strict=True):
        name = image.name if str(subject) in image.name else f"{image.name} of {subject}"
        for note in read_grid(image).notes:
            told.setdefault(note, []).append(name)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {note}"
        for note, names in told.items()
    ]


def spacing_notes(table: pd.DataFrame) -> list[str]:
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
