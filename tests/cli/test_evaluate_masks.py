"""``cmrseg evaluate masks`` of two folders and of more."""

import pandas as pd
import pytest

from tests.cli.conftest import assert_one_sentence
from tests.evaluation.test_regions import write


@pytest.fixture
def folders(tmp_path):
    """Truth, a method that misses half of the LV in two slices, and one that is right."""
    return (
        write(tmp_path / "truth", subjects=2),
        write(tmp_path / "half", shrink=(8, 9), subjects=2),
        write(tmp_path / "right", subjects=2),
    )


@pytest.mark.slow  # draws three figures
def test_three_folders_are_a_comparison(cmrseg, folders, tmp_path):
    out = tmp_path / "out"
    code, said, complaint = cmrseg("evaluate", "masks", *folders, "--out", out)
    assert (code, complaint) == (0, "")
    assert "right against half: mean Dice of 2 compared subjects" in said
    assert "This is no proof: fewer than 10 subjects." in said
    names = {path.name for path in out.iterdir()}
    assert {"differences.csv", "subjects.csv", "images.csv", "metrics.csv", "report.html"} <= names
    assert pd.read_csv(out / "metrics.csv")["method"].unique().tolist() == ["half", "right"]
    assert {path.name for path in (out / "figures").iterdir()} == {"changes.png", "gains_1.png"}


def test_what_is_ambiguous_is_one_sentence(cmrseg, folders, tmp_path):
    truth, half, _ = folders
    out = ("--out", tmp_path / "out")
    assert_one_sentence(cmrseg("evaluate", "masks", truth, *out), "two or more methods")
    assert_one_sentence(cmrseg("evaluate", "masks", truth, half, half, *out), "named twice")
    assert_one_sentence(cmrseg("evaluate", "masks", truth, half, truth, *out), "TRUTH A B")
    assert_one_sentence(
        cmrseg("evaluate", "masks", *folders, "--robustness", "any", *out), "--robustness sweeps one model"
    )
    (tmp_path / "masks").mkdir()
    assert_one_sentence(cmrseg("evaluate", "masks", tmp_path / "masks", half, truth, *out), "TRUTH A B")
    assert not (tmp_path / "out" / "report.html").exists()
