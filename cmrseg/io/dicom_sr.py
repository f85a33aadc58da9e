"""The numbers of a study as a DICOM structured report that refers to its segmentations.

Notes
-----
The report is TID 1500, "Measurement Report": one volume per structure and phase, which names the segment that
it was measured on, and per ventricle what follows from volumes. What has no code of its own for the right
ventricle is told by the general code, the site and the phase. A study without end-diastole and end-systole
gets none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

import cmrseg
from cmrseg.io.atomic import atomic_path
from cmrseg.io.dicom_header import quiet_pydicom
from cmrseg.io.dicom_seg import SEGMENTS, Algorithm
from cmrseg.labels import Label

if TYPE_CHECKING:  # importing it takes a moment
    import highdicom as hd

PHASES = {"ED": codes.SCT.EndDiastole, "ES": codes.SCT.EndSystole}
UNITS = {
    "ml": Code("ml", "UCUM", "milliliter"),
    "g": Code("g", "UCUM", "gram"),
    "%": codes.UCUM.Percent,
    "l/min": Code("l/min", "UCUM", "liter per minute"),
}
_MASS = Code("118538004", "SCT", "Mass")  # a property; pydicom's Mass is a lump
VOLUMES = {
    (Label.LV, "ED"): codes.LN.LeftVentricularEndDiastolicVolume,
    (Label.LV, "ES"): codes.LN.LeftVentricularEndSystolicVolume,
}
CONCEPTS: Mapping[tuple[Label, str], Code] = {
    (Label.LV, "SV"): codes.SCT.StrokeVolume,
    (Label.LV, "EF"): codes.LN.LeftVentricularEjectionFractionByMR,
    (Label.LV, "cardiac output"): codes.SCT.CardiacOutput,
    (Label.LV, "mass"): _MASS,
    (Label.RV, "SV"): codes.SCT.RVStrokeVolume,
    (Label.RV, "EF"): codes.LN.RightVentricularEjectionFractionByMR,
    (Label.RV, "cardiac output"): codes.SCT.RVCardiacOutput,
}
_SERIES = 9000  # those of the phases follow
_DIGITS = 4


@dataclass(frozen=True)
class Measured:
    """One number of a study.

    Attributes
    ----------
    structure
        What was measured.
    quantity
        ``volume`` of a segment at a phase, or one of `CONCEPTS`.
    value, unit
        The number, in one of `UNITS`; nan where it is unknown.
    phase
        ``ED`` or ``ES`` of a volume.
    """

    structure: Label
    quantity: str
    value: float
    unit: str
    phase: str = ""


def write_dicom_sr(
    numbers: Sequence[Measured], segmentations: Mapping[str, Path], path: Path, *, algorithm: Algorithm
) -> Path | None:
    """Write the numbers of a study as a measurement report.

    Parameters
    ----------
    numbers
        What was measured; unknown numbers are left out.
    segmentations
        Segmentation object of each of `PHASES`; patient and study are theirs.
    path
        File to write.
    algorithm
        What made the masks.

    Returns
    -------
    The path; None where no number is known or the masks show nothing, and then an earlier report is removed.
    """
    known = [n for n in numbers if math.isfinite(n.value)]
    if not known:
        path.unlink(missing_ok=True)
        return None
    import highdicom as hd

    with quiet_pydicom():
        objects = {phase: dcmread(file) for phase, file in segmentations.items()}
        groups = _measurements(known, objects, _made_by(algorithm))
        if not groups:  # masks that show nothing
            path.unlink(missing_ok=True)
            return None
        report = hd.sr.Comprehensive3DSR(
            evidence=_evidence(objects),
            content=_content(groups),
            series_instance_uid=hd.UID(),
            series_number=_SERIES,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="cmrseg",
            is_complete=True,
            series_description="cmrseg measurements, for research",
            manufacturer_model_name="cmrseg",
            software_versions=cmrseg.__version__,
            device_serial_number="none",
        )
        with atomic_path(path) as temporary:
            report.save_as(temporary)
    return path


def _evidence(objects: Mapping[str, Dataset]) -> list[Dataset]:
    """The segmentations and the images that they name: what a report refers to."""
    found = {each.SOPInstanceUID: each for each in objects.values()}
    for each in objects.values():
        for series in each.get("ReferencedSeriesSequence") or ():
            for reference in series.ReferencedInstanceSequence:
                image = Dataset()
                image.StudyInstanceUID, image.SeriesInstanceUID = (
                    each.StudyInstanceUID,
                    series.SeriesInstanceUID,
                )
                image.SOPClassUID = reference.ReferencedSOPClassUID
                image.SOPInstanceUID = reference.ReferencedSOPInstanceUID
                found.setdefault(image.SOPInstanceUID, image)
    return list(found.values())


def _made_by(algorithm: Algorithm) -> hd.sr.AlgorithmIdentification:
    """What made the masks, and whether a person changed them."""
    import highdicom as hd

    told = [f"{name}: {value}" for name, value in algorithm.parameters.items()]
    told += ["masks corrected by a person"] * algorithm.corrected
    return hd.sr.AlgorithmIdentification(algorithm.name, algorithm.version, parameters=told or None)


def _measurements(
    numbers: Sequence[Measured], objects: Mapping[str, Dataset], made_by: hd.sr.AlgorithmIdentification
) -> list[Any]:
    """Volumes of the segments that the objects show, and what follows from them."""
    volumes = [n for n in numbers if n.quantity == "volume"]
    groups: list[Any] = [g for n in volumes if (g := _volume(n, objects[n.phase], made_by)) is not None]
    return groups + [
        _function(label, found, made_by)
        for label in (Label.LV, Label.RV)
        if (found := [n for n in numbers if n.structure == label and (label, n.quantity) in CONCEPTS])
    ]


def _content(groups: list[Any]) -> hd.sr.MeasurementReport:
    """The tree of the report."""
    import highdicom as hd

    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=hd.UID(), name="cmrseg", manufacturer_name="cmrseg", model_name=cmrseg.__version__
    )
    observer = hd.sr.ObserverContext(codes.DCM.Device, device)
    return hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.SCT.CardiacMRI,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )


def _volume(
    number: Measured, segmentation: Dataset, made_by: hd.sr.AlgorithmIdentification
) -> hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations | None:
    """Volume of one segment at one phase; None where the object has no such segment."""
    import highdicom as hd

    segments = {int(s.SegmentNumber) for s in segmentation.SegmentSequence}
    shown = {
        int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        for group in segmentation.PerFrameFunctionalGroupsSequence  # where highdicom looks for it
        if "SegmentIdentificationSequence" in group
    }
    if int(number.structure) not in segments & shown:
        return None
    phase, site = PHASES[number.phase], SEGMENTS[number.structure][1]
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(f"{number.structure.name} {number.phase}"),
        referenced_segment=hd.sr.ReferencedSegment.from_segmentation(segmentation, int(number.structure)),
        time_point_context=hd.sr.TimePointContext(number.phase, time_point_type=phase),
        finding_type=site,
        algorithm_id=made_by,
        finding_sites=[hd.sr.FindingSite(site)],
        measurements=[_measurement(VOLUMES.get((number.structure, number.phase), codes.SCT.Volume), number)],
    )


def _function(
    label: Label, numbers: Sequence[Measured], made_by: hd.sr.AlgorithmIdentification
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """What follows from the volumes of one ventricle."""
    import highdicom as hd

    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(f"{label.name} function"),
        finding_type=SEGMENTS[label][1],
        algorithm_id=made_by,
        finding_sites=[hd.sr.FindingSite(SEGMENTS[label][1])],
        measurements=[_measurement(CONCEPTS[label, n.quantity], n) for n in numbers],
    )


def _tracking(name: str) -> hd.sr.TrackingIdentifier:
    """What a group of measurements is called."""
    import highdicom as hd

    return hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=name)


def _measurement(concept: Code, number: Measured) -> hd.sr.Measurement:
    """One number with its code and unit."""
    import highdicom as hd

    return hd.sr.Measurement(name=concept, value=round(number.value, _DIGITS), unit=UNITS[number.unit])
