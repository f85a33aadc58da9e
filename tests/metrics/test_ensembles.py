"""All subsets, against looking at each by hand."""

from itertools import combinations

import numpy as np
import pytest

from cmrseg.metrics.ensembles import best_of_means, best_of_votes


def by_hand(members, error_of):
    """Best subset and least error of every size, one after the other."""
    found = {
        chosen: error_of(list(chosen))
        for size in range(1, members + 1)
        for chosen in combinations(range(members), size)
    }
    least = min(found.values())
    best = min((m for m, e in found.items() if e <= least + 1e-12), key=lambda m: (len(m), m))
    sizes = [min(e for m, e in found.items() if len(m) == size) for size in range(1, members + 1)]
    return best, least, sizes


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("members", [1, 2, 7])
def test_means_are_those_of_brute_force(members, seed):
    rng = np.random.default_rng(seed)
    true = rng.normal(50, 20, 60)
    predicted = true + rng.normal(rng.normal(0, 3, (members, 1)), 5, (members, 60))
    best, least, sizes = by_hand(members, lambda m: np.abs(predicted[m].mean(0) - true).mean())
    found = best_of_means(predicted, true)
    assert found.members == best
    assert found.error == pytest.approx(least)
    assert found.by_size == pytest.approx(sizes)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("members", [1, 3, 7])
def test_votes_are_those_of_brute_force(members, seed):
    rng = np.random.default_rng(seed)
    true = rng.random(80) < 0.4
    probabilities = np.clip(true * 0.4 + 0.3 + rng.normal(0, 0.3, (members, 80)), 0, 1).round(1)
    best, least, sizes = by_hand(members, lambda m: np.mean((probabilities[m].mean(0) >= 0.5 - 1e-9) != true))
    found = best_of_votes(probabilities, true)
    assert found.members == best
    assert found.error == pytest.approx(least)
    assert found.by_size == pytest.approx(sizes)


def test_errors_that_cancel_are_found():
    true = np.zeros(10)
    predicted = np.array([np.full(10, 3.0), np.full(10, 1.5), np.full(10, -3.0)])
    found = best_of_means(predicted, true)
    assert (found.members, found.error) == ((0, 2), 0)
    assert found.by_size == (1.5, 0, 0.5)


def test_of_equals_the_smallest_is_taken():
    assert best_of_means(np.ones((4, 3)), np.zeros(3)).members == (0,)


@pytest.mark.parametrize(
    ("predicted", "told"),
    [
        (np.ones((21, 2)), "got 21"),
        (np.ones((2, 0)), "every member must answer"),
        (np.array([[1.0, np.nan]]), "every member must answer"),
    ],
    ids=["too many", "no value", "a gap"],
)
def test_what_cannot_be_searched_is_refused(predicted, told):
    with pytest.raises(ValueError, match=told):
        best_of_means(predicted, np.zeros(predicted.shape[1]))
