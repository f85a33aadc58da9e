"""Pixels of images, added up to volumes of examinations."""

import pytest

from cmrseg.evaluation.pixel_counts import examination_volumes, read_pixel_counts
from cmrseg.problems import DataError


def volumes(path):
    return examination_volumes(read_pixel_counts(path)[0], path.name)


def write(path, *rows, head="file,lv_pixels"):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_volumes_are_sums_over_the_slices_of_a_frame(write_counts):
    table, problems = volumes(write_counts("m", {"7": [80, 100, 30, 100, 30]}))
    assert problems == []
    assert table.to_dict("records") == [
        {"Id": "7", "EDV_pixels": 100, "ESV_pixels": 30, "EF_percent": 70, "ED_frame": 1, "ES_frame": 2}
    ]


def test_the_order_of_the_rows_does_not_matter(tmp_path, write_counts):
    path = write_counts("m", {"7": [80, 100, 30], "8": [1, 2, 3]})
    head, *rows = path.read_text().splitlines()
    backwards = write(tmp_path / "n.csv", *reversed(rows), head=head)
    assert volumes(path)[0].equals(volumes(backwards)[0])


def test_the_names_of_the_7t_table_are_understood(tmp_path):
    rows = [f"7T,masks,17_slice{s:03d}_frame{f:03d}-mask.png,9,{10 - f},1" for f in (0, 4) for s in (0, 1)]
    table, _ = volumes(write(tmp_path / "t.csv", *rows, head="source,set,file,bg,lv,my"))
    assert table[["Id", "EDV_pixels", "ES_frame"]].to_numpy().tolist() == [["17", 20, 4]]


def test_frames_that_show_different_slices_are_a_problem(tmp_path):
    images = ["1-frame000-slice000", "1-frame000-slice001", "1-frame001-slice000", "1-frame001-slice002"]
    table, problems = volumes(write(tmp_path / "t.csv", *(f"{name}.png,5" for name in images)))
    assert table.empty
    assert [(p.study, p.problem) for p in problems] == [("1", "frames show different slices")]


def test_slices_of_the_same_number_and_sum_are_not_the_same(tmp_path):
    images = [f"1-frame{f:03d}-slice{s:03d}.png,5" for f, s in ((0, 0), (0, 3), (1, 1), (1, 2))]
    table, problems = volumes(write(tmp_path / "t.csv", *images))
    assert table.empty
    assert [p.problem for p in problems] == ["frames show different slices"]


def test_published_counts_have_a_decimal(tmp_path):
    images, _ = read_pixel_counts(write(tmp_path / "t.csv", "1-frame000-slice000.png,1430.0"))
    assert images["pixels"].tolist() == [1430]


def test_a_frame_of_too_many_digits_is_a_problem(tmp_path):
    bad = "1-frame99999999999999999999999-slice000.png"
    _, problems = read_pixel_counts(write(tmp_path / "t.csv", "1-frame000-slice000.png,5", f"{bad},5"))
    assert [p.study for p in problems] == [bad]


def test_a_single_frame_has_no_ejection_fraction(tmp_path):
    table, problems = volumes(write(tmp_path / "t.csv", "1-frame000-slice000.png,5"))
    assert table.empty
    assert problems[0].problem == "only one frame"


def test_names_that_are_not_understood_are_listed(tmp_path):
    path = write(tmp_path / "t.csv", "1-frame000-slice000.png,5", "thumbs.png,5")
    images, problems = read_pixel_counts(path)
    assert images["Id"].tolist() == ["1"]
    assert [p.study for p in problems] == ["thumbs.png"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["thumbs.png,5"], "no image name is understood, such as 'thumbs.png'"),
        (["1-frame000-slice000.png,many"], "lv_pixels must hold whole numbers from 0 on"),
        (["1-frame000-slice000.png,0.5"], "lv_pixels must hold whole numbers from 0 on"),
        (["1-frame000-slice000.png,-1"], "lv_pixels must hold whole numbers from 0 on"),
        (["1-frame000-slice000.png,"], "lv_pixels must hold whole numbers from 0 on"),
        (["a/1-frame000-slice000.png,1", "b/1-frame0-slice0.png,1"], "names b/1-frame0-slice0.png more than"),
    ],
)
def test_bad_counts_are_refused(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_pixel_counts(write(tmp_path / "t.csv", *rows))


def test_counts_of_something_else_are_refused(tmp_path):
    with pytest.raises(DataError, match="lacks the column lv_pixels; it has: file, rv_pixels"):
        read_pixel_counts(write(tmp_path / "t.csv", "a,1", head="file,rv_pixels"))
