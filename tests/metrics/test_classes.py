"""Precision and recall of classes."""

import numpy as np
import pytest

from cmrseg.metrics.classes import class_table, weighted_scores


def test_scores_are_those_of_a_count_by_hand():
    counts = np.array([[3, 1, 0], [0, 4, 2], [0, 0, 0]])  # the third class never occurs
    table = class_table(counts, ["a", "b", "c"]).set_index("class")
    assert table["n"].tolist() == [4, 6, 0, 10]
    assert table["predicted"].tolist() == [3, 5, 2, 10]
    assert table["precision"].tolist() == pytest.approx([1, 4 / 5, 0, (4 * 1 + 6 * 0.8) / 10])
    assert table["recall"].tolist() == pytest.approx([3 / 4, 4 / 6, np.nan, 7 / 10], nan_ok=True)


def test_the_weighted_recall_is_the_share_of_right_answers():
    counts = np.random.default_rng(0).integers(0, 9, (4, 4))
    assert weighted_scores(counts)[1] == pytest.approx(np.trace(counts) / counts.sum())


def test_nothing_counted_is_unknown():
    assert np.isnan(weighted_scores(np.zeros((4, 4), int))).all()


def test_a_name_for_every_class():
    with pytest.raises(ValueError, match=r"counts must be \(1, 1\), one row per name, got \(2, 2\)"):
        class_table(np.eye(2, dtype=int), ["a"])
