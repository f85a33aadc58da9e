"""Slices that cover other parts of the heart beat come to the phases of the others."""

from __future__ import annotations

import numpy as np
import pytest

from cmrseg.curation.cycle import synchronise
from tests.curation.conftest import NAN, RULES, assert_unchanged, make_slice, snapshot

COUNT, STEP_MS = 12, 80.0
RR_MS = COUNT * STEP_MS
SYSTOLE_MS = 320.0


def size(times_ms, rr_ms=RR_MS):
    """How far the heart has contracted: down to 0 in systole, which is as long in any beat; else 100."""
    times = np.asarray(times_ms) % rr_ms
    return np.where(times < 2 * SYSTOLE_MS, 50 + 50 * np.cos(np.pi * times / SYSTOLE_MS), 100).round(1)


def beating(times_ms, *, told_ms=None, rr_ms=RR_MS, **header):
    """A slice that shows the heart at some times, and tells others."""
    frames = np.zeros((len(times_ms), 12, 10))
    frames[:, 4:6, 4:6] = 10 * size(times_ms, rr_ms)[:, None, None]
    return make_slice(frames=np.rint(frames), times_ms=times_ms if told_ms is None else told_ms, **header)


def times(start=0.0, step=STEP_MS, count=COUNT):
    return start + step * np.arange(count)


def usual(n=6, **header):
    return [beating(times(), **{"interval_ms": RR_MS, **header}) for _ in range(n)]


def heart(s):
    return s.frames[:, 4, 4] / 10


def brought(odd, others=None):
    """The odd slice afterwards, and what was told; the others must stay as they are."""
    others = usual() if others is None else others
    before = snapshot([*others, odd])
    slices, problems = synchronise([*others, odd], RULES)
    assert_unchanged([*others, odd], before)
    assert all(a is b for a, b in zip(slices, others, strict=False))
    return (slices[-1] if len(slices) > len(others) else None), problems


def told(problems):
    return [(p.problem, p.resolution) for p in problems]


ALIKE = {
    "equal": lambda: beating(times(), interval_ms=RR_MS),
    "rounded times": lambda: beating(times(3), interval_ms=RR_MS),
    "a faster heart": lambda: beating(times(step=60), rr_ms=720, interval_ms=720),
    "no interval": lambda: beating(times(step=70), rr_ms=840),
    "a missed beat that was not measured": lambda: beating(times(), interval_ms=2 * RR_MS),
    "unknown times": lambda: beating(times(), told_ms=[NAN] * COUNT),
    "a missing frame": lambda: beating(np.delete(times(), 4), interval_ms=RR_MS),
    "missing frames at the end": lambda: beating(times(count=9), interval_ms=RR_MS),
    "frames twice as fast": lambda: beating(times(step=STEP_MS / 2, count=2 * COUNT), interval_ms=RR_MS),
}


@pytest.mark.parametrize("how", ALIKE)
def test_frames_of_the_usual_phases_are_left_alone(how):
    odd = ALIKE[how]()
    found, problems = brought(odd)
    assert found is odd
    assert problems == []


def test_prospective_frames_do_not_depend_on_the_interval():
    slices = [beating(times(count=9), rr_ms=rr, interval_ms=rr) for rr in (850, 900, 1000, 1200, 1900)]
    assert synchronise(slices, RULES) == (slices, [])


@pytest.mark.parametrize("interval_ms", [2 * RR_MS, RR_MS, NAN])
def test_of_two_beats_the_first_counts(interval_ms):
    others = usual(interval_ms=RR_MS if np.isfinite(interval_ms) else NAN)
    found, problems = brought(beating(times(step=2 * STEP_MS), interval_ms=interval_ms), others)
    assert told(problems) == [("cardiac cycle", "first beat resampled in time")]
    np.testing.assert_array_equal(heart(found)[::2], size(times())[::2])
    np.testing.assert_array_equal(found.times_ms, times())
    assert len(found.images) == COUNT


def test_two_beats_in_twice_the_frames_lose_nothing():
    found, problems = brought(beating(times(count=2 * COUNT), interval_ms=2 * RR_MS))
    assert told(problems) == [("cardiac cycle", "first beat resampled in time")]
    np.testing.assert_array_equal(heart(found), size(times()))


def test_most_slices_may_have_missed_a_beat():
    """The images, which repeat themselves, tell them from slices that hold half of a beat."""
    missed = [beating(times(step=2 * STEP_MS), interval_ms=2 * RR_MS) for _ in range(5)]
    slices, problems = synchronise([*missed, *usual(2)], RULES)
    assert len(problems) == 5
    assert {round(heart(s)[4]) for s in slices} == {0}


def test_a_pause_of_the_heart_leaves_systole_as_long_as_it_is():
    found, _ = brought(beating(times(step=2 * STEP_MS), rr_ms=2 * RR_MS, interval_ms=2 * RR_MS))
    np.testing.assert_array_equal(heart(found)[::2], size(times())[::2])


@pytest.mark.parametrize("start", [5 * STEP_MS, 17 * STEP_MS, -3 * STEP_MS])
@pytest.mark.parametrize("interval_ms", [RR_MS, NAN])
def test_a_late_start_is_turned_back_to_the_frame(start, interval_ms):
    others = usual(interval_ms=interval_ms)
    found, problems = brought(beating(times(start), interval_ms=interval_ms), others)
    assert told(problems) == [("cardiac cycle", "brought to the same phases")]
    np.testing.assert_array_equal(heart(found), size(times()))


def test_files_go_with_their_frames():
    odd = beating(times(2 * STEP_MS), interval_ms=RR_MS)
    found, _ = brought(odd)
    assert [i.name for i in found.images] == [odd.images[n].name for n in (10, 11, *range(10))]


def test_a_start_between_two_frames_is_interpolated():
    found, _ = brought(beating(times(4.5 * STEP_MS), interval_ms=RR_MS))
    np.testing.assert_allclose(heart(found), size(times()), atol=13)
    assert heart(found).argmin() == 4


def test_what_is_told_are_both_times():
    _, (problem,) = brought(beating(times(5 * STEP_MS), interval_ms=RR_MS))
    assert problem.extra_info == "400 to 1280 ms of RR 960 ms, others: 0 to 880 ms of RR 960 ms"
    assert problem.image.endswith("_0")


@pytest.mark.parametrize(
    "odd",
    [
        lambda: beating(times(step=3 * STEP_MS), interval_ms=3 * RR_MS),  # four frames of a beat
        lambda: beating(times(5 * STEP_MS, step=STEP_MS / 2), interval_ms=RR_MS),  # from 400 to 840 ms
    ],
)
def test_a_slice_that_does_not_show_all_of_systole_is_left_out(odd):
    found, problems = brought(odd())
    assert found is None
    assert told(problems) == [("cardiac cycle", "slice removed")]
    assert problems[0].extra_info.endswith("systole is not covered")


def test_half_of_a_beat_keeps_its_times():
    """Triggered twice per beat: systole is there, the rest of the beat is interpolated."""
    found, _ = brought(beating(times(step=STEP_MS / 2, count=COUNT), interval_ms=RR_MS / 2))
    np.testing.assert_allclose(heart(found)[:6], size(times())[:6], atol=1)


def test_numbered_frames_without_times_of_their_own_are_not_turned():
    """Their times are spread from 0 on; that others start at 160 ms says nothing of them."""
    others = [beating(times(2 * STEP_MS), interval_ms=RR_MS) for _ in range(4)]
    odd = beating(times(2 * STEP_MS), told_ms=times(), interval_ms=RR_MS, trigger_ms=NAN)
    found, problems = brought(odd, others)
    assert found is odd
    assert problems == []


def test_without_any_times_nothing_is_done():
    slices = [beating(times(), told_ms=[NAN] * COUNT) for _ in range(3)]
    assert synchronise(slices, RULES) == (slices, [])
