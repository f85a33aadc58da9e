"""Distances between slices, with the numbers of published cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cmrseg.curation.rules import Rules
from cmrseg.curation.spacing import fill_missing, in_order, note_metadata, remove_excess, usual_spacing
from cmrseg.problems import DataError
from tests.curation.conftest import (
    NAN,
    RULES,
    assert_unchanged,
    heights,
    kinds_of,
    make_slice,
    make_stack,
    pattern,
    snapshot,
)


def at(*gaps):
    """Positions from their distances."""
    return [0.0, *np.cumsum(gaps)]


def stack(*gaps, **details):
    return make_stack(at(*gaps), **details)


def test_slices_come_in_the_order_along_the_normal():
    slices, along = in_order(make_stack([20.0, 0.0, 10.0]))
    assert heights(slices) == [0, 10, 20]
    np.testing.assert_allclose(along, [0, 10, 20])


def test_flipped_normals_do_not_change_the_order():
    slices = make_stack([20.0, 0.0, 10.0])
    slices.append(make_slice(30.0, column=(0, -1, 0)))
    assert heights(in_order(slices)[0]) == [0, 10, 20, 30]


def test_positions_are_those_of_the_centre_whatever_the_matrix():
    slices = [*make_stack([0.0, 10.0]), make_slice(20.0, size=(30, 40), spacing=(0.5, 0.7))]
    np.testing.assert_allclose(in_order(slices)[1], [0, 10, 20])


def test_the_usual_spacing_is_the_most_frequent_distance():
    assert usual_spacing(stack(10, 10, 6, 20)) == pytest.approx(10)


def test_the_usual_spacing_is_the_mean_of_what_rounds_to_the_mode():
    assert usual_spacing(stack(9.99, 10.0, 10.0, 10.02, 9.0)) == pytest.approx((9.99 + 10 + 10 + 10.02) / 4)


def test_of_equally_frequent_distances_the_one_that_the_header_tells_is_usual():
    assert usual_spacing(stack(8, 8, 10, 10, told_mm=10.0)) == pytest.approx(10)
    assert usual_spacing(stack(8, 8, 10, 10, told_mm=8.0)) == pytest.approx(8)


def test_of_equally_frequent_distances_the_smallest_is_usual_where_the_header_is_silent():
    assert usual_spacing(stack(10, 10, 8, 8)) == pytest.approx(8)


@pytest.mark.parametrize(("told", "usual"), [(10.9, 10.0), (11.1, 8.0), (7.1, 8.0), (14.0, 8.0)])
def test_of_equally_frequent_distances_the_header_decides_within_a_millimetre(told, usual):
    assert usual_spacing(stack(8, 8, 10, 10, told_mm=told)) == pytest.approx(usual)


def test_the_header_does_not_outvote_the_positions():
    assert usual_spacing(stack(10, 10, 10, 4, told_mm=4.0)) == pytest.approx(10)


def test_headers_that_agree_or_are_silent_are_no_problem():
    for slices in (stack(10, 10, told_mm=10.0), stack(10, 10), stack(10, 10, told_mm=10.001)):
        assert note_metadata(slices, RULES) == (slices, [])


def test_headers_that_differ_are_logged_and_nothing_is_done():
    # 506: observed values: [ 4. 10.]
    slices = make_stack([0, 10], told_mm=10.0) + make_stack([20], told_mm=4.0)
    left, (problem,) = note_metadata(slices, RULES)
    assert left == slices
    assert (problem.problem, problem.resolution) == ("slice spacing: metadata", "none")
    assert problem.extra_info == "observed values: 4, 10 mm"


def test_a_silent_header_beside_others_is_no_contradiction():
    slices = make_stack([0, 10], told_mm=10.0) + make_stack([20], told_mm=NAN)
    assert note_metadata(slices, RULES)[1] == []


def removed(gaps, rules=RULES, **details):
    """Positions that are left, and (kind, resolution, positions of removed slices)."""
    slices = stack(*gaps, **details)
    by_name = {s.images[0].name: z for s, z in zip(slices, heights(slices), strict=True)}
    left, problems = remove_excess(slices, rules)
    return heights(left), [(p.problem, p.resolution, by_name[p.image]) for p in problems]


REGULAR = (10.0,) * 5
INTERSPERSED = "slice spacing: interspersed"


def test_a_regular_stack_is_left_alone():
    slices = stack(*REGULAR)
    assert remove_excess(slices, RULES) == (slices, [])


@pytest.mark.parametrize("spacing", [10.0, 8.0, 8.7, 5.0])
@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
def test_a_slice_between_two_regular_ones_is_removed(spacing, fraction):
    parts = (fraction * spacing, (1 - fraction) * spacing)
    left, done = removed((spacing, spacing, *parts, spacing, spacing))
    np.testing.assert_allclose(left, np.arange(6) * spacing, atol=1e-5)
    assert done == [(INTERSPERSED, "slice removed", round(2 * spacing + parts[0], 6))]


@pytest.mark.parametrize(
    ("usual", "parts"),
    [
        (8.7, (1.9031071301140017, 6.796899855641001)),  # 962
        (10.0, (4.994265697122, 5.005679710580001)),  # 942
        (10.0, (2.7418401615760004, 7.258159896416002)),  # 806
        (10.0, (7.999998780479999, 1.9999425579512007)),  # 921
        (10.02, (5.999996172121996, 3.9599713123390075)),  # 436
        (7.98, (1.714958237493999, 6.2650411959140015)),  # 456
        (8.8, (7.132693150548599, 1.6673075728082)),  # 409
        (10.0, (7.161402446104006, 2.8385937508529935)),  # 511
        (8.0, (3.9999980807889983, 3.9997808240050006)),  # 649
    ],
)
def test_published_interspersed_slices_are_removed(usual, parts):
    left, done = removed((usual, usual, *parts, usual, usual, usual))
    assert [kind for kind, _, _ in done] == [INTERSPERSED]
    assert done[0][2] == pytest.approx(2 * usual + parts[0], abs=1e-5)
    assert len(left) == 7


@pytest.mark.parametrize(
    "parts",
    [
        (3.2998852910859995, 3.9999993218249976, 2.7001144466970004),  # 506
        (1.2998814170749995, 4.000001339768005, 4.700115291021994),  # 506
        (6.871496218800999, 1.2647863513988007, 1.8637212023686),  # 280
    ],
)
def test_two_published_interspersed_slices_are_removed(parts):
    left, done = removed((10.0, 10.0, *parts, 10.0, 10.0, 10.0))
    assert done == [
        (INTERSPERSED, "slice removed", round(20 + parts[0], 6)),
        (INTERSPERSED, "slice removed", round(20 + parts[0] + parts[1], 6)),
    ]
    assert len(left) == 7


def test_interspersed_slices_in_two_places_are_all_removed():
    # 1104: 3.9999 and 6.0001, 5.9999 and 4.0001
    left, done = removed((10, 3.9999390711168, 6.0000600943802, 10, 5.9999373874934, 4.0000622845075, 10, 10))
    assert [kind for kind, _, _ in done] == [INTERSPERSED] * 2
    assert len(left) == 7


def test_the_two_distances_are_told():
    _, (problem,) = remove_excess(stack(10, 10, 4, 6, 10, 10), RULES)
    assert problem.extra_info == "expected: 10.00 mm, actual: 4.00 mm and 6.00 mm"


@pytest.mark.parametrize(
    ("total", "is_removed"), [(9.02, True), (8.98, False), (10.98, True), (11.02, False)]
)
def test_distances_that_sum_to_the_spacing_within_the_tolerance_are_interspersed(total, is_removed):
    _, done = removed((10, 10, 4, total - 4, 10, 10))
    assert ([kind for kind, _, _ in done] == [INTERSPERSED]) == is_removed


def test_the_tolerance_of_slices_is_a_rule():
    _, done = removed((10, 10, 4, 4.5, 10, 10), Rules(slice_tolerance_mm=1.6))
    assert [kind for kind, _, _ in done] == [INTERSPERSED]


def test_the_extra_slice_goes_and_not_its_regular_neighbour():
    left, _ = removed((10, 10, 9.3, 0.7, 10, 10), Rules(collision_mm=0.5))
    assert left == [0, 10, 20, 30, 40, 50]


def test_three_extra_slices_are_not_interspersed():
    _, done = removed((10, 10, 10, 2.5, 2.5, 2.5, 2.5, 10, 10))
    assert {kind for kind, _, _ in done} == {"slice spacing: special"}


@pytest.mark.parametrize(("gap", "kind"), [(24.9, "special"), (25.1, "outlier")])
def test_a_slice_beyond_two_and_a_half_spacings_is_an_outlier(gap, kind):
    # an inner slice is no edge: two lie beyond the gap
    _, done = removed((10,) * 5 + (gap, 10))
    assert {found for found, _, _ in done} == {f"slice spacing: {kind}"}


def test_the_published_outlier_is_removed():
    left, done = removed((*REGULAR, 61.804591094556706))  # 755
    assert left == [0, 10, 20, 30, 40, 50]
    assert done == [("slice spacing: outlier", "slice removed", pytest.approx(111.804591, abs=1e-5))]


def test_all_four_published_outliers_are_removed():
    # 611: 32, 38, 44 and 50 mm from the last regular slice
    gaps = (10,) * 7 + (32.000068287315, 5.999997674022, 6.000032766676, 5.9999615241939)
    slices = stack(*gaps)
    left, problems = remove_excess(slices, RULES)
    assert heights(left) == [10 * n for n in range(8)]
    assert kinds_of(problems) == ["slice spacing: outlier"] * 4
    told = [p.extra_info for p in problems]
    assert told == [f"expected: 10.00 mm, actual: {v:.2f} mm" for v in (32, 38, 44, 50)]


def test_outliers_before_the_stack_are_removed_too():
    left, done = removed((6, 32, *REGULAR))
    assert left == [38, 48, 58, 68, 78, 88]
    assert [z for _, _, z in done] == [0, 6]


@pytest.mark.parametrize(("count", "fails"), [(3, False), (4, True)])
def test_a_stack_that_falls_into_parts_has_failed(count, fails):
    """Three of nine are 0.333, four of eleven 0.364 and the limit is 0.34."""
    slices = stack(*(10,) * (count + 2), 40, *(10,) * (count - 1))
    if fails:
        with pytest.raises(DataError, match=r"falls into parts: 4 of 11 slices"):
            remove_excess(slices, RULES)
    else:
        assert len(remove_excess(slices, RULES)[0]) == 6


def test_the_share_of_outliers_is_a_rule():
    slices = stack(10, 10, 10, 40, 10, 10)
    assert len(remove_excess(slices, Rules(max_outlier_fraction=0.5))[0]) == 4


def test_the_width_of_an_outlier_is_a_rule():
    assert remove_excess(stack(*REGULAR, 30), Rules(outlier_spacings=4, edge_tolerance_mm=50))[0][-1].centre[
        2
    ] == pytest.approx(80)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("gap", "kind"),
    [
        (7.6, "special"),
        (7.4, "edge"),
        (12.4, "special"),
        (12.6, "edge"),
        (17.4, "edge"),
        (9.1, None),
        (8.9, "special"),
        (19.1, None),
        (20.9, None),
        (22.6, "edge"),
    ],
)
def test_an_end_slice_off_by_more_than_two_and_a_half_mm_is_removed(first, gap, kind):
    gaps = (gap, *REGULAR) if first else (*REGULAR, gap)
    left, done = removed(gaps)
    edge = "slice spacing: top" if first else "slice spacing: bottom"
    names = {"edge": [edge], "special": ["slice spacing: special"], None: []}[kind]
    assert [found for found, _, _ in done] == names
    assert len(left) == (6 if kind == "edge" else 7)
    if kind == "edge":
        assert done[0][2] == pytest.approx(0 if first else 50 + gap)


def test_the_tolerance_at_the_ends_is_a_rule():
    assert removed((7.4, *REGULAR), Rules(edge_tolerance_mm=2.7))[1][0][0] == "slice spacing: special"
    assert removed((7.6, *REGULAR), Rules(edge_tolerance_mm=2.3))[1][0][0] == "slice spacing: top"


@pytest.mark.parametrize("gap", [3.0221573448300205, 2.8498458844039973, 4.405701892312999])
def test_published_bottom_slices_are_removed(gap):  # 772, 514, 578
    _, done = removed((*REGULAR, gap))
    assert done == [("slice spacing: bottom", "slice removed", round(50 + gap, 6))]


def test_the_published_top_slice_is_removed():  # 436
    _, done = removed((6.000000954032004, *(10.02,) * 5))
    assert done == [("slice spacing: top", "slice removed", 0.0)]


def test_a_slice_between_and_one_behind_the_last_are_removed():
    # 514: 2.85 and 7.15, then 2.85 at the bottom
    left, done = removed((*REGULAR, 2.849848230315004, 7.1501527946909995, 2.8498458844039973))
    assert [kind for kind, _, _ in done] == [INTERSPERSED, "slice spacing: bottom"]
    np.testing.assert_allclose(left, np.arange(7) * 10, atol=1e-4)


@pytest.mark.parametrize("gap", [14.9074225774295, 11.790771718547003, 11.582959254013005])
def test_published_special_distances_are_logged_and_left(gap):  # 1113, 945, 643
    slices = stack(10, 10, gap, 10, 10)
    left, (problem,) = remove_excess(slices, RULES)
    assert left == slices
    assert (problem.problem, problem.resolution) == ("slice spacing: special", "none")
    assert problem.extra_info == f"expected: 10.00 mm, actual: {gap:.2f} mm"
    assert problem.image == slices[2].images[0].name


def test_two_slices_are_never_reduced():
    slices = make_stack([0.0, 10.0])
    assert remove_excess(slices, RULES) == (slices, [])


@pytest.mark.parametrize("gaps", [(10, 4, 6, 10, 10), (5, *REGULAR), (*REGULAR, 40), (10, 14, 10, 10)])
def test_removing_does_not_change_its_input(gaps):
    slices = stack(*gaps)
    before = snapshot(slices)
    remove_excess(slices, RULES)
    assert heights(slices) == [round(z, 6) for z in at(*gaps)]
    assert_unchanged(slices, before)


@pytest.mark.parametrize("gaps", [(10, 4, 6, 10, 10), (5, *REGULAR), (*REGULAR, 40), (10, 20, 10, 10)])
def test_the_order_of_the_slices_does_not_matter(gaps):
    slices = stack(*gaps)
    expected = remove_excess(slices, RULES)
    assert remove_excess(slices[::-1], RULES) == expected


@pytest.mark.parametrize(
    ("gap", "is_filled"),
    [
        (20.0, True),
        (19.061020213899, True),  # 335
        (20.22139057129, True),  # 819
        (20.0000025247417, True),  # 1011
        (19.02, True),
        (18.98, False),
        (20.98, True),
        (21.02, False),
    ],
)
def test_a_double_distance_within_the_tolerance_is_filled(gap, is_filled):
    filled, problems = fill_missing(stack(10, 10, gap, 10), RULES)
    assert kinds_of(problems) == ["slice spacing: missing"] * is_filled
    assert len(filled) == 5 + is_filled


def test_the_copy_is_the_slice_before_half_way_to_the_next():
    slices = [make_slice(z, frames=pattern(offset=z)) for z in (0.0, 10.0, 30.0, 40.0)]
    filled, (problem,) = fill_missing(slices, RULES)
    assert heights(filled) == [0, 10, 20, 30, 40]
    np.testing.assert_array_equal(filled[2].frames, slices[1].frames)
    assert filled[2].images == slices[1].images
    assert problem.resolution == "previous slice copied"
    assert problem.image == slices[1].images[0].name
    assert problem.extra_info == "expected: 10.00 mm, actual: 20.00 mm"


def test_the_interpolated_slice_is_the_rounded_mean():
    slices = [make_slice(z, frames=np.full((4, 12, 10), z)) for z in (0.0, 10.0, 31.0, 41.0)]
    filled, (problem,) = fill_missing(slices, Rules(missing_slice="interpolate"))
    assert problem.resolution == "interpolated"
    np.testing.assert_array_equal(filled[2].frames, np.full((4, 12, 10), np.rint(20.5)))
    assert filled[2].frames.dtype == np.uint16
    assert heights(filled)[2] == 20.5


def test_the_mean_of_large_integers_does_not_overflow():
    slices = [make_slice(z, frames=np.full((4, 12, 10), 65535)) for z in (0.0, 10.0, 30.0, 40.0)]
    filled, _ = fill_missing(slices, Rules(missing_slice="interpolate"))
    assert filled[2].frames.min() == 65535


def test_the_interpolated_slice_of_floats_stays_float():
    slices = [
        make_slice(z, frames=np.full((4, 12, 10), z / 8), dtype=np.float32) for z in (0.0, 10.0, 30.0, 40.0)
    ]
    filled, _ = fill_missing(slices, Rules(missing_slice="interpolate"))
    np.testing.assert_array_equal(filled[2].frames, np.full((4, 12, 10), 2.5, np.float32))


def test_a_missing_slice_may_be_left_out_and_is_logged():
    slices = stack(10, 20, 10)
    filled, (problem,) = fill_missing(slices, Rules(missing_slice="leave"))
    assert filled == slices
    assert problem.problem == "slice spacing: missing"
    assert problem.resolution.startswith("none")


def test_two_missing_slices_are_both_filled():
    # 305: 16.0000005 and 16.0000016 of 8
    filled, problems = fill_missing(stack(8, 16.000000487666, 8, 16.000001555608, 8), RULES)
    assert len(problems) == 2
    np.testing.assert_allclose(heights(filled), np.arange(8) * 8, atol=1e-5)


def test_filling_does_not_change_its_input():
    for rules in (RULES, Rules(missing_slice="interpolate"), Rules(missing_slice="leave")):
        slices = stack(10, 20, 10)
        before = snapshot(slices)
        fill_missing(slices, rules)
        assert_unchanged(slices, before)


def test_a_copy_lies_on_the_axis_of_an_oblique_stack():
    turn = math.radians(30)
    row, column = (1, 0, 0), (0, math.cos(turn), math.sin(turn))
    normal = np.cross(row, column)
    slices = [make_slice(centre=normal * d, row=row, column=column) for d in (0.0, 8.0, 24.0, 32.0)]
    filled, _ = fill_missing(slices, RULES)
    np.testing.assert_allclose(filled[2].centre, normal * 16, atol=1e-9)
