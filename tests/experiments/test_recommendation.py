"""The sentences of a study, one test per answer it can give."""

import numpy as np
import pandas as pd
import pytest

from cmrseg.experiments.recommendation import recommendation
from cmrseg.problems import DataError

SPREAD = {n: (-0.02, -0.01, 0.01, 0.02) * (n // 4) for n in (4, 8, 12)} | {1: (0.0,)}
SIZES = {"": (0, 0), "v1": (1, 20), "v3": (3, 60), "v6": (6, 120), "full": (12, 240),
         "r3": (12, 60), "esed": (12, 48)}  # fmt: skip


def scores(levels, *, n=8, seeds=2):
    """Runs whose mean Dice is a level; LV is 0.02 above it, MYO 0.02 below."""
    rows = [
        (start, subset, *SIZES[subset], seed, f"p{i}", structure, level + above + spread)
        for (start, subset), level in levels.items()
        for seed in range(seeds)
        for structure, above in (("LV", 0.02), ("MYO", -0.02), ("RV", 0.0))
        for i, spread in enumerate(SPREAD[n])
    ]
    columns = ["start", "subset", "subjects", "images", "seed", "subject", "structure", "dice"]
    return pd.DataFrame(rows, columns=columns)


LEVELS = {
    ("base", ""): 0.75,
    ("R", "v1"): 0.50, ("R", "v3"): 0.67, ("R", "v6"): 0.80, ("R", "full"): 0.86,
    ("TL2", "v1"): 0.80, ("TL2", "v3"): 0.88, ("TL2", "v6"): 0.882, ("TL2", "full"): 0.886,
}  # fmt: skip


def test_few_subjects_are_enough():
    found = recommendation(scores(LEVELS))
    assert (found.subjects, found.full, found.start) == (3, 12, "TL2")
    assert found.sentence == (
        "Contour 3 subjects: with TL2 the expected Dice is LV 0.90, MYO 0.86, RV 0.88 (mean 0.880, 95 % CI "
        "0.869 to 0.891 over 8 test subjects), within 0.006 of the full set of 12."
    )
    assert found.dice == pytest.approx({"LV": 0.9, "MYO": 0.86, "RV": 0.88})
    assert found.behind.value == pytest.approx(0.006)


@pytest.mark.parametrize(("n", "rough"), [(8, True), (12, False)])
def test_intervals_over_few_test_subjects_are_called_rough(n, rough):
    caveat = recommendation(scores(LEVELS, n=n)).caveat
    assert ("no proof" in caveat) == rough
    assert bool(caveat) == rough


def test_transfer_gains():
    found = recommendation(scores(LEVELS))
    assert found.gain_sentence == (
        "With 3 subjects transfer (TL2) gains 0.210 (95 % CI 0.210 to 0.210) over random weights. "
        "With 1 subject transfer (TL2) gains 0.300 (95 % CI 0.300 to 0.300) over random weights. "
        "With 3 subjects TL2 gains 0.130 (95 % CI 0.130 to 0.130) over the base model as it is."
    )


def test_all_larger_sets_must_do_as_well():
    found = recommendation(scores({**LEVELS, ("TL2", "v6"): 0.87}))
    assert found.subjects == 12


def test_dice_still_rises():
    found = recommendation(scores({**LEVELS, ("TL2", "full"): 0.92}))
    assert found.subjects == 12
    assert found.sentence.startswith("Contour all 12 subjects: with TL2")
    assert found.sentence.endswith(
        "Dice still rises by 0.038 (95 % CI 0.038 to 0.038) from 6 to 12 subjects: expect more from "
        "further subjects."
    )


def test_a_rise_that_may_be_chance_promises_nothing():
    table = scores({("TL2", "v6"): 0.8, ("TL2", "full"): 0.82})
    lucky = (table["subset"] == "full") & (table["subject"] == "p0")
    table.loc[table["subset"] == "full", "dice"] -= 0.02
    table.loc[lucky, "dice"] += 0.12  # one subject makes the whole rise of 0.015
    found = recommendation(table)
    assert found.behind.value == 0
    assert found.sentence.endswith("further subjects may help.")


def test_the_base_model_is_enough():
    found = recommendation(scores({**LEVELS, ("base", ""): 0.88}))
    assert (found.subjects, found.start, found.gain) == (0, "base", None)
    assert found.sentence.startswith(
        "Contour nothing for training: with the base model as it is the expected"
    )
    assert found.sentence.endswith("within 0.006 of the full set of 12.")
    assert found.gain_sentence.startswith(
        "Training on all 12 (TL2) changes the mean by +0.006 (95 % CI +0.006 to +0.006). With 1 subject"
    )


def test_a_base_model_that_is_better_is_told_so():
    found = recommendation(scores({**LEVELS, ("base", ""): 0.9}))
    assert found.sentence.endswith("no worse than the full set of 12.")


def test_one_size_says_nothing_about_fewer():
    found = recommendation(scores({("R", "full"): 0.8, ("TL2", "full"): 0.9}))
    assert found.sentence.startswith(
        "Only one size was studied, 12 subjects, so whether fewer would do is not"
    )


def test_random_weights_that_do_as_well():
    table = scores({(s, n): 0.88 for s in ("R", "TL2") for n in ("v1", "full")})
    table.loc[(table["start"] == "TL2") & (table["subject"] == "p0"), "dice"] += 0.001
    found = recommendation(table)
    assert found.gain_sentence == (
        "With 1 subject transfer (TL2) is not clearly different from random weights: "
        "+0.000 (95 % CI +0.000 to +0.000)."
    )


def test_transfer_that_harms_is_told():
    found = recommendation(
        scores({**{("R", n): 0.88 for n in ("v1", "full")}, ("TL2", "v1"): 0.8, ("TL2", "full"): 0.8})
    )
    assert found.start == "R"
    assert "transfer (TL2) loses 0.080 (95 % CI 0.080 to 0.080) against random weights" in found.gain_sentence


def test_the_start_that_needs_least_wins_and_the_best_full_set_is_named():
    found = recommendation(scores({**LEVELS, ("R", "full"): 0.889}))
    assert (found.subjects, found.start) == (3, "TL2")
    assert found.sentence.endswith("within 0.009 of the full set of 12 with R.")


def test_images_from_all_subjects_may_be_fewer():
    found = recommendation(scores({**LEVELS, ("TL2", "r3"): 0.89, ("TL2", "esed"): 0.884}))
    assert found.alternative_sentence == (
        "Spread over 12 subjects, 48 ED and ES images with TL2 reach a mean of 0.884 (95 % CI 0.873 to "
        "0.895); 3 subjects contoured whole have 60."
    )


def test_spread_images_that_are_as_many_are_not_mentioned():
    assert recommendation(scores({**LEVELS, ("TL2", "r3"): 0.89})).alternative_sentence == ""


def test_one_test_subject_allows_no_interval():
    found = recommendation(scores(LEVELS, n=1))
    assert "(mean 0.880 in the only test subject)" in found.sentence
    assert "transfer (TL2) differs by +0.210 from random weights" in found.gain_sentence
    assert "CI" not in found.text
    assert found.caveat == "One test subject allows no interval."


def test_one_seed_is_told():
    assert "with one seed" in recommendation(scores(LEVELS, seeds=1)).caveat


def test_a_difference_that_may_be_larger_is_told():
    table = scores(LEVELS)
    table.loc[(table["subset"] == "v3") & (table["subject"] == "p0"), "dice"] -= 0.05
    found = recommendation(table, within=0.02)
    assert found.subjects == 3
    assert "more than 0.02 is not ruled out" in found.caveat


def test_the_text_is_all_sentences():
    found = recommendation(scores(LEVELS, n=4))
    assert found.text == f"{found.sentence} {found.gain_sentence} {found.caveat}"


def test_whole_subjects_are_needed():
    with pytest.raises(DataError, match="no run was trained on whole subjects"):
        recommendation(scores({("base", ""): 0.7, ("TL2", "r3"): 0.8}))


@pytest.mark.parametrize("within", [-0.1, np.nan])
def test_a_negative_tolerance_is_refused(within):
    with pytest.raises(ValueError, match="within must not be negative"):
        recommendation(scores(LEVELS), within=within)
