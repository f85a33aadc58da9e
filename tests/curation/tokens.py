"""Tokens in everything of a DICOM file that can hold a text, and the search for them in all that is written.

Every token names the attribute that it was put into, so a failing test says what travels.
"""

from __future__ import annotations

import base64
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

from cmrseg.io.dicom_header import quiet_pydicom

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")  # of references
# What places the image, in space, time and among the others: numbers and codes that the program needs.
KEPT = {
    "AcquisitionNumber", "AcquisitionTime", "ActualCardiacTriggerDelayTime", "CardiacNumberOfImages",
    "Columns", "ComplexImageComponent", "FrameTime", "HeartRate", "HighRRValue", "ImageOrientationPatient",
    "ImagePositionPatient", "ImageType", "InstanceNumber", "IntervalsAcquired", "IntervalsRejected",
    "LossyImageCompression", "LowRRValue", "MagneticFieldStrength", "Modality",
    "NominalCardiacTriggerDelayTime", "NominalInterval", "NumberOfFrames", "NumberOfTemporalPositions",
    "PatientSize", "PatientWeight", "PerFrameFunctionalGroupsSequence", "PhotometricInterpretation",
    "PixelPaddingValue", "PixelSpacing", "PixelSpacingCalibrationType", "RRIntervalTimeNominal",
    "RescaleIntercept", "RescaleSlope", "Rows", "SOPClassUID", "SeriesNumber",
    "SharedFunctionalGroupsSequence", "SliceLocation", "SliceThickness", "SpacingBetweenSlices",
    "SpecificCharacterSet", "TemporalPositionIdentifier", "TemporalPositionIndex", "TriggerTime",
    "TriggerTimeOffset",
}  # fmt: skip
# Of what a phantom tells, all that says whose it is or is free text.
OVERWRITTEN = {
    "AccessionNumber", "AcquisitionDate", "ContentDate", "ContentTime", "InstitutionName", "Manufacturer",
    "ManufacturerModelName", "PatientAge", "PatientBirthDate", "PatientID", "PatientName", "PatientSex",
    "PositionReferenceIndicator", "ProtocolName", "ReferringPhysicianName", "ScanOptions",
    "ScanningSequence", "SequenceVariant", "SeriesDate", "SeriesTime", "StudyDate", "StudyDescription",
    "StudyID", "StudyTime",
}  # fmt: skip
_TEXTS = {"LO", "SH", "ST", "LT", "UT", "UC", "CS", "AE", "UR"}
TOKEN = re.compile(
    rb"zqtok[0-9a-z]{8}qz|(?<![\d.])7319\d{5}(?!\d)|(?<![\d.])18\d{6}(?!\d)|231547\.7319|113y|2\.25\.7319\d+",
    re.IGNORECASE,
)


def token(name: object) -> str:
    """A text that nothing else holds."""
    return f"ZQTOK{int(name):08X}QZ" if isinstance(name, int) else f"ZQTOK{name.upper():0>8}QZ"


def _value(tag: int, vr: str, number: int, depth: int) -> object:
    """A value of a kind that holds a token; None for numbers of the machine."""
    simple = {
        "PN": f"{token(tag)}^{token(tag)}", "DA": _date(number), "AS": "113Y", "TM": "231547.7319",
        "DT": f"{_date(number)}231547.7319", "UI": f"2.25.7319{number:08d}", "IS": f"7319{number:05d}",
        "DS": f"7319{number:05d}", "OB": token(tag).encode(), "UN": token(tag).encode(),
    }  # fmt: skip
    if vr == "SQ":
        return Items([_nested(tag, depth + 1)]) if depth < 2 else Items([])
    return token(tag) if vr in _TEXTS else simple.get(vr)


def _date(number: int) -> str:
    """A date before there was MR."""
    return f"18{number // 336 % 100:02d}{number // 28 % 12 + 1:02d}{number % 28 + 1:02d}"


def _nested(tag: int, depth: int) -> Dataset:
    """An item with texts of some kinds, and a sequence in it."""
    item = Dataset()
    for keyword in ("PatientName", "InstitutionName", "StudyDate", "CodeMeaning", "TextValue", "PersonName"):
        own = tag_for_keyword(keyword)
        item[own] = DataElement(own, (vr := DicomDictionary[own][0]), _value(tag, vr, tag % 10**5, depth))
    if depth < 2:
        own = tag_for_keyword("RequestAttributesSequence")
        item[own] = DataElement(own, "SQ", _value(tag, "SQ", 0, depth))
    return item


def token_elements() -> list[DataElement]:
    """An element with a token for every attribute of the dictionary that can hold one, and private ones."""
    elements = []
    for number, (tag, (vr, _, _, _, keyword)) in enumerate(sorted(DicomDictionary.items())):
        is_image = tag >> 16 in (0x0000, 0x0002, 0x7FE0) or tag >> 16 >= 0xFFFE
        if is_image or keyword in KEPT or keyword in UIDS or keyword.startswith("CommandGroup"):
            continue
        value = _value(tag, vr.split(" or ")[0], number, 0)
        if value is not None:
            elements.append(DataElement(tag, vr.split(" or ")[0], value))
    private = {0x00090010: "LO", 0x00091001: "UT", 0x00091002: "PN", 0x00091003: "SQ", 0x00091004: "UN"}
    return elements + [
        DataElement(Tag(tag), vr, _value(tag, vr, tag % 10**5, 0)) for tag, vr in private.items()
    ]


def write_with_tokens(datasets: Sequence[Dataset], folder: Path) -> list[Path]:
    """Write instances with tokens everywhere: attributes, preamble, trailing bytes, and the path itself."""
    folder = folder / token("folder") / f"x {token('inner')}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with quiet_pydicom():
        encoded = {int(element.tag): _encoded(element) for element in token_elements()}
        for number, dataset in enumerate(datasets):
            dataset.SeriesDescription = f"cine_sax {token('descript')}"
            for group in dataset.get("PerFrameFunctionalGroupsSequence", ()):
                group.FrameContentSequence[0].FrameComments = token("comments")
                group.FrameContentSequence[0].StackID = token("stackid")
                group.add(DataElement(0x00091001, "UT", token("private")))
            dataset.ImageType = [*list(dataset.ImageType)[:3], token("imagetyp")]
            dataset.file_meta.SourceApplicationEntityTitle = token("sourceae")
            dataset.file_meta.ImplementationVersionName = token("implemen")
            paths.append(folder / f"{token('filename')}_{number:03d}.dcm")
            paths[-1].write_bytes(_file_of(dataset, encoded))
    return paths


def _file_of(dataset: Dataset, encoded: Mapping[int, bytes]) -> bytes:
    """A file with tokens for all that the instance does not need; elements are encoded once for all files."""
    own = {int(e.tag): _encoded(e) for e in dataset if e.keyword not in OVERWRITTEN}
    meta = DicomBytesIO()
    write_file_meta_info(meta, dataset.file_meta)
    start = token("preamble").encode().ljust(128, b"\0") + b"DICM" + meta.getvalue()
    return start + b"".join(v for _, v in sorted((encoded | own).items())) + token("trailing").encode()


def _encoded(element: DataElement) -> bytes:
    """An element in explicit little endian."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    vr = element.VR if " or " not in element.VR else "OW" if "OW" in element.VR else "US"
    write_data_element(buffer, DataElement(element.tag, vr, element.value), ["latin-1"])
    return buffer.getvalue()


def found_tokens(folder: Path) -> set[str]:
    """Which file below a folder, or its name, holds which token; what only its owner may read is left out."""
    hits = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name.split("/")[0] == "private":
            continue
        hits |= {f"name of a file: {hit}" for hit in tokens_in(name.encode())}
        if path.is_file():
            hits |= {f"{name}: {hit}" for data in unpacked(path.read_bytes()) for hit in tokens_in(data)}
    return hits


def tokens_in(data: bytes) -> set[str]:
    """Tokens in some bytes, in UTF-8 or UTF-16."""
    return {hit.decode() for text in (data, data.replace(b"\0", b"")) for hit in TOKEN.findall(text)}


def unpacked(data: bytes) -> Iterator[bytes]:
    """Bytes, and what is packed in them: gzip, zip, chunks of a PNG, base64."""
    yield data
    if data[:2] == b"\x1f\x8b":
        yield from unpacked(gzip.decompress(data))
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            yield packed.comment
            for entry in packed.infolist():
                yield entry.filename.encode() + entry.comment + entry.extra
                yield from unpacked(packed.read(entry))
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _chunks(data)
    else:
        for found in re.findall(rb"base64,([A-Za-z0-9+/=]{8,})", data):
            yield from unpacked(base64.b64decode(found))


def _chunks(png: bytes) -> Iterator[bytes]:
    """The texts of a PNG, unpacked."""
    at = 8
    while at < len(png):
        size, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        data = png[at + 8 : at + 8 + size]
        if kind in (b"zTXt", b"iTXt"):
            _, _, text = data.partition(b"\0")
            yield zlib.decompress(text[1:]) if kind == b"zTXt" else text
        at += size + 12
