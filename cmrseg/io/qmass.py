"""Contours in files of Medis QMass (``.con``), as far as their form is publicly known.

The form is that which public converters read, that of the authors of the 7T labels among them
(github.com/chfc-cmi/cmr-seg-tl, code/7T): after lines ``name=value`` a paragraph for every contour. Its line
``[XYCONTOUR]`` is followed by slice, phase, structure and a factor, by the number of points, and by as many
lines ``x y``. Slices are counted from 0 at the lowest SliceLocation, phases from 0 in time, points from 0 at
the centre of the first pixel, as these authors do; other readers count slices from the other end, so look at
the contours.

References
----------
Ankenbrand et al. (2021), doi:10.1101/2020.06.15.20131656.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cmrseg.io.contours import checked
from cmrseg.io.drawn import ContourFile, Drawn, Where, faulty
from cmrseg.io.outlines import Outline
from cmrseg.problems import DataError

FORMAT = "QMass"
MARK = "[XYCONTOUR]"
MAX_BYTES = 64 << 20  # a stack with contours in all images has about 1 MB
_STRUCTURES = {0: Outline.ENDOCARDIUM, 1: Outline.EPICARDIUM, 5: Outline.RV}
_MOST_POINTS = 10_000


def read_qmass(path: Path) -> ContourFile:
    """Read the contours of a ``.con`` file.

    Raises
    ------
    DataError
        If it cannot be read, is larger than 64 MB, or is damaged.
    """
    lines = _lines(path)
    found: dict[tuple[int, int, Outline], Drawn] = {}
    unused = 0
    for place, (z, t, structure, points) in _contours(lines, path):
        if structure not in _STRUCTURES:
            unused += 1
            continue
        kind = _STRUCTURES[structure]
        contour = _contour(kind, points, Where(slice=z, phase=t), place)
        before = found.setdefault((z, t, kind), contour)
        if before is not contour and not np.array_equal(before.points, contour.points):
            twice = "two different contours of one structure and image"
            found[z, t, kind] = faulty(kind, contour.where, contour.name, twice)
    header = dict(line.split("=", 1) for line in lines if "=" in line)
    shape = header.get("Image_resolution", "").strip().lower()
    size = re.fullmatch(r"(\d{1,5})\s*x\s*(\d{1,5})", shape)
    return ContourFile(
        path,
        FORMAT,
        tuple(found.values()),
        unused=unused,
        patient_id=header.get("Patient_id", "").strip(),
        size=(int(size[1]), int(size[2])) if size else None,
    )


def _contour(kind: Outline, points: np.ndarray, where: Where, line: int) -> Drawn:
    """One contour, usable or not."""
    name = f"{kind} of slice {where.slice}, phase {where.phase}"
    try:
        return Drawn(kind, checked(points, f"in line {line}"), where, name)
    except DataError as error:
        return faulty(kind, where, name, error)


def _lines(path: Path) -> list[str]:
    """The lines of a file, stripped."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"contours {path} cannot be read ({error.strerror}); check the path") from None
    if len(content) > MAX_BYTES:
        raise DataError(f"{path} has more than {MAX_BYTES >> 20} MB; export the contours of one study")
    return [line.strip() for line in content.decode("latin-1").splitlines()]


def _contours(lines: list[str], path: Path) -> Iterator[tuple[int, tuple[int, int, int, np.ndarray]]]:
    """Line, and slice, phase, structure and points of every contour that has points."""
    for n, line in enumerate(lines):
        if line != MARK:
            continue
        try:
            z, t, structure, *factor = lines[n + 1].split()
            place = int(z), int(t), int(structure)
            count = int(lines[n + 2])
            rows = lines[n + 3 : n + 3 + count]
            if not (0 <= count <= _MOST_POINTS and len(rows) == count and min(place) >= 0):
                raise ValueError
            points = np.array([[float(v) for v in row.split()] for row in rows], float).reshape(count, 2)
        except (ValueError, IndexError):
            raise DataError(
                f"{path}, line {n + 1}: no whole contour (slice, phase and structure, the number of points, "
                "the points); export it again"
            ) from None
        if factor and float(factor[0]) != 1:
            raise DataError(f"{path}, line {n + 2}: contours of the scale {factor[0]} are not understood")
        if count:
            yield n + 1, (*place, points)
