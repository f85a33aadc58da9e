"""Repairs of slices that cover other beats than the others: missed triggers, another start, another step.

Frames of equal number are frames of equal phase only if all slices start at the same time of the heart beat
and cover it once. A slice that does not is brought to the phases of the others, by its times after the R
wave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cmrseg.curation import kinds
from cmrseg.curation.phases import at_phases
from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import Slice, largest_mode
from cmrseg.problems import Problem

_SAME_PHASE = 0.5  # of a frame: nearer ones are equal
_EXACT = 0.1  # of a frame: the rounding of times
_OTHER_BEAT = 1.5  # ratio of cycles from which on they are not one beat each
_CYCLE_END = 0.25  # of a step: a frame that comes so much earlier belongs to the beat
_LARGEST_GAP, _SYSTOLE = 0.2, 0.45  # of the cycle: a longer gap in systole hides how far the heart contracts
_REPEATED = 0.7  # of the difference of frames a quarter apart: half a cycle apart they are the same
_MOVING = 95  # percentile of the change over time


@dataclass(frozen=True)
class _Beat:
    """How a slice covers the heart beat: times and cycle in ms."""

    slice: Slice
    cycle: float

    @property
    def times(self) -> np.ndarray:
        return self.slice.times_ms

    @property
    def step(self) -> float:
        """From one frame to the next."""
        return float(np.median(np.diff(self.times)))

    @property
    def ends_late(self) -> bool:
        """Whether frames lie beyond the end of the first cycle."""
        return self.times[-1] - self.times[0] > self.cycle - _CYCLE_END * self.step

    def is_like(self, other: _Beat) -> bool:
        """Whether frames of equal number are of equal phase, by time or by the share of the cycle."""
        if len(self.times) != len(other.times):
            return False
        apart_ms = abs(self.times - other.times).max()
        if apart_ms <= _SAME_PHASE * other.step:
            return True
        ratio = max(self.cycle / other.cycle, other.cycle / self.cycle)
        apart = abs(self.times / self.cycle - other.times / other.cycle).max()
        return bool(ratio < _OTHER_BEAT and apart <= _SAME_PHASE * other.step / other.cycle)


def synchronise(slices: Sequence[Slice], rules: Rules) -> tuple[list[Slice], list[Problem]]:
    """Bring slices that start elsewhere in the heart beat, or cover more or less of it, to the usual phases.

    Slices without times after the R wave, and those whose frames are the usual phases, are left alone. Of
    several beats the first counts. A slice that leaves a part of systole open is left out.

    Parameters
    ----------
    slices
        With their frames.
    rules
        Not needed; all repairs have them.
    """
    usual = _usual(slices)
    if usual is None:
        return list(slices), []
    left, problems = [], []
    for s in slices:
        beat = _beat(s)
        if beat is None or not _is_elsewhere(beat, usual):
            left.append(s)
            continue
        found, problem = _brought(beat, usual)
        problems.append(problem)
        left += [found] * (found is not None)
    return left, problems


def _beat(s: Slice) -> _Beat | None:
    """The heart beat of a slice by its header, else by its frames; None where it has no times."""
    steps = np.diff(s.times_ms)
    if not len(steps) or not np.isfinite(s.times_ms).all() or not (steps > 0).all():
        return None
    told = [image.interval_ms for image in s.images if math.isfinite(image.interval_ms)]
    return _Beat(s, float(np.median(told) if told else np.median(steps) * len(s.times_ms)))


def _usual(slices: Sequence[Slice]) -> _Beat | None:
    """The slice that most others are like; of several the one that starts first."""
    count = largest_mode([len(s.images) for s in slices])
    beats = [b for s in slices if (b := _beat(s)) is not None and len(s.images) == count]
    if not beats:
        return None
    cycle = float(np.median([b.cycle for b in beats]))
    short = [b for b in beats if b.cycle * _OTHER_BEAT <= cycle]
    long = [b for b in beats if b.cycle * _OTHER_BEAT > cycle]
    if short and 2 * sum(_repeats_itself(b.slice) for b in long) > len(long):
        beats = short  # most slices missed a beat
    return max(beats, key=lambda b: (sum(b.is_like(other) for other in beats), -b.times[0]))


def _repeats_itself(s: Slice) -> bool:
    """Whether frames half of the series apart are alike, as those of two beats are."""
    frames = s.frames.reshape(len(s.frames), -1).astype(np.float32)
    change = frames.std(axis=0)
    frames = frames[:, change >= np.percentile(change, _MOVING)]
    half, quarter = (
        float(abs(frames - np.roll(frames, len(frames) // part, axis=0)).mean()) for part in (2, 4)
    )
    return half < _REPEATED * quarter


def _is_elsewhere(beat: _Beat, usual: _Beat) -> bool:
    """Whether the frames are other phases; missing ones alone are no matter of the beat."""
    if beat.is_like(usual):
        return False
    is_timed = all(math.isfinite(image.trigger_ms) for image in beat.slice.images)
    is_several = beat.cycle >= _OTHER_BEAT * usual.cycle or beat.ends_late
    if len(beat.times) != len(usual.times) or not is_timed:
        return is_several or (is_timed and _wraps(beat, usual))
    return True


def _wraps(beat: _Beat, usual: _Beat) -> bool:
    """Whether a slice starts late and ends in the next beat."""
    return beat.times[-1] - usual.times[0] > beat.cycle - _CYCLE_END * beat.step


def _brought(beat: _Beat, usual: _Beat) -> tuple[Slice | None, Problem]:
    """The first beat of a slice at the phases of the usual one."""
    s, count = beat.slice, len(usual.times)
    told = _told(beat, usual)
    cycle, beats = _first_cycle(beat, usual)
    first = int(np.count_nonzero(beat.times - beat.times[0] < cycle - _CYCLE_END * beat.step))
    # Phases in frames of an evenly covered cycle, from the first usual frame on.
    phases = (beat.times[:first] - usual.times[0]) / cycle % 1 * count
    wanted = (usual.times - usual.times[0]) / usual.cycle * count
    apart = (phases[:, None] - wanted + count / 2) % count - count / 2
    nearest = abs(apart).argmin(axis=1)
    exact = abs(apart[np.arange(first), nearest]) < _EXACT
    phases = np.where(exact, wanted[nearest] % count, phases)
    order = np.argsort(phases, kind="stable")
    phases = phases[order]
    if _hides_systole(phases / count):
        return None, s.problem(kinds.CYCLE, "slice removed", f"{told}: systole is not covered")
    part = replace(s, images=tuple(s.images[n] for n in order), frames=s.frames[order])
    done = "first beat resampled in time" if beats > 1 else "brought to the same phases"
    brought = replace(at_phases(part, phases, count, wanted % count), times_ms=usual.times.copy())
    return brought, s.problem(kinds.CYCLE, done, told)


def _first_cycle(beat: _Beat, usual: _Beat) -> tuple[float, int]:
    """Length of the first beat (ms), and how many there are.

    A long interval is several beats if the images repeat themselves; else the heart paused, and systole is as
    long as ever. A short one is a part of a beat.
    """
    ratio = beat.cycle / usual.cycle
    beats = round(ratio)
    if ratio >= _OTHER_BEAT:
        return (beat.cycle / beats if _repeats_itself(beat.slice) else usual.cycle), beats
    return (beat.cycle if ratio * _OTHER_BEAT > 1 else usual.cycle), 1 + beat.ends_late


def _hides_systole(shares: np.ndarray) -> bool:
    """Whether phases (shares of the cycle, ascending) leave a part of systole open."""
    gaps = np.diff(np.append(shares, shares[0] + 1))
    overlaps = (shares < _SYSTOLE) | (shares + gaps > 1)
    return bool((overlaps & (gaps > _LARGEST_GAP + 1e-6)).any())


def _told(beat: _Beat, usual: _Beat) -> str:
    """Times of a slice beside the usual ones."""
    said = (f"{b.times[0]:.0f} to {b.times[-1]:.0f} ms of RR {b.cycle:.0f} ms" for b in (beat, usual))
    return ", others: ".join(said)
