"""Deflated DICOM files unpack to what one file may hold, or are refused before they are unpacked."""

import zlib

import pytest

from cmrseg.io import dicom_deflated
from cmrseg.io.dicom import read_headers
from cmrseg.problems import DataError

SYNTAX = b"1.2.840.10008.1.2.1.99"


def deflated(path, data, *, length=True):
    """A file of that transfer syntax whose data set is anything."""
    syntax = b"\x02\x00\x10\x00UI" + len(SYNTAX).to_bytes(2, "little") + SYNTAX
    group = b"\x02\x00\x00\x00UL\x04\x00" + len(syntax).to_bytes(4, "little") if length else b""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(bytes(128) + b"DICM" + group + syntax + packer.compress(data) + packer.flush())
    return path


@pytest.mark.parametrize("length", [True, False])
def test_a_deflated_bomb_is_refused(tmp_path, monkeypatch, length):
    monkeypatch.setattr(dicom_deflated, "MOST_BYTES", 1 << 20)
    bomb = deflated(tmp_path / "a.dcm", bytes(8 << 20), length=length)
    with pytest.raises(DataError, match=r"unpacks to more than 1 MB|does not tell where"):
        list(read_headers(bomb))


def test_what_unpacks_to_less_is_left_to_the_reader(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_deflated, "MOST_BYTES", 1 << 20)
    small = deflated(tmp_path / "a.dcm", bytes(100_000))
    with small.open("rb") as file:
        dicom_deflated.check_deflated(file)
        assert file.tell() == 0
