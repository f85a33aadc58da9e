"""Small pictures of slices before and after a repair."""

from __future__ import annotations

import numpy as np
import pytest

from cmrseg.curation.grid import align
from cmrseg.curation.pictures import (
    RESULT,
    Picture,
    load_pictures,
    picture_of,
    save_pictures,
    take_pictures,
)
from cmrseg.curation.planes import remove_collisions
from cmrseg.curation.spacing import fill_missing
from tests.curation.conftest import RULES, make_slice, make_stack, pattern


def taken(repair, slices):
    left, problems = repair(slices, RULES)
    return take_pictures(slices, left, problems)


def test_a_resampled_slice_is_shown_before_and_after():
    slices = [*make_stack([0, 10]), make_slice(20, size=(20, 16))]
    (picture,) = taken(align, slices)
    assert picture.kind == "image size"
    assert picture.before.shape == (20, 16)
    assert picture.after.shape == (12, 10)


def test_a_removed_slice_has_no_after():
    slices = [*make_stack([0, 10]), make_slice(10.1, series=2)]
    (picture,) = taken(remove_collisions, slices)
    assert picture.before.size
    assert not picture.after.size


def test_a_filled_slice_is_not_shown():
    assert taken(fill_missing, make_stack([0, 10, 30, 40])) == []


def test_every_kind_is_shown_once():
    slices = [*make_stack([0, 10, 20]), make_slice(30, size=(20, 16)), make_slice(40, size=(20, 16))]
    assert len(taken(align, slices)) == 1


def test_a_clean_stack_is_not_shown():
    assert taken(align, make_stack([0, 10])) == []


def test_the_result_is_the_middle_slice_with_its_size():
    slices = [make_slice(10.0 * n, frames=pattern((30, 20)) * (n == 1)) for n in range(3)]
    picture = picture_of("s", slices)
    assert (picture.study, picture.kind) == ("s", RESULT)
    assert picture.told == "20 x 30, 3 slices, 4 phases"
    assert picture.after.max() == 255


def test_intensities_are_clipped_at_the_99th_percentile():
    frame = np.zeros((1, 100, 100))
    frame[0, :50] = 100
    frame[0, 0, 0] = 4000
    picture = picture_of("s", [make_slice(0, frames=frame)])
    assert picture.after.dtype == np.uint8
    assert set(np.unique(picture.after)) == {0, 255}


def test_a_black_slice_is_black():
    assert not picture_of("s", [make_slice(0, frames=np.zeros((1, 9, 9)))]).after.any()


def picture(kind="rotation", study="s"):
    return Picture(
        study, kind, "told", np.arange(6, dtype=np.uint8).reshape(2, 3), np.empty((0, 0), np.uint8)
    )


def test_what_is_saved_is_loaded(tmp_path):
    save_pictures([picture("rotation"), picture("special", "t")], tmp_path / "p.npz")
    loaded = load_pictures(tmp_path / "p.npz")
    assert [(p.study, p.kind, p.told) for p in loaded] == [
        ("s", "rotation", "told"),
        ("t", "special", "told"),
    ]
    np.testing.assert_array_equal(loaded[0].before, picture().before)
    assert loaded[0].after.shape == (0, 0)


def test_a_study_keeps_a_few_pictures(tmp_path):
    save_pictures([picture(str(n)) for n in range(50)], tmp_path / "p.npz")
    assert 0 < len(load_pictures(tmp_path / "p.npz")) < 20


def test_no_pictures_are_no_pictures(tmp_path):
    save_pictures([], tmp_path / "p.npz")
    assert load_pictures(tmp_path / "p.npz") == []


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04broken", b"nothing"])
def test_missing_or_damaged_pictures_are_none(tmp_path, content):
    if content is not None:
        (tmp_path / "p.npz").write_bytes(content)
    assert load_pictures(tmp_path / "p.npz") == []


def test_a_truncated_file_of_pictures_is_none(tmp_path):
    save_pictures([picture()], tmp_path / "p.npz")
    whole = (tmp_path / "p.npz").read_bytes()
    (tmp_path / "p.npz").write_bytes(whole[: len(whole) // 2])
    assert load_pictures(tmp_path / "p.npz") == []
