"""Two hearts under one identity are told apart by whatever differs between them, the surest first."""

from dataclasses import replace

import pytest

from cmrseg.curation.separation import UNCLEAR, separate
from cmrseg.io.dicom_header import VISIT, WHOSE
from tests.curation.conftest import RULES, make_stack

PLACES = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
FRAMES = ("1.2.840.113619.2.1.11", "1.2.840.113619.2.1.22")


def heart(number, **changes):
    """Images of a heart; two of them lie 4 mm apart, so that they are not of one stack."""
    stack = make_stack([z + 4 * number for z in PLACES], phases=6, series=1, name=None)
    return [
        replace(image, name=f"a/{2 * n + number:04}", **changes)
        for n, image in enumerate(image for s in stack for image in s.images)
    ]


def told(names, name, value):
    """Attributes of which one has a value."""
    return tuple(value if each == name else "" for each in names)


def two(of):
    return [heart(number, **of(number)) for number in range(2)]


DIFFERENCES = {
    "frame of reference": lambda n: {"frame_of_reference": FRAMES[n]},
    "height": lambda n: {"whose": told(WHOSE, "PatientSize", f"1.{6 + n}")},
    "scanner": lambda n: {"whose": told(WHOSE, "ManufacturerModelName", "AB"[n])},
    "study time": lambda n: {"visit": told(VISIT, "StudyTime", f"1{n}0000")},
    "heart rate": lambda n: {"interval_ms": 800.0 + 100 * n},
    "series": lambda n: {"series_uid": f"1.2.{n}"},
}


@pytest.mark.parametrize("by", DIFFERENCES)
def test_two_hearts_are_told_apart_by_what_differs(by):
    first, second = two(DIFFERENCES[by])
    found = separate([*first, *second], RULES, is_sure=False)
    assert (found.by, found.unclear) == (by, "")
    assert sorted(found.images, key=lambda images: images[0].name) == [first, second]


@pytest.mark.parametrize(("name", "by"), [("p{}/{:04}", "folder"), ("a/{}x{:04}", "names of files")])
def test_names_tell_them_apart_and_are_not_repeated(name, by):
    first, second = (
        [replace(image, name=name.format("AB"[number], n)) for n, image in enumerate(heart(number))]
        for number in range(2)
    )
    found = separate([*first, *second], RULES, is_sure=False)
    assert (found.by, found.images) == (by, [first, second])


def test_one_heart_stays_one_whatever_its_folders():
    images = [replace(image, name=f"{n % 3}/{n}") for n, image in enumerate(heart(0))]
    assert separate(images, RULES, is_sure=False).images == [images]


def test_where_nothing_differs_one_sentence_says_what_to_do():
    images = [replace(image, slice_spacing_mm=float("nan")) for number in range(2) for image in heart(number)]
    found = separate(images, RULES, is_sure=False)
    assert (found.images, found.unclear) == ([images], UNCLEAR)


def test_other_views_go_with_the_heart_whose_series_is_nearest():
    first, second = two(lambda n: {"series_uid": f"1.2.{n}", "series_number": 10 + 90 * n})
    view = [
        replace(image, orientation=(0.0, 1.0, 0.0, 0.0, 0.0, 1.0), series_uid="1.2.9", series_number=101)
        for image in heart(0)[:6]
    ]
    found = separate([*first, *second, *view], RULES, is_sure=False)
    assert [len(images) for images in found.images] == [36, 42]
