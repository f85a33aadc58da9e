"""The page of a transfer-learning study: the answer first, in words."""

import re

import pandas as pd
import pytest

from cmrseg.experiments.planning import planning_table, reader_table
from cmrseg.experiments.transfer_report import dice_table
from cmrseg.workflows import experiments
from tests.experiments.conftest import _on_cpu, base, data, setup  # noqa: F401
from tests.experiments.test_planning_figure import scores


def test_the_table_names_training_sets_in_words():
    shown = dice_table(planning_table(scores(("R", "TL2"))))
    assert list(shown) == ["start", "training set", "LV", "MYO", "RV", "mean (95 % CI)"]
    assert dict(zip(shown["start"], shown["training set"], strict=True))["base"] == "–"
    of_r = shown.loc[shown["start"] == "R", "training set"].tolist()
    assert of_r == ["1 subject", "3 subjects", "all 12 subjects", "60 random images"]


def test_the_interval_stands_beside_the_mean():
    several = dice_table(planning_table(scores(("R",))))["mean (95 % CI)"]
    assert several.str.fullmatch(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)").all()
    alone = dice_table(planning_table(scores(("R",), subjects=1)))["mean (95 % CI)"]
    assert alone.str.fullmatch(r"0\.\d{3}").all()


def test_the_table_per_image_has_its_own_numbers():
    table = planning_table(scores(("R",)).assign(dice_image=0.5, test_images=7))
    shown = dice_table(table, per_image=True)
    assert list(shown) == ["start", "training set", "LV", "MYO", "RV", "mean"]
    assert shown[["LV", "MYO", "RV", "mean"]].to_numpy().ravel() == pytest.approx(0.5)


def test_ed_and_es_and_sets_of_their_own_are_named():
    table = scores(("R",))
    table["subset"] = table["subset"].replace({"r3": "esed", "v3": "young"})
    found = set(dice_table(planning_table(table))["training set"])
    assert {"60 images: ED and ES", "60 images: young"} <= found


def test_a_second_reader_has_no_training_set():
    reader = pd.DataFrame({"subject": ["a", "b"], "structure": "LV", "dice": [0.9, 0.92]})
    row = dice_table(reader_table(reader)).iloc[0]
    assert (row["start"], row["training set"]) == ("reader", "–")
    assert row["LV"] == pytest.approx(0.91)


@pytest.mark.slow  # trains four tiny networks and draws four figures
def test_the_page_begins_with_the_answer(data, setup, tmp_path):  # noqa: F811
    for subject in ("s5", "s6"):
        folder = tmp_path / "reader" / subject
        folder.mkdir(parents=True)
        (folder / "sa_seg.nii.gz").write_bytes((data / subject / "truth.nii.gz").read_bytes())
    out = tmp_path / "out"
    report = experiments.subsets(data, out, setup=setup(reader=tmp_path / "reader"))
    names = {"planning.csv", "gain.csv", "reader.csv", "runs.csv", "curves.csv", "train_log_combined.csv"}
    names |= {"planning.png", "fig5.png", "fig6.png", "fig6_raw.png"}
    assert names <= {path.name for path in out.iterdir()}
    page = (out / "report.html").read_text(encoding="utf-8")
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert titles[:3] == ["How many subjects to contour", "Dice of the test subjects", "What transfer gains"]
    assert page.index(report.answer.sentence.split(",")[0]) < page.index(titles[0])
    assert "second reader" in page
    assert "Per 2D image, all images alike" in page
    assert "TrainOptions(" not in page
