"""Is a fine-tuned model better for those who fine-tuned it? A verdict in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cmrseg.evaluation.mask_tables import Evaluation
from cmrseg.metrics.agreement import mean_interval

COLUMNS = ("on", "subject", "before", "after", "change")
FEWEST_SUBJECTS = 10  # below it an interval excludes 0 too often: in 20 % of comparisons of equals with 4
FORGOTTEN = -0.01  # change of the mean Dice elsewhere from which on it is said


@dataclass(frozen=True)
class Change:
    """How a score changed from one model to another, paired over subjects.

    Attributes
    ----------
    on
        Which subjects these are.
    subjects
        Table with the columns `COLUMNS`; ``change`` is after minus before.
    low, high
        95 % percentile bootstrap interval of the mean change; nan for fewer than two subjects.
    """

    on: str
    subjects: pd.DataFrame
    low: float
    high: float

    @property
    def mean(self) -> float:
        """Mean change; nan without subjects."""
        return float(self.subjects["change"].mean())

    @property
    def worse(self) -> int:
        """How many subjects got worse."""
        return int((self.subjects["change"] < 0).sum())

    def __str__(self) -> str:
        """One sentence."""
        table, n = self.subjects, len(self.subjects)
        interval = f", 95 % interval {self.low:+.3f} to {self.high:+.3f}" if n > 1 else ""
        return (
            f"mean Dice of {n} {self.on} subject{'s' * (n != 1)} {table['before'].mean():.3f} to "
            f"{table['after'].mean():.3f} ({self.mean:+.3f}{interval}); {self.worse} got worse"
        )


@dataclass(frozen=True)
class Verdict:
    """Which of two models to use.

    Attributes
    ----------
    adopt
        Whether the fine-tuned model is to be used.
    text
        The verdict with its numbers, a few sentences.
    table
        Every subject of every comparison, with the columns `COLUMNS`.
    """

    adopt: bool
    text: str
    table: pd.DataFrame


def compare(before: Evaluation, after: Evaluation, *, on: str, seed: int = 0) -> Change:
    """Paired change of every subject's Dice, averaged over its structures and frames.

    Parameters
    ----------
    before, after
        Evaluations of the two models on the same subjects; what only one of them scored is left out.
    on
        Which subjects these are, such as ``test``.
    seed
        Of the bootstrap.
    """
    both = pd.concat({"before": _dice(before), "after": _dice(after)}, axis=1).dropna()
    both = both.groupby("subject").mean().reset_index()
    table = both.assign(on=on, change=both["after"] - both["before"])[list(COLUMNS)]
    return Change(on, table, *mean_interval(table["change"].to_numpy(), seed=seed))


def verdict(
    change: Change, base: str, *, chose_the_epoch: bool = False, elsewhere: Change | None = None
) -> Verdict:
    """Adopt a fine-tuned model or keep its base.

    It is adopted where the mean Dice rises. How sure that is, is said: the interval must exclude 0, in at
    least 10 subjects that chose nothing.

    Parameters
    ----------
    change
        On the subjects that the model was fine-tuned for.
    base
        Name of the base model.
    chose_the_epoch
        Whether these subjects chose the epoch, as validation subjects do.
    elsewhere
        On data that the base was made for: what was forgotten.
    """
    if change.subjects.empty:
        return Verdict(False, f"Keep the base {base}: no {change.on} subject was scored.", change.subjects)
    adopt = change.mean > 0
    said = [f"{'Adopt the fine-tuned model' if adopt else f'Keep the base {base}'}: {change}."]
    if doubt := no_proof(change, chose_the_epoch=chose_the_epoch):
        said.append(doubt)
    if elsewhere is not None:
        forgot = elsewhere.mean < FORGOTTEN
        said.append(
            f"{'It has forgotten: there' if forgot else 'Elsewhere'}, {elsewhere}"
            f"{f'; for such images use {base}' if forgot else ''}."
        )
    tables = [change.subjects, *([elsewhere.subjects] if elsewhere is not None else [])]
    return Verdict(adopt, " ".join(said), pd.concat(tables, ignore_index=True))


def no_proof(change: Change, *, chose_the_epoch: bool = False) -> str:
    """Why a verdict is no proof; empty where it is one."""
    reasons = []
    if len(change.subjects) < FEWEST_SUBJECTS:
        reasons.append(f"fewer than {FEWEST_SUBJECTS} subjects")
    elif change.low <= 0 <= change.high:
        reasons.append("the interval holds 0")
    if chose_the_epoch:
        reasons.append("these subjects chose the epoch")
    return f"This is no proof: {', and '.join(reasons)}." if reasons else ""


def _dice(evaluation: Evaluation) -> pd.Series:
    """Dice of every structure in every volume."""
    rows = evaluation.metrics[evaluation.metrics["metric"] == "dice"]
    return rows.set_index(["subject", "frame", "structure"])["value"]
