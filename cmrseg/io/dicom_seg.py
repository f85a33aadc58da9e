"""Masks of a cine as DICOM segmentation objects, one per cardiac phase, and back.

highdicom tells the frames of a segmentation apart by place and not by time, so every phase is an object of
its own. It is also a series of its own, because of the objects in one series the OHIF viewer shows only one
(github.com/OHIF/Viewers/issues/6243).

Notes
-----
A slice lies where its image lies, not where the affine puts it; what curation filled in refers to no image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

import cmrseg
from cmrseg.cine import Cine
from cmrseg.io.atomic import atomic_path
from cmrseg.io.dicom_header import quiet_pydicom, reason
from cmrseg.io.dicom_planes import Plane, planes_of
from cmrseg.io.dicom_seg_source import SegSource, Sources, decimals, read_sources, refer
from cmrseg.labels import STRUCTURES, Label
from cmrseg.problems import DataError

if TYPE_CHECKING:  # importing it takes a moment
    from highdicom.seg import Segmentation, SegmentDescription

# What viewers show, the code, and the colour that the figures of reports use.
SEGMENTS = {
    Label.LV: ("LV blood pool", codes.SCT.LeftVentricle, "#D55E00"),
    Label.MYO: ("LV myocardium", codes.SCT.LeftVentricleMyocardium, "#009E73"),
    Label.RV: ("RV blood pool", codes.SCT.RightVentricle, "#56B4E9"),
}
_LABELS = {code.value: label for label, (_, code, _) in SEGMENTS.items()}
_FIRST_SERIES = 9001  # scanners number theirs from 1
_LONG_STRING = 64  # characters that the standard allows in a name


@dataclass(frozen=True)
class Algorithm:
    """What made the masks: name and version of the model, and its settings, such as a checksum.

    ``corrected`` is whether a person has changed them.
    """

    name: str
    version: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    corrected: bool = False


def write_dicom_segs(
    mask: Cine, sources: Sources, folder: Path, *, algorithm: Algorithm, pseudonym: str | None
) -> list[Path]:
    """Write a mask as DICOM segmentation objects, one per cardiac phase.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``, with an affine and the spacing in mm.
    sources
        The image that a slice and frame was drawn on: ``(z, t)`` to its file and the number of the plane in
        that file (from 0). A slice that has the pixels of its image takes its place from there, any other
        from the affine. A slice that curation filled in, so that no image lies there, refers to none.
    folder
        Gets ``phase_01.dcm`` and so on; those of an earlier run are removed.
    algorithm
        What made the masks.
    pseudonym
        Name and id of the patient in the files, which tell nothing else of the patient than the UIDs of the
        study and of its images. ``None`` copies the patient from the images, so that an archive files the
        objects there.

    Returns
    -------
    The files, in the order of the phases.

    Raises
    ------
    DataError
        If the spacing is unknown, or the source images cannot be read or lie elsewhere.
    """
    if not mask.has_spacing:
        raise DataError("a DICOM segmentation needs the pixel size in mm, which this study does not tell")
    slices, phases = mask.array.shape[2:]
    if outside := [at for at in sources if not (0 <= at[0] < slices and 0 <= at[1] < phases)]:
        raise ValueError(f"sources must be of {slices} slices and {phases} frames, got {outside[0]}")
    paths = [folder / f"phase_{t + 1:02}.dcm" for t in range(phases)]
    with quiet_pydicom():
        source = read_sources(mask, sources, pseudonym)
        segments = _segments(mask, algorithm)
        for t, path in enumerate(paths):
            with atomic_path(path) as temporary:
                _phase(mask, t, source, segments).save_as(temporary)
    for stale in set(folder.glob("phase_*.dcm")) - set(paths):
        stale.unlink()
    return paths


def read_dicom_segs(folder: Path, like: Cine) -> Cine:
    """Read the DICOM segmentation objects of a study onto the grid of its cine.

    Parameters
    ----------
    folder
        With one ``phase_*.dcm`` per cardiac phase, in the order of time.
    like
        The cine.

    Returns
    -------
    Mask with `Label` ids, ``uint8``, on the grid of the cine.

    Raises
    ------
    DataError
        If there is not one file per frame, or a file cannot be read, names another structure or lies
        elsewhere.
    """
    paths = sorted(folder.glob("phase_*.dcm"), key=lambda path: (len(path.name), path.name))
    frames = like.array.shape[3]
    if len(paths) != frames:
        raise DataError(
            f"{folder} holds {len(paths)} segmentation(s) phase_*.dcm, and the cine has {frames} frame(s)"
        )
    with quiet_pydicom():
        return like.with_array(np.stack([_read_phase(path, like) for path in paths], axis=-1))


def _segments(mask: Cine, algorithm: Algorithm) -> list[SegmentDescription]:
    """Descriptions of the structures; every one is the same object in all phases."""
    import highdicom as hd

    made_by = hd.AlgorithmIdentificationSequence(
        name=algorithm.name[:_LONG_STRING],
        version=algorithm.version[:_LONG_STRING],
        family=codes.cid7162.ArtificialIntelligence,
        source="cmrseg",
        parameters=dict(algorithm.parameters) or None,
    )
    kind = hd.seg.SegmentAlgorithmTypeValues
    last = max(int(mask.array.max()), Label.LV)  # a model without RV must not say that there is none
    return [
        hd.seg.SegmentDescription(
            segment_number=int(label),
            segment_label=SEGMENTS[label][0],
            segmented_property_category=codes.cid7150.AnatomicalStructure,
            segmented_property_type=SEGMENTS[label][1],
            algorithm_type=kind.SEMIAUTOMATIC if algorithm.corrected else kind.AUTOMATIC,
            algorithm_identification=made_by,
            anatomic_regions=[codes.SCT.Heart],
            tracking_uid=hd.UID(),
            tracking_id=label.name,
            display_color=hd.color.CIELabColor.from_string(SEGMENTS[label][2]),
        )
        for label in STRUCTURES
        if label <= last
    ]


def _phase(mask: Cine, t: int, source: SegSource, segments: Sequence[SegmentDescription]) -> Segmentation:
    """The object of one cardiac phase."""
    import highdicom as hd

    labels = np.ascontiguousarray(mask.array[..., t].T, np.uint8)  # z, rows, columns
    told = _told(mask, t, source)
    found = hd.seg.Segmentation(
        source_images=[source.header],
        pixel_array=labels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=hd.UID(),
        series_number=_FIRST_SERIES + t,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="cmrseg",
        manufacturer_model_name="cmrseg",
        software_versions=cmrseg.__version__,
        device_serial_number="none",
        content_label=f"PHASE_{t + 1:02}",
        content_description=told,
        series_description=f"cmrseg {told}",
        content_qualification="RESEARCH",
        omit_empty_frames=bool(labels.any()),
        **_place(source, mask.spacing[2]),
    )
    refer(found, source, t)
    return found


def _told(mask: Cine, t: int, source: SegSource) -> str:
    """The cardiac phase in words; the images tell its time better than a NIfTI file, which starts at 0."""
    times = [image.trigger_ms for (_, frame), image in source.images.items() if frame == t]
    times = [time for time in times if math.isfinite(time)] or mask.frame_times_ms[t : t + 1]
    return f"phase {t + 1} of {mask.array.shape[3]}" + (f", {median(times):.0f} ms" if times else "")


def _place(source: SegSource, gap_mm: float) -> dict[str, object]:
    """Where the slices lie, in the words of highdicom."""
    import highdicom as hd

    header = source.header
    corners = [hd.PlanePositionSequence("PATIENT", decimals(plane.corner)) for plane in source.planes]
    return {
        "pixel_measures": hd.PixelMeasuresSequence(
            header.PixelSpacing, header.get("SliceThickness", gap_mm), gap_mm
        ),
        "plane_orientation": hd.PlaneOrientationSequence("PATIENT", header.ImageOrientationPatient),
        "plane_positions": corners,
    }


def _read_phase(path: Path, like: Cine) -> np.ndarray:
    """Labels of one phase, shape ``(x, y, z)``."""
    import highdicom as hd

    try:
        found = hd.seg.segread(path)
        frames = found.pixel_array.reshape(-1, found.Rows, found.Columns)
        places = [_frame(found, group) for group in found.PerFrameFunctionalGroupsSequence]
    # What is no segmentation, or a damaged one, fails with whatever comes to hand.
    except Exception as error:
        raise DataError(f"{path} is no DICOM segmentation that can be read ({reason(error)})") from None
    planes, labels = planes_of(like), np.zeros(like.array.shape[:3], np.uint8)
    for pixels, (code, plane) in zip(frames, places, strict=True):
        if code not in _LABELS:
            raise DataError(f"{path} holds a structure of code {code}; {', '.join(_LABELS)} are known")
        z = min(range(len(planes)), key=lambda n: planes[n].distance_mm(plane))
        if not (planes[z].has_grid_of(plane) and planes[z].is_slice_of(plane, like.spacing[2])):
            raise DataError(f"{path} lies on another grid than the cine; name the segmentation of this study")
        labels[:, :, z][pixels.T > 0] = _LABELS[code]
    return labels


def _frame(found: Segmentation, group: Dataset) -> tuple[str, Plane]:
    """The code of the structure in one frame, and where the frame lies."""
    shared = found.SharedFunctionalGroupsSequence[0]

    def item(name: str) -> Dataset:
        return (group if name in group else shared)[name].value[0]

    segment = found.get_segment_description(item("SegmentIdentificationSequence").ReferencedSegmentNumber)
    corner = np.array(item("PlanePositionSequence").ImagePositionPatient, float)
    axes = np.array(item("PlaneOrientationSequence").ImageOrientationPatient, float).reshape(2, 3)
    dy, dx = map(float, item("PixelMeasuresSequence").PixelSpacing)
    return segment.segmented_property_type.value, Plane(corner, *axes, (dx, dy), (found.Rows, found.Columns))
