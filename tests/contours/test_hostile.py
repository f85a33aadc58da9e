"""Files that are damaged, of another kind or made to harm end in one sentence."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from pydicom.dataset import Dataset

from cmrseg.contours.files import read_contour_files, reader_of
from cmrseg.io.qmass import read_qmass
from cmrseg.io.rtstruct import read_rtstruct
from cmrseg.io.segment_mat import read_segment
from cmrseg.problems import DataError
from tests.contours.formats import write_con, write_mat, write_rtstruct

MAT = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def matrix(inside: bytes, kind: int = 1) -> bytes:
    """A cell array of one element."""
    flags = struct.pack("<IIII", 6, 8, kind, 0)
    dims = struct.pack("<IIii", 5, 8, 1, 1)
    body = flags + dims + struct.pack("<II", 1, 0) + inside
    return struct.pack("<II", 14, len(body)) + body


def test_a_segment_file_that_unpacks_to_anything_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cmrseg.io.matlab.MAX_BYTES", 1 << 20)
    packed = zlib.compress(bytes(1 << 24))
    path = tmp_path / "bomb.mat"
    path.write_bytes(MAT + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(DataError, match="unpacks to more than 1 MB"):
        read_segment(path)


def test_cells_in_cells_do_not_overflow_the_stack(tmp_path):
    inside = matrix(b"", 6)
    for _ in range(3000):
        inside = matrix(inside)
    path = tmp_path / "deep.mat"
    path.write_bytes(MAT + inside)
    with pytest.raises(DataError, match="nested"):
        read_segment(path)


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "-v7"),
        (b"\x89HDF\r\n\x1a\n".ljust(600), "-v7"),
        (MAT, "no setstruct"),
        (MAT + struct.pack("<II", 15, 9) + b"no stream", "damaged"),
        (MAT + struct.pack("<II", 14, 900) + b"cut off", "cannot be read"),
    ],
    ids=["7.3", "hdf5", "empty", "no zlib", "truncated"],
)
def test_other_mat_files_are_one_sentence(start, says, tmp_path):
    path = tmp_path / "c.mat"
    path.write_bytes(start)
    with pytest.raises(DataError, match=says):
        read_segment(path)


def test_a_rotated_stack_or_one_without_a_place_is_refused(contoured, tmp_path):
    with pytest.raises(DataError, match="rotated"):
        read_segment(write_mat(contoured, tmp_path / "a.mat", Rotated=1))
    with pytest.raises(DataError, match="where its contours lie"):
        read_segment(write_mat(contoured, tmp_path / "b.mat", ImagePosition=[]))


@pytest.mark.parametrize(
    "text",
    [
        "[XYCONTOUR]",
        "[XYCONTOUR]\n1 2 0 1.0\n99999999\n1 1",
        "[XYCONTOUR]\n1 2 0 1.0\n-3",
        "[XYCONTOUR]\n1 2 x\n1\n1 1",
        "[XYCONTOUR]\n1 2 0 1.0\n2\n1 1\n1 1 1",
        "[XYCONTOUR]\n1 2 0 4.0\n3\n1 1\n1 2\n2 2",
    ],
)
def test_damaged_contours_of_qmass_name_their_line(text, tmp_path):
    path = tmp_path / "c.con"
    path.write_text(text)
    with pytest.raises(DataError, match=r"c\.con, line [12]"):
        read_qmass(path)


def test_contours_of_other_images_are_told_by_their_size(contoured, tmp_path):
    text = write_con(contoured, tmp_path / "c.con").read_text()
    assert "Image_resolution=128x128" in text
    assert read_qmass(tmp_path / "c.con").size == (128, 128)


def test_two_contours_of_one_structure_are_no_contour(tmp_path):
    three = "3\n{0} 1\n1 5\n5 5\n103\n0 0\n"
    contour = "[XYCONTOUR]\n0 0 0 1.0\n" + three
    path = tmp_path / "c.con"
    path.write_text(contour.format(1) + contour.format(1))
    assert [c.fault for c in read_qmass(path).drawn] == [""]
    path.write_text(contour.format(1) + contour.format(2))
    (drawn,) = read_qmass(path).drawn
    assert "two different contours" in drawn.fault


def test_a_structure_set_that_is_cut_off_is_one_sentence(contoured, tmp_path):
    path = write_rtstruct(contoured, tmp_path / "c.dcm")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(DataError, match=r"c\.dcm"):
        read_rtstruct(path)


def test_a_structure_set_without_numbers_is_one_sentence(contoured, tmp_path, monkeypatch):
    def strange(header, points):
        dataset = Dataset()
        dataset.ContourGeometricType = "CLOSED_PLANAR"
        dataset.ContourData = ["1", "2"]
        return dataset

    monkeypatch.setattr("tests.contours.formats._planar", strange)
    with pytest.raises(DataError, match="damaged structure set"):
        read_rtstruct(write_rtstruct(contoured, tmp_path / "c.dcm"))


def test_a_link_to_elsewhere_is_not_followed(contoured, tmp_path):
    inside = tmp_path / "contours"
    inside.mkdir()
    outside = write_con(contoured, tmp_path / "theirs.con")
    (inside / "c.con").symlink_to(outside)
    with pytest.raises(DataError, match="no contours that are understood"):
        read_contour_files(inside)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.dcm", bytes(128) + b"DICM"),
        ("a.dcm", b""),
        ("a.nii", np.zeros(400).tobytes()),
        ("a.xml", b"<html></html>"),
        ("a.txt", b"1 2\n3 4"),
    ],
)
def test_what_holds_no_contours_is_left_aside(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    assert reader_of(path) is None
