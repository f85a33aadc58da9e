"""Damaged files end as one short reason: no other error, no hang, nothing about the patient."""

from __future__ import annotations

import faulthandler
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from cmrseg.cine import Cine
from cmrseg.io.dicom import DicomImage, read_headers
from cmrseg.io.dicom_pixels import read_pixels
from cmrseg.phantom.dicom import Identity, compress, dicom_datasets
from cmrseg.problems import DataError
from tests.phantom.jpeg_lossless import compressed

WHO = Identity(name="Geheim^Xaver", patient_id="QZ-90817", birth_date="19311224", accession="ACC-55443")
SECRETS = ("geheim", "xaver", "qz-90817", "19311224", "acc-55443", "musterstadt", "beispiel")
EXPLICIT = {"implicit_vr": False, "little_endian": True}
INPUTS = 40  # per storage and kind of damage


def image(style: str = "siemens") -> Dataset:
    """An image of 24 x 32 pixels, or an enhanced file of six."""
    x, y, z, t = np.ogrid[0:32, 0:36, 0:2, 0:3]
    array = 1500 + 700 * np.sin(x / 7 + t / 3) * np.cos(y / 5 + z)
    affine = np.diag([-1.5, -1.5, 8.0, 1.0])
    cine = Cine(array, (1.5, 1.5, 8.0), affine, (0.0, 300.0, 600.0))
    dataset = dicom_datasets(cine, style=style, identity=WHO)[0]
    dataset["PixelData"].VR = "OW"
    return dataset


def stored_as(dataset: Dataset, syntax: str) -> Dataset:
    out = deepcopy(dataset)
    out.file_meta.TransferSyntaxUID = syntax
    return out


STORAGE: dict[str, Callable[[], Dataset]] = {
    "siemens": image,
    "ge": lambda: image("ge"),
    "enhanced": lambda: image("enhanced"),
    "implicit": lambda: stored_as(image(), uid.ImplicitVRLittleEndian),
    "enhanced implicit": lambda: stored_as(image("enhanced"), uid.ImplicitVRLittleEndian),
    "deflated": lambda: stored_as(image(), uid.DeflatedExplicitVRLittleEndian),
    "rle": lambda: compress(image("ge"), uid.RLELossless),
    "jpeg 2000": lambda: compress(image("ge"), uid.JPEG2000Lossless),
    "lossless jpeg": lambda: compressed(image("ge")),
    "enhanced rle": lambda: compress(image("enhanced"), uid.RLELossless),
    "enhanced jpeg 2000": lambda: compress(image("enhanced"), uid.JPEG2000Lossless),
}


def written(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    with pydicom.config.disable_value_validation():
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@cache
def good_bytes(storage: str) -> bytes:
    return written(STORAGE[storage]())


def start_of_pixels(raw: bytes) -> int:
    """Where the pixel element begins; the middle of a deflated file."""
    found = raw.rfind(b"\xe0\x7f\x10\x00O")
    return found if found > 0 else len(raw) // 2


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End the process, with a traceback of where it hangs."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def outcome(path: Path) -> list[str]:
    """Reasons for which planes of a file could not be read, checked; empty for a plane that could."""
    try:
        images = read_headers(path)
        found = [_checked(image, pixels) for image, pixels in zip(images, read_pixels(images), strict=True)]
    except DataError as error:
        found = [str(error)]
    for reason in found:
        assert len(reason) < 200
        assert "\n" not in reason
        assert reason.isprintable()
        assert not [secret for secret in SECRETS if secret in reason.lower()], reason
    return found


def _checked(image: DicomImage, pixels: np.ndarray | DataError) -> str:
    if isinstance(pixels, DataError):
        return str(pixels)
    assert pixels.shape == (image.rows, image.columns)
    assert np.isfinite(pixels).all()
    return ""


def outcomes(inputs: Iterator[bytes], folder: Path) -> list[list[str]]:
    """What became of all damaged inputs."""
    path = folder / "x"
    found = []
    for data in inputs:
        path.write_bytes(data)
        found.append(outcome(path))
    return found


def flipped(raw: bytes, rng: np.random.Generator, first: int, last: int, count: int) -> bytes:
    """Some bits between two bytes turned over."""
    data = bytearray(raw)
    for position in rng.integers(first, last, count):
        data[position] ^= 1 << int(rng.integers(8))
    return bytes(data)


# Bytes


@pytest.mark.parametrize("storage", STORAGE)
def test_the_undamaged_file_is_read(tmp_path, storage):
    (found,) = outcomes([good_bytes(storage)], tmp_path)
    assert set(found) == {""}


@pytest.mark.parametrize("storage", STORAGE)
def test_files_cut_off_anywhere(tmp_path, storage):
    raw, rng = good_bytes(storage), np.random.default_rng(0)
    lengths = [0, 1, 131, 132, 133, len(raw) - 1, *rng.integers(0, len(raw), INPUTS)]
    found = outcomes((raw[:length] for length in lengths), tmp_path)
    assert len(found) == len(lengths)
    compressed_or_padded = "jpeg" in storage or "rle" in storage or storage == "deflated"
    if not compressed_or_padded:  # the last bytes of a compressed file are only its end marker
        assert all(all(reasons) for reasons in found)


@pytest.mark.parametrize("storage", STORAGE)
def test_bits_flipped_anywhere(tmp_path, storage):
    raw, rng = good_bytes(storage), np.random.default_rng(1)
    found = outcomes((flipped(raw, rng, 0, len(raw), rng.integers(1, 201)) for _ in range(INPUTS)), tmp_path)
    assert len(found) == INPUTS


@pytest.mark.parametrize("storage", STORAGE)
def test_bits_flipped_in_the_header(tmp_path, storage):
    raw, rng = good_bytes(storage), np.random.default_rng(2)
    end = start_of_pixels(raw)
    found = outcomes((flipped(raw, rng, 0, end, rng.integers(1, 201)) for _ in range(INPUTS)), tmp_path)
    assert any(any(reasons) for reasons in found)


@pytest.mark.parametrize("storage", [name for name in STORAGE if "jpeg" in name or "rle" in name])
def test_bits_flipped_in_compressed_pixels(tmp_path, storage):
    raw, rng = good_bytes(storage), np.random.default_rng(3)
    start = start_of_pixels(raw)
    inputs = (flipped(raw, rng, start, len(raw), rng.integers(1, 60)) for _ in range(INPUTS))
    found = outcomes(inputs, tmp_path)
    assert any("cannot be decoded" in reason for reasons in found for reason in reasons)


@pytest.mark.parametrize("storage", STORAGE)
def test_parts_repeated_swapped_or_filled(tmp_path, storage):
    raw, rng = good_bytes(storage), np.random.default_rng(4)

    def damaged() -> Iterator[bytes]:
        for _ in range(INPUTS // 2):
            a, b = sorted(int(n) for n in rng.integers(0, len(raw), 2))
            size = int(rng.integers(1, 400))
            yield raw[:a] + raw[b:]
            yield raw[:b] + raw[a:]
            yield raw[:a] + bytes(size) + raw[a + size :]
            yield raw[:a] + b"\xff" * size + raw[a + size :]

    assert len(outcomes(damaged(), tmp_path)) == 4 * (INPUTS // 2)


def test_there_are_more_than_a_thousand_damaged_inputs():
    assert len(STORAGE) * INPUTS * 3 > 1000


# Elements


NOTHING = b""
ITEM = (
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + b"\x28\x00\x10\x00US\x02\x00\x05\x00" + b"\xfe\xff\x0d\xe0\0\0\0\0"
)
ABSURD: tuple[tuple[bytes, bytes], ...] = (  # value representation and value
    *(
        (b"DS", text.encode())
        for text in (
            "",
            "0",
            "-1",
            "nan",
            "inf",
            "-inf",
            "1e308",
            "-1e308",
            "1e-308",
            "65535",
            "99999999999999999999",
            "\\\\\\",
            "1\\1",
            "0\\0\\0",
            "1\\" * 49 + "1",
            "nan\\" * 5 + "nan",
            "1e308\\" * 5 + "1e308",
            "inf\\" * 2 + "inf",
            "\0\0",
        )
    ),
    (b"LO", b"GEHEIM^XAVER"),
    (b"UT", b"9" * 10_000),
    (b"UT", b"Geheim " * 1500),
    (b"FD", b"\0\0\0\0\0\0\xf0\x7f" * 3),
    (b"FD", b"\0\0\0\0\0\0\xf8\x7f"),
    (b"FD", b"\0\0\0"),
    (b"US", b"\0\0"),
    (b"US", b"\xff\xff"),
    (b"US", b"\x01\0\x02\0\x03\0"),
    (b"SL", b"\xff\xff\xff\xff"),
    (b"OB", b"\xff\0\xfe\0"),
    (b"UN", b"\0\x01\x02\x03\x04\x05"),
    (b"SQ", NOTHING),
    (b"SQ", ITEM),
    (b"AT", b"\x10\0\x10\0"),
    (b"PN", b"Geheim^Xaver"),
    (b"UI", b"1.2.3"),
    (b"ZZ", b"1234"),
)
LONG = {b"OB", b"UN", b"SQ", b"UT", b"ZZ"}  # their length takes 4 bytes
TAGS = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyDate", "AcquisitionTime",
    "Modality", "SeriesDescription", "PatientName", "PatientID", "ScanningSequence", "SequenceVariant",
    "SpacingBetweenSlices", "TriggerTime", "NominalInterval", "HeartRate", "StudyInstanceUID",
    "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "ImagePositionPatient",
    "ImageOrientationPatient", "SliceLocation", "SamplesPerPixel", "PhotometricInterpretation",
    "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
)  # fmt: skip


def absurd(storage: str, name: str) -> Iterator[bytes]:
    """The file with every absurd value of one element."""
    dataset, tag = STORAGE[storage](), Tag(name)
    is_implicit = dataset.file_meta.TransferSyntaxUID.is_implicit_VR
    before, after = (_body(part, is_implicit) for part in (dataset[: int(tag)], dataset[int(tag) + 1 :]))
    head = good_bytes(storage).removesuffix(_body(dataset, is_implicit))
    assert len(head) < 500
    for vr, value in ABSURD:
        value += b" " * (len(value) % 2)
        size = struct.pack("<I" if is_implicit or vr in LONG else "<H", len(value))
        size = size if is_implicit else vr + b"\0\0" * (vr in LONG) + size
        yield head + before + struct.pack("<HH", tag.group, tag.element) + size + value + after


def _body(dataset: Dataset, is_implicit: bool) -> bytes:
    """Elements without what comes before them in a file."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, is_implicit
    write_dataset(buffer, dataset)
    return buffer.getvalue()


@pytest.mark.parametrize("name", [name for name in TAGS if not name.startswith("Rescale")])
@pytest.mark.parametrize("storage", ["siemens", "implicit", "enhanced", "jpeg 2000"])
def test_absurd_values(tmp_path, storage, name):
    assert len(outcomes(absurd(storage, name), tmp_path)) == len(ABSURD)


@pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("storage", ["siemens", "implicit", "jpeg 2000"])
def test_absurd_scales(tmp_path, storage, name):
    assert len(outcomes(absurd(storage, name), tmp_path)) == len(ABSURD)


@pytest.mark.parametrize("storage", ["siemens", "enhanced", "jpeg 2000"])
def test_every_element_may_be_missing(tmp_path, storage):
    dataset = STORAGE[storage]()
    tags = [*dataset.keys(), *dataset.file_meta.keys()]

    def without() -> Iterator[bytes]:
        for tag in tags:
            out = deepcopy(dataset)
            target = out.file_meta if tag in out.file_meta else out
            del target[tag]
            buffer = BytesIO()
            out.save_as(buffer, implicit_vr=False, little_endian=True) if tag.group == 2 else out.save_as(
                buffer
            )
            yield buffer.getvalue()

    assert len(outcomes(without(), tmp_path)) == len(tags)


# Sequences of an enhanced file


NEEDED = (
    ("Shared", "PlaneOrientationSequence"),
    ("Shared", "PixelMeasuresSequence"),
    ("PerFrame", "PlanePositionSequence"),
    ("PerFrame", "FrameContentSequence"),
)


def broken_groups() -> Iterator[bytes]:
    """Functional groups that are empty, too few, too many, of the wrong kind or without what they need."""
    plain = image("enhanced")
    groups = plain.PerFrameFunctionalGroupsSequence
    for items in ([], groups[:3], [*groups, *groups], [Dataset() for _ in groups]):
        out = deepcopy(plain)
        out.PerFrameFunctionalGroupsSequence = Sequence(items)
        yield written(out)
    for holder, name in NEEDED:
        for change in ("missing", "empty", "empty item", "text"):
            out = deepcopy(plain)
            for item in out[f"{holder}FunctionalGroupsSequence"].value:
                _break(item, name, change)
            yield written(out)


def _break(item: Dataset, name: str, change: str) -> None:
    del item[name]
    if change == "empty":
        item.add_new(Tag(name), "SQ", [])
    elif change == "empty item":
        item.add_new(Tag(name), "SQ", [Dataset()])
    elif change == "text":
        item.add_new(Tag(name), "LO", "Geheim")


def test_broken_functional_groups(tmp_path):
    found = outcomes(broken_groups(), tmp_path)
    assert len(found) == 20
    assert sum(all(reasons) for reasons in found) >= 14  # content and measured time are not needed


@pytest.mark.parametrize("value", ["nan", "1e308", "text", ["1", "2"], ""])
def test_one_damaged_frame_position_is_a_reason(tmp_path, value):
    dataset = image("enhanced")
    position = dataset.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0]
    with pydicom.config.disable_value_validation():
        position.add_new(Tag("ImagePositionPatient"), "LO", value)
    (found,) = outcomes([written(dataset)], tmp_path)
    assert all(found)


def test_sequences_nested_a_thousand_times_are_no_recursion(tmp_path):
    inner = b"\x40\x00\x75\x02SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 3000
    raw = good_bytes("siemens")
    at = raw.index(b"\x18\x00\x20\x00CS")  # before the scanning sequence
    (found,) = outcomes([raw[:at] + inner + raw[at:]], tmp_path)
    assert all(found)


@pytest.mark.parametrize("length", [0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
def test_wrong_lengths_of_the_pixels(tmp_path, length):
    raw = good_bytes("siemens")
    at = start_of_pixels(raw) + 8
    (found,) = outcomes([raw[:at] + length.to_bytes(4, "little") + raw[at + 4 :]], tmp_path)
    size = int.from_bytes(raw[at : at + 4], "little")
    assert all(found) == (length < size or length == 0xFFFFFFFF)


@pytest.mark.parametrize("length", [0xFFFE, 0x7FFF, 3, 1])
def test_wrong_lengths_of_an_element(tmp_path, length):
    raw = good_bytes("siemens")
    at = raw.index(b"\x20\x00\x32\x00DS") + 6
    outcomes([raw[:at] + length.to_bytes(2, "little") + raw[at + 2 :]], tmp_path)


def test_a_compressed_image_that_claims_to_be_huge_is_refused_quickly(tmp_path):
    raw = good_bytes("jpeg 2000")
    at = raw.index(b"\xff\x4f\xff\x51") + 8  # width and height of the code stream
    (found,) = outcomes([raw[:at] + b"\x00\x00\xff\xff" * 2 + raw[at + 8 :]], tmp_path)
    assert all(found)


@pytest.mark.skipif(find_spec("gdcm") is None, reason="python-gdcm, which crashes on this, is not installed")
@pytest.mark.slow
def test_damaged_compressed_pixels_never_end_the_process(tmp_path):
    raw = good_bytes("lossless jpeg")
    start = raw.index(b"\xff\xd8", start_of_pixels(raw))
    program = (
        "import sys; from pathlib import Path; from cmrseg.io.dicom import *\n"
        f"raw, path, start = Path(sys.argv[1]).read_bytes(), Path(sys.argv[1] + '_'), {start}\n"
        "for bit in range(8 * 120):\n"
        "    data = bytearray(raw); data[start + bit // 8] ^= 1 << bit % 8; path.write_bytes(data)\n"
        "    list(read_pixels(read_headers(path)))\n"
    )
    (tmp_path / "x").write_bytes(raw)
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "x"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0
