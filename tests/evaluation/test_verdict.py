"""Adopt a fine-tuned model, or keep its base."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cmrseg.evaluation.verdict import compare, verdict


def evaluation(scores):
    """Dice by (subject, frame, structure)."""
    rows = [(*key, "dice", value) for key, value in scores.items()]
    table = pd.DataFrame(rows, columns=["subject", "frame", "structure", "metric", "value"])
    return SimpleNamespace(metrics=table)


def changed(changes, on="test"):
    """Subjects that score 0.8 before."""
    before = {(f"s{n}", "1", "LV"): 0.8 for n in range(len(changes))}
    after = {(f"s{n}", "1", "LV"): 0.8 + change for n, change in enumerate(changes)}
    return compare(evaluation(before), evaluation(after), on=on)


def test_a_change_is_the_mean_over_structures_and_frames_of_a_subject():
    before = {("a", "1", "LV"): 0.8, ("a", "1", "RV"): 0.6, ("a", "9", "LV"): 0.7}
    after = {("a", "1", "LV"): 0.9, ("a", "1", "RV"): 0.9, ("a", "9", "LV"): 0.6}
    change = compare(evaluation(before), evaluation(after), on="test")
    assert change.subjects[["before", "after", "change"]].to_numpy() == pytest.approx(
        np.array([[0.7, 0.8, 0.1]])
    )


def test_what_only_one_model_scored_is_left_out():
    before = {("a", "1", "LV"): 0.8, ("a", "1", "RV"): 0.1, ("b", "1", "LV"): 0.5}
    after = {("a", "1", "LV"): 0.9, ("c", "1", "LV"): 0.9}
    assert compare(evaluation(before), evaluation(after), on="test").mean == pytest.approx(0.1)


def test_the_interval_is_that_of_the_mean():
    changes = np.random.default_rng(0).normal(0.05, 0.04, 60)
    change = changed(changes)
    half = 1.96 * changes.std() / np.sqrt(60)
    assert (change.low, change.high) == pytest.approx(
        (changes.mean() - half, changes.mean() + half), abs=2e-3
    )


def test_a_rise_in_enough_subjects_is_adopted_without_a_doubt():
    found = verdict(changed([0.05, 0.04, 0.06, 0.05, 0.03, 0.07, 0.05, 0.05, 0.04, -0.01, 0.05, 0.06]), "old")
    assert found.adopt
    assert found.text.startswith(
        "Adopt the fine-tuned model: mean Dice of 12 test subjects 0.800 to 0.845 (+0.045"
    )
    assert found.text.endswith("1 got worse.")


def test_a_fall_keeps_the_base():
    found = verdict(changed([-0.05, -0.04, -0.06] * 4), "old")
    assert not found.adopt
    assert found.text.startswith("Keep the base old: ")
    assert "no proof" not in found.text


@pytest.mark.parametrize(
    ("changes", "chose", "reason"),
    [
        ([0.05] * 3, False, "fewer than 10 subjects."),
        ([0.05, -0.05] * 5 + [0.01], False, "the interval holds 0."),
        ([0.05] * 12, True, "these subjects chose the epoch."),
        ([0.05], True, "fewer than 10 subjects, and these subjects chose the epoch."),
    ],
)
def test_what_is_no_proof_is_said(changes, chose, reason):
    assert verdict(changed(changes), "old", chose_the_epoch=chose).text.endswith(
        f"This is no proof: {reason}"
    )


def test_what_was_forgotten_elsewhere_is_said():
    there = changed([-0.03, -0.02], on="acdc")
    found = verdict(changed([0.05] * 12), "old", elsewhere=there)
    assert found.adopt
    assert "It has forgotten: there, mean Dice of 2 acdc subjects 0.800 to 0.775" in found.text
    assert found.text.endswith("for such images use old.")
    assert found.table["on"].tolist() == ["test"] * 12 + ["acdc"] * 2


def test_nothing_forgotten():
    there = changed([0.0, -0.005], on="acdc")
    assert "Elsewhere, mean Dice of 2 acdc subjects" in verdict(changed([0.1]), "old", elsewhere=there).text


def test_without_subjects_the_base_stays():
    found = verdict(changed([]), "old")
    assert (found.adopt, found.text) == (False, "Keep the base old: no test subject was scored.")
