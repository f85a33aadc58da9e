"""The answer of a transfer-learning study: how many subjects to contour, in numbers and in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from cmrseg.data.subsets import ESED
from cmrseg.experiments.planning import (
    BASE,
    MEAN,
    RESAMPLES,
    by_subject,
    intervals,
    is_whole,
    ordered_starts,
    planning_table,
    with_mean,
)
from cmrseg.metrics.agreement import Interval
from cmrseg.problems import DataError

WITHIN = 0.01
ROUGH_BELOW = 10  # test subjects
_RANDOM = "R"
_SPREAD = rf"r\d+|(r_)?{ESED}"  # images from all subjects


@dataclass(frozen=True)
class Recommendation:
    """How many subjects to contour.

    Attributes
    ----------
    subjects, full
        Recommended number of training subjects (0: the base model as it is), and that of the full set.
    start
        Start that needs no more than this: ``base``, ``R``, ``TL`` or ``TL2``.
    dice
        Expected Dice of every structure.
    mean
        Its mean over the structures, with the 95 % interval over the test subjects.
    behind
        By how much that stays behind the best start on the full set, paired over the test subjects.
    gain
        What transfer gains over random weights with this number of subjects; None if that was not studied.
    sentence, gain_sentence, alternative_sentence, caveat
        For a reader; all but the first may be empty.
    """

    subjects: int
    full: int
    start: str
    dice: Mapping[str, float]
    mean: Interval
    behind: Interval
    gain: Interval | None
    sentence: str
    gain_sentence: str = ""
    alternative_sentence: str = ""
    caveat: str = ""

    @property
    def text(self) -> str:
        """All sentences in one paragraph."""
        parts = (self.sentence, self.gain_sentence, self.alternative_sentence, self.caveat)
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class _Study:
    """What the sentences are made from; a run is a row of the planning table whose structure is ``mean``."""

    table: pd.DataFrame
    values: pd.DataFrame
    chosen: pd.Series
    best: pd.Series
    within: float
    bootstrap: Mapping[str, int]

    @property
    def runs(self) -> pd.DataFrame:
        """All runs."""
        return _runs(self.table)

    @property
    def transfer(self) -> str:
        """The longest transfer chain of the study."""
        return ordered_starts(self.table["start"])[-1]

    def difference(self, one: pd.Series, other: pd.Series) -> Interval:
        """Mean Dice of one run minus that of another, paired over the test subjects."""
        first, second = (self.values.loc[(run["start"], run["subset"], MEAN)] for run in (one, other))
        found = intervals((first - second).to_frame().T, **self.bootstrap).iloc[0]
        return Interval(found["mean"], found["low"], found["high"])


def recommendation(
    scores: pd.DataFrame, *, within: float = WITHIN, resamples: int = RESAMPLES, seed: int = 0
) -> Recommendation:
    """The smallest number of whole subjects that does nearly as well as the full set.

    With that number and every larger one, the mean Dice of one start is at most ``within`` below that of
    the best start on the full set. The base model as it is counts as 0 subjects.

    Parameters
    ----------
    scores, resamples, seed
        As `cmrseg.experiments.planning.planning_table`.
    within
        Tolerated loss of the mean Dice over structures.

    Returns
    -------
    The number, what to expect of it, and the sentences that say so.

    Raises
    ------
    DataError
        As `planning_table`, and if no run was trained on whole subjects.
    ValueError
        If ``within`` is negative.
    """
    if not within >= 0:
        raise ValueError(f"within must not be negative (Dice), got {within}")
    bootstrap = {"resamples": resamples, "seed": seed}
    table = planning_table(scores, **bootstrap)
    chosen, best = _choose(_runs(table), within)
    study = _Study(table, by_subject(with_mean(scores)), chosen, best, within, bootstrap)
    behind = study.difference(best, chosen)
    return Recommendation(
        subjects=int(chosen["subjects"]),
        full=int(best["subjects"]),
        start=chosen["start"],
        dice=_dice(study),
        mean=Interval(chosen["mean"], chosen["low"], chosen["high"]),
        behind=behind,
        gain=_gain(study, chosen["subset"]),
        sentence=_sentence(study, behind),
        gain_sentence=_gain_sentence(study, behind),
        alternative_sentence=_alternative_sentence(study),
        caveat=_caveat(study, behind),
    )


def _runs(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the planning table for the mean over structures."""
    return table[table["structure"] == MEAN]


def _choose(runs: pd.DataFrame, within: float) -> tuple[pd.Series, pd.Series]:
    """The run on the fewest subjects that is good enough, and the best run on the full set."""
    whole = runs[runs["subset"].map(is_whole)]
    if whole.empty:
        raise DataError("no run was trained on whole subjects (full, v6, ...); nothing to compare")
    best = whole.loc[whole.loc[whole["subjects"] == whole["subjects"].max(), "mean"].idxmax()]
    enough = best["mean"] - within - 1e-9
    base = runs[(runs["start"] == BASE) & (runs["mean"] >= enough)]
    if not base.empty:
        return base.iloc[0], best
    candidates = []
    for _, part in whole.groupby("start", sort=False):
        down = part.sort_values("subjects", ascending=False)
        reaches_full = down["subjects"].iloc[0] == best["subjects"]
        candidates.append(down[(down["mean"] >= enough).cummin() & reaches_full])
    ranked = pd.concat(candidates).sort_values(["subjects", "mean"], ascending=[True, False])
    return ranked.iloc[0], best


def _gain(study: _Study, subset: str) -> Interval | None:
    """What transfer gains over random weights with one training set."""
    runs = study.runs[study.runs["subset"] == subset].set_index("start", drop=False)
    if study.transfer == _RANDOM or not {study.transfer, _RANDOM} <= set(runs.index):
        return None
    return study.difference(runs.loc[study.transfer], runs.loc[_RANDOM])


def _dice(study: _Study) -> dict[str, float]:
    """Expected Dice of every structure."""
    table, run = study.table, study.chosen
    rows = table[(table["start"] == run["start"]) & (table["subset"] == run["subset"])]
    rows = rows[rows["structure"] != MEAN]
    return dict(zip(rows["structure"], rows["mean"], strict=True))


def _sentence(study: _Study, behind: Interval) -> str:
    """What to contour and what to expect of it."""
    chosen, full = study.chosen, int(study.best["subjects"])
    model = "the base model as it is" if chosen["start"] == BASE else chosen["start"]
    expected = f"with {model} the expected Dice is {_expected(study)}"
    if chosen["start"] == BASE:
        return f"Contour nothing for training: {expected}, {_compared(study, behind)}."
    if chosen["subjects"] < full:
        return f"Contour {_subjects(chosen)}: {expected}, {_compared(study, behind)}."
    if (smaller := _next_smaller(study)) is None:
        only = f"Only one size was studied, {_subjects(chosen)}, so whether fewer would do is not known"
        return f"{only}: {expected}."
    rise = study.difference(chosen, smaller)
    more = "expect more from further subjects" if rise.low > 0 else "further subjects may help"
    sizes = f"from {smaller['subjects']} to {full} subjects"
    return f"Contour all {full} subjects: {expected}. Dice still rises by {_interval(rise)} {sizes}: {more}."


def _expected(study: _Study) -> str:
    """Dice of the structures and of their mean, such as ``LV 0.91, MYO 0.86 (mean 0.885, ...)``."""
    run = study.chosen
    each = ", ".join(f"{structure} {value:.2f}" for structure, value in _dice(study).items())
    if run["n_test"] < 2:
        return f"{each} (mean {run['mean']:.3f} in the only test subject)"
    mean = _interval(Interval(run["mean"], run["low"], run["high"]), closing=False)
    return f"{each} (mean {mean} over {run['n_test']} test subjects)"


def _compared(study: _Study, behind: Interval) -> str:
    """How near that is to the full set."""
    best = study.best
    other = "" if study.chosen["start"] in (BASE, best["start"]) else f" with {best['start']}"
    full = f"the full set of {best['subjects']}{other}"
    if behind.value <= 0:
        return f"no worse than {full}"
    return f"within {behind.value:.3f} of {full}"


def _next_smaller(study: _Study) -> pd.Series | None:
    """The run of the same start on the next smaller number of whole subjects."""
    runs, chosen = study.runs, study.chosen
    smaller = (runs["start"] == chosen["start"]) & (runs["subjects"] < chosen["subjects"])
    part = runs[smaller & runs["subset"].map(is_whole)]
    return None if part.empty else part.loc[part["subjects"].idxmax()]


def _gain_sentence(study: _Study, behind: Interval) -> str:
    """What training adds to the base model; what transfer gains, on the smallest set too."""
    chosen, best, parts = study.chosen, study.best, []
    if chosen["start"] == BASE:
        change = _interval(behind, sign="+")
        parts.append(f"Training on all {best['subjects']} ({best['start']}) changes the mean by {change}.")
    whole = study.runs[study.runs["subset"].map(is_whole)]
    smallest = whole.loc[whole["subjects"].idxmin()]
    for run in {row["subset"]: row for row in (chosen, smallest)}.values():
        if (gain := _gain(study, run["subset"])) is not None:
            told = _gained(gain, "random weights")
            parts.append(f"With {_subjects(run)} transfer ({study.transfer}) {told}.")
    base = study.runs[study.runs["start"] == BASE]
    if chosen["start"] != BASE and not base.empty:
        told = _gained(study.difference(chosen, base.iloc[0]), "the base model as it is")
        parts.append(f"With {_subjects(chosen)} {chosen['start']} {told}.")
    return " ".join(parts)


def _gained(gain: Interval, other: str) -> str:
    """A gain over another model in words."""
    if math.isnan(gain.low):
        return f"differs by {_interval(gain, sign='+')} from {other}"
    if gain.low > 0:
        return f"gains {_interval(gain)} over {other}"
    if gain.high < 0:
        return f"loses {_interval(Interval(-gain.value, -gain.high, -gain.low))} against {other}"
    return f"is not clearly different from {other}: {_interval(gain, sign='+')}"


def _alternative_sentence(study: _Study) -> str:
    """A set of fewer images, but from all subjects, that does as well."""
    runs, chosen = study.runs, study.chosen
    good = runs["mean"] >= study.best["mean"] - study.within
    spread = runs[runs["subset"].str.fullmatch(_SPREAD) & (runs["images"] < chosen["images"]) & good]
    if spread.empty:
        return ""
    run = spread.sort_values(["images", "mean"], ascending=[True, False]).iloc[0]
    images = f"{run['images']} {'ED and ES' if run['subset'] == ESED else 'random'} images"
    mean = _interval(Interval(run["mean"], run["low"], run["high"]))
    return (
        f"Spread over {_subjects(run)}, {images} with {run['start']} reach a mean of {mean}; "
        f"{_subjects(chosen)} contoured whole have {chosen['images']}."
    )


def _caveat(study: _Study, behind: Interval) -> str:
    """What limits the answer."""
    n, parts = study.chosen["n_test"], []
    if n < 2:
        parts.append("One test subject allows no interval.")
    elif n < ROUGH_BELOW:
        parts.append(
            f"The intervals rest on {n} test subjects: they are rough, likely too narrow, and no proof."
        )
    if behind.high > study.within and behind.value > 0:
        parts.append(
            f"The full set is better by {_interval(behind)}: more than {study.within:g} is not ruled out."
        )
    if study.best["n_seeds"] == 1:
        parts.append("Every run was made with one seed, so the spread between runs is not known.")
    return " ".join(parts)


def _subjects(run: pd.Series) -> str:
    """Number of training subjects with the word."""
    return f"{run['subjects']} subject{'' if run['subjects'] == 1 else 's'}"


def _interval(value: Interval, *, sign: str = "", closing: bool = True) -> str:
    """An estimate with its interval, such as ``0.210 (95 % CI 0.150 to 0.260)``; without one, alone."""
    number, low, high = (f"{round(v, 3) + 0.0:{sign}.3f}" for v in (value.value, value.low, value.high))
    if math.isnan(value.low):
        return number
    return f"{number} (95 % CI {low} to {high})" if closing else f"{number}, 95 % CI {low} to {high}"
