"""Contours in DICOM structure sets (RTSTRUCT): closed planar contours in mm, each with the image it is on.

Structures are known by the names of their regions, such as ``LV endo``, ``epi``, ``RV`` or ``Myocardium``.

References
----------
DICOM PS3.3, C.8.8.6 (ROI Contour Module).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from cmrseg.io.contours import checked
from cmrseg.io.dicom_deflated import check_deflated
from cmrseg.io.dicom_header import quiet_pydicom, reason
from cmrseg.io.drawn import MYOCARDIUM, ContourFile, Drawn, Where, faulty, of_myocardium, structure_named
from cmrseg.io.outlines import Outline
from cmrseg.problems import DataError

FORMAT = "DICOM RTSTRUCT"
MAX_BYTES = 256 << 20
_CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
Rings = defaultdict[tuple[Where, Outline | str], list[np.ndarray]]


def read_rtstruct(path: Path) -> ContourFile:
    """Read the contours of a structure set.

    Returns
    -------
    Contours in mm in the patient (LPS).

    Raises
    ------
    DataError
        If it cannot be read, is larger than 256 MB, or is no structure set.
    """
    dataset = _read(path)
    try:
        names = {int(roi.ROINumber): str(roi.ROIName) for roi in dataset.get("StructureSetROISequence") or []}
        rings, unused = _rings(dataset, names)
    # What is damaged fails with whatever comes to hand.
    except Exception as error:
        raise DataError(f"{path} is a damaged structure set ({reason(error)}); export it again") from None
    drawn = []
    for number, ((where, kind), contours) in enumerate(rings.items(), start=1):
        name = f"{kind} of contour {number}"
        try:
            has_cavity = (where, Outline.ENDOCARDIUM) in rings
            for outline, points in _outlines(kind, contours, has_cavity).items():
                drawn.append(Drawn(outline, checked_in_space(points, name), where, name))
        except ValueError as error:
            outline = Outline.EPICARDIUM if kind == MYOCARDIUM else Outline(kind)
            drawn.append(faulty(outline, where, name, error))
    told = str(dataset.get("PatientID", ""))
    return ContourFile(path, FORMAT, tuple(drawn), unused=unused, patient_id=told)


def checked_in_space(points: np.ndarray, name: str) -> np.ndarray:
    """Points in mm, if they are a polygon.

    Raises
    ------
    DataError
        If they are no finite triples, or fewer than 3.
    """
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"contour {name} must hold three numbers per point; export it again")
    return points[_kept(points, name)]


def _kept(points: np.ndarray, name: str) -> np.ndarray:
    """Which points are left of a polygon without those that the next repeats."""
    for pair in (points[:, :2], points[:, 1:], points[:, ::2]):  # checked as pairs: one of them is not flat
        if np.ptp(pair, axis=0).all():
            checked(pair, name)
            break
    else:
        checked(points[:, :2], name)
    return (points != np.roll(points, -1, axis=0)).any(axis=1)


def _read(path: Path) -> Dataset:
    """The file, if it is a structure set of a size that can be held."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} has more than {MAX_BYTES >> 20} MB; export the contours of one study")
        with quiet_pydicom(), path.open("rb") as file:
            check_deflated(file)
            dataset = pydicom.dcmread(file)
    except DataError as error:
        raise DataError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({reason(error)}); check the path") from None
    except Exception as error:
        raise DataError(f"{path} is no DICOM file that can be read ({reason(error)})") from None
    if dataset.get("SOPClassUID") != RTStructureSetStorage:
        raise DataError(f"{path} is no DICOM structure set")
    return dataset


def _rings(dataset: Dataset, names: dict[int, str]) -> tuple[Rings, int]:
    """Closed contours by their image and structure, and how many are of others."""
    rings: Rings = defaultdict(list)
    unused = 0
    for roi in dataset.get("ROIContourSequence") or []:
        kind = structure_named(names.get(int(roi.ReferencedROINumber), ""))
        for contour in roi.get("ContourSequence") or []:
            if kind is None or contour.get("ContourGeometricType") not in _CLOSED:
                unused += 1
                continue
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            for where in _images(contour):
                rings[where, kind].append(points)
    return rings, unused


def _images(contour: Dataset) -> Iterator[Where]:
    """The image that a contour is on; one that names several is on each."""
    images = contour.get("ContourImageSequence") or [Dataset()]
    for image in images:
        frames = image.get("ReferencedFrameNumber") or 0
        for frame in frames if isinstance(frames, pydicom.multival.MultiValue) else [frames]:
            yield Where(uid=str(image.get("ReferencedSOPInstanceUID", "")), frame=int(frame))


def _outlines(kind: Outline | str, contours: list[np.ndarray], has_cavity: bool) -> dict[Outline, np.ndarray]:
    """Contours of one structure in one image as outlines."""
    if kind == MYOCARDIUM:
        return of_myocardium(contours, has_cavity=has_cavity)
    if len(contours) > 1:
        raise ValueError(f"{len(contours)} contours of one structure in one image")
    return {Outline(kind): contours[0]}
