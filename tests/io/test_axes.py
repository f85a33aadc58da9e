"""Which axis is which: every order of a cine is found by distances, counts or pixels, or refused."""

from contextlib import suppress
from itertools import permutations

import numpy as np
import pytest

from cmrseg.io.axes import Array, contradicted, find_axes
from cmrseg.problems import DataError

COUNTS, STEPS = (40, 44, 8, 12), (1.8, 1.8, 10.0, 0.08)  # x y z t


def cine():
    """Slices that have nothing in common, each beating a little."""
    x, y, z, t = COUNTS
    still = np.random.default_rng(0).integers(100, 200, (x, y, z, 1))
    return still + np.round(5 * np.sin(2 * np.pi * np.arange(t) / t)).astype(int)


def found(order, steps, pixels=None):
    """Names of the axes of a cine that is stored in an order."""
    shape = tuple(COUNTS["xyzt".index(axis)] for axis in order)
    axes = find_axes(Array("a.nii", shape, steps, pixels))
    return {order[axis] for axis in axes[:2]}, order[axes[2]], order[axes[3]]


@pytest.mark.parametrize("order", ["".join(order) for order in permutations("xyz")])
def test_slices_are_the_axis_of_the_largest_distance(order):
    steps = tuple(STEPS["xyzt".index(axis)] for axis in order)
    assert found(order + "t", (*steps, 1.0)) == ({"x", "y"}, "z", "t")


@pytest.mark.parametrize("order", ["xyzt", "zxyt", "xzyt"])
def test_without_a_spacing_slices_are_the_fewest(order):
    assert found(order, (np.nan,) * 3 + (1.0,)) == ({"x", "y"}, "z", "t")


@pytest.mark.parametrize("order", ["".join(order) for order in permutations("xyzt")])
@pytest.mark.parametrize("forgotten", [True, False], ids=["header of x y z t", "header of its own"])
def test_frames_anywhere_are_found_by_the_pixels_or_refused(order, forgotten):
    axes = ["xyzt".index(axis) for axis in order]
    steps = STEPS if forgotten else tuple(STEPS[axis] for axis in axes)
    pixels = cine().transpose(axes)
    with suppress(DataError):  # what cannot be told is refused
        told = found(order, steps, lambda: pixels)
        slices, frames = (order.index(axis) for axis in told[1:])
        wrong = told != ({"x", "y"}, "z", "t")
        assert not wrong or contradicted(pixels, (-1, -1, slices, frames))


def test_frames_before_slices_are_found_though_the_header_says_nothing_of_it():
    pixels = cine().transpose(0, 1, 3, 2)
    assert found("xytz", STEPS, lambda: pixels) == ({"x", "y"}, "z", "t")


def test_axes_of_one_step_are_left_out():
    assert find_axes(Array("a", (40, 44, 8, 1, 12), (1.8, 1.8, 10.0, 1.0, 0.08))) == (0, 1, 2, 4)
    assert find_axes(Array("a", (40, 44, 8, 12, 1), (1.8, 1.8, 10.0, 0.08, 1.0))) == (0, 1, 2, 3)
    assert find_axes(Array("a", (40, 44, 1, 12), (1.8, 1.8, 10.0, 0.08))) == (0, 1, 2, 3)


def test_a_third_axis_in_steps_of_seconds_counts_frames():
    assert find_axes(Array("a", (40, 44, 12), (1.8, 1.8, 0.08))) == (0, 1, -1, 2)


def test_a_stack_longer_than_a_chest_is_refused():
    with pytest.raises(DataError, match="different axes for the slices"):
        find_axes(Array("a", (10, 96, 96), (1.8, 1.8, 10.0)))


def test_pixels_that_beat_along_the_slices_contradict_their_header():
    assert not contradicted(cine(), (0, 1, 2, 3))
    assert contradicted(cine(), (0, 1, 3, 2))


def test_labels_tell_no_axes():
    labels = np.zeros((40, 40, 3, 2), np.uint8)
    labels[10:20, 10:20, :, 0], labels[10:16, 10:16, :, 1] = 1, 1  # equal slices, other frames
    assert find_axes(Array("mask", labels.shape, (1.5, 1.5, 8.0, 0.04), lambda: labels)) == (0, 1, 2, 3)
