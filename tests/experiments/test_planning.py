"""Bootstrap intervals against closed forms, and what is paired with what."""

import numpy as np
import pandas as pd
import pytest

from cmrseg.experiments.planning import gain_table, intervals, is_whole, planning_table, reader_table
from cmrseg.problems import DataError


def run(start, subset, dice, *, subjects=12, images=240, seed=0):
    """Scores of one run: ``dice`` by structure, a list over the test subjects p0, p1, ..."""
    rows = [(f"p{i}", s, v) for s, values in dice.items() for i, v in enumerate(values)]
    table = pd.DataFrame(rows, columns=["subject", "structure", "dice"])
    return table.assign(start=start, subset=subset, subjects=subjects, images=images, seed=seed)


def study(*runs):
    return pd.concat(runs, ignore_index=True)


def row(table, **key):
    chosen = table[np.logical_and.reduce([table[k] == v for k, v in key.items()])]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_interval_of_a_constant_is_the_constant():
    found = row(planning_table(run("R", "full", {"LV": [0.8] * 5})), structure="LV")
    assert found[["mean", "low", "high"]].tolist() == pytest.approx([0.8] * 3)


def test_interval_of_two_subjects_spans_both():
    # The mean of a sample is 0.6, 0.7 or 0.8 with probability 1/4, 1/2, 1/4: both ends have more than 2.5 %.
    found = row(planning_table(run("R", "full", {"LV": [0.6, 0.8]})), structure="LV")
    assert found[["mean", "low", "high"]].tolist() == pytest.approx([0.7, 0.6, 0.8])


def test_interval_of_many_subjects_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(0.8, 0.03, 200)
    found = row(planning_table(run("R", "full", {"LV": values})), structure="LV")
    half = 1.96 * values.std() / np.sqrt(200)
    assert found["low"] == pytest.approx(values.mean() - half, abs=2e-4)
    assert found["high"] == pytest.approx(values.mean() + half, abs=2e-4)


@pytest.mark.parametrize(("n", "low", "high"), [(4, 0.15, 0.25), (10, 0.07, 0.13), (40, 0.03, 0.08)])
def test_intervals_over_few_subjects_exclude_the_truth_too_often(n, low, high):
    # Which is why `recommendation` calls them no proof below ten subjects.
    values = pd.DataFrame(np.random.default_rng(0).normal(size=(2000, n)))
    found = intervals(values, resamples=1000, seed=0)
    assert low < ((found["low"] > 0) | (found["high"] < 0)).mean() < high


def test_per_image_all_images_count_alike():
    lv, myo = (run("R", "full", {name: [0.6, 0.9]}) for name in ("LV", "MYO"))
    scores = study(lv.assign(dice_image=[0.5, 1.0]), myo.assign(dice_image=[0.4, 0.4]))
    table = planning_table(scores.assign(test_images=[30, 10, 30, 10]))
    found = table.set_index("structure")["dice_image"]
    assert found[["LV", "MYO", "mean"]].tolist() == pytest.approx([25 / 40, 0.4, (25 / 40 + 0.4) / 2])


def test_scores_of_an_earlier_version_have_no_dice_per_image():
    assert planning_table(run("R", "full", {"LV": [0.6, 0.8]}))["dice_image"].isna().all()


def test_one_subject_has_no_interval():
    found = row(planning_table(run("R", "full", {"LV": [0.6]})), structure="LV")
    assert found["mean"] == 0.6
    assert np.isnan([found["low"], found["high"]]).all()


def test_seeds_are_averaged_before_subjects_and_their_range_is_told():
    scores = study(run("R", "v3", {"LV": [0.5, 0.7]}), run("R", "v3", {"LV": [0.7, 0.7]}, seed=1))
    found = row(planning_table(scores), structure="LV")
    told = found[["n_test", "n_seeds", "mean", "seed_low", "seed_high"]].tolist()
    assert told == pytest.approx([2, 2, 0.65, 0.6, 0.7])
    assert found["low"] == pytest.approx(0.6)  # of the subject's mean over seeds, not of its worst seed


def test_mean_is_over_the_structures():
    scores = run("R", "full", {"LV": [0.9, 0.9], "MYO": [0.7, 0.7], "RV": [0.8, 0.8]})
    assert row(planning_table(scores), structure="mean")["mean"] == pytest.approx(0.8)


def test_means_over_different_structures_are_not_compared():
    same = {"LV": [0.9, 0.9], "MYO": [0.8, 0.8], "RV": [0.7, 0.7]}
    gaps = {**same, "RV": [np.nan, 0.7]}
    table = gain_table(study(run("R", "full", same), run("TL2", "full", gaps)), resamples=100)
    assert row(table, structure="mean")[["n_test", "gain"]].tolist() == [1, 0.0]


def test_a_missing_dice_is_left_out():
    found = row(planning_table(run("R", "full", {"LV": [0.6, np.nan, 0.8]})), structure="LV")
    assert (found["n_test"], found["mean"]) == (2, pytest.approx(0.7))
    assert found["low"] == pytest.approx(0.6)


def test_images_are_averaged_where_seeds_drew_other_subjects():
    scores = study(run("R", "v1", {"LV": [0.5]}, images=20), run("R", "v1", {"LV": [0.5]}, images=24, seed=1))
    assert planning_table(scores)["images"].tolist() == [22, 22]


def test_rows_go_from_base_to_tl2_and_from_few_subjects_to_all():
    one = {"LV": [0.5, 0.6]}
    scores = study(
        run("TL2", "full", one), run("TL2", "r6", one, images=120), run("TL2", "v6", one, images=120),
        run("R", "full", one), run("base", "", one, subjects=0, images=0),
    )  # fmt: skip
    table = planning_table(scores)
    order = table.loc[table["structure"] == "LV", ["start", "subset"]].to_numpy().tolist()
    assert order == [["base", ""], ["R", "full"], ["TL2", "v6"], ["TL2", "full"], ["TL2", "r6"]]


def test_equal_seeds_give_equal_intervals():
    scores = run("R", "full", {"LV": np.linspace(0.5, 0.9, 7)})
    first, second, other = (planning_table(scores, seed=s, resamples=200) for s in (3, 3, 4))
    pd.testing.assert_frame_equal(first, second)
    assert (first["low"] != other["low"]).any()


def test_gain_of_a_constant_shift_is_certain():
    spread = np.array([0.3, 0.5, 0.8, 0.6])
    scores = study(run("R", "v3", {"LV": spread}), run("TL2", "v3", {"LV": spread + 0.1}))
    found = row(gain_table(scores), structure="LV")
    assert found[["start", "over", "subset"]].tolist() == ["TL2", "R", "v3"]
    assert found[["gain", "low", "high"]].tolist() == pytest.approx([0.1] * 3)


def test_gain_over_the_base_model_is_told_for_every_set():
    scores = study(
        run("base", "", {"LV": [0.7, 0.8]}, subjects=0, images=0),
        run("TL2", "v1", {"LV": [0.8, 0.9]}, subjects=1, images=20),
        run("TL2", "full", {"LV": [0.9, 1.0]}),
    )
    table = gain_table(scores)
    assert row(table, structure="LV", subset="v1")["gain"] == pytest.approx(0.1)
    assert row(table, structure="LV", subset="full")["gain"] == pytest.approx(0.2)


def test_gain_is_told_only_where_both_starts_ran():
    scores = study(run("R", "full", {"LV": [0.7]}), run("TL2", "full", {"LV": [0.8]}),
                   run("TL2", "v3", {"LV": [0.8]}))  # fmt: skip
    assert set(gain_table(scores)["subset"]) == {"full"}


def test_one_start_gains_over_nothing():
    table = gain_table(run("R", "full", {"LV": [0.7, 0.8]}))
    assert table.empty
    assert "gain" in table


def test_reader_has_an_interval_of_its_own():
    reader = run("", "", {"LV": [0.9, 0.94]})[["subject", "structure", "dice"]]
    found = row(reader_table(reader), structure="LV")
    assert found[["start", "mean", "low", "high"]].tolist() == [
        "reader",
        *map(pytest.approx, (0.92, 0.9, 0.94)),
    ]


def test_an_empty_subset_survives_a_file(tmp_path):
    run("base", "", {"LV": [0.7, 0.8]}, subjects=0, images=0).to_csv(tmp_path / "scores.csv", index=False)
    assert planning_table(pd.read_csv(tmp_path / "scores.csv"))["subset"].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (run("R", "full", {"LV": [0.7]}).drop(columns="seed"), "lack the column seed"),
        (run("R", "full", {"LV": [0.7]}).iloc[:0], "hold no row"),
        (study(*[run("R", "full", {"LV": [0.7]})] * 2), "R, full, 0, p0, LV more than once"),
    ],
)
def test_bad_scores_are_refused(scores, told):
    with pytest.raises(DataError, match=told):
        planning_table(scores)


@pytest.mark.parametrize(
    ("subset", "whole"), [("full", True), ("v12", True), ("r6", False), ("esed", False), ("", False)]
)
def test_sets_of_whole_subjects(subset, whole):
    assert is_whole(subset) is whole
