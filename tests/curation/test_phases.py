"""Every slice gets the number of frames that most slices have."""

from __future__ import annotations

import numpy as np
import pytest

from cmrseg.curation.phases import equalise_phases
from cmrseg.curation.rules import Rules
from tests.curation.conftest import (
    NAN,
    RULES,
    STEP_MS,
    assert_unchanged,
    kinds_of,
    make_slice,
    make_stack,
    pattern,
    snapshot,
)

COUNT = 8
RESAMPLE = Rules(missing_frame="resample")


def usual(n=3, **details):
    return make_stack([10.0 * z for z in range(n)], phases=COUNT, **details)


def with_frames(numbers, *, times=True, instances=True, **details):
    """A slice that has only some of the frames."""
    numbers = np.array(numbers)
    return make_slice(
        90.0,
        frames=pattern(phases=COUNT)[numbers],
        times_ms=numbers * STEP_MS if times else np.full(len(numbers), NAN),
        instances=(numbers + 1).tolist() if instances else [-1] * len(numbers),
        **details,
    )


def values(s):
    """First pixel of every frame, in frames of the pattern."""
    return (s.frames[:, 0, 0] / 1000).tolist()


def equal(odd, rules=RULES):
    slices, problems = equalise_phases([*usual(), odd], rules)
    return slices[-1], problems


def test_equal_slices_are_left_alone():
    slices = usual()
    assert equalise_phases(slices, RULES) == (slices, [])


@pytest.mark.parametrize("knows", ["times", "instances"])
@pytest.mark.parametrize(
    ("numbers", "copies"),
    [
        ([0, 1, 2, 4, 5, 6, 7], [0, 1, 2, 2, 4, 5, 6, 7]),
        ([0, 1, 5, 6, 7], [0, 1, 1, 1, 1, 5, 6, 7]),
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 4, 4, 4]),
        ([1, 2, 3, 4, 5, 6, 7], [1, 1, 2, 3, 4, 5, 6, 7]),
        ([0, 2, 3, 5, 6, 7], [0, 0, 2, 3, 3, 5, 6, 7]),
    ],
)
def test_a_missing_frame_is_a_copy_of_the_one_before(knows, numbers, copies):
    odd = with_frames(numbers, times=knows == "times", instances=knows == "instances")
    filled, problems = equal(odd)
    assert values(filled) == copies
    missing = sorted(set(range(COUNT)) - set(numbers))
    assert [p.extra_info for p in problems] == [f"frame: {n}" for n in missing]
    assert {(p.problem, p.resolution) for p in problems} == {("missing frame", "previous frame copied")}


def test_the_published_missing_frames_are_told_one_by_one():
    """416: the last three of 25 frames, counted from 0, are copies of the one before."""
    slices = make_stack([0, 10, 20], phases=25)
    odd = make_slice(30.0, phases=22)
    _, problems = equalise_phases([*slices, odd], RULES)
    assert [p.extra_info for p in problems] == ["frame: 22", "frame: 23", "frame: 24"]


def test_instances_that_count_through_all_slices_are_understood():
    """GE: slice 3 has the instances 25 to 32."""
    odd = with_frames([0, 1, 2, 5, 6, 7], times=False)
    odd = make_slice(90.0, frames=odd.frames, times_ms=[NAN] * 6, instances=[25, 26, 27, 30, 31, 32])
    assert values(equal(odd)[0]) == [0, 1, 2, 2, 2, 5, 6, 7]


def test_without_times_and_instances_the_last_frames_are_missing():
    odd = with_frames([0, 1, 2, 4, 5, 6], times=False, instances=False)
    assert values(equal(odd)[0]) == [0, 1, 2, 4, 5, 6, 6, 6]


def test_a_faster_heart_beat_of_one_slice_does_not_misplace_its_frames():
    numbers = np.array([0, 1, 2, 4, 5, 6, 7])
    odd = make_slice(
        90.0, frames=pattern(phases=COUNT)[numbers], times_ms=numbers * STEP_MS * 0.8, instances=[-1] * 7
    )
    assert values(equal(odd)[0]) == [0, 1, 2, 2, 4, 5, 6, 7]


def test_every_other_frame_missing_does_not_misplace_the_rest():
    odd = with_frames([0, 2, 4, 6, 7], instances=False)
    assert values(equal(odd)[0]) == [0, 0, 2, 2, 4, 4, 6, 7]


def test_the_first_frame_may_lie_after_the_r_wave():
    slices = usual(times_ms=20 + np.arange(COUNT) * STEP_MS)
    numbers = np.array([0, 1, 3, 4, 5, 6, 7])
    odd = make_slice(
        90.0, frames=pattern(phases=COUNT)[numbers], times_ms=20 + numbers * STEP_MS, instances=[-1] * 7
    )
    filled = equalise_phases([*slices, odd], RULES)[0][-1]
    assert values(filled) == [0, 1, 1, 3, 4, 5, 6, 7]


def test_times_of_filled_frames_are_those_of_the_others():
    filled, _ = equal(with_frames([0, 1, 2, 5, 6, 7]))
    np.testing.assert_allclose(filled.times_ms, np.arange(COUNT) * STEP_MS, atol=1e-6)


def test_unknown_times_stay_unknown():
    filled, _ = equal(with_frames([0, 1, 2, 5, 6, 7], times=False))
    assert np.isnan(filled.times_ms).all()
    assert len(filled.times_ms) == COUNT


def test_files_of_filled_frames_are_those_of_their_source():
    odd = with_frames([0, 1, 2, 4, 5, 6, 7])
    filled, _ = equal(odd)
    assert [image.name for image in filled.images] == [odd.images[n].name for n in (0, 1, 2, 2, 3, 4, 5, 6)]


def test_missing_frames_may_be_interpolated():
    filled, problems = equal(with_frames([0, 1, 2, 5, 6, 7]), RESAMPLE)
    np.testing.assert_array_equal(filled.frames, pattern(phases=COUNT))
    assert {p.resolution for p in problems} == {"interpolated in time"}
    assert len(problems) == 2


def test_interpolation_goes_around_the_heart_beat():
    """Frames 6 and 7 lie between 5 and the first one: 5 + (0 - 5) / 3 and so on."""
    filled, _ = equal(with_frames([0, 1, 2, 3, 4, 5]), RESAMPLE)
    np.testing.assert_allclose(values(filled)[-2:], [5 * 2 / 3, 5 / 3], atol=1e-3)
    assert values(filled)[:6] == [0, 1, 2, 3, 4, 5]


def test_a_missing_first_frame_is_interpolated_from_both_sides():
    filled, _ = equal(with_frames([1, 2, 3, 4, 5, 6, 7]), RESAMPLE)
    assert values(filled)[0] == 4  # half way from 7 to 1


@pytest.mark.parametrize(("count", "stays"), [(4, True), (3, False)])
def test_slices_with_less_than_half_of_the_frames_are_removed(count, stays):
    slices, problems = equalise_phases([*usual(), with_frames(range(count))], RULES)
    assert len(slices) == 3 + stays
    assert {p.problem for p in problems} == {"missing frame"}
    assert ([p.resolution for p in problems] == ["slice removed"]) != stays


def test_the_share_of_frames_is_a_rule():
    slices, _ = equalise_phases([*usual(), with_frames(range(3))], Rules(min_phase_fraction=0.3))
    assert len(slices) == 4


def test_what_is_removed_is_told_with_its_frames():
    _, (problem,) = equalise_phases([*usual(), with_frames(range(3))], RULES)
    assert problem.extra_info == "3 of 8 frames"


def test_of_equally_frequent_counts_the_largest_is_kept_as_published():
    slices = make_stack([0, 10], phases=6) + make_stack([20, 30], phases=7)
    left, problems = equalise_phases(slices, RULES)
    assert {len(s.frames) for s in left} == {7}
    assert [p.image for p in problems] == ["s1_z0_0", "s1_z10_0"]


def test_fewer_frames_over_the_whole_cycle_are_resampled_and_not_filled():
    """Five frames 80 ms apart last as long as eight of 50 ms: frame n is phase 1.6 n."""
    odd = make_slice(90.0, phases=5, times_ms=np.arange(5) * 80.0)
    resampled, (problem,) = equal(odd)
    assert problem.resolution == "resampled in time"
    assert (problem.problem, problem.extra_info) == ("missing frame", "5 frames, expected: 8")
    np.testing.assert_allclose(values(resampled)[:7], np.arange(7) / 1.6, atol=1e-3)
    np.testing.assert_allclose(values(resampled)[7], 4 * (1 - (7 / 1.6 - 4)), atol=1e-3)


def test_the_interval_of_the_header_tells_what_the_whole_cycle_is():
    """Seven of eight frames of a slower heart beat: none is missing if the header says so."""
    odd = make_slice(90.0, phases=7, times_ms=np.arange(7) * STEP_MS, interval_ms=350.0)
    assert equal(odd)[1][0].resolution == "resampled in time"
    odd = make_slice(90.0, phases=7, times_ms=np.arange(7) * STEP_MS, interval_ms=400.0)
    assert equal(odd)[1][0].resolution == "previous frame copied"


def test_more_frames_are_resampled():
    odd = make_slice(90.0, phases=16, times_ms=np.arange(16) * STEP_MS / 2)
    resampled, (problem,) = equal(odd)
    assert (problem.problem, problem.resolution) == ("extra frame", "resampled in time")
    assert values(resampled) == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_resampling_keeps_the_type(dtype):
    odd = with_frames([0, 1, 2, 5, 6, 7], dtype=dtype)
    assert equal(odd, RESAMPLE)[0].frames.dtype == dtype


def test_whole_numbers_are_rounded():
    frames = np.zeros((6, 12, 10))
    frames[3:] = 2  # frames 5, 6, 7: two thirds of 2 are 1.33
    odd = make_slice(90.0, frames=frames, times_ms=np.array([0, 1, 2, 5, 6, 7]) * STEP_MS)
    assert equal(odd, RESAMPLE)[0].frames[:, 0, 0].tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("rules", [RULES, RESAMPLE])
@pytest.mark.parametrize("numbers", [[0, 1, 2, 5, 6, 7], [0, 1], list(range(8))])
def test_input_is_not_changed(rules, numbers):
    slices = [*usual(), with_frames(numbers)]
    before = snapshot(slices)
    _, problems = equalise_phases(slices, rules)
    assert_unchanged(slices, before)
    assert bool(kinds_of(problems)) == (len(numbers) < COUNT)
