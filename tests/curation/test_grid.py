"""Slices come onto the grid of most others: rotated, scaled, cropped, padded or moved."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from cmrseg.cine import fit
from cmrseg.curation.grid import align, limit_size
from cmrseg.curation.rules import Rules
from tests.curation.conftest import (
    RULES,
    assert_unchanged,
    kinds_of,
    make_slice,
    make_stack,
    pattern,
    snapshot,
)


def rotated_axes(degrees):
    angle = math.radians(degrees)
    return (math.cos(angle), math.sin(angle), 0), (-math.sin(angle), math.cos(angle), 0)


def field(s):
    """Value 500 + 10 x + 3 y (mm) of every pixel: linear, so linear interpolation is exact."""
    rows, columns = s.size
    r, c = np.mgrid[:rows, :columns]
    points = s.corner + c[..., None] * s.spacing[0] * s.row + r[..., None] * s.spacing[1] * s.column
    return 500 + 10 * points[..., 0] + 3 * points[..., 1]


def painted(*args, **details):
    """A slice that shows the linear field."""
    s = make_slice(*args, **details)
    return make_slice(
        *args, frames=np.stack([field(s)] * len(s.frames)), dtype=np.float32, **without_size(details)
    )


def without_size(details):
    return {name: value for name, value in details.items() if name not in ("size", "phases", "dtype")}


def usual(n=3, **details):
    return [painted(10.0 * z, size=(30, 24), **details) for z in range(n)]


def aligned(odd, rules=RULES):
    slices, problems = align([*usual(), odd], rules)
    return slices[-1], problems


def test_equal_slices_are_left_alone():
    slices = usual()
    left, problems = align(slices, RULES)
    assert all(a is b for a, b in zip(left, slices, strict=True))
    assert problems == []


@pytest.mark.parametrize(("degrees", "is_rotated"), [(0.5, False), (0.6, True), (-0.5, False), (-0.6, True)])
def test_rotations_beyond_the_tolerance_are_repaired(degrees, is_rotated):
    """The tolerance of 0.01 in direction cosines is an angle of 0.573 degrees."""
    row, column = rotated_axes(degrees)
    _, problems = aligned(painted(30.0, size=(30, 24), row=row, column=column))
    assert kinds_of(problems) == ["rotation"] * is_rotated


def test_the_tolerance_of_orientations_is_a_rule():
    row, column = rotated_axes(2)
    odd = painted(30.0, size=(30, 24), row=row, column=column)
    assert aligned(odd, Rules(orientation_tolerance=0.04))[1] == []


@pytest.mark.parametrize("degrees", [4.11917348743288, 68.07021258720576, 28.059901918701883, -35])
def test_a_rotated_slice_is_turned_back(degrees):  # 830, 822, 274
    row, column = rotated_axes(degrees)
    odd = painted(30.0, size=(40, 40), row=row, column=column)
    turned, problems = aligned(odd)
    assert problems[0].problem == problems[0].resolution == "rotation"
    assert problems[0].extra_info == f"{abs(degrees):.2f} degrees"
    np.testing.assert_allclose(turned.row, [1, 0, 0], atol=1e-12)
    assert turned.size == (30, 24)
    np.testing.assert_allclose(turned.frames[0], field(turned), atol=1e-3)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_right_angles_move_pixels_without_interpolation(quarter):
    """Noise, that any interpolation would change, on a square field of view."""
    noise = np.random.default_rng(0).integers(0, 4096, (2, 16, 16))
    row, column = rotated_axes(90 * quarter)
    slices = [make_slice(10.0 * z, frames=noise) for z in range(3)]
    odd = make_slice(30.0, frames=noise, row=row, column=column)
    turned = align([*slices, odd], RULES)[0][-1]
    # Turned by 90 degrees, the row points along y and the column along -x.
    np.testing.assert_array_equal(turned.frames, np.rot90(noise, -quarter, axes=(1, 2)))
    assert turned.frames.dtype == np.uint16


@pytest.mark.parametrize(
    ("factor", "is_scaled"), [(1.0009, False), (1.0011, True), (0.9991, False), (0.9989, True)]
)
def test_pixels_beyond_the_tolerance_are_scaled(factor, is_scaled):
    _, problems = aligned(painted(30.0, size=(30, 24), spacing=(factor, factor)))
    assert kinds_of(problems) == ["pixel spacing"] * is_scaled


def test_one_axis_is_enough_for_another_pixel_size():
    _, problems = aligned(painted(30.0, size=(30, 24), spacing=(1.0, 1.1)))
    assert kinds_of(problems) == ["pixel spacing"]


def test_the_tolerance_of_pixel_sizes_is_a_rule():
    odd = painted(30.0, size=(30, 24), spacing=(1.05, 1.05))
    assert aligned(odd, Rules(spacing_tolerance=0.06))[1] == []


@pytest.mark.parametrize(("expected", "actual"), [(1.484375, 1.40625), (1.25, 1.328125), (1.40625, 1.5625)])
def test_published_pixel_sizes_are_scaled(expected, actual):  # 762, 963, 27
    slices = usual(spacing=(expected, expected))
    odd = painted(30.0, size=(40, 40), spacing=(actual, actual))
    left, problems = align([*slices, odd], RULES)
    assert problems[0].problem == "pixel spacing"
    assert problems[0].resolution == "scaling/padding/cropping"
    told = [float(number) for number in re.findall(r"\d+\.\d+", problems[0].extra_info)]
    assert told == pytest.approx([expected, expected, actual, actual], abs=1e-5)
    assert left[-1].spacing == (expected, expected)
    np.testing.assert_allclose(left[-1].frames[0], field(left[-1]), atol=1e-3)


@pytest.mark.parametrize("size", [(26, 24), (34, 24), (30, 20), (30, 30), (34, 20)])
def test_other_matrices_are_cropped_and_padded_about_the_centre(size):
    odd = make_slice(30.0, frames=pattern(size) + 1)
    fixed, (problem,) = aligned(odd)
    assert (problem.problem, problem.resolution) == ("image size", "scaling/padding/cropping")
    assert problem.extra_info == f"expected: (30, 24), actual: {size}"
    np.testing.assert_array_equal(fixed.frames, fit(odd.frames, (30, 24)))
    np.testing.assert_allclose(fixed.centre, odd.centre, atol=1e-9)


def test_an_odd_number_of_pixels_cut_off_one_side_is_no_interpolation():
    """31 rows of which the first lies a pixel before the grid: the header says so, and it is cut off."""
    odd = make_slice(centre=(0, -0.5, 30), frames=pattern((31, 24)) + 1)
    fixed, _ = aligned(odd)
    np.testing.assert_array_equal(fixed.frames, odd.frames[:, 1:])


def test_of_equally_many_matrices_the_largest_is_kept_as_published():
    slices = make_stack([0, 10], size=(12, 10)) + make_stack([20, 30], size=(10, 14))
    left, problems = align(slices, RULES)
    assert {s.size for s in left} == {(12, 10)}
    assert [p.image for p in problems] == ["s1_z20_0", "s1_z30_0"]


def test_of_equally_many_pixel_sizes_the_largest_is_kept_as_published():
    slices = make_stack([0, 10], spacing=(1.2, 1.2)) + make_stack([20, 30], spacing=(1.5, 1.5))
    left, _ = align(slices, RULES)
    assert {s.spacing for s in left} == {(1.5, 1.5)}


def test_all_that_is_wrong_with_a_slice_is_logged_and_repaired_at_once():
    row, column = rotated_axes(78.49441794435751)  # 280: pixel spacing, rotation and image size
    odd = painted(30.0, size=(44, 48), spacing=(0.9, 0.9), row=row, column=column)
    fixed, problems = aligned(odd)
    assert kinds_of(problems) == ["rotation", "pixel spacing", "image size"]
    np.testing.assert_allclose(fixed.frames[0], field(fixed), atol=1e-3)


@pytest.mark.parametrize(("shift", "is_moved"), [(0.99, False), (1.01, True), (5.0, True)])
def test_slices_off_the_axis_are_moved_back(shift, is_moved):
    _, problems = aligned(painted(centre=(0, shift, 30), size=(30, 24)))
    assert [(p.problem, p.resolution) for p in problems] == [("in-plane shift", "moved")] * is_moved


def test_the_shift_is_a_rule():
    odd = painted(centre=(0, 1.5, 30), size=(30, 24))
    assert aligned(odd, Rules(shift_mm=1.6))[1] == []


def test_a_whole_shift_moves_pixels_without_interpolation():
    odd = make_slice(centre=(2, 0, 30), frames=pattern((30, 24)) + 1)
    moved, (problem,) = aligned(odd)
    np.testing.assert_array_equal(moved.frames[:, :, 2:], odd.frames[:, :, :-2])
    assert not moved.frames[:, :, :2].any()
    assert problem.extra_info == "2.00 mm off the axis of the stack"


def test_a_broken_shift_keeps_the_place_of_everything():
    moved, _ = aligned(painted(centre=(1.3, -2.6, 30), size=(30, 24)))
    inner = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(moved.frames[0][inner], field(moved)[inner], atol=1e-3)
    np.testing.assert_allclose(moved.centre, [0, 0, 30], atol=1e-9)


def test_a_stack_whose_slices_are_stacked_along_a_patient_axis_is_not_moved():
    """Each slice 0.4 mm further: all lie within the tolerance of the median."""
    slices = [make_slice(centre=(0.4 * n, 0, 10.0 * n)) for n in range(4)]
    assert align(slices, RULES) == (slices, [])


def test_whole_numbers_are_rounded_and_not_cut():
    frames = np.zeros((2, 30, 24)) + 7
    row, column = rotated_axes(30)
    turned, _ = aligned(make_slice(30.0, frames=frames, row=row, column=column))
    assert turned.frames.dtype == np.uint16
    assert turned.frames[0, 15, 12] == 7


def test_aligning_does_not_change_its_input():
    row, column = rotated_axes(30)
    slices = [*usual(), make_slice(30.0, size=(20, 20), spacing=(2.0, 1.0), row=row, column=column)]
    before = snapshot(slices)
    align(slices, RULES)
    assert_unchanged(slices, before)


@pytest.mark.parametrize(("size", "is_scaled"), [((256, 100), False), ((257, 100), True), ((100, 257), True)])
def test_images_above_the_largest_size_are_scaled(size, is_scaled):
    left, problems = limit_size(make_stack([0], size=size, phases=1), RULES)
    assert kinds_of(problems) == ["image size >256"] * is_scaled
    assert max(left[0].size) == 256


@pytest.mark.parametrize(
    ("size", "scaled", "factor"),
    [((448, 336), (256, 192), 0.571429), ((384, 512), (192, 256), 0.5), ((416, 300), (256, 185), 0.615385)],
)
def test_published_sizes_are_scaled_by_the_published_factor(size, scaled, factor):  # 870, 719, 946
    left, (problem,) = limit_size(make_stack([0], size=size, phases=1), RULES)
    assert left[0].size == scaled
    assert problem.resolution == "scaled"
    assert problem.extra_info == f"({size[1]}, {size[0]}) pixels scaled down with factor: {factor:.6f}"


def test_the_largest_size_is_a_rule_and_zero_switches_it_off():
    slices = make_stack([0], size=(300, 20), phases=1)
    assert limit_size(slices, Rules(max_size=0)) == (slices, [])
    assert limit_size(slices, Rules(max_size=300)) == (slices, [])
    assert limit_size(slices, Rules(max_size=100))[0][0].size == (100, 7)


def test_the_field_of_view_stays_where_it_is():
    (s,) = make_stack([7.0], size=(300, 271), spacing=(0.7, 0.9), phases=1)
    scaled = limit_size([s], RULES)[0][0]
    for a, b in ((s, scaled), (scaled, s)):
        assert a.spacing[0] * a.size[1] == pytest.approx(b.spacing[0] * b.size[1])
        assert a.spacing[1] * a.size[0] == pytest.approx(b.spacing[1] * b.size[0])
    edges = [v.corner - v.row * v.spacing[0] / 2 - v.column * v.spacing[1] / 2 for v in (s, scaled)]
    np.testing.assert_allclose(*edges, atol=1e-9)


def test_a_linear_image_is_scaled_to_the_same_linear_image():
    s = painted(0.0, size=(320, 288), phases=1)
    scaled = limit_size([s], RULES)[0][0]
    inner = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(scaled.frames[0][inner], field(scaled)[inner], atol=0.02)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_scaling_keeps_the_type_and_a_constant(dtype):
    frames = np.full((1, 300, 300), 777)
    scaled = limit_size([make_slice(frames=frames, dtype=dtype)], RULES)[0][0]
    assert scaled.frames.dtype == dtype
    np.testing.assert_allclose(scaled.frames, 777, rtol=1e-6)


def test_scaling_does_not_change_its_input():
    slices = make_stack([0, 10], size=(300, 20), phases=1)
    before = snapshot(slices)
    limit_size(slices, RULES)
    assert_unchanged(slices, before)
