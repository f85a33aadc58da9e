"""The fast reader of plain headers gives what pydicom gives, and leaves the rest to it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from cmrseg.cine import Cine
from cmrseg.io.dicom_header import TAGS, elements
from cmrseg.io.dicom_plain import plain_elements
from cmrseg.phantom.dicom import compress, dicom_datasets

RLE = "1.2.840.10008.1.2.5"


@pytest.fixture
def dataset():
    cine = Cine(np.arange(32 * 32 * 1 * 2.0).reshape(32, 32, 1, 2), (1.5, 1.5, 8.0))
    return dicom_datasets(cine, style="siemens")[1]


def written(dataset: Dataset) -> bytes:
    file = DicomBytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def by_pydicom(data: bytes) -> dict[int, bytes]:
    read = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    return {
        tag: element.value
        for part in (read.file_meta, read)
        for tag, element in elements(part).items()
        if tag in TAGS and isinstance(element.value, bytes)
    }


def nested() -> Sequence:
    inner, outer = Dataset(), Dataset()
    inner.PatientID = "of somebody else"
    outer.ReferencedImageSequence = Sequence([inner])
    return Sequence([outer, Dataset()])


@pytest.mark.parametrize("undefined", [False, True])
def test_a_plain_header_is_that_of_pydicom(dataset, undefined):
    dataset.ReferencedStudySequence = nested()
    dataset["ReferencedStudySequence"].is_undefined_length = undefined
    dataset.add_new((0x0009, 0x0010), "LO", "PRIVATE")
    dataset.add_new((0x0009, 0x1001), "OB", bytes(1000))
    data = written(dataset)
    found, at = plain_elements(data, TAGS)
    expected = by_pydicom(data)
    assert {tag: element.value for tag, element in found.items() if tag in expected} == expected
    assert data[at : at + 4] == b"\xe0\x7f\x10\x00"


def test_compressed_pixels_leave_a_plain_header(dataset):
    assert plain_elements(written(compress(dataset, RLE)), TAGS) is not None


def test_implicit_types_are_not_plain(dataset):
    file = DicomBytesIO()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dcmwrite(file, dataset, implicit_vr=True, little_endian=True, enforce_file_format=True)
    assert plain_elements(file.getvalue(), TAGS) is None


@pytest.mark.parametrize("length", [0, 100, 131, 132, 200, 400, 1000])
def test_what_ends_before_the_pixels_is_not_plain(dataset, length):
    assert plain_elements(written(dataset)[:length], TAGS) is None


def test_text_is_not_plain():
    assert plain_elements(b"subject,split\n" * 100, TAGS) is None
