"""A cine as DICOM, the way three vendors file it, and the other series of the same examination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, ExplicitVRLittleEndian

from cmrseg.cine import Cine
from cmrseg.phantom.instances import clock, decimals, new_uid, set_elements

MAX_INTENSITY = 4095
STYLES = ("siemens", "ge", "enhanced")
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
_STUDY_DATE, _STUDY_START_S = "20200117", 8.5 * 3600
_RR_MS = 800.0  # where the cine has no frame times
_VENDOR = {  # manufacturer, model, image type
    "siemens": ("SIEMENS", "Avanto", ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"]),
    "ge": ("GE MEDICAL SYSTEMS", "SIGNA HDx", ["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"]),
    "enhanced": ("Philips Medical Systems", "Achieva", ["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"]),
}


@dataclass(frozen=True)
class Identity:
    """What must never leave the hospital; the default is nobody."""

    name: str = "Mustermann^Erika"
    patient_id: str = "PID-4711"
    birth_date: str = "19640812"
    accession: str = "ACC-0815-99"
    sex: str = "F"
    age: str = "055Y"
    size_m: float = 1.68
    weight_kg: float = 64.0
    institution: str = "Klinikum Musterstadt"
    physician: str = "Beispiel^Hans"
    study: str = "Herz-MRT Mustermann"


@dataclass(frozen=True)
class Acquisition:
    """How the series was acquired, numbered and stored.

    Attributes
    ----------
    series_number
        Number of the first series.
    start_s, breath_hold_s
        Start of the first slice after the start of the study, and from one slice to the next.
    slice_thickness_mm
        ``None`` means no gap between slices.
    order
        What runs slowest in instance numbers (GE) or frames (enhanced): ``"slices"`` or ``"phases"``.
    rescale
        ``(slope, intercept)``; stored values are ``(intensity - intercept) / slope``.
    """

    series_number: int = 10
    start_s: float = 120.0
    breath_hold_s: float = 12.0
    slice_thickness_mm: float | None = None
    order: str = "slices"
    rescale: tuple[float, float] | None = None


NOBODY, ACQUISITION = Identity(), Acquisition()


def dicom_datasets(
    cine: Cine,
    *,
    style: str = "siemens",
    identity: Identity = NOBODY,
    seed: int = 0,
    description: str = "cine_sax",
    acquisition: Acquisition = ACQUISITION,
) -> list[Dataset]:
    """DICOM instances of one cine, ready for `write_datasets`.

    Parameters
    ----------
    cine
        `Cine` with intensities from 0 to 4095 (rounded here) and an affine in mm; without frame times
        they are spread over 800 ms.
    style
        ``"siemens"``: one series per slice. ``"ge"``: one series. ``"enhanced"``: one file.
    identity
        The patient.
    seed
        All UIDs follow from it: the same seed and patient is the same examination.
    description
        Series description, and part of the UIDs of series.
    acquisition
        Numbers, times, order, rescaling.

    Returns
    -------
    One dataset per image in acquisition order, or one in all.

    Raises
    ------
    ValueError
        If the style is unknown or an intensity is out of range.
    """
    if style not in STYLES:
        raise ValueError(f"style must be one of {STYLES}, got {style!r}")
    if np.rint(cine.array.min()) < 0 or np.rint(cine.array.max()) > MAX_INTENSITY:
        found = (float(cine.array.min()), float(cine.array.max()))
        raise ValueError(f"intensities of the cine must be 0 to {MAX_INTENSITY}, got {found}")
    shared = _examination(identity, seed) | _protocol(style, description) | _timing(cine)
    build = _enhanced if style == "enhanced" else _classic
    return build(cine, shared, acquisition)


def write_datasets(datasets: Sequence[Dataset], folder: Path, rng: np.random.Generator) -> list[Path]:
    """Write instances under names and in folders that say nothing about them.

    Parameters
    ----------
    datasets
        What to write.
    folder
        Where; made if it is not there.
    rng
        Shuffles names and folders.

    Returns
    -------
    The file of every dataset, in the order of the datasets.
    """
    paths = []
    for number in rng.permutation(len(datasets)):
        path = folder / f"d{rng.integers(3)}" / f"{number:05d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(path)
    for dataset, path in zip(datasets, paths, strict=True):
        dataset.save_as(path, enforce_file_format=True)
    return paths


def compress(dataset: Dataset, syntax: str) -> Dataset:
    """Copy of a dataset in RLE or JPEG 2000 lossless (at least 32 x 32 pixels), same instance UID."""
    out = deepcopy(dataset)
    out.compress(syntax, generate_instance_uid=False)
    return out


def _dataset(*groups: Mapping[str, object]) -> Dataset:
    """One instance with its file meta information; later groups win."""
    dataset = Dataset()
    for group in groups:
        set_elements(dataset, group)
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    dataset.file_meta = meta
    return dataset


def _examination(identity: Identity, seed: int) -> dict[str, object]:
    """Patient and study."""
    study = new_uid(seed, identity.patient_id, "study")
    return {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientName": identity.name,
        "PatientID": identity.patient_id,
        "PatientBirthDate": identity.birth_date,
        "PatientSex": identity.sex,
        "PatientAge": identity.age,
        "PatientSize": decimals(identity.size_m),
        "PatientWeight": decimals(identity.weight_kg),
        "AccessionNumber": identity.accession,
        "InstitutionName": identity.institution,
        "ReferringPhysicianName": identity.physician,
        "StudyDescription": identity.study,
        "StudyInstanceUID": study,
        "FrameOfReferenceUID": new_uid(study, "frame of reference"),
        "StudyID": "1",
        "PositionReferenceIndicator": "",
        **dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), _STUDY_DATE),
        "StudyTime": clock(_STUDY_START_S),
    }


def _protocol(style: str, description: str) -> dict[str, object]:
    """Vendor and sequence."""
    manufacturer, model, image_type = _VENDOR[style]
    return {
        "Manufacturer": manufacturer,
        "ManufacturerModelName": model,
        "ImageType": image_type,
        "SOPClassUID": uid.EnhancedMRImageStorage if style == "enhanced" else uid.MRImageStorage,
        "Modality": "MR",
        "SeriesDescription": description,
        "ProtocolName": description,
        "ScanningSequence": "GR",
        "SequenceVariant": ["SS", "SP"],
        "ScanOptions": "CG",
        "MRAcquisitionType": "2D",
        "RepetitionTime": decimals(40.5),
        "EchoTime": decimals(1.2),
        "EchoTrainLength": 1,
        "FlipAngle": decimals(50),
        "MagneticFieldStrength": decimals(1.5),
        "PatientPosition": "HFS",
    }


def _timing(cine: Cine) -> dict[str, object]:
    """Heart beat."""
    times = _frame_times(cine)
    frames = len(times)
    beat = (times[-1] - times[0]) / (frames - 1) * frames if frames > 1 else _RR_MS
    return {
        "NominalInterval": round(beat),
        "HeartRate": round(60_000 / beat),
        "CardiacNumberOfImages": frames,
    }


def _frame_times(cine: Cine) -> np.ndarray:
    """Trigger times in ms."""
    frames = cine.array.shape[3]
    return np.array(cine.frame_times_ms or np.arange(frames) * _RR_MS / frames, float)


def _geometry(cine: Cine, thickness_mm: float | None) -> dict[str, object]:
    """Orientation and spacing of all slices."""
    axes = _RAS_TO_LPS @ cine.affine[:3, :3]
    row, column, _ = (axes / np.linalg.norm(axes, axis=0)).T
    dx, dy, _ = np.linalg.norm(axes, axis=0)
    gap = abs(axes[:, 2] @ np.cross(row, column))
    return {
        "ImageOrientationPatient": decimals(*row, *column),
        "PixelSpacing": decimals(dy, dx),
        "SliceThickness": decimals(gap if thickness_mm is None else thickness_mm),
        "SpacingBetweenSlices": decimals(gap),
    }


def _pixel_module(frames: np.ndarray, acquisition: Acquisition, *, signed: bool) -> dict[str, object]:
    """Images ``(..., h, w)`` as stored values."""
    slope, intercept = acquisition.rescale or (1.0, 0.0)
    stored = np.rint((np.rint(frames) - intercept) / slope)
    bits = 16 if signed or acquisition.rescale else 12
    module = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": frames.shape[-2],
        "Columns": frames.shape[-1],
        "BitsAllocated": 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(signed),
        "WindowCenter": decimals(np.rint(frames.max() / 2)),
        "WindowWidth": decimals(max(1, np.rint(frames.max()))),
        "PixelData": stored.astype("<i2" if signed else "<u2").tobytes(),
    }
    if acquisition.rescale:
        module |= {"RescaleSlope": decimals(slope), "RescaleIntercept": decimals(intercept)}
    return module


def _classic(cine: Cine, shared: Mapping[str, object], acquisition: Acquisition) -> list[Dataset]:
    """One instance per image."""
    siemens = shared["Manufacturer"] == "SIEMENS"
    shared = {**shared, **_geometry(cine, acquisition.slice_thickness_mm)}
    slices, phases = cine.array.shape[2:]
    out = []
    for z, t in product(range(slices), range(phases)):
        by_slice = z * phases + t + 1
        instance = by_slice if acquisition.order == "slices" else t * slices + z + 1
        ids = _series(shared, acquisition.series_number + z * siemens, t + 1 if siemens else instance)
        pixels = _pixel_module(cine.array[:, :, z, t].T, acquisition, signed=not siemens)
        out.append(_dataset(shared, ids, _moment(cine, z, t, acquisition), _place(cine, z), pixels))
    return out


def _series(shared: Mapping[str, object], number: int, instance: int) -> dict[str, object]:
    """Numbers and UIDs of one instance."""
    series = new_uid(shared["StudyInstanceUID"], shared["SeriesDescription"], number)
    return {
        "SeriesInstanceUID": series,
        "SeriesNumber": number,
        "InstanceNumber": instance,
        "SOPInstanceUID": new_uid(series, instance),
    }


def _moment(cine: Cine, z: int, t: int, acquisition: Acquisition) -> dict[str, object]:
    """When one image was acquired."""
    start = _STUDY_START_S + acquisition.start_s + z * acquisition.breath_hold_s
    trigger = _frame_times(cine)[t]
    return {
        "SeriesTime": clock(start),
        "AcquisitionTime": clock(start + trigger / 1000),
        "ContentTime": clock(start + acquisition.breath_hold_s + trigger / 1000),
        "AcquisitionNumber": z + 1,
        "TriggerTime": decimals(trigger),
    }


def _place(cine: Cine, z: int) -> dict[str, object]:
    """Where the first pixel of one slice lies."""
    row, column, _ = (_RAS_TO_LPS @ cine.affine[:3, :3]).T
    normal = np.cross(row, column)
    position = _RAS_TO_LPS @ (cine.affine @ [0, 0, z, 1])[:3]
    along = position @ normal / np.linalg.norm(normal)
    return {"ImagePositionPatient": decimals(*position), "SliceLocation": decimals(along)}


def _group(keyword: str, elements: Mapping[str, object]) -> dict[str, list[Dataset]]:
    """A functional group: a sequence of one item."""
    item = Dataset()
    set_elements(item, elements)
    return {keyword: [item]}


def _enhanced(cine: Cine, shared: Mapping[str, object], acquisition: Acquisition) -> list[Dataset]:
    """All images in one instance."""
    slices, phases = cine.array.shape[2:]
    order = list(product(range(slices), range(phases)))
    if acquisition.order == "phases":
        order.sort(key=lambda zt: zt[::-1])
    frames = np.stack([cine.array[:, :, z, t].T for z, t in order])
    pixels = _pixel_module(frames, acquisition, signed=False)
    rescale = {k: pixels.pop(k, v) for k, v in (("RescaleSlope", "1"), ("RescaleIntercept", "0"))}
    return [
        _dataset(
            shared,
            _series(shared, acquisition.series_number, 1),
            {k: v for k, v in _moment(cine, 0, 0, acquisition).items() if k != "TriggerTime"},
            {"AcquisitionDateTime": _STUDY_DATE + clock(_STUDY_START_S + acquisition.start_s)},
            pixels | {"NumberOfFrames": len(order)},
            _group("SharedFunctionalGroupsSequence", _shared_groups(cine, acquisition, rescale)),
            {"PerFrameFunctionalGroupsSequence": [_frame_groups(cine, z, t, acquisition) for z, t in order]},
        )
    ]


def _shared_groups(cine: Cine, acquisition: Acquisition, rescale: Mapping[str, object]) -> dict[str, object]:
    """Functional groups that all frames share."""
    measures = _geometry(cine, acquisition.slice_thickness_mm)
    orientation = {"ImageOrientationPatient": measures.pop("ImageOrientationPatient")}
    return {
        **_group("PixelMeasuresSequence", measures),
        **_group("PlaneOrientationSequence", orientation),
        **_group("PixelValueTransformationSequence", {**rescale, "RescaleType": "US"}),
    }


def _frame_groups(cine: Cine, z: int, t: int, acquisition: Acquisition) -> Dataset:
    """Functional groups of one frame."""
    moment, place = _moment(cine, z, t, acquisition), _place(cine, z)
    content = {
        "FrameAcquisitionDateTime": _STUDY_DATE + moment["AcquisitionTime"],
        "FrameReferenceDateTime": _STUDY_DATE + moment["AcquisitionTime"],
        "StackID": "1",
        "InStackPositionNumber": z + 1,
        "TemporalPositionIndex": t + 1,
        "DimensionIndexValues": [1, z + 1, t + 1],
    }
    beat = {"NominalCardiacTriggerDelayTime": float(_frame_times(cine)[t])}
    item = Dataset()
    set_elements(
        item,
        _group("FrameContentSequence", content)
        | _group("PlanePositionSequence", {"ImagePositionPatient": place["ImagePositionPatient"]})
        | _group("CardiacSynchronizationSequence", beat),
    )
    return item
