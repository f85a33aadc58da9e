"""What a DICOM header says, as checked Python values; a file may say anything or nothing.

pydicom parses the file; the conversion of its raw elements is cached here, because the files of a study
repeat nearly all of them and the conversion would cost more than the reading.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import pydicom
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from cmrseg.problems import DataError

Header = Mapping[int, DataElement | RawDataElement]

MAX_MATRIX = 4096  # pixels along one side
MAX_FRAMES = 20_000
MAX_POSITION_MM = 1e4
MAX_SCALE = 1e30  # intensities are float32
MAX_TRIGGER_MS = 1e6
PIXEL_MM = (0.01, 50.0)
RR_INTERVAL_MS = (100.0, 5000.0)
BITS = (8, 16, 32)
GREY = ("MONOCHROME1", "MONOCHROME2", "")
COLOURS = ("PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
_UNIT_TOLERANCE = 0.01  # of the length of a direction, and of the cosine between rows and columns
_BINARY = {"US": "H", "SS": "h", "US or SS": "H", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_NAMES = {"PN", "LO", "SH", "LT", "ST", "UT"}  # written in the file's own character set
_TEXT = {*_NAMES, "DS", "IS", "UI", "CS", "DA", "TM", "DT", "AS", "AE"}
WHOSE = (  # the same in all images of one examination
    "PatientName",
    "PatientSex",
    "PatientBirthDate",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "Manufacturer",
    "ManufacturerModelName",
    "MagneticFieldStrength",
)
ACQUIRED = {  # how an image was acquired: smallest and largest value that a scanner writes
    "EchoTime": (0.05, 500.0),  # ms
    "RepetitionTime": (0.5, 10_000.0),  # ms
    "FlipAngle": (0.1, 180.0),  # degrees
    "PixelBandwidth": (1.0, 100_000.0),  # Hz per pixel
    "SliceThickness": (0.1, 50.0),  # mm
}
VISIT = ("AccessionNumber", "StudyID", "StudyTime")
_IMAGE = (
    "TransferSyntaxUID",
    "SpecificCharacterSet",
    "SOPClassUID",
    "Modality",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PhotometricInterpretation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "SliceLocation",
    "RescaleSlope",
    "RescaleIntercept",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "ActualCardiacTriggerDelayTime",
    "TemporalPositionIndex",
    "TemporalPositionIdentifier",
    "NominalInterval",
    "HeartRate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "InstanceNumber",
    "AcquisitionNumber",
    "ImageType",
    "ComplexImageComponent",
    "ScanningSequence",
    "SequenceVariant",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "SeriesNumber",
    "SeriesDescription",
    "ProtocolName",
    "PatientID",
    "StudyDate",
)
_TAG = {name: int(Tag(name)) for name in (*_IMAGE, *WHOSE, *VISIT, *ACQUIRED)}
TAGS = frozenset(_TAG.values())


def elements(dataset: Dataset) -> Header:
    """The elements of a data set by their tag."""
    return {int(tag): element for tag, element in dataset.items()}


def tag_of(name: str) -> int:
    """Tag of an attribute that is read; a new one is added above."""
    return _TAG[name]


def has(header: Header, name: str) -> bool:
    """Whether an attribute is there, be it empty."""
    return tag_of(name) in header


def values(header: Header, name: str) -> tuple:
    """Values of an attribute, numbers or text; empty where it is missing."""
    element = header.get(tag_of(name))
    if element is None or element.value is None:
        return ()
    if isinstance(element, RawDataElement):
        return _raw_values(element, header)
    several = isinstance(element.value, (list, tuple, MultiValue))
    return tuple(element.value) if several else (element.value,)


def text(header: Header, name: str) -> str:
    """An attribute as text without its padding."""
    return "\\".join(map(str, values(header, name))).strip(" \0")


def texts(header: Header, names: Sequence[str]) -> tuple[str, ...]:
    """Attributes as texts; the images of a study share one tuple."""
    return _shared(tuple(text(header, name) for name in names))


def number(header: Header, name: str, missing: float = math.nan) -> float:
    """A number of the header, or ``missing``."""
    try:
        return float(values(header, name)[0])
    except (IndexError, TypeError, ValueError):
        return missing


def whole(header: Header, name: str, missing: int) -> int:
    """A whole number of the header, or ``missing``."""
    value = number(header, name, missing)
    return int(value) if abs(value) < 2**31 else missing


def matrix(header: Header) -> tuple[int, int]:
    """Rows and columns.

    Raises
    ------
    DataError
        If they are missing or absurd, as for everything below that an image needs.
    """
    rows, columns = whole(header, "Rows", 0), whole(header, "Columns", 0)
    if not (1 < rows <= MAX_MATRIX and 1 < columns <= MAX_MATRIX):
        raise DataError(f"a matrix of {rows} x {columns} pixels is not plausible")
    return rows, columns


def frame_count(header: Header) -> int:
    """Planes in the file."""
    count = whole(header, "NumberOfFrames", 1)
    if not 1 <= count <= MAX_FRAMES:
        raise DataError(f"{count} frames in one file are not plausible")
    return count


def pixel_spacing(header: Header) -> tuple[float, float]:
    """``(dx, dy)`` in mm; DICOM names the distance of rows first."""
    dy, dx = _vector(header, "PixelSpacing", 2)
    if not (PIXEL_MM[0] <= min(dx, dy) and max(dx, dy) <= PIXEL_MM[1]):
        raise DataError(f"pixels of {dx:g} x {dy:g} mm are not plausible")
    return dx, dy


def position(header: Header) -> tuple[float, ...]:
    """Centre of the first pixel, mm, LPS."""
    xyz = _vector(header, "ImagePositionPatient", 3)
    if max(map(abs, xyz)) > MAX_POSITION_MM:
        raise DataError(f"an image position more than {MAX_POSITION_MM:g} mm away is not plausible")
    return xyz


def orientation(header: Header) -> tuple[float, ...]:
    """Directions of a row and of a column, of length 1."""
    return _unit(_vector(header, "ImageOrientationPatient", 6))


def rescale(header: Header) -> tuple[float, float]:
    """Slope and intercept from stored values to intensities."""
    slope, intercept = number(header, "RescaleSlope", 1.0), number(header, "RescaleIntercept", 0.0)
    if not (0 < abs(slope) < MAX_SCALE and abs(intercept) < MAX_SCALE):
        raise DataError(f"a rescale slope of {slope:g} and intercept of {intercept:g} cannot be used")
    return slope, intercept


def stored_bits(header: Header) -> tuple[int, int, int]:
    """Bits of a pixel's place in the file, how many of them are its value, and how many lie below these."""
    allocated = whole(header, "BitsAllocated", 0)
    if allocated not in BITS:
        raise DataError(f"pixels of {allocated} bits cannot be read; 8, 16 or 32 can")
    stored = whole(header, "BitsStored", allocated)
    below = whole(header, "HighBit", stored - 1) + 1 - stored
    if not (0 < stored <= allocated and 0 <= below <= allocated - stored):
        raise DataError(f"{stored} bits from bit {below} on are no part of {allocated} bits")
    return allocated, stored, below


def colour(header: Header) -> str:
    """What the pixels are, where they are no grey values."""
    meaning = text(header, "PhotometricInterpretation").upper()
    if meaning in GREY and whole(header, "SamplesPerPixel", 1) == 1:
        return ""
    return meaning if meaning in COLOURS else "unknown colours"


def is_inverted(header: Header) -> bool:
    """Whether small values are bright."""
    return text(header, "PhotometricInterpretation").upper() == GREY[0]


def padding(header: Header) -> tuple[int, int] | None:
    """The smallest and the largest value that say that a pixel was not measured; None where none does."""
    value = number(header, "PixelPaddingValue")
    if not math.isfinite(value):
        return None
    limit = number(header, "PixelPaddingRangeLimit", value)
    return int(min(value, limit)), int(max(value, limit))


def trigger_ms(header: Header) -> float:
    """Time after the R wave as it was planned, or nan."""
    return _first_time(header, "TriggerTime", "NominalCardiacTriggerDelayTime")


def delay_ms(header: Header) -> float:
    """Time after the R wave as it was measured, or nan."""
    return _first_time(header, "ActualCardiacTriggerDelayTime")


def phase(header: Header) -> int:
    """Number of the phase in the cardiac cycle, or -1."""
    number = whole(header, "TemporalPositionIndex", -1)
    return number if number >= 0 else whole(header, "TemporalPositionIdentifier", -1)


def acquired_with(header: Header) -> tuple[float, ...]:
    """Values of `ACQUIRED`, nan where they are missing or absurd; the images of a series share one tuple."""
    told = ((number(header, name), limits) for name, limits in ACQUIRED.items())
    return _shared_numbers(tuple(n if low <= n <= high else math.nan for n, (low, high) in told))


def _first_time(header: Header, *names: str) -> float:
    """The first plausible time of several attributes, or nan."""
    times = (number(header, name) for name in names)
    return next((time for time in times if abs(time) < MAX_TRIGGER_MS), math.nan)


def interval_ms(header: Header) -> float:
    """RR interval, from the heart rate where it is not told, or nan."""
    interval, rate = number(header, "NominalInterval"), number(header, "HeartRate")
    if not interval > 0:
        interval = 60_000 / rate if rate > 0 else math.nan
    return interval if RR_INTERVAL_MS[0] < interval < RR_INTERVAL_MS[1] else math.nan


def acquired_s(header: Header) -> float:
    """Time of day at which the image was acquired, or nan."""
    clock = text(header, "AcquisitionTime") or text(header, "AcquisitionDateTime")[8:]
    clock = clock.split("+")[0].split("-")[0].replace(":", "")
    try:
        return int(clock[:2]) * 3600 + int(clock[2:4] or 0) * 60 + float(clock[4:] or 0)
    except ValueError:
        return math.nan


def _raw_values(element: RawDataElement, header: Header) -> tuple:
    """Values of an element as it stands in the file."""
    known = element.VR in _BINARY or element.VR in _TEXT
    vr = element.VR if known else dictionary_VR(element.tag)
    data = bytes(element.value)
    is_plain = data.isascii() and b"\x1b" not in data  # an escape sequence begins Japanese, Korean, Chinese
    charset = "" if is_plain or vr not in _NAMES else text(header, "SpecificCharacterSet")
    return _converted(vr, data, element.is_little_endian, charset)


@lru_cache(maxsize=4096)  # what the images of a study share; more would be kept for nothing
def _converted(vr: str, data: bytes, is_little_endian: bool, charset: str) -> tuple:
    """Numbers of a binary element, else the parts of a text."""
    if vr in _BINARY:
        size = struct.calcsize(_BINARY[vr])
        layout = f"{'<' if is_little_endian else '>'}{len(data) // size}{_BINARY[vr]}"
        return struct.unpack_from(layout, data)
    decoded = (
        decode_bytes(data, convert_encodings(charset.split("\\")), set())
        if charset
        else data.decode("latin-1")
    )
    return tuple(part.strip(" \0") for part in decoded.split("\\"))


def _vector(header: Header, name: str, size: int) -> tuple[float, ...]:
    """Numbers of an attribute that an image plane needs."""
    return _finite(values(header, name), name, size)


@lru_cache(maxsize=4096)
def _finite(parts: Iterable, name: str, size: int) -> tuple[float, ...]:
    """As many finite numbers as there should be."""
    try:
        vector = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        vector = ()
    if len(vector) != size or not all(map(math.isfinite, vector)):
        raise DataError(f"{name} is missing or damaged; export the original images of the scanner again")
    return vector


@lru_cache(maxsize=4096)
def _shared(told: tuple[str, ...]) -> tuple[str, ...]:
    """The first of equal tuples."""
    return told


@lru_cache(maxsize=4096)
def _shared_numbers(told: tuple[float, ...]) -> tuple[float, ...]:
    """The first of equal tuples; ``math.nan`` is one object, so that tuples with it are equal too."""
    return told


@lru_cache(maxsize=4096)
def _unit(directions: tuple[float, ...]) -> tuple[float, ...]:
    """Directions of length 1; the rounding of the header may leave them a hair off the right angle."""
    row, column = np.array(directions[:3]), np.array(directions[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(row @ column)) > _UNIT_TOLERANCE:
        raise DataError("the image orientation is not that of a rectangle")
    return (*map(float, row / lengths[0]), *map(float, column / lengths[1]))


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Read what scanners write, valid or not, without a warning for every value."""
    settings = pydicom.config.settings
    mode, settings.reading_validation_mode = settings.reading_validation_mode, pydicom.config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        settings.reading_validation_mode = mode


def reason(error: Exception) -> str:
    """The kind of a foreign error; its text may quote what the header says of a patient."""
    return error.strerror or "input/output error" if isinstance(error, OSError) else type(error).__name__
