"""Repairs along time: every slice gets the number of frames that most slices have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cmrseg.curation import kinds
from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import Slice, largest_mode
from cmrseg.problems import Problem


def equalise_phases(slices: Sequence[Slice], rules: Rules) -> tuple[list[Slice], list[Problem]]:
    """Fill missing frames, and resample slices that cover the cycle in another number of frames.

    A slice with too few frames is left out; the distance of slices is repaired afterwards.
    """
    count = largest_mode([len(s.images) for s in slices])
    full = [s for s in slices if len(s.images) == count]
    step_ms = float(np.median([np.median(np.diff(s.times_ms)) for s in full]))
    first_ms = float(np.median([s.times_ms[0] for s in full]))
    equal, problems = [], []
    for s in slices:
        if len(s.images) == count:
            equal.append(s)
        elif len(s.images) < rules.min_phase_fraction * count and not _covers_the_cycle(s, count * step_ms):
            problems.append(
                s.problem(kinds.MISSING_FRAME, "slice removed", f"{len(s.images)} of {count} frames")
            )
        else:
            repaired, found = _repaired(s, count, first_ms, step_ms, rules)
            equal.append(repaired)
            problems += found
    return equal, problems


def _repaired(
    s: Slice, count: int, first_ms: float, step_ms: float, rules: Rules
) -> tuple[Slice, list[Problem]]:
    """A slice with ``count`` frames; first time and step are those of complete slices."""
    found = len(s.images)
    if found > count or _covers_the_cycle(s, count * step_ms):
        kind = kinds.EXTRA_FRAME if found > count else kinds.MISSING_FRAME
        phases = np.arange(found) * count / found
        problem = s.problem(kind, "resampled in time", f"{found} frames, expected: {count}")
        return _interpolated(s, phases, count), [problem]
    numbers = _frame_numbers(s, count, first_ms, step_ms)
    missing = sorted(set(range(count)) - set(numbers.tolist()))
    if rules.missing_frame == "resample":
        done, repaired = "interpolated in time", _interpolated(s, numbers, count)
    else:
        done, repaired = "previous frame copied", _with_copies(s, numbers, count)
    return repaired, [s.problem(kinds.MISSING_FRAME, done, f"frame: {number}") for number in missing]


def _covers_the_cycle(s: Slice, cycle_ms: float) -> bool:
    """Whether the frames are evenly spread over the whole heart beat, so that none is missing."""
    steps = np.diff(s.times_ms)
    if not np.isfinite(steps).all() or not len(steps):
        return False
    step = float(np.median(steps))
    interval = s.images[0].interval_ms
    cycle = interval if np.isfinite(interval) else cycle_ms
    is_even = np.ptp(steps) < 0.5 * step
    return bool(is_even and abs(step * len(s.images) - cycle) < 0.5 * step)


def _frame_numbers(s: Slice, count: int, first_ms: float, step_ms: float) -> np.ndarray:
    """Which of ``count`` frames a slice has: by times, else by instance numbers, else the first ones."""
    instances = np.array([image.instance for image in s.images])
    guesses = [
        *_by_time(s.times_ms, first_ms / step_ms, step_ms),
        (instances - 1) % count,
        instances - instances.min(),
    ]
    for guess in guesses:
        if guess[0] >= 0 and guess[-1] < count and (np.diff(guess) > 0).all():
            return guess
    return np.arange(len(s.images))


def _by_time(times_ms: np.ndarray, first: float, step_ms: float) -> list[np.ndarray]:
    """Frame numbers by the slice's own step and by that of the others, the better fit first."""
    steps = np.diff(times_ms)
    if not (np.isfinite(times_ms).all() and np.isfinite(first) and (steps > 0).all()):
        return []
    positions = [times_ms / step - first for step in (float(np.median(steps)), step_ms)]
    fits = sorted(positions, key=lambda p: float(abs(p - np.rint(p)).max()))
    return [np.rint(p).astype(int) for p in fits]


def _with_copies(s: Slice, numbers: np.ndarray, count: int) -> Slice:
    """Every missing frame as a copy of the one before; of the next one, where none is before."""
    source = np.clip(np.searchsorted(numbers, np.arange(count), side="right") - 1, 0, None)
    return replace(
        s,
        frames=s.frames[source],
        images=tuple(s.images[n] for n in source),
        times_ms=_even_times(s, numbers, count),
    )


def _interpolated(s: Slice, phases: np.ndarray, count: int) -> Slice:
    """Frames at whole phases with their times."""
    return replace(at_phases(s, phases, count), times_ms=_even_times(s, phases, count))


def at_phases(s: Slice, phases: np.ndarray, count: int, wanted: np.ndarray | None = None) -> Slice:
    """Frames at other phases, linear between those that there are; the heart beat is a circle.

    Parameters
    ----------
    s
        A slice.
    phases
        Of its frames, ascending, in frames of a cycle of ``count``.
    wanted
        The phases to return; whole ones by default.
    """
    wanted = np.arange(count) if wanted is None else wanted
    circle = np.concatenate([phases, [phases[0] + count]])
    wanted_on = np.where(wanted < phases[0], wanted + count, wanted)
    left = np.clip(np.searchsorted(circle, wanted_on, side="right") - 1, 0, len(phases) - 1)
    right = (left + 1) % len(phases)
    weight = (wanted_on - circle[left]) / (circle[left + 1] - circle[left])
    weights = weight.astype(np.float32)[:, None, None]
    frames = s.frames[left] * (1 - weights) + s.frames[right] * weights
    if s.frames.dtype.kind in "iu":
        frames = np.rint(frames).astype(s.frames.dtype)
    nearest = np.where(weight < 0.5, left, right)
    return replace(s, frames=frames, images=tuple(s.images[n] for n in nearest))


def _even_times(s: Slice, phases: np.ndarray, count: int) -> np.ndarray:
    """Times of all frames, from those that there are."""
    if not np.isfinite(s.times_ms).all():
        return np.full(count, np.nan)
    step, start = np.polyfit(phases, s.times_ms, 1)
    return start + step * np.arange(count)
