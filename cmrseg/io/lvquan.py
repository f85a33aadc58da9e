"""Files of the LVQuan challenges: cines of one mid-ventricular slice, masks, indices and the phase.

LVQuan19 has a file for every subject, ``patientN.mat``, with images as the scanner gave them; LVQuan18 has
all subjects in one, ``cardiac-dig.mat``, cropped, turned and resized to 80 x 80 pixels, its numbers divided
by the side of the crop or its square.

References
----------
lvquan18.github.io, lvquan19.github.io; Xue et al., Med Image Anal 43:54 (2018),
doi:10.1016/j.media.2017.09.005; Gessert and Schlaefer, STACOM (2019).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cmrseg.io.matlab import read_mat
from cmrseg.problems import DataError

FRAMES = 20  # of every subject
TARGETS = ("areas", "dims", "rwt")
_ROWS = {"areas": 2, "dims": 3, "rwt": 6, "phase": 1}
_NAMES = {
    "images": ("image", "images_LV", "images"),
    "endo": ("endo", "endo_LV"),
    "epi": ("epi", "epi_LV"),
    "areas": ("areas", "areas_LV"),
    "dims": ("dims", "dims_LV"),
    "rwt": ("rwt", "rwt_LV"),
    "phase": ("lv_phase", "lv_phase_LV"),
    "pixel_mm": ("pix_spacing", "pix_spa", "pixel_spacing"),
    "ratio": ("ratio", "ratio_resize", "ratio_resize_LV"),
}
_FILE = re.compile(r"(patient[-_ ]?\d+|cardiac-?dig.*)\.mat", re.IGNORECASE)
_PIXEL_MM = (0.2, 5.0)
_SIDES = (16, 4096)  # pixels
_LENGTHS = {"areas": 2, "dims": 1, "rwt": 1}


@dataclass(frozen=True)
class Quantified:
    """One subject.

    Attributes
    ----------
    subject
        Name.
    images
        Grey values, ``(x, y, t)``.
    pixel_mm
        Side of a pixel.
    endo, epi
        What lies within the contours, ``bool`` ``(x, y, t)``; None where there are no masks.
    targets
        areas ``(t, 2)``, dims ``(t, 3)`` and rwt ``(t, 6)`` as the file has them, or in pixels where they
        were divided by the side of the crop; empty where it has none.
    phase
        1 systole, 0 diastole, ``(t,)``; None where the file has none.
    in_pixels
        Whether the targets are known to be in pixels; the file does not tell otherwise.
    """

    subject: str
    images: np.ndarray
    pixel_mm: float
    endo: np.ndarray | None
    epi: np.ndarray | None
    targets: Mapping[str, np.ndarray]
    phase: np.ndarray | None
    in_pixels: bool


def lvquan_files(source: Path) -> list[Path]:
    """The files of an LVQuan challenge in a folder, or the file itself, in the order of their numbers."""
    if source.is_file():
        return [source] * (source.suffix.lower() == ".mat")
    named = (path for path in source.glob("*.[mM][aA][tT]") if _FILE.fullmatch(path.name))
    found = sorted(named, key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
    return [] if found and _is_segment(found[0]) else found


def _is_segment(path: Path) -> bool:
    """Whether it holds contours of Medviso Segment, which may lie among DICOM files."""
    try:
        return "setstruct" in read_mat(path, ["setstruct"])
    except DataError:
        return False  # who reads it tells why


def read_lvquan(path: Path) -> Iterator[Quantified | tuple[str, DataError]]:
    """The subjects of a file, one after the other.

    Parameters
    ----------
    path
        A file of LVQuan18 or LVQuan19.

    Yields
    ------
    A subject, or its name and what is wrong with it.

    Raises
    ------
    DataError
        If the file cannot be read or is none of these.
    """
    variables = read_mat(path, [name for names in _NAMES.values() for name in names])
    told = {
        what: next((variables[name] for name in names if name in variables), None)
        for what, names in _NAMES.items()
    }
    if told["images"] is None or told["pixel_mm"] is None:
        missing = " and no ".join(_NAMES[what][0] for what in ("images", "pixel_mm") if told[what] is None)
        raise DataError(f"{path} has no {missing}, so it is none of LVQuan; it needs image and pix_spacing")
    held = {what: value for what, value in told.items() if value is not None}
    if held["images"].ndim != 3 or not _is_number(held["images"]):
        raise DataError(f"{path}: its images must be rows x columns x frames, got {_shape(held['images'])}")
    if not all(_SIDES[0] <= side <= _SIDES[1] for side in held["images"].shape[:2]):
        raise DataError(f"{path}: its images are {_shape(held['images'])}, which no image of a heart is")
    count = held["images"].shape[2]
    if "ratio" not in held and count != FRAMES:
        raise DataError(f"{path} has {count} frames and no ratio; a subject of LVQuan19 has {FRAMES}")
    if count % FRAMES:
        raise DataError(f"{path} has {count} frames, which are no whole number of subjects of {FRAMES}")
    names = _subjects(path, count // FRAMES, is_one="ratio" not in held)
    for number, name in enumerate(names):
        try:
            yield _subject(name, held, number, len(names))
        except DataError as error:
            yield name, error


def _subjects(path: Path, count: int, *, is_one: bool) -> list[str]:
    """Names of subjects: of the file, or numbers."""
    if is_one:
        return [re.sub(r"\W+", "", path.stem.lower())]
    return [f"sub-{n:0{len(str(count))}d}" for n in range(1, count + 1)]


def _subject(name: str, held: Mapping[str, np.ndarray], number: int, count: int) -> Quantified:
    """One of the subjects of a file."""
    frames = slice(number * FRAMES, (number + 1) * FRAMES)
    images = _stack(held["images"], frames)
    if not np.isfinite(images).all():
        raise DataError("its images hold values that are no numbers")
    shape, total = held["images"].shape, held["images"].shape[2]
    endo, epi = (_binary(held.get(what), shape, frames, what) for what in ("endo", "epi"))
    targets = {what: _table(held[what], _ROWS[what], total, what)[frames] for what in TARGETS if what in held}
    phase = _table(held["phase"], 1, total, "lv_phase")[frames, 0] if "phase" in held else None
    if phase is not None and not np.isin(phase, (0, 1)).all():
        raise DataError("its lv_phase is not 0 or 1 in every frame")
    pixel_mm = _one(held["pixel_mm"], number, count, "pixel size")
    found = Quantified(name, images, pixel_mm, endo, epi, targets, phase, in_pixels=False)
    if "ratio" in held:
        found = _undivided(found, _one(held["ratio"], number, count, "ratio"))
    if not _PIXEL_MM[0] <= found.pixel_mm <= _PIXEL_MM[1]:
        raise DataError(f"its pixels are {found.pixel_mm:g} mm wide, which no image of a heart has")
    return found


def _undivided(found: Quantified, ratio: float) -> Quantified:
    """With the pixel size of the crop, and targets in its pixels."""
    side = found.images.shape[0]
    targets = {what: values * side ** _LENGTHS[what] for what, values in found.targets.items()}
    return replace(found, pixel_mm=found.pixel_mm * ratio, targets=targets, in_pixels=True)


def _stack(array: np.ndarray, frames: slice) -> np.ndarray:
    """Some frames ``(x, y, t)``, as a type that NIfTI has: rows of MATLAB become y."""
    part = array[:, :, frames].transpose(1, 0, 2)
    return part if part.dtype in (np.uint8, np.int16, np.uint16) else part.astype(np.float32)


def _binary(array: np.ndarray | None, shape: Sequence[int], frames: slice, what: str) -> np.ndarray | None:
    """A mask that resizing or scaling has made grey, as it was: above half of its largest value."""
    if array is None:
        return None
    if array.shape != tuple(shape) or not _is_number(array):
        raise DataError(f"its {what} is {_shape(array)}, its images {' x '.join(map(str, shape))}")
    part = array[:, :, frames].transpose(1, 0, 2).astype(np.float32)
    return part > part.max() / 2 if part.max() > 0 else np.zeros(part.shape, bool)


def _table(array: np.ndarray, rows: int, frames: int, what: str) -> np.ndarray:
    """Numbers of all frames, ``(frames, rows)``."""
    if not _is_number(array) or array.size != rows * frames or rows not in array.shape:
        raise DataError(f"its {what} is {_shape(array)}, not {rows} x {frames}")
    table = array.astype(float)
    if np.isinf(table).any():
        raise DataError(f"its {what} holds infinite values")
    return table.T if table.shape[0] == rows else table


def _one(array: np.ndarray, number: int, count: int, what: str) -> float:
    """The number of one subject; a pair of one subject must be alike."""
    values = array.astype(float).ravel() if _is_number(array) else np.array([])
    if count == 1 and values.size > 1 and np.allclose(values, values[0], rtol=0.01):
        return float(values[0])
    if values.size != count or not np.isfinite(values[number]) or values[number] <= 0:
        raise DataError(f"its {what} is not one positive number")
    return float(values[number])


def _is_number(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuf"


def _shape(array: np.ndarray) -> str:
    """Shape for a person."""
    return " x ".join(map(str, array.shape)) + ("" if _is_number(array) else " and no numbers")
