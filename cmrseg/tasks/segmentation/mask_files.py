"""The mask files of a run: where they go, whose they are, and which are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, VolumeRef, prediction_path
from cmrseg.data.layouts import TEACHER
from cmrseg.io.images import load_mask, read_grid
from cmrseg.io.own_masks import origin, put_aside, save_own_mask, source_of
from cmrseg.problems import DataError
from cmrseg.tasks.prediction import Study
from cmrseg.tasks.segmentation.corrected import read_corrected

_SHOWN = 3  # files in a note
_SAMPLE = 4096  # pixels that show whether an image has more
_FEW_GREYS = 5  # of a mask: background and up to four structures
Make = Callable[[Study, Cine], Cine]


@dataclass(frozen=True)
class MaskFiles:
    """What became of the masks of a run that were there.

    Attributes
    ----------
    source
        What the mask of a study is made from, remembered with the mask.
    resume
        Keep the masks of an earlier run.
    corrected, aside, other, grey
        Files that a person has changed, that got another name, that are of another model, and images that
        seem to be masks.
    """

    source: Callable[[Study], str]
    resume: bool
    corrected: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    grey: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """One sentence for each kind."""
        told = {
            "changed by a person, kept and measured": self.corrected,
            "not from this program, given another name": self.aside,
            "of another model or other settings, kept by --resume (left out, they are made anew)": self.other,
        }
        notes = [f"{len(files)} mask(s) {what}: {some(files)}" for what, files in told.items() if files]
        if self.grey:
            notes.append(
                f"{len(self.grey)} file(s) hold {_FEW_GREYS} grey values or fewer and seem to be masks, not "
                f"images; their numbers mean nothing: {some(self.grey)}"
            )
        return notes


def mask_paths(ref: VolumeRef, out: Path, *, taken: dict[Path, Path] | None = None) -> list[Path]:
    """Where the masks of a study go.

    Parameters
    ----------
    ref
        Any volume of the study.
    out
        Folder of the predictions.
    taken
        Mask -> its image, of the studies so far; gets those of this one.

    Raises
    ------
    DataError
        If two images would go to one file.
    """
    paths, taken = [], {} if taken is None else taken
    for image in dict.fromkeys(ref.images):
        path = prediction_path(out, ref.subject, image, alone=len(set(ref.images)) == 1)
        if taken.setdefault(path, image) != image:
            raise DataError(f"{image} and {taken[path]} would both be written to {path}; rename one of them")
        paths.append(path)
    return paths


def mask_of(study: Study, image: Cine, paths: list[Path], how: MaskFiles, make: Make) -> Cine:
    """Mask of one study: made, read where a run goes on, and a person's where somebody has corrected it.

    Parameters
    ----------
    study, image
        The study and its intensities.
    paths
        From `mask_paths`.
    how
        Gets what became of the files.
    make
        From a study and its intensities to a mask on the same grid, in `Label` ids.
    """
    if is_mask(image.array):
        how.grey.append(str(study[0].image))
    changed = {path for path in paths if origin(path) == "changed"}
    made = cache(lambda: _kept(study, image, paths, how) or _made(study, image, paths, how, make))
    parts = []
    for z, path in enumerate(paths):
        if path in changed:
            corrected = read_corrected(path, _part(image, z, study), lambda z=z: _part(made(), z, study))
            how.corrected.append(f"{path}{corrected.told and f' ({corrected.told})'}")
            parts.append(corrected.mask.array)
        else:
            parts.append(_part(made(), z, study).array)
    return image.with_array(np.concatenate(parts, axis=2))


def is_mask(array: np.ndarray) -> bool:
    """Whether intensities are few whole numbers, more than one, as the ids of structures are."""
    greys = np.unique(array.ravel()[:: max(1, array.size // _SAMPLE)])
    if len(greys) > _FEW_GREYS:
        return False  # mostly spares looking at the whole array
    greys = np.unique(array)
    return 1 < len(greys) <= _FEW_GREYS and bool((greys == np.round(greys)).all())


def _kept(study: Study, image: Cine, paths: list[Path], how: MaskFiles) -> Cine | None:
    """The mask of an earlier run; None if it is to be made."""
    if not how.resume or any(origin(path) != "ours" for path in paths):
        return None
    pairs = zip(paths, _files(study), strict=True)
    array = np.concatenate([load_mask(path, "cmrseg", image=file).array for path, file in pairs], axis=2)
    if array.shape != image.array.shape:
        raise DataError(f"{paths[0]} is on another grid than its image; delete it or leave --resume out")
    how.other.extend(str(path) for path in paths if source_of(path) != how.source(study))
    return image.with_array(array)


def _made(study: Study, image: Cine, paths: list[Path], how: MaskFiles, make: Make) -> Cine:
    """A new mask; it is written but over what a person has changed."""
    mask = make(study, image)
    for z, path in enumerate(paths):
        if (whose := origin(path)) == "changed":
            continue
        if whose == "unknown":
            how.aside.append(str(put_aside(path)))
        save_own_mask(_part(mask, z, study), path, source=how.source(study))
    return mask


def _files(study: Study) -> list[Path]:
    """The image files of a study: one stack, or one for every slice."""
    return list(dict.fromkeys(study[0].images))


def _part(cine: Cine, z: int, study: Study) -> Cine:
    """What one file holds: the stack, or on its own grid the slice where every slice is a file."""
    files = _files(study)
    return cine if len(files) == 1 else read_grid(files[z]).cine(cine.array[:, :, z : z + 1])


def check_no_truth(catalog: Catalog, out: Path) -> None:
    """Refuse to write masks over those of a data set or of a teacher.

    Raises
    ------
    DataError
        If ``out`` holds a teacher's masks, or a mask would take the name of one in the data set.
    """
    check_no_teacher(out)
    if not out.resolve().is_relative_to(catalog.root.resolve()):
        return
    theirs: list[Path] = []
    for ref, *_ in catalog.studies():
        with suppress(DataError):  # what has no place is told later
            theirs += [path for path in mask_paths(ref, out) if origin(path) == "unknown"]
    if theirs:
        raise DataError(f"{theirs[0]} is a mask of the data and would be replaced; name another folder")


def check_no_teacher(out: Path) -> None:
    """Refuse to write masks of a model among those of a teacher, which count as written by this program.

    Raises
    ------
    DataError
        If ``out`` holds a teacher's masks.
    """
    if (out / TEACHER).exists():
        raise DataError(f"{out} holds the masks of a teacher ({TEACHER}); name another folder for these")


def some(files: Sequence[str]) -> str:
    """The first of some files."""
    return ", ".join(files[:_SHOWN]) + (f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else "")
