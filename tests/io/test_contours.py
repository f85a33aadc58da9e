"""Contours as text files, in the form of the Sunnybrook challenge."""

import re
from dataclasses import fields, replace

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.io.contours import (
    ImageNumber,
    check_inside,
    find_contour_files,
    image_numbers,
    read_contour,
    write_contours,
)
from cmrseg.io.dicom import DicomImage
from cmrseg.io.outlines import Outline, label_map, mask_contours
from cmrseg.labels import Label
from cmrseg.problems import DataError

SQUARE = "10.00 10.00\n20.00 10.50\n20.00 20.00\n10.00 20.00\n"
IMAGE = DicomImage(
    **dict.fromkeys((f.name for f in fields(DicomImage)), "")  # what a test does not care about
    | {
        "rows": 40,
        "columns": 50,
        "spacing": (1.5, 1.5),
        "orientation": (1, 0, 0, 0, 1, 0),
        "study_uid": "1.2",
    }
)


def source(z=0, t=0, *, instance=1, series=1):
    return replace(
        IMAGE,
        instance=instance,
        series_number=series,
        position=(0.0, 0.0, 8.0 * z),
        instance_uid=f"1.2.{series}.{instance}",
        name=f"{z}_{t}",
    )


def cine(array):
    """A mask whose grid is that of `source`."""
    return Cine(array, (1.5, 1.5, 8.0), np.diag([-1.5, -1.5, 8.0, 1.0]))


@pytest.fixture
def contours():
    """Contours of 2 slices and 2 frames, the mask that they come from, and the images that they are on."""
    x, y, z, t = np.ogrid[:50, :40, :2, :2]
    radius = np.hypot(x - 20 - z, y - 18 + t)
    array = np.where(radius < 5, Label.LV, np.where(radius < 9, Label.MYO, Label.BACKGROUND)).astype(np.uint8)
    images = {(z, t): source(z, t, instance=1 + t + 20 * z) for z in range(2) for t in range(2)}
    return mask_contours(cine(array), images), array, images


def test_what_is_written_is_read_back_to_the_same_mask(contours, tmp_path):
    found, array, images = contours
    write_contours(found, tmp_path / "contours")
    files = find_contour_files(tmp_path)
    for (z, t), image in images.items():
        polygons = {kind: read_contour(p) for (n, kind), p in files.items() if n.instance == image.instance}
        np.testing.assert_array_equal(label_map(polygons, (50, 40)), array[:, :, z, t])


def test_files_are_named_as_in_the_challenge(contours, tmp_path):
    names = [path.name for path in write_contours(contours[0], tmp_path)]
    assert names[:2] == ["IM-0001-0001-icontour-auto.txt", "IM-0001-0001-ocontour-auto.txt"]
    assert len(names) == len(set(names)) == 8
    assert re.fullmatch(r"(\d+\.\d\d \d+\.\d\d\n)+", (tmp_path / names[0]).read_text())


def test_files_of_an_earlier_run_are_removed_and_those_of_people_stay(contours, tmp_path):
    manual = tmp_path / "IM-0001-0009-icontour-manual.txt"
    for path in (tmp_path / "IM-0001-0009-icontour-auto.txt", manual):
        path.write_text(SQUARE)
    written = write_contours(contours[0], tmp_path)
    assert set(tmp_path.iterdir()) == {*written, manual}


def test_a_frame_that_was_copied_gives_one_contour(contours):
    _, array, images = contours
    copied = images | {(0, 1): images[0, 0]}
    assert len(mask_contours(cine(array), copied)) == 3


def test_series_are_named_only_where_instance_numbers_are_not_enough():
    few = [source(instance=1), source(instance=2)]
    assert list(image_numbers(few).values()) == [ImageNumber(1, 1), ImageNumber(1, 2)]
    many = [source(instance=1, series=4), source(instance=1, series=5)]
    assert list(image_numbers(many).values()) == [ImageNumber(4, 1), ImageNumber(5, 1)]


def test_a_contour_that_repeats_its_first_point_at_the_end_is_closed_once(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text(SQUARE + "10.00 10.00\n")
    np.testing.assert_array_equal(read_contour(path), [(10, 10), (20, 10.5), (20, 20), (10, 20)])


def test_contours_that_count_from_one_are_counted_from_zero(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text(SQUARE)
    np.testing.assert_array_equal(read_contour(path, first_pixel=1)[0], (9, 9))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 point"),
        ("1 2\n3 4\n", "2 point"),
        ("1 2\n1 2\n3 4\n", "2 point"),
        ("1 2\n3 four\n5 6\n", "two numbers"),
        ("1 2\n3\n5 6\n", "two numbers"),
        ("1 2 3\n3 4 5\n5 6 7\n", "two numbers"),
        ("1 2\n3 nan\n5 6\n", "two numbers"),
        ("1,2\n3,4\n5,6\n", "two numbers"),
    ],
)
def test_a_bad_contour_is_one_sentence(text, words, tmp_path):
    path = tmp_path / "IM-0001-0001-icontour-manual.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}.*{words}"):
        read_contour(path)


@pytest.mark.parametrize("bytes_", [b"\xff\xfe\x00\x01", b"\x89PNG\r\n\x1a\n\x00\xff"])
def test_a_file_that_is_no_text_is_one_sentence(bytes_, tmp_path):
    (tmp_path / "c.txt").write_bytes(bytes_)
    with pytest.raises(DataError, match="two numbers"):
        read_contour(tmp_path / "c.txt")


def test_a_missing_contour_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(No such file"):
        read_contour(tmp_path / "none.txt")


def test_a_contour_outside_of_its_image_is_one_sentence():
    check_inside(np.array([(-0.5, 3), (9.5, 7.5), (3, 3)]), (10, 8), "c")
    with pytest.raises(DataError, match=r"9\.60 3\.00 lies outside of its image of 10 x 8"):
        check_inside(np.array([(1, 3), (9.6, 3), (3, 3)]), (10, 8), "c")


def test_a_folder_without_contours_is_one_sentence(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="holds no contour such as"):
        find_contour_files(tmp_path)


def test_two_contours_of_one_image_are_one_sentence(tmp_path):
    for kind in ("manual", "auto"):
        (tmp_path / f"IM-0001-0001-icontour-{kind}.txt").write_text(SQUARE)
    with pytest.raises(DataError, match="contours of the same image"):
        find_contour_files(tmp_path)


def test_contours_of_papillary_muscles_are_ignored(tmp_path):
    for kind in ("icontour", "p1contour"):
        (tmp_path / f"IM-0001-0059-{kind}-manual.txt").write_text(SQUARE)
    assert list(find_contour_files(tmp_path)) == [(ImageNumber(1, 59), Outline.ENDOCARDIUM)]


def test_the_contours_of_sunnybrook_are_found(test_data):
    files = find_contour_files(test_data / "sunnybrook_dicom" / "SCD0000101")
    assert len(files) == 27
    assert files[ImageNumber(1, 59), Outline.EPICARDIUM].name == "IM-0001-0059-ocontour-manual.txt"
    assert all(len(read_contour(path)) > 50 for path in files.values())
