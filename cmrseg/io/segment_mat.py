"""Contours in files of Medviso Segment (``.mat``).

A file holds ``setstruct`` with an element per image stack: ``EndoX``, ``EndoY`` and so on of shape
``(points, phases, slices)``, nan where nothing is drawn. X is the row and Y the column, both counted from 1.
Where they lie in the patient is calculated as Segment does it itself (``xyz2rlapfh``): from ImagePosition,
ImageOrientation, resolution, slice thickness and gap; so images are found by geometry, also where the stack
was cropped.

References
----------
Heiberg et al., BMC Medical Imaging 10:1 (2010), doi:10.1186/1471-2342-10-1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cmrseg.io.contours import checked
from cmrseg.io.drawn import ContourFile, Drawn, Where, faulty
from cmrseg.io.matlab import read_mat
from cmrseg.io.outlines import Outline
from cmrseg.problems import DataError

FORMAT = "Segment"
_FIELDS = {Outline.ENDOCARDIUM: "Endo", Outline.EPICARDIUM: "Epi", Outline.RV: "RVEndo"}


def read_segment(path: Path) -> ContourFile:
    """Read the contours of a ``.mat`` file of Segment.

    Returns
    -------
    Contours in mm in the patient, with the number of their phase.

    Raises
    ------
    DataError
        If it cannot be read, is of MATLAB 7.3, unpacks to more than 1 GB, or holds no ``setstruct`` with
        contours of a stack that was not rotated.
    """
    told = read_mat(path, ["setstruct"])
    if "setstruct" not in told:
        raise DataError(f"{path} holds no setstruct, so it is none of Segment; export it again")
    stacks = np.atleast_1d(told["setstruct"].ravel())
    drawn: list[Drawn] = []
    phases = 0
    for stack in stacks:
        contours, count = _stack(stack, path)
        drawn += contours
        if contours:
            if phases not in (0, count):
                raise DataError(f"{path} holds contours of stacks of {phases} and {count} phases; keep one")
            phases = count
    return ContourFile(path, FORMAT, tuple(drawn), phases=phases or None)


def _stack(stack: np.void, path: Path) -> tuple[list[Drawn], int]:
    """Contours of one image stack, and its number of phases."""
    names, drawn = stack.dtype.names or (), []
    arrays = {k: [_numbers(stack, f"{f}{a}") for a in "XY"] for k, f in _FIELDS.items() if f"{f}Y" in names}
    arrays = {k: xy for k, xy in arrays.items() if all(a.size and np.isfinite(a).any() for a in xy)}
    if not arrays:
        return [], 0
    try:
        phases, slices = (int(_numbers(stack, name)[0]) for name in ("TSize", "ZSize"))
        to_patient = _to_patient(stack)
        shaped = {k: [a.reshape((-1, phases, slices), order="F") for a in xy] for k, xy in arrays.items()}
    except (ValueError, IndexError, KeyError):
        raise DataError(f"{path} does not say where its contours lie; save it in Segment again") from None
    if "Rotated" in names and _numbers(stack, "Rotated").any():
        raise DataError(
            f"{path} holds contours of a rotated image stack, which are not read; draw short-axis ones"
        )
    for kind, (x, y) in shaped.items():
        for t, z in np.argwhere(np.isfinite(x).any(axis=0)):
            points = np.column_stack([x[:, t, z], y[:, t, z]])
            if not points.any():  # Segment fills unused contours with nan, other programs with 0
                continue
            name, where = f"{kind} of slice {z + 1}, phase {t + 1}", Where(phase=int(t))
            try:
                drawn.append(Drawn(kind, to_patient(checked(points, name), int(z)), where, name))
            except DataError as error:
                drawn.append(faulty(kind, where, name, error))
    return drawn, phases


def _numbers(stack: np.void, name: str) -> np.ndarray:
    """A field of a stack as numbers in one row; none where it is no number."""
    value: Any = stack[name]
    array = np.asarray(value)
    return array.astype(float).ravel(order="F") if array.dtype.kind in "biuf" else np.empty(0)


def _to_patient(stack: np.void) -> Any:
    """A function of points (row, column, from 1) and the number of a slice (from 0): mm in the patient."""
    position, orientation = _numbers(stack, "ImagePosition"), _numbers(stack, "ImageOrientation")
    along, down = orientation.reshape(2, 3)  # columns, rows
    dx, dy = (_numbers(stack, f"Resolution{axis}")[0] for axis in "XY")  # of rows, of columns
    gap = _numbers(stack, "SliceThickness")[0] + _numbers(stack, "SliceGap")[0]
    across = np.cross(along, down)
    if position.shape != (3,) or not np.isfinite([*position, *orientation, dx, dy, gap]).all():
        raise ValueError("no geometry")

    def place(points: np.ndarray, z: int) -> np.ndarray:
        rows, columns = (points - 1).T
        return position + np.outer(rows * dx, down) + np.outer(columns * dy, along) - across * z * gap

    return place
