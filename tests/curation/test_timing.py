"""The order of time, by the best that headers tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cmrseg.curation.slices import find_slices
from tests.curation.conftest import NAN
from tests.curation.test_slices import images, names

PHASES = 6
RIGHT = [f"1_0_{t}" for t in range(PHASES)]
SHUFFLED = [4, 1, 5, 0, 3, 2]  # number of the file of every phase
STEPS = 50.0 * np.arange(PHASES)


def beat(*, trigger=None, delay=None, phase=None, instance=SHUFFLED, **header):
    """One slice; the image of phase t is called 1_0_t."""
    told = {"trigger_ms": trigger, "delay_ms": delay, "phase": phase, "instance": instance}
    told = {name: values for name, values in told.items() if values is not None}
    series = images([0.0], phases=PHASES, **{"trigger_ms": NAN, "interval_ms": 300.0, **header})
    return [
        replace(image, **{name: type(values[t])(values[t]) for name, values in told.items()})
        for t, image in enumerate(series)
    ]


def order(series):
    """Names in the order of time, times, and what was told."""
    (s,), problems = find_slices(series)
    return [image.name for image in s.images], s.times_ms, [(p.resolution, p.extra_info) for p in problems]


def test_the_trigger_time_goes_before_all_else():
    found, times, told = order(beat(trigger=STEPS, delay=STEPS[::-1], phase=SHUFFLED))
    assert (found, told) == (RIGHT, [])
    np.testing.assert_array_equal(times, STEPS)


@pytest.mark.parametrize("trigger", [None, [0.0] * PHASES, [0.0, 50.0, 100.0, NAN, NAN, NAN]])
def test_the_measured_delay_stands_in_for_a_useless_trigger_time(trigger):
    found, times, told = order(beat(trigger=trigger, delay=STEPS + 7, phase=SHUFFLED))
    assert (found, told) == (RIGHT, [])
    np.testing.assert_array_equal(times, STEPS + 7)


@pytest.mark.parametrize("trigger", [None, [0.0] * PHASES])
@pytest.mark.parametrize("first", [0, 1])
def test_the_temporal_position_goes_before_numbers_of_files(trigger, first):
    found, times, told = order(beat(trigger=trigger, phase=list(range(first, first + PHASES))))
    assert found == RIGHT
    np.testing.assert_allclose(times, STEPS)
    assert [resolution for resolution, _ in told] == ["ordered by temporal position"]


def test_a_missing_temporal_position_leaves_its_place_free():
    series = beat(phase=list(range(1, PHASES + 1)))
    found, times, _ = order(series[:2] + series[3:])
    assert found == RIGHT[:2] + RIGHT[3:]
    np.testing.assert_allclose(times, [0, 50, 150, 200, 250])


def test_temporal_positions_that_count_something_else_only_order():
    found, times, _ = order(beat(phase=[100 * t + 1 for t in range(PHASES)]))
    assert found == RIGHT
    np.testing.assert_allclose(times, STEPS)


def test_one_temporal_position_for_all_images_orders_nothing():
    assert order(beat(phase=[1] * PHASES, instance=None))[2][0][0] == "ordered by instance number"


def test_descending_numbers_of_files_do_not_matter():
    assert order(beat(trigger=STEPS, instance=[9 - t for t in range(PHASES)]))[0] == RIGHT


@pytest.mark.parametrize("downward", [False, True])
def test_missing_trigger_times_are_completed_by_instance_numbers_that_run_with_or_against_them(downward):
    instance = [20 - 2 * t if downward else 2 * t + 1 for t in range(PHASES)]
    found, times, told = order(beat(trigger=[0.0, NAN, 100.0, 150.0, NAN, 250.0], instance=instance))
    assert found == RIGHT
    np.testing.assert_allclose(times, STEPS, atol=1e-6)
    assert told == [("completed by instance number", "missing in 2 of 6 images")]


def test_images_without_time_that_could_stand_anywhere_are_left_out():
    found, times, ((resolution, what),) = order(beat(trigger=[0.0, NAN, 100.0, 150.0, NAN, 250.0]))
    assert found == [RIGHT[t] for t in (0, 2, 3, 5)]
    np.testing.assert_array_equal(times, STEPS[[0, 2, 3, 5]])
    assert resolution == "images left out"
    assert what == "missing in 2 of 6 images; instance numbers contradict the times of the others"


def test_two_beats_without_trigger_times_are_told_apart_by_their_temporal_positions():
    first = beat(phase=list(range(1, PHASES + 1)), instance=None)
    second = [
        replace(i, name=f"b{i.name}", instance_uid=f"b{i.name}", instance=i.instance + 9) for i in first
    ]
    slices, _ = find_slices(first + second)
    assert names(slices) == [RIGHT, [f"b{name}" for name in RIGHT]]


def test_every_third_phase_first_is_one_acquisition_in_another_order():
    """0, 3, 1, 4, 2, 5: the time falls twice, but together the images are one even beat."""
    found, _, told = order(beat(trigger=STEPS, instance=[1, 3, 5, 2, 4, 6]))
    assert (found, told) == (RIGHT, [])


def timed_and_not(instance):
    """Two slices with times and one without, numbered alike; and the order of the frames of all."""
    series = [
        replace(image, trigger_ms=NAN if n == 2 else 50.0 * t, instance=10 * n + instance[t], acquired_s=NAN)
        for n in range(3)
        for t, image in enumerate(images([10.0 * n], phases=PHASES, series_number=n))
    ]
    slices, problems = find_slices(series)
    found = [[int(image.name.split("_")[-1]) for image in s.images] for s in slices]
    return found, [(p.resolution, p.extra_info.split(";")[-1].strip()) for p in problems]


def test_a_slice_without_times_is_ordered_as_the_others_are_numbered():
    found, told = timed_and_not([9 - t for t in range(PHASES)])
    assert found == [list(range(PHASES))] * 3
    assert told == [("ordered by descending instance number", "missing in 6 of 6 images")]


def test_a_slice_without_times_is_left_out_where_the_others_are_numbered_in_no_order():
    found, told = timed_and_not(SHUFFLED)
    assert found == [list(range(PHASES))] * 2
    assert told == [("slice removed", "instance numbers contradict the times of other slices")]


def test_equal_times_do_not_leave_the_order_to_numbers_that_contradict_the_others():
    found, _, ((resolution, what),) = order(
        beat(trigger=[0.0, 50.0, 100.0, 100.0, 200.0, 250.0], instance=[4, 1, 2, 3, 5, 0])
    )
    assert found == RIGHT
    assert (resolution, what) == ("ordered by trigger time, equal ones by instance number", "repeated")


def test_a_single_image_is_no_matter_of_order():
    scout = images([50.0], phases=1, series_number=7, trigger_ms=NAN)
    assert len(find_slices(beat(trigger=STEPS) + scout)[0]) == 2
