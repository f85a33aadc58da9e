"""The best of all ensembles: the subset of answers whose mean has the least error, by looking at every one.

Notes
-----
The error of a mean is the mean of the errors, so that a subset's error in a value is the sum of its members'
over their number. Sums of the first and of the second half of the members are made once, ``2 ** (n / 2)``
each; the sum of absolute errors of every subset is then the distance of one from the negative of the other in
the city-block metric, which a matrix of distances gives at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

MOST_MEMBERS = 20  # a million subsets
_NEAR = 1e-4  # single precision tells errors apart that differ by more
_CANDIDATES = 500
_TIE = 1e-9


@dataclass(frozen=True)
class BestSubsets:
    """What a search among all subsets found.

    Attributes
    ----------
    members
        Positions of the members of the best subset; of equals the smallest, then that of the first members.
    error
        Its error.
    by_size
        Least error of 1, 2, ... members.
    """

    members: tuple[int, ...]
    error: float
    by_size: tuple[float, ...]


def best_of_means(
    predicted: Float[np.ndarray, "n values"], true: Float[np.ndarray, " values"]
) -> BestSubsets:
    """The subset whose mean prediction has the least mean absolute error.

    Parameters
    ----------
    predicted
        One row per member, at most `MOST_MEMBERS`.
    true
        True values.

    Raises
    ------
    ValueError
        If there are too many members, no value, or one is no number.

    References
    ----------
    Gessert and Schlaefer, STACOM (2019), 2.2 (Ensembling).
    """
    import torch

    residuals = np.asarray(predicted, np.float64) - np.asarray(true, np.float64)
    low, high = (torch.from_numpy(half.astype(np.float32)) for half in _sums_of_halves(residuals))
    totals = torch.cdist(high, -low, p=1).numpy().ravel() / residuals.shape[1]
    return _best(totals, len(residuals), lambda chosen: np.abs(residuals[chosen].mean(axis=0)).mean())


def best_of_votes(
    probabilities: Float[np.ndarray, "n values"], true: Bool[np.ndarray, " values"]
) -> BestSubsets:
    """The subset whose mean probability is least often on the wrong side of a half; a half itself is yes.

    Parameters
    ----------
    probabilities
        One row per member, at most `MOST_MEMBERS`.
    true
        Yes or no.

    Raises
    ------
    ValueError
        If there are too many members, no value, or one is no number.
    """
    margins, true = np.asarray(probabilities, np.float64) - 0.5, np.asarray(true, bool)
    low, high = _sums_of_halves(margins)
    wrong = np.concatenate([np.count_nonzero((low + row >= -_TIE) != true, axis=1) for row in high])
    sizes = np.maximum(_sizes(len(margins)), 1)

    def exactly(chosen: np.ndarray) -> float:
        return float(np.mean((margins[chosen].mean(axis=0) >= -_TIE) != true))

    return _best(wrong * sizes / true.size, len(margins), exactly)


def _sums_of_halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of all subsets of the first and of the other members, ``(2 ** k, values)``."""
    members, n = values.shape
    if not 1 <= members <= MOST_MEMBERS:
        raise ValueError(f"all subsets of 1 to {MOST_MEMBERS} members can be looked at, got {members}")
    if not n or not np.isfinite(values).all():
        raise ValueError("every member must answer every value, and there must be one")
    sums = []
    for half in (values[: members // 2], values[members // 2 :]):
        table = np.zeros((1, n))
        for row in half:
            table = np.concatenate([table, table + row])
        sums.append(table)
    return sums[0], sums[1]


def _sizes(members: int) -> np.ndarray:
    """Number of members of every subset, whose number has a bit for each."""
    sizes = np.zeros(1, np.int64)
    for _ in range(members):
        sizes = np.concatenate([sizes, sizes + 1])
    return sizes


def _best(totals: np.ndarray, members: int, exactly: Callable[[np.ndarray], float]) -> BestSubsets:
    """The best subset by the sums of its members' errors; near ones are looked at again in full precision."""
    sizes = _sizes(members)
    errors = totals / np.maximum(sizes, 1)
    errors[0] = np.inf  # nobody
    near = np.flatnonzero(errors <= errors.min() * (1 + _NEAR))
    near = near[np.lexsort((sizes[near], errors[near]))][:_CANDIDATES]
    tried = [_members(int(number), members) for number in near]
    again = {each: exactly(np.array(each)) for each in tried}
    least = min(again.values())
    chosen = min((m for m, error in again.items() if error <= least + _TIE), key=lambda m: (len(m), m))
    firsts = [np.flatnonzero(sizes == size) for size in range(1, members + 1)]
    best = [_members(int(of_size[errors[of_size].argmin()]), members) for of_size in firsts]
    return BestSubsets(chosen, again[chosen], tuple(exactly(np.array(each)) for each in best))


def _members(number: int, members: int) -> tuple[int, ...]:
    """Members of a subset by its number."""
    return tuple(place for place in range(members) if number >> place & 1)
