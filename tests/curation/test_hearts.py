"""Whether slices can be of one heart: rows of slices of known distances."""

import numpy as np
import pytest

from cmrseg.curation.hearts import combs, is_one_heart, is_repeated, lies_near, lines, short_axes
from cmrseg.curation.selection import LONG_AXIS
from tests.curation.conftest import RULES, X, Y, make_slice, make_stack

PLACES = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
ROW = np.array([0.6, 0.66, 0.0]) / np.hypot(0.6, 0.66)
USUAL = {"row": ROW, "column": np.cross(LONG_AXIS / np.linalg.norm(LONG_AXIS), ROW)}


def stack(places=PLACES, **details):
    return make_stack(places, phases=6, **details)


def beside(mm):
    return [make_slice(phases=6, series=2, centre=(mm, 0.0, z)) for z in PLACES]


def test_an_even_stack_is_one_heart():
    assert is_one_heart(stack(), RULES)
    assert not is_repeated(stack(), RULES)


@pytest.mark.parametrize("shift_mm", [0.0, 1.5, 5.0])
def test_two_stacks_among_each_other_are_two_hearts(shift_mm):
    first, second = (stack([z + mm for z in PLACES], told_mm=10.0) for mm in (0, shift_mm))
    assert not is_one_heart(first + second, RULES)


def test_a_stack_far_behind_another_is_of_another_heart():
    assert not is_one_heart(stack() + stack([z + 200 for z in PLACES], series=2), RULES)


@pytest.mark.parametrize(("mm", "is_one"), [(5.0, True), (30.0, False)])
def test_half_of_the_slices_far_beside_the_others_are_of_another_heart(mm, is_one):
    assert is_one_heart([*stack()[::2], *beside(mm)[1::2]], RULES) == is_one


def test_slices_of_two_people_are_not_of_one_heart():
    assert not is_one_heart([*stack(PLACES[:3], whose=("1.60",)), *stack(PLACES[3:], whose=("1.90",))], RULES)


def test_a_stack_that_was_measured_as_a_whole_again_is_repeated():
    assert is_repeated(stack() + stack(series=2), RULES)


def test_the_short_axis_is_the_stack_in_the_usual_direction_however_few_slices_it_has():
    usual, other = stack(PLACES[:3], **USUAL, series=2), stack()
    assert short_axes([*usual, *other], RULES) == [usual]
    assert short_axes(other, RULES) == [other]


def test_what_lies_near_is_within_45_degrees():
    assert lies_near(make_slice(row=(0.866, 0.0, 0.5), column=Y), stack())  # 30 degrees
    assert not lies_near(make_slice(row=(0.5, 0.0, 0.866), column=Y), stack())  # 60


def test_lines_and_combs_count_stacks_beside_and_among_each_other():
    assert lines([*stack(), *beside(20.0)]) == [0] * 6 + [1] * 6
    among = [*stack(told_mm=10.0), *stack([z + 4 for z in PLACES], told_mm=10.0)]
    assert combs(among) == [0] * 6 + [1] * 6
    assert combs(stack([0.0, 4.0, 10.0])) == [0] * 3  # no header tells the distance
    assert lines(stack(row=Y, column=X)) == [0] * 6
