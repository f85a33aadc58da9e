"""The report on a training run."""

import json

import numpy as np
import pandas as pd
import pytest

from cmrseg.problems import DataError
from cmrseg.report.write import write
from cmrseg.training.report import before_after_table, best_epoch, training_report

HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "images_seen": [10, 20, 30],
        "stage": ["frozen", "all", "all"],
        "lr": [1e-3, 1e-4, 1e-5],
        "train_loss": [3.0, 2.0, 1.0],
        "valid_loss": [3.0, 1.0, 2.0],
        "dice_LV": [0.5, 0.9, 0.8],
        "dice_MYO": [0.5, 0.7, 0.8],
        "dice_RV": [np.nan] * 3,
        "seconds": [60.0, 60.0, 60.0],
    }
)


@pytest.fixture
def run(tmp_path):
    HISTORY.to_csv(tmp_path / "history.csv", index=False)
    (tmp_path / "config.json").write_text(json.dumps({"recipe": "r34_CE_p5_s2", "data": {"path": "/d"}}))
    return tmp_path


def summary(dice):
    row = ("all", "LV", "dice", dice, 0.1, dice, 0.1, 4, "1")
    return pd.DataFrame(
        [row], columns=["group", "structure", "metric", "mean", "sd", "median", "iqr", "n", "unit"]
    )


def test_report_names_recipe_best_epoch_and_data(run):
    text = write(training_report(run), run).read_text(encoding="utf-8")
    assert "Training of r34_CE_p5_s2" in text
    assert "3 epochs in 3.0 minutes; best validation Dice (epoch 1): LV 0.900, MYO 0.700." in text
    assert "data.path" in text


def test_report_says_which_epoch_became_the_model(run):
    text = write(training_report(run), run).read_text(encoding="utf-8")
    assert "best validation Dice, which is our choice; the paper takes the last epoch" in text
    (run / "config.json").write_text(json.dumps({"recipe": "r34_CE_p5_s2", "weights": "last"}))
    text = write(training_report(run), run).read_text(encoding="utf-8")
    assert (
        "of the last epoch: LV 0.800, MYO 0.800. The model is that of the last epoch, as in the paper."
        in text
    )


def test_tables_are_shown_under_their_captions(run):
    table = before_after_table(summary(0.8), summary(0.9))
    page = write(training_report(run, tables={"Before and after": table}), run)
    assert "Before and after" in page.read_text("utf-8")


def test_before_after_is_a_difference_of_means():
    (row,) = before_after_table(summary(0.8), summary(0.9)).itertuples()
    assert (row.structure, row.metric, row.before, row.after) == ("LV", "dice", 0.8, 0.9)
    assert row.change == pytest.approx(0.1)


def test_best_epoch_is_by_dice_then_by_loss():
    assert best_epoch(HISTORY)["epoch"] == 1
    without = HISTORY.drop(columns=["dice_LV", "dice_MYO", "dice_RV"])
    assert best_epoch(without)["epoch"] == 1
    assert best_epoch(without.drop(columns="valid_loss"))["epoch"] == 2


def test_a_folder_without_history_is_explained(tmp_path):
    with pytest.raises(DataError, match=r"history\.csv does not exist"):
        training_report(tmp_path)


def test_an_empty_history_is_explained(run):
    HISTORY.iloc[:0].to_csv(run / "history.csv", index=False)
    with pytest.raises(DataError, match="holds no epoch"):
        training_report(run)


def test_a_damaged_configuration_is_explained(run):
    (run / "config.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        training_report(run)
