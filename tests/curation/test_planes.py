"""Slices that are tilted, and slices that were measured twice."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cmrseg.curation.planes import remove_collisions, remove_tilted
from cmrseg.curation.rules import Rules
from tests.curation.conftest import RULES, X, assert_unchanged, heights, make_slice, make_stack, snapshot

LIMIT_DEG = math.degrees(math.acos(1 - 0.001))  # 2.56


def tilted(angle_deg, z_mm=50.0, **details):
    angle = math.radians(angle_deg)
    return make_slice(z_mm, column=(0, math.cos(angle), math.sin(angle)), name="tilted", **details)


@pytest.mark.parametrize(
    ("angle", "is_removed"),
    [
        (LIMIT_DEG - 0.05, False),
        (LIMIT_DEG + 0.05, True),
        (4.192469053372404, True),  # 277
        (6.179565920123488, True),  # 203
        (90.0, True),
        (180 - LIMIT_DEG + 0.05, False),
        (180 - LIMIT_DEG - 0.05, True),
    ],
)
def test_slices_beyond_the_tolerance_are_removed(angle, is_removed):
    parallel = make_stack([0, 10, 20])
    left, problems = remove_tilted([*parallel, tilted(angle)], RULES)
    assert len(left) == 4 - is_removed
    assert [p.problem for p in problems] == ["orientation"] * is_removed


def test_what_is_removed_is_logged_with_its_angle():
    _, (problem,) = remove_tilted([*make_stack([0, 10, 20]), tilted(78.39204683110977)], RULES)  # 708
    assert problem.image == "tilted_0"
    assert problem.resolution == "slice removed"
    assert problem.extra_info == "angle to the stack: 78.39 degrees"


def test_the_tolerance_of_parallel_slices_is_a_rule():
    slices = [*make_stack([0, 10, 20]), tilted(4.0)]
    assert len(remove_tilted(slices, Rules(parallel_cosine=0.003))[0]) == 4


def test_most_slices_decide_what_is_parallel_wherever_they_stand():
    left, _ = remove_tilted([tilted(30), *make_stack([0, 10, 20])], RULES)
    assert heights(left) == [0, 10, 20]


def test_slices_seen_from_the_other_side_are_parallel():
    slices = [*make_stack([0, 10]), make_slice(20, column=(0, -1, 0))]
    assert remove_tilted(slices, RULES) == (slices, [])


def test_of_equally_many_planes_the_first_stay():
    flat, steep, rules = make_stack([0, 10]), [tilted(30, 0), tilted(30, 10)], Rules(max_outlier_fraction=0.5)
    assert remove_tilted([*flat, *steep], rules)[0] == flat
    assert remove_tilted([*steep, *flat], rules)[0] == steep


def test_a_rotation_in_the_plane_is_no_tilt():
    slices = [*make_stack([0, 10]), make_slice(20, row=(0, 1, 0), column=(-1, 0, 0))]
    assert remove_tilted(slices, RULES)[1] == []


@pytest.mark.parametrize(("distance", "stays"), [(0.0, 1), (0.99, 1), (1.01, 2), (5.0, 2)])
def test_slices_nearer_than_a_millimetre_collide(distance, stays):
    left, problems = remove_collisions([make_slice(0, series=1), make_slice(distance, series=2)], RULES)
    assert len(left) == stays
    assert len(problems) == 2 - stays


def test_the_distance_of_collisions_is_a_rule():
    slices = [make_slice(0, series=1), make_slice(1.5, series=2)]
    assert len(remove_collisions(slices, Rules(collision_mm=1.6))[0]) == 1
    assert len(remove_collisions(slices, Rules(collision_mm=1.4))[0]) == 2


@pytest.mark.parametrize("flip", [1, -1])
def test_the_later_series_stays(flip):
    slices = [make_slice(10.0, series=12), make_slice(10.3, series=30)]  # 870: sax_12 and sax_30
    left, (problem,) = remove_collisions(slices[::flip], RULES)
    assert [s.images[0].series_number for s in left] == [30]
    assert (problem.problem, problem.resolution) == ("collision", "slice removed")
    assert problem.image == "s12_z10_0"
    assert problem.extra_info == "0.300 mm from s30_z10.3_0"


def test_of_one_series_the_later_image_stays():
    # 1065: sax_6 holds IM-2529-0001-0001 and -0002
    first = make_slice(10.0, name="first", instances=range(1, 5))
    later = make_slice(10.0, name="later", instances=range(5, 9))
    left, (problem,) = remove_collisions([later, first], RULES)
    assert left == [later]
    assert problem.image == "first_0"


def test_of_one_series_the_later_clock_counts_before_the_instance():
    first = make_slice(10.0, name="first", instances=range(5, 9), acquired_s=100.0)
    later = make_slice(10.0, name="later", instances=range(1, 5), acquired_s=200.0)
    assert remove_collisions([first, later], RULES)[0] == [later]


def test_the_last_of_several_collisions_stays():
    slices = [make_slice(0.2 * n, series=n + 1) for n in range(4)]
    left, problems = remove_collisions(slices, RULES)
    assert [s.images[0].series_number for s in left] == [4]
    assert len(problems) == 3


def test_a_chain_of_near_slices_does_not_swallow_the_stack():
    """The earliest series every 0.7 mm: what stays first is never within a millimetre of what stays next."""
    slices = [make_slice(0.7 * n, series=10 - n) for n in range(5)]
    left, _ = remove_collisions(slices, RULES)
    along = sorted(heights(left))
    assert min(np.diff(along)) >= 1.0


@pytest.mark.parametrize("repair", [remove_collisions, remove_tilted])
def test_input_is_not_changed(repair):
    slices = [*make_stack([0, 10, 20]), make_slice(10.2, series=2), tilted(40)]
    before = snapshot(slices)
    repair(slices[:4] if repair is remove_collisions else slices, RULES)
    assert_unchanged(slices, before)


def test_a_clean_stack_is_left_alone():
    slices = make_stack([0, 10, 20])
    for repair in (remove_collisions, remove_tilted):
        assert repair(slices, RULES) == (slices, [])
    assert slices[0].row.tolist() == list(X)
