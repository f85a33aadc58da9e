"""What a program for contouring wrote, whatever its format: contours, and which image each is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmrseg.io.outlines import Outline

MYOCARDIUM = "myocardium"  # a region between two contours, as some programs draw it
_CAVITY = r"(bp|bloodpool|cavity|chamber|blood|endo|endocardium|endocardial)?"
_NAMES = (  # of structures in words that people type, without spaces and signs
    (Outline.RV, rf"(rv{_CAVITY}|rightventric(le|ular){_CAVITY})"),
    (Outline.EPICARDIUM, r"(lv|sa|leftventric(le|ular))?epi(cardium|cardial)?(contour)?"),
    (MYOCARDIUM, r"(lv|leftventric(le|ular))?(myo|myocardium|myocardial|muscle)"),
    (Outline.ENDOCARDIUM, rf"((lv|leftventric(le|ular)){_CAVITY}|(sa)?endo(cardium|cardial)?(contour)?)"),
)


class ImageNumber(NamedTuple):
    """Which image a contour file is about: ``IM-0001-0059`` is the image 59, of series 1."""

    series: int
    instance: int


@dataclass(frozen=True)
class Where:
    """Which image a contour was drawn on, as far as its file says it.

    Attributes
    ----------
    uid, frame
        SOPInstanceUID, and the number of the plane in a file of several, from 1; 0 is unsaid.
    number
        Of series and instance.
    slice, phase
        Counted from 0: slices from the lowest SliceLocation, phases in time.
    """

    uid: str = ""
    frame: int = 0
    number: ImageNumber | None = None
    slice: int = -1
    phase: int = -1


@dataclass(frozen=True)
class Drawn:
    """One contour.

    Attributes
    ----------
    kind
        What it goes around.
    points
        ``(column, row)`` in pixels from 0 at the centre of the first, shape ``(n, 2)``; or mm in the patient
        (LPS), shape ``(n, 3)``.
    where
        Its image.
    name
        What problems call it: no path, no UID, no text of the file.
    fault
        Why it cannot be used, empty where it can; then it has no points.
    """

    kind: Outline
    points: np.ndarray
    where: Where
    name: str
    fault: str = ""

    @property
    def is_in_space(self) -> bool:
        """Whether the points are in mm."""
        return self.points.shape[1] == 3


@dataclass(frozen=True)
class ContourFile:
    """The contours of one file, or of the text files of one folder.

    Attributes
    ----------
    path, format
        Where it lies, and in words what it is.
    drawn
        Its contours, those too that cannot be used.
    unused
        How many contours are of other structures, such as papillary muscles.
    patient_id
        Whose it says it is; empty where it does not. Never written or shown.
    size, phases
        ``(columns, rows)`` and number of phases of its images, where it says so.
    """

    path: Path
    format: str
    drawn: tuple[Drawn, ...]
    unused: int = 0
    patient_id: str = field(default="", repr=False)
    size: tuple[int, int] | None = None
    phases: int | None = None


def faulty(kind: Outline, where: Where, name: str, reason: object) -> Drawn:
    """A contour that cannot be used, whose image then lacks one."""
    return Drawn(kind, np.empty((0, 2)), where, name, str(reason))


def structure_named(name: str) -> Outline | str | None:
    """What a person means by the name of a region or contour: an outline, `MYOCARDIUM`, or nothing of ours.

    Parameters
    ----------
    name
        Such as ``LV endo``, ``Myocardium`` or ``RV_blood_pool``.
    """
    letters = re.sub(r"[^a-z]", "", name.lower())
    return next((kind for kind, pattern in _NAMES if re.fullmatch(pattern, letters)), None)


def area_of(points: np.ndarray) -> float:
    """Area inside a flat polygon in the plane or in space, in the square of its unit."""
    spread = points - points.mean(axis=0)
    corners = np.cross(spread, np.roll(spread, -1, axis=0))
    return float(np.linalg.norm(corners.sum(axis=0)) / 2)


def of_myocardium(rings: Iterable[np.ndarray], *, has_cavity: bool) -> dict[Outline, np.ndarray]:
    """Outlines of a myocardium that is drawn as a region: the outer border, and the inner where it is one.

    Parameters
    ----------
    rings
        One closed contour, or the outer and the inner border.
    has_cavity
        Whether the LV has a contour of its own, which counts.

    Raises
    ------
    ValueError
        If there are more than two contours.
    """
    borders = sorted(rings, key=area_of, reverse=True)
    if len(borders) > 2:
        raise ValueError(f"a myocardium of {len(borders)} contours is no ring")
    kinds = (Outline.EPICARDIUM, Outline.ENDOCARDIUM)[: 1 if has_cavity else 2]
    return dict(zip(kinds, borders, strict=False))
