"""What the sweeps say in words: a sentence per distortion, and the table of a model's card."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cmrseg.data.distortions import DISTORTIONS, Distortion
from cmrseg.labels import STRUCTURES

WITHIN = 0.02  # of the untouched images' Dice


def robustness_sentences(summary: pd.DataFrame) -> list[str]:
    """One sentence per sweep: from where to where the model may be trusted.

    Parameters
    ----------
    summary
        As `cmrseg.evaluation.robustness.Robustness.summary`.

    Returns
    -------
    Such as "Rotation: the mean Dice of every structure stays within 0.02 of the untouched images from -20 to
    20 degrees."
    """
    return [f"{title(d)}: {_sentence(d, *_safe_range(summary, d))}." for d in swept(summary)]


def card_block(summary: pd.DataFrame) -> str:
    """The same as a Markdown table for a model's card.

    Parameters
    ----------
    summary
        As for `robustness_sentences`.

    Returns
    -------
    Markdown: per sweep what was tested, where the Dice stays, and what is left of it at both ends.
    """
    structures = structures_in(summary)
    names = ", ".join(structures)
    rows = [_card_row(summary, d, structures) for d in swept(summary)]
    untouched = _means(summary, swept(summary)[0]).loc[swept(summary)[0].untouched]
    scores = ", ".join(f"{s} {untouched[s]:.3f}" for s in structures)
    head = (
        f"| distortion | tested | Dice within {WITHIN} | Dice at both ends ({names}) |\n|---|---|---|---|\n"
    )
    n = int(summary["n"].max())
    subjects = f"{n} subject{'s' * (n > 1)}"
    note = f"{subjects}; untouched images: {scores}; one pass, no averaging over flips."
    return f"{head}{''.join(rows)}\n{note}\n"


def swept(summary: pd.DataFrame) -> list[Distortion]:
    """The distortions of a table."""
    return [d for name, d in DISTORTIONS.items() if name in set(summary["sweep"])]


def structures_in(summary: pd.DataFrame) -> list[str]:
    """Structures of a table in the usual order."""
    return [s.name for s in STRUCTURES if s.name in set(summary["structure"])]


def title(d: Distortion) -> str:
    """Name of a distortion as a heading."""
    return d.name.replace("_", " ").capitalize()


def amount(d: Distortion, level: float) -> str:
    """A level with its unit."""
    return f"gamma {level:g}" if d.unit == "gamma" else f"{level:g} {d.unit}"


def _means(summary: pd.DataFrame, d: Distortion) -> pd.DataFrame:
    """Mean Dice by level and structure."""
    rows = summary[summary["sweep"] == d.name]
    return rows.pivot_table(index="level", columns="structure", values="mean").sort_index()


def _safe_range(summary: pd.DataFrame, d: Distortion) -> tuple[float, float]:
    """First and last of the levels around the untouched one at which no structure loses too much."""
    means = _means(summary, d)
    levels = means.index.tolist()
    good = ((means - means.loc[d.untouched]).min(axis=1) >= -WITHIN - 1e-9).tolist()
    first = last = levels.index(d.untouched)
    while first > 0 and good[first - 1]:
        first -= 1
    while last < len(good) - 1 and good[last + 1]:
        last += 1
    return levels[first], levels[last]


def _sentence(d: Distortion, low: float, high: float) -> str:
    """What a range of levels means."""
    if low == high:
        return f"the mildest level tested costs a structure more than {WITHIN} of Dice"
    whole = "over all that was tested, " if (low, high) == (d.levels[0], d.levels[-1]) else ""
    reach = f"{whole}{_span(d, low, high)}"
    return f"the mean Dice of every structure stays within {WITHIN} of the untouched images {reach}"


def _span(d: Distortion, low: float, high: float) -> str:
    """A range of levels with its unit."""
    if low == d.untouched == d.levels[0]:
        return f"up to {amount(d, high)}"
    return f"from {amount(d, low)} to {high:g}" if d.unit == "gamma" else f"from {low:g} to {amount(d, high)}"


def _card_row(summary: pd.DataFrame, d: Distortion, structures: Sequence[str]) -> str:
    """One line of the card's table."""
    means = _means(summary, d)
    low, high = _safe_range(summary, d)
    ends = [level for level in (d.levels[0], d.levels[-1]) if level != d.untouched]
    left = "; ".join(
        f"{level:g}: " + ", ".join(f"{means.loc[level, s]:.2f}" for s in structures) for level in ends
    )
    safe = "only untouched" if low == high else _span(d, low, high)
    return f"| {title(d)}: {d.what} | {_span(d, d.levels[0], d.levels[-1])} | {safe} | {left} |\n"
