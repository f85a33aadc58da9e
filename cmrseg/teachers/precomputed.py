"""Masks that were made elsewhere, such as by ukbb_cardiac (Bai et al.)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from scipy import ndimage

from cmrseg.cine import Cine
from cmrseg.data.catalog import VolumeRef
from cmrseg.io.checksum import sha256_of
from cmrseg.io.images import is_nifti, load_mask, stem
from cmrseg.labels import Label, structures_of
from cmrseg.problems import DataError, existing_folder
from cmrseg.teachers.teacher import Study, Teacher

DEFAULT_SCHEME = "ukbb"  # 1 LV, 2 MYO, 3 RV, as cmrseg itself writes them
_SUFFIXES = (".nii.gz", ".nii")
_NEIGHBOURS_IN_PLANE = np.ones((3, 3, 1), bool)


def precomputed_teacher(folder: Path, studies: list[Study], *, labels: str | None = None) -> Teacher:
    """Teacher that looks its masks up in a folder.

    Parameters
    ----------
    folder
        Holds ``<study>/seg_sa.nii.gz``, ``<study>/seg.nii.gz`` or ``[<study>/]<name>_seg.nii.gz``, where the
        name is that of the image file or of the study; PNG slices have ``<study>/<name>_seg.png``, and slices
        that are NIfTI files ``<study>/<name>_seg.nii.gz``.
    studies
        Those that need masks.
    labels
        Label scheme of the masks, see `cmrseg.labels.get_scheme`. By default that of ukbb_cardiac; a mask
        whose right ventricle then lies inside its myocardium is refused.

    Raises
    ------
    DataError
        If the folder is missing or holds no mask for any of the studies.
    ValueError
        If there is no such label scheme.
    """
    scheme = labels or DEFAULT_SCHEME
    structures = tuple(structure.name for structure in structures_of([scheme]))
    existing_folder(folder, "teacher")
    found = {study[0].images: _find(study[0], folder) for study in studies}
    files = tuple(path for paths in found.values() for path in paths)
    if not files:
        raise DataError(f"{folder} holds no mask for any study; expected {_expected(studies[0][0], folder)}")
    if twice := [path for path, n in Counter(files).items() if n > 1]:
        raise DataError(f"{twice[0]} would be the mask of several studies; name it by its study")

    def segment(study: Study, cine: Cine) -> Cine:
        paths = found[study[0].images]
        if not paths:
            raise DataError(f"no mask in {folder}; expected {_expected(study[0], folder)}")
        mask = _load(paths, list(dict.fromkeys(study[0].images)), scheme)
        _check_frames(mask, cine, paths[0])
        if labels is None:
            _check_anatomy(mask, paths[0])
        return cine.with_array(mask.array)

    missing = sum(not paths for paths in found.values())
    notes = (f"{missing} of {len(found)} studies have no mask in {folder}",) if missing else ()
    return Teacher(
        "precomputed",
        str(folder),
        sha256_of(files),
        scheme,
        structures,
        segment,
        files=files,
        source=lambda study: sha256_of(found[study[0].images]),
        notes=notes,
    )


def _find(ref: VolumeRef, folder: Path) -> list[Path]:
    """The mask of every image file of a study; none if one is missing."""
    paths = []
    for image in dict.fromkeys(ref.images):
        path = next((p for p in _candidates(ref, image, folder) if p.is_file()), None)
        if path is None:
            return []
        paths.append(path)
    return paths


def _candidates(ref: VolumeRef, image: Path, folder: Path) -> list[Path]:
    """Where the mask of an image may be, the most particular name first."""
    suffixes = _SUFFIXES if is_nifti(image) else (".png",)
    if not ref.is_stack:
        names = [f"{ref.subject}/{stem(image)}_seg", f"{stem(image)}_seg"]
        return [folder / f"{name}{suffix}" for name, suffix in product(names, suffixes)]
    own = [f"{ref.subject}/{stem(image)}_seg", f"{ref.subject}/seg_sa", f"{ref.subject}/seg"]
    by_subject = [f"{ref.subject}/{ref.subject}_seg", f"{ref.subject}_seg"]
    generic = stem(image) == "sa"  # the same name in every study
    names = [*own, *by_subject] if generic else [*own, *by_subject, f"{stem(image)}_seg"]
    return [folder / f"{name}{suffix}" for name, suffix in product(names, suffixes)]


def _expected(ref: VolumeRef, folder: Path) -> str:
    """Example of a file that would have been found."""
    return str(
        folder / ref.subject / "seg_sa.nii.gz" if ref.is_stack else _candidates(ref, ref.image, folder)[0]
    )


def _load(paths: list[Path], images: list[Path], scheme: str) -> Cine:
    """The mask of a study on the grid of its images, from one stack or slice by slice."""
    parts = [load_mask(path, scheme, image=image) for path, image in zip(paths, images, strict=True)]
    return replace(parts[0], array=np.concatenate([part.array for part in parts], axis=2))


def _check_frames(mask: Cine, image: Cine, path: Path) -> None:
    """A mask has all frames of its image."""
    if mask.array.shape != image.array.shape:
        raise DataError(
            f"mask {path} of shape {_times(mask)} is on another grid than its image of shape {_times(image)}"
        )


def _check_anatomy(mask: Cine, path: Path) -> None:
    """The myocardium surrounds the left ventricle, else the ids mean something else than was assumed."""
    frame = int((mask.array == Label.MYO).sum(axis=(0, 1, 2)).argmax())
    labels = mask.array[..., frame]
    if _within_myocardium(labels, Label.RV) > _within_myocardium(labels, Label.LV):
        raise DataError(
            f"in mask {path} id 3 rather than 1 lies inside the myocardium (id 2), as in the scheme acdc; "
            "name the scheme with --labels"
        )


def _within_myocardium(labels: np.ndarray, structure: Label) -> float:
    """Share of a structure's border in the plane that is myocardium."""
    inside = labels == structure
    border = ndimage.binary_dilation(inside, _NEIGHBOURS_IN_PLANE) & ~inside
    return float((labels[border] == Label.MYO).mean()) if border.any() else 0.0


def _times(cine: Cine) -> str:
    """Shape as ``216 x 256 x 10 x 30``."""
    return " x ".join(map(str, cine.array.shape))
