"""`cmrseg evaluate ef` and `cmrseg evaluate confusion`: exit codes and what is said."""

from functools import partial

import pytest


@pytest.fixture
def evaluate(cmrseg):
    return partial(cmrseg, "evaluate")


@pytest.fixture
def truth(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("Id,Systole,Diastole\n1,40,100\n")
    return path


def write_counts(path, *ids):
    rows = [f"{i}-frame{f:03d}-slice000.png\t{p}" for i in ids for f, p in enumerate((100, 42))]
    path.write_text("\n".join(["file\tlv_pixels", *rows]))
    return path


def test_the_screen_shows_table_two(evaluate, tmp_path, truth):
    counts = write_counts(tmp_path / "r34.tsv", 1)
    code, said, _ = evaluate("ef", counts, truth, "--out", tmp_path / "out")
    assert code == 0
    (line,) = [line for line in said.splitlines() if "r34" in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "r34", "2.00", "–", "2.00", "0.00", "1", "0",
    ]  # fmt: skip


def test_unknown_examinations_are_problems(evaluate, tmp_path, truth):
    counts = write_counts(tmp_path / "r34.tsv", 1, 2)
    code, said, complaint = evaluate("ef", counts, truth, "--out", tmp_path / "out")
    assert code == 1
    assert "r34" in said
    assert "1 problem(s)" in complaint


@pytest.mark.parametrize("kept", [0, 30])
def test_a_damaged_table_is_one_sentence(evaluate, tmp_path, truth, kept):
    (tmp_path / "r34.tsv.xz").write_bytes(b"\xfd7zXZ\x00\x00\x04"[:kept])
    code, _, complaint = evaluate("ef", tmp_path / "r34.tsv.xz", truth, "--out", tmp_path / "out")
    assert code == 2
    assert complaint.startswith("error: ")
    assert len(complaint.strip().splitlines()) == 1


def test_counts_without_truth_are_refused(evaluate, tmp_path):
    counts = write_counts(tmp_path / "r34.tsv", 1)
    code, _, complaint = evaluate("ef", counts, "--out", tmp_path / "out")
    assert code == 2
    assert "then the true volumes" in complaint


def test_the_screen_shows_both_kinds_of_dice(evaluate, tmp_path):
    path = tmp_path / "net.csv"
    rows = ["1_slice000_frame000,test,90,2,2,6", "1_slice001_frame000,test,100,0,0,0"]
    path.write_text("\n".join(["image,set,bg_bg,bg_lv,lv_bg,lv_lv", *rows]))
    code, said, _ = evaluate("confusion", path, "--out", tmp_path / "out")
    assert code == 0
    (line,) = [line for line in said.splitlines() if "net" in line and "│" in line]
    assert [cell.strip() for cell in line.strip("│").split("│")][2:] == ["LV", "0.875", "0.177", "0.750", "2"]


def test_confusion_counts_of_something_else_are_one_sentence(evaluate, tmp_path, truth):
    code, _, complaint = evaluate("confusion", truth, "--out", tmp_path / "out")
    assert code == 2
    assert complaint.startswith("error: ")
    assert "lacks the column image" in complaint
