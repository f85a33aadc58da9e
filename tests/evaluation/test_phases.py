"""The poster's table and the clinical parameters against what volumes of known Dice and distance give."""

import math

import numpy as np
import pandas as pd
import pytest

from cmrseg.evaluation import Evaluation
from cmrseg.evaluation.phases import clinical_table, phase_table, phase_values, poster_table

PLACES = [(s, f) for s in ("a", "b") for f in (0, 5)]


@pytest.fixture
def evaluation():
    """Two subjects with a frame at ED, one at ES and one between; the RV of b is missed at ES."""
    rows = []
    for subject, frame in [*PLACES, ("a", 3)]:
        for structure in ("LV", "RV", "MYO"):
            missed = (subject, frame, structure) == ("b", 5, "RV")
            dice = 0.0 if missed else 0.9 + 0.01 * frame + (0.02 if subject == "b" else 0)
            rows += [(subject, frame, structure, "dice", dice, "1")]
            rows += [(subject, frame, structure, "hd", math.nan if missed else 10.0 + frame, "mm")]
            rows += [(subject, frame, structure, "assd", 1.0, "mm")]
    metrics = pd.DataFrame(rows, columns=["subject", "frame", "structure", "metric", "value", "unit"])
    phase = {0: "ED", 5: "ES", 3: ""}
    images = pd.DataFrame(
        [(s, f, phase[f]) for s, f in [*PLACES, ("a", 3)]], columns=["subject", "frame", "phase"]
    )
    return Evaluation(metrics, pd.DataFrame(), [], pd.DataFrame(), images)


def test_only_end_diastole_and_end_systole_are_taken_each_with_its_spread(evaluation):
    table = phase_table(phase_values(evaluation)).set_index(["metric", "structure", "phase"])
    assert list(dict.fromkeys(table.index.get_level_values("structure"))) == ["LV", "RV", "MYO"]
    assert table.loc[("dice", "LV", "ED"), ["mean", "n", "volumes", "missed"]].tolist() == pytest.approx(
        [0.91, 2, 2, 0]
    )
    assert table.loc[("dice", "LV", "ED"), "sd"] == pytest.approx(0.02 / math.sqrt(2))


def test_a_missed_structure_has_no_distance_and_is_counted(evaluation):
    table = phase_table(phase_values(evaluation)).set_index(["metric", "structure", "phase"])
    assert table.loc[("hd", "RV", "ES"), ["mean", "n", "volumes", "missed"]].tolist() == [15.0, 1, 2, 1]
    assert table.loc[("dice", "RV", "ES"), ["n", "missed"]].tolist() == [2, 1]
    assert table.loc[("dice", "RV", "ES"), "mean"] == pytest.approx(0.95 / 2)


def test_the_posters_layout_is_dice_and_then_distance_of_lv_rv_and_myo(evaluation):
    table = poster_table({"ours": phase_table(phase_values(evaluation))})
    assert table.columns[:5].tolist() == ["method", "Dice LV ED", "Dice LV ES", "Dice RV ED", "Dice RV ES"]
    assert table.columns[-3:].tolist() == ["HD MYO ED", "HD MYO ES", "volumes"]
    assert table.loc[0, ["Dice LV ED", "HD LV ED", "HD RV ES", "volumes"]].tolist() == [
        "0.910",
        "10.0",
        "15.0 (1)",
        2,
    ]


def test_a_line_through_the_truth_has_its_closed_form():
    true = np.array([100.0, 120.0, 140.0, 200.0])
    error = np.array([1.0, 3.0, 1.0, 3.0])
    rows = [("s", "val", "LV", "EDV", t, t + e, "ml") for t, e in zip(true, error, strict=True)]
    columns = ["subject", "split", "structure", "measure", "true", "predicted", "unit"]
    (row,) = clinical_table(
        pd.DataFrame([*rows, ("s", "val", "LV", "EDV", 1.0, math.nan, "ml")], columns=columns)
    ).itertuples()
    sd = math.sqrt(4 / 3)
    assert (row.measure, row.n, row.bias, row.mean_abs_error) == ("EDV", 4, 2.0, 2.0)
    assert (row.sd, row.lower, row.upper) == pytest.approx((sd, 2 - 1.959964 * sd, 2 + 1.959964 * sd))
    assert row.correlation == pytest.approx(np.corrcoef(true, true + error)[0, 1])


def test_a_single_subject_has_no_correlation_and_nobody_no_row():
    columns = ["subject", "split", "structure", "measure", "true", "predicted", "unit"]
    one = pd.DataFrame([("s", "val", "MYO", "mass", 100.0, 90.0, "g")], columns=columns)
    (row,) = clinical_table(one).itertuples()
    assert math.isnan(row.correlation)
    assert row.bias == -10
    assert clinical_table(one.iloc[:0]).empty
