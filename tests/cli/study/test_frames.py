"""``cmrseg study frames``: what is said, written and refused."""

from functools import partial

import pandas as pd
import pytest

from tests.cli.conftest import assert_one_sentence


@pytest.fixture
def frames(cmrseg, tmp_path):
    return partial(cmrseg, "study", "frames", "--out", tmp_path / "out")


def write_counts(path, curves):
    rows = [
        f"{i}_slice{z:03d}_frame{t:03d}-mask.png\t{n}"
        for i, curve in curves.items()
        for t, n in enumerate(curve)
        for z in (0, 1)
    ]
    path.write_text("\n".join(["file\tlv", *rows]) + "\n")
    return path


def write_subsets(path, esed, subject="017"):
    places = [(z, t) for z in (0, 1) for t in range(3)]
    rows = [f"{subject}_{z}_{t}.png\t{subject}\t{t}\t{z}\t{str(t in esed).upper()}" for z, t in places]
    path.write_text("\n".join(["file\tId\tframe\tslice\tesed", *rows]) + "\n")
    return path


def test_frames_are_shown_and_written(frames, tmp_path):
    code, said, _ = frames(write_counts(tmp_path / "c.tsv", {"017": [90, 100, 40]}))
    assert code == 0
    assert "017" in said
    assert (tmp_path / "out" / "esed_frames.tsv").read_text().splitlines() == ["Id\tes\ted", "017\t2\t1"]
    assert not (tmp_path / "out" / "problems.tsv").exists()


def test_a_table_with_the_same_frames_is_confirmed(frames, tmp_path):
    counts = write_counts(tmp_path / "c.tsv", {"017": [90, 100, 40]})
    code, said, _ = frames(counts, "--subsets", write_subsets(tmp_path / "s.tsv", {1, 2}))
    assert code == 0
    assert "esed holds exactly the images of these frames for all 1 subject" in said
    sizes = pd.read_csv(tmp_path / "out" / "subset_sizes.csv")
    assert sizes[["subset", "images"]].to_numpy().tolist() == [["full", 6], ["esed", 4]]


def test_a_table_with_other_frames_is_a_problem(frames, tmp_path):
    counts = write_counts(tmp_path / "c.tsv", {"017": [90, 100, 40]})
    code, said, complaint = frames(counts, "--subsets", write_subsets(tmp_path / "s.tsv", {0, 2}))
    assert code == 1
    assert "for 0 of 1 subject" in said
    assert "1 problem(s)" in complaint
    problems = pd.read_csv(tmp_path / "out" / "problems.tsv", sep="\t", dtype=str)
    assert problems.loc[0, ["study", "extra_info"]].tolist() == [
        "017",
        "esed has frames 0, 2; ES and ED are 2, 1",
    ]


def test_a_subject_without_lv_is_a_problem_and_the_others_are_written(frames, tmp_path):
    code, _, _ = frames(write_counts(tmp_path / "c.tsv", {"1": [9, 4], "24": [0, 0]}))
    assert code == 1
    assert len(pd.read_csv(tmp_path / "out" / "esed_frames.tsv", sep="\t")) == 1
    assert "no LV in any image" in (tmp_path / "out" / "problems.tsv").read_text()


def test_no_frames_at_all_are_told(frames, tmp_path):
    counts = write_counts(tmp_path / "c.tsv", {"24": [0, 0]})
    code, said, _ = frames(counts, "--subsets", write_subsets(tmp_path / "s.tsv", {0, 2}, "24"))
    assert code == 1
    assert "for 0 of 1 subject" in said
    assert (tmp_path / "out" / "esed_frames.tsv").read_text() == "Id\tes\ted\n"


def test_a_table_without_esed_has_nothing_to_check(frames, tmp_path):
    counts = write_counts(tmp_path / "c.tsv", {"017": [90, 100, 40]})
    subsets = write_subsets(tmp_path / "s.tsv", {1})
    subsets.write_text(subsets.read_text().replace("esed", "v1"))
    code, said, _ = frames(counts, "--subsets", subsets)
    assert code == 0
    assert "no column esed to check" in said


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "does not exist"),
        ("", "cannot be read as a table"),
        ("file\trv\n1_slice000_frame000.png\t3\n", "lacks the column lv_pixels"),
        ("file\tlv\n1_slice000_frame000.png\tmany\n", "must hold whole numbers"),
        ("file\tlv\nthumbs.png\t3\n", "no image name is understood"),
    ],
)
def test_bad_counts_are_told_in_a_sentence(frames, tmp_path, content, part):
    path = tmp_path / "c.tsv"
    if content is not None:
        path.write_text(content)
    assert_one_sentence(frames(path), path, part)
    assert not (tmp_path / "out").exists()


def test_a_bad_table_of_subsets_is_told_before_anything_is_written(frames, tmp_path):
    counts = write_counts(tmp_path / "c.tsv", {"017": [90, 100, 40]})
    assert_one_sentence(frames(counts, "--subsets", counts), counts, "lacks the column Id")
    assert not (tmp_path / "out").exists()
