"""DICOM segmentation objects of any program as contours of the images that they refer to.

Structures are known by their codes, or by the names of their segments, such as ``Myocardium``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset

from cmrseg.io.dicom_deflated import check_deflated
from cmrseg.io.dicom_header import quiet_pydicom, reason
from cmrseg.io.dicom_planes import Plane
from cmrseg.io.dicom_seg import SEGMENTS
from cmrseg.io.drawn import MYOCARDIUM, ContourFile, Drawn, Where, faulty, structure_named
from cmrseg.io.outlines import Outline, outline, rasterise
from cmrseg.labels import Label
from cmrseg.problems import DataError

if TYPE_CHECKING:  # importing it takes a moment
    from highdicom.seg import Segmentation

FORMAT = "DICOM SEG"
MOST_PIXELS = 1 << 30
_KINDS = {Label.LV: Outline.ENDOCARDIUM, Label.MYO: MYOCARDIUM, Label.RV: Outline.RV}
_CODES = {code.value: _KINDS[label] for label, (_, code, _) in SEGMENTS.items()}
Masks = dict[Outline | str, tuple[np.ndarray, Plane]]
Frame = tuple[Outline | str | None, Where, Plane]  # what a frame shows, of which image, and where it lies
_APART = 0.02  # of a structure's pixels that its outline may leave out


def read_seg(path: Path) -> ContourFile:
    """Read the outlines of a segmentation object.

    Returns
    -------
    Contours in mm in the patient (LPS); what lies apart from the largest piece of a structure makes it
    unusable, if it is more than 2 % of it.

    Raises
    ------
    DataError
        If it cannot be read, holds more than 2**30 pixels, or is no binary segmentation with the place of its
        frames.
    """
    found, frames = _read(path)
    images: dict[Where, Masks] = {}
    unused = 0
    for mask, (kind, where, plane) in frames:
        if kind is None:
            unused += int(mask.any())
        elif mask.any():
            images.setdefault(where, {})[kind] = mask.T, plane
    drawn = [
        _contour(kind, mask, plane, where, f"{kind} of image {number}")
        for number, (where, masks) in enumerate(images.items(), start=1)
        for kind, (mask, plane) in _outlined(masks).items()
    ]
    told = str(found.get("PatientID", ""))
    return ContourFile(path, FORMAT, tuple(drawn), unused=unused, patient_id=told)


def _read(path: Path) -> tuple[Segmentation, list[tuple[np.ndarray, Frame]]]:
    """A segmentation object, and its frames as masks with what they show."""
    import highdicom as hd

    try:
        with quiet_pydicom():
            with path.open("rb") as file:
                check_deflated(file)
            found = hd.seg.segread(path)
            if int(found.Rows) * int(found.Columns) * int(found.get("NumberOfFrames", 1)) > MOST_PIXELS:
                raise DataError("it holds more pixels than a cine has")
            if str(found.SegmentationType) != "BINARY":
                raise DataError("it is not of the type BINARY")
            pixels = found.pixel_array.reshape(-1, found.Rows, found.Columns) > 0
            frames = [_frame(found, group) for group in found.PerFrameFunctionalGroupsSequence]
            return found, list(zip(pixels, frames, strict=True))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({reason(error)}); check the path") from None
    # What is no segmentation, or a damaged one, fails with whatever comes to hand.
    except Exception as error:
        raise DataError(f"{path} is no DICOM segmentation that can be read ({reason(error)})") from None


def _contour(kind: Outline, mask: np.ndarray, plane: Plane, where: Where, name: str) -> Drawn:
    """The outline of a mask, if that is all of it."""
    points = outline(mask)
    apart = np.count_nonzero(mask & ~rasterise(points, mask.shape))
    if apart > _APART * np.count_nonzero(mask):
        return faulty(kind, where, name, f"{apart} pixels lie apart from the largest piece")
    return Drawn(kind, _in_space(points, plane), where, name)


def _outlined(masks: Masks) -> dict[Outline, tuple[np.ndarray, Plane]]:
    """Masks of what outlines go around: the epicardium around cavity and muscle."""
    found = {Outline(kind): mask for kind, mask in masks.items() if kind != MYOCARDIUM}
    if MYOCARDIUM in masks and Outline.EPICARDIUM not in found:
        muscle, plane = masks[MYOCARDIUM]
        cavity = found[Outline.ENDOCARDIUM][0] if Outline.ENDOCARDIUM in found else np.zeros_like(muscle)
        found[Outline.EPICARDIUM] = muscle | cavity, plane
    return found


def _in_space(points: np.ndarray, plane: Plane) -> np.ndarray:
    """Points in pixels of a plane in mm in the patient."""
    x, y = (points * plane.spacing).T
    return plane.corner + np.outer(x, plane.row) + np.outer(y, plane.column)


def _frame(found: Segmentation, group: Dataset) -> Frame:
    """The structure of one frame, the image that it was drawn on, and where it lies."""
    shared = found.SharedFunctionalGroupsSequence[0]

    def item(name: str) -> Dataset:
        return (group if name in group else shared)[name].value[0]

    segment = found.get_segment_description(item("SegmentIdentificationSequence").ReferencedSegmentNumber)
    kind = structure_named(segment.segment_label) or _CODES.get(segment.segmented_property_type.value)
    corner = np.array(item("PlanePositionSequence").ImagePositionPatient, float)
    row, column = np.array(item("PlaneOrientationSequence").ImageOrientationPatient, float).reshape(2, 3)
    dy, dx = map(float, item("PixelMeasuresSequence").PixelSpacing)
    return kind, _image(group), Plane(corner, row, column, (dx, dy), (found.Rows, found.Columns))


def _image(group: Dataset) -> Where:
    """The image that a frame was derived from, if it says so."""
    for derivation in group.get("DerivationImageSequence") or []:
        for source in derivation.get("SourceImageSequence") or []:
            frame = source.get("ReferencedFrameNumber") or 0
            first = frame[0] if not isinstance(frame, int | str) else frame
            return Where(uid=str(source.ReferencedSOPInstanceUID), frame=int(first))
    return Where()
