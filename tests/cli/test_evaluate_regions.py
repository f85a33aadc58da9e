"""``cmrseg evaluate regions``."""

import pandas as pd

from tests.cli.conftest import assert_one_sentence
from tests.evaluation.test_regions import write


def test_tables_of_the_paper_and_a_page(cmrseg, tmp_path):
    truth, other = write(tmp_path / "truth"), write(tmp_path / "other", shrink=(8, 9))
    code, said, complaint = cmrseg("evaluate", "regions", truth, other, truth, "--out", tmp_path / "out")
    assert (code, complaint) == (0, "")
    assert "66.67* (0.00)" in said  # LV at the base
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"slices.csv", "table1.csv", "table3.csv", "volumes.csv", "curves.csv", "report.html"} <= names
    assert pd.read_csv(tmp_path / "out" / "table3.csv")["method"].unique().tolist() == ["truth"]
    assert (
        "Dice at base / middle / apex (%), other: LV 66.7* / 100.0 / 100.0"
        in (tmp_path / "out" / "report.html").read_text()
    )


def test_one_method_has_nothing_to_gain(cmrseg, tmp_path):
    truth = write(tmp_path / "truth", subjects=1)
    assert cmrseg("evaluate", "regions", truth, truth, "--out", tmp_path / "out")[0] == 0
    assert not (tmp_path / "out" / "table3.csv").exists()


def test_wrong_folders_are_one_sentence(cmrseg, tmp_path):
    truth = write(tmp_path / "truth", subjects=1)
    (tmp_path / "empty").mkdir()
    assert_one_sentence(
        cmrseg("evaluate", "regions", truth, tmp_path / "none", "--out", tmp_path / "a"), "none"
    )
    assert_one_sentence(
        cmrseg("evaluate", "regions", tmp_path / "empty", truth, "--out", tmp_path / "a"), "empty"
    )
    assert_one_sentence(cmrseg("evaluate", "regions", truth, truth, truth, "--out", tmp_path / "a"), "twice")
