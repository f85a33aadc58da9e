"""Splitting an examination that holds the same stack twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from string import ascii_lowercase

import numpy as np

from cmrseg.curation import kinds
from cmrseg.curation.rules import Measurement, Rules
from cmrseg.curation.slices import Slice, position_numbers
from cmrseg.problems import Problem

_SAME_PLACE = 0.45  # of the distance of slices: between two breath holds a patient moves


def split_repeats(
    slices: Sequence[Slice], rules: Rules, study: str = ""
) -> tuple[list[tuple[str, list[Slice]]], list[Problem]]:
    """Separate measurements of a whole stack.

    Parameters
    ----------
    slices
        The short-axis slices of one examination.
    rules
        ``measurements`` that were found by hand, ``split_repeats``, ``repeat_coverage``.
    study
        Name of the study, for the measurements that were found by hand.

    Returns
    -------
    ``(suffix, slices)`` per measurement, ``("", slices)`` if there is one; and what was done.
    """
    by_hand = [m for m in rules.measurements if m.study == study]
    if by_hand:
        parts = _by_hand(slices, by_hand)
    elif rules.split_repeats:
        measured = _divide(sorted(slices, key=lambda s: s.when), rules)
        names = [f"_{letter}" for letter in ascii_lowercase] if len(measured) > 1 else [""]
        parts = list(zip(names, measured, strict=False))
    else:
        parts = [("", list(slices))]
    if len(parts) < 2:
        told = "the rules name series of this study that it does not have" if by_hand else ""
        return parts, [slices[0].problem(kinds.REPEATED, "not split", told)] * bool(by_hand)
    return parts, [
        members[0].problem(kinds.REPEATED, f"study split: {suffix}", f"{len(members)} slices")
        for suffix, members in parts
    ]


def _by_hand(slices: Sequence[Slice], measurements: list[Measurement]) -> list[tuple[str, list[Slice]]]:
    """The measurements that the rules name, and the rest."""
    parts: dict[str, list[Slice]] = {}
    for s in slices:
        named = [m for m in measurements if _is_of(s, m)]
        parts.setdefault(named[0].suffix if named else measurements[0].rest, []).append(s)
    return sorted(parts.items()) if len(parts) > 1 else [("", list(slices))]


def _is_of(s: Slice, measurement: Measurement) -> bool:
    """Whether a slice belongs to the series that a measurement names."""
    first = s.images[0]
    names = {PurePosixPath(first.name).parent.name, first.description, str(first.series_number)}
    return bool(names & measurement.names)


def told_spacing_mm(slices: Sequence[Slice]) -> float:
    """Distance of slices by the headers, 0 where they do not tell."""
    told = [s.images[0].slice_spacing_mm for s in slices if s.images[0].slice_spacing_mm > 0]
    return float(np.median(told)) if told else 0.0


def _divide(slices: list[Slice], rules: Rules) -> list[list[Slice]]:
    """Slices in the order of their measurement, cut where a whole stack begins again.

    Of all cuts the one that leaves the fewest positions doubled is taken, the latest of several; it counts if
    both sides hold most of the positions, and both are divided further.
    """
    distance_mm = max(rules.collision_mm, _SAME_PLACE * told_spacing_mm(slices))
    where = position_numbers(slices, distance_mm).tolist()

    def doubled(cut: int) -> int:
        return sum(len(side) - len(set(side)) for side in (where[:cut], where[cut:]))

    cut = min(range(1, len(slices)), key=lambda n: (doubled(n), -n), default=0)
    needed = max(rules.min_slices, rules.repeat_coverage * len(set(where)))
    if min(len(set(where[:cut])), len(set(where[cut:]))) < needed:
        return [slices]
    return _divide(slices[:cut], rules) + _divide(slices[cut:], rules)
