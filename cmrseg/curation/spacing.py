"""Repairs of the distance between slices.

Distances are measured along the normal, between the centres of the slices; the header's SliceLocation is not
trusted (GE writes one patient coordinate into it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cmrseg.curation import kinds
from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import Slice, mean_normal
from cmrseg.problems import DataError, Problem

_ROUNDING_MM = 0.01  # of the published mode
_FILLED = {
    "copy": "previous slice copied",
    "interpolate": "interpolated",
    "leave": "none: slices beyond the gap lie one spacing too close in the file",
}


def in_order(slices: Sequence[Slice]) -> tuple[list[Slice], np.ndarray]:
    """Slices along the normal, and their positions in mm, shape ``(z,)``."""
    normal = mean_normal(slices)
    ordered = sorted(slices, key=lambda s: float(s.centre @ normal))
    return ordered, np.array([float(s.centre @ normal) for s in ordered])


def usual_spacing(slices: Sequence[Slice]) -> float:
    """Most frequent distance of neighbours (mm); of several, what the header tells or the smallest."""
    _, along = in_order(slices)
    gaps = np.diff(along)
    rounded = np.round(gaps / _ROUNDING_MM).astype(int)
    found, counts = np.unique(rounded, return_counts=True)
    modes = found[counts == counts.max()] * _ROUNDING_MM
    told = (
        np.nanmedian([s.images[0].slice_spacing_mm for s in slices] or [np.nan])
        if _tells_spacing(slices)
        else modes[0]
    )
    nearest = modes[np.argmin(abs(modes - told))]
    mode = nearest if abs(nearest - told) <= 1 else modes[0]
    return float(np.mean(gaps[abs(gaps - mode) <= 10 * _ROUNDING_MM]))


def note_metadata(slices: Sequence[Slice], rules: Rules) -> tuple[list[Slice], list[Problem]]:
    """Log distances in the headers that differ; the observed distance is used in any case."""
    told = sorted(
        {round(s.images[0].slice_spacing_mm, 2) for s in slices if np.isfinite(s.images[0].slice_spacing_mm)}
    )
    if len(told) < 2:
        return list(slices), []
    problem = Problem(
        "", kinds.SPACING_METADATA, "none", "", f"observed values: {', '.join(f'{v:g}' for v in told)} mm"
    )
    return list(slices), [problem]


def remove_excess(slices: Sequence[Slice], rules: Rules) -> tuple[list[Slice], list[Problem]]:
    """Leave out outliers, slices between regular ones, and a first or last slice at a wrong distance.

    Raises
    ------
    DataError
        If the stack falls into parts, so that too many slices would have to go.
    """
    left, _ = in_order(slices)
    if len(left) < 3:
        return left, []
    expected = usual_spacing(left)
    problems: list[Problem] = []
    while len(left) > 2:
        found = (
            _outliers(left, expected, rules)
            or _interspersed(left, expected, rules)
            or _edge(left, expected, rules)
        )
        if not found:
            break
        left = [s for s in left if s not in found]
        problems += [s.problem(*reason) for s, reason in found.items()]
    outliers = sum(p.problem == kinds.SPACING_OUTLIER for p in problems)
    if outliers > rules.max_outlier_fraction * len(slices):
        raise DataError(
            f"the stack falls into parts: {outliers} of {len(slices)} slices lie apart from the others"
        )
    return left, problems + _special(left, expected, rules)


def fill_missing(slices: Sequence[Slice], rules: Rules) -> tuple[list[Slice], list[Problem]]:
    """Fill a slice in where two are twice the usual distance apart."""
    ordered, along = in_order(slices)
    expected = usual_spacing(ordered)
    filled, problems = [ordered[0]], []
    for before, after, gap in zip(ordered, ordered[1:], np.diff(along), strict=False):
        if abs(gap - 2 * expected) <= rules.slice_tolerance_mm:
            told = _FILLED[rules.missing_slice]
            problems.append(before.problem(kinds.SPACING_MISSING, told, _told(expected, gap)))
            if rules.missing_slice != "leave":
                filled.append(_between(before, after, rules))
        filled.append(after)
    return filled, problems


Reason = tuple[str, str, str]


def _outliers(left: list[Slice], expected: float, rules: Rules) -> dict[Slice, Reason]:
    """The smaller part beyond a gap that is too wide."""
    gaps = np.diff(in_order(left)[1])
    wide = np.flatnonzero(gaps > rules.outlier_spacings * expected)
    if not wide.size:
        return {}
    cut = int(wide[0]) + 1
    apart, border = (left[:cut], left[cut]) if cut <= len(left) / 2 else (left[cut:], left[cut - 1])
    normal = mean_normal(left)
    return {
        s: (
            kinds.SPACING_OUTLIER,
            "slice removed",
            _told(expected, abs(float((s.centre - border.centre) @ normal))),
        )
        for s in apart
    }


def _interspersed(left: list[Slice], expected: float, rules: Rules) -> dict[Slice, Reason]:
    """One or two slices between regular ones."""
    gaps = np.diff(in_order(left)[1])
    for wrong in np.flatnonzero(_improper(gaps, expected, rules)):
        for extra in (1, 2):
            starts = range(max(wrong - extra, 0), min(wrong, len(gaps) - extra - 1) + 1)
            errors = {n: abs(gaps[n : n + extra + 1].sum() - expected) for n in starts}
            best = min(errors, key=errors.__getitem__, default=-1)
            if errors.get(best, np.inf) < rules.slice_tolerance_mm:
                return {
                    left[n + 1]: (
                        kinds.SPACING_INTERSPERSED,
                        "slice removed",
                        f"{_told(expected, gaps[n])} and {gaps[n + 1]:.2f} mm",
                    )
                    for n in range(best, best + extra)
                }
    return {}


def _edge(left: list[Slice], expected: float, rules: Rules) -> dict[Slice, Reason]:
    """A first or last slice at a wrong distance from a regular stack."""
    gaps = np.diff(in_order(left)[1])
    wrong = _improper(gaps, expected, rules)
    far = abs(gaps - expected) > rules.edge_tolerance_mm
    if len(gaps) < 2:
        return {}
    if wrong[0] and far[0] and not wrong[1]:
        return {left[0]: (kinds.SPACING_TOP, "slice removed", _told(expected, gaps[0]))}
    if wrong[-1] and far[-1] and not wrong[-2]:
        return {left[-1]: (kinds.SPACING_BOTTOM, "slice removed", _told(expected, gaps[-1]))}
    return {}


def _special(left: list[Slice], expected: float, rules: Rules) -> list[Problem]:
    """What deviates and is left as it is."""
    gaps = np.diff(in_order(left)[1])
    return [
        left[n].problem(kinds.SPACING_SPECIAL, "none", _told(expected, gaps[n]))
        for n in np.flatnonzero(_improper(gaps, expected, rules))
    ]


def _improper(gaps: np.ndarray, expected: float, rules: Rules) -> np.ndarray:
    """Which distances are neither the usual one nor twice it."""
    deviation = np.minimum(abs(gaps - expected), abs(gaps - 2 * expected))
    return deviation > rules.slice_tolerance_mm


def _between(before: Slice, after: Slice, rules: Rules) -> Slice:
    """The slice that is missing between two."""
    if rules.missing_slice == "copy":
        return replace(before, corner=before.corner + (after.centre - before.centre) / 2)
    mean = (before.frames.astype(np.float32) + after.frames) / 2
    frames = mean if before.frames.dtype.kind == "f" else np.rint(mean).astype(before.frames.dtype)
    return replace(before, corner=(before.corner + after.corner) / 2, frames=frames)


def _tells_spacing(slices: Sequence[Slice]) -> bool:
    """Whether any header tells the distance of slices."""
    return any(np.isfinite(s.images[0].slice_spacing_mm) for s in slices)


def _told(expected: float, actual: float) -> str:
    """The distances for the log."""
    return f"expected: {expected:.2f} mm, actual: {actual:.2f} mm"
