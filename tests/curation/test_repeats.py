"""An examination that holds the same stack twice becomes two studies; a slice measured twice does not."""

from __future__ import annotations

import pytest

from cmrseg.curation.repeats import split_repeats
from cmrseg.curation.rules import Measurement, Rules
from tests.curation.conftest import RULES, heights, make_slice, make_stack

POSITIONS = [10.0 * n for n in range(10)]


def measured(positions, first_series):
    """One series per slice, as Siemens writes them."""
    return [make_slice(z, series=first_series + n) for n, z in enumerate(positions)]


def split(slices, rules=RULES, study=""):
    parts, problems = split_repeats(slices, rules, study)
    return [(suffix, sorted(heights(members))) for suffix, members in parts], problems


def test_a_single_measurement_is_left_alone():
    slices = measured(POSITIONS, 1)
    assert split_repeats(slices, RULES) == ([("", slices)], [])


def test_a_stack_measured_again_is_split_in_the_order_of_time():
    first, second = measured(POSITIONS, 1), measured(POSITIONS, 21)
    parts, problems = split_repeats([*second, *first], RULES)
    assert parts == [("_a", first), ("_b", second)]
    assert [(p.problem, p.resolution, p.extra_info) for p in problems] == [
        ("repeated measurement", "study split: _a", "10 slices"),
        ("repeated measurement", "study split: _b", "10 slices"),
    ]


def test_three_measurements_become_three_studies():
    slices = [s for n in range(3) for s in measured(POSITIONS, 1 + 20 * n)]
    assert [suffix for suffix, _ in split(slices)[0]] == ["_a", "_b", "_c"]


def test_two_series_of_all_slices_are_split():
    """GE: one series per measurement."""
    slices = make_stack(POSITIONS, series=3) + make_stack(POSITIONS, series=4)
    parts, _ = split_repeats(slices, RULES)
    assert [{s.images[0].series_number for s in members} for _, members in parts] == [{3}, {4}]


def test_a_measurement_a_little_off_is_the_same_stack():
    slices = measured(POSITIONS, 1) + measured([z + 0.6 for z in POSITIONS], 21)
    assert len(split(slices)[0]) == 2


def test_seven_of_ten_positions_measured_again_are_no_second_stack():
    slices = measured(POSITIONS, 1) + measured(POSITIONS[:7], 21)
    assert len(split(slices)[0]) == 1


def test_a_second_stack_of_eight_of_ten_positions_takes_no_slice_of_the_first():
    first, second = measured(POSITIONS, 1), measured(POSITIONS[:8], 21)
    assert split_repeats([*first, *second], RULES)[0] == [("_a", first), ("_b", second)]


def test_a_first_stack_of_eight_of_ten_positions_is_split_from_the_second():
    first, second = measured(POSITIONS[:8], 1), measured(POSITIONS, 21)
    assert split_repeats([*first, *second], RULES)[0] == [("_a", first), ("_b", second)]


@pytest.mark.parametrize(("share", "parts"), [(0.6, 2), (0.7, 1)])
def test_the_share_of_positions_is_a_rule(share, parts):
    slices = measured(POSITIONS[:6], 1) + measured(POSITIONS, 21)
    assert len(split(slices, Rules(repeat_coverage=share))[0]) == parts


def test_a_single_measurement_is_left_alone_whatever_the_share():
    slices = measured(POSITIONS, 1)
    assert split_repeats(slices, Rules(repeat_coverage=0.5)) == ([("", slices)], [])


def test_single_slices_measured_again_stay_with_their_stack():
    slices = measured(POSITIONS, 1) + measured(POSITIONS[3:5], 21)
    assert split(slices) == ([("", sorted(POSITIONS + POSITIONS[3:5]))], [])


def test_a_slice_measured_again_goes_with_the_measurement_that_it_follows():
    slices = measured([*POSITIONS, 30.0], 1) + measured(POSITIONS, 21)
    assert [found for _, found in split(slices)[0]] == [sorted([*POSITIONS, 30.0]), POSITIONS]


def test_splitting_can_be_switched_off():
    slices = measured(POSITIONS, 1) + measured(POSITIONS, 21)
    assert split_repeats(slices, Rules(split_repeats=False)) == ([("", slices)], [])


@pytest.mark.parametrize("count", [2, 3])
def test_fewer_slices_than_a_stack_needs_are_not_split(count):
    slices = measured(POSITIONS[:count], 1) + measured(POSITIONS[:count], 21)
    assert len(split(slices)[0]) == (2 if count >= 3 else 1)


BY_HAND = Rules(split_repeats=False, measurements=(Measurement("123", ("sax_10",), "_a", "_b"),))


def in_folder(z, folder, series=1):
    return make_slice(z, series=series, name=f"train/123/study/{folder}/IM-1")


def test_measurements_found_by_hand_are_split_by_the_folder():
    slices = [in_folder(z, "sax_10") for z in (0.0, 10.0)] + [
        in_folder(z, "sax_11") for z in (0.0, 10.0, 20.0)
    ]
    parts, problems = split_repeats(slices, BY_HAND, "123")
    assert [(suffix, len(members)) for suffix, members in parts] == [("_a", 2), ("_b", 3)]
    assert {"/sax_10/" in s.images[0].name for s in parts[0][1]} == {True}
    assert [p.problem for p in problems] == ["repeated measurement"] * 2


def test_measurements_of_another_study_are_not_split():
    slices = [in_folder(0.0, "sax_10"), in_folder(0.0, "sax_11")]
    assert split_repeats(slices, BY_HAND, "1234") == ([("", slices)], [])


def test_what_was_found_by_hand_wins_over_the_search():
    slices = [in_folder(z, "sax_10", 1) for z in POSITIONS] + [in_folder(z, "sax_11", 2) for z in POSITIONS]
    rules = Rules(measurements=BY_HAND.measurements)
    assert [suffix for suffix, _ in split_repeats(slices[::-1], rules, "123")[0]] == ["_a", "_b"]


def test_a_series_that_is_not_there_splits_nothing():
    slices = [in_folder(0.0, "sax_11"), in_folder(10.0, "sax_12")]
    assert split_repeats(slices, BY_HAND, "123")[0] == [("", slices)]


def test_ranges_of_series_are_expanded_with_both_ends():
    # 437: sax_12 to sax_22 are the second measurement, the others are sax_5 to sax_11
    rules = Rules(measurements=(Measurement("437", ("sax_12..sax_22",)),))
    slices = [make_slice(10.0 * n, name=f"437/study/sax_{n}/IM-1") for n in range(5, 24)]
    parts, _ = split_repeats(slices, rules, "437")
    assert [suffix for suffix, _ in parts] == ["_a", "_b"]
    assert sorted(heights(parts[1][1])) == [10.0 * n for n in range(12, 23)]


@pytest.mark.parametrize(
    ("entry", "details"),
    [("4", {"series": 4}), ("sax second", {"description": "sax second"}), ("3..5", {"series": 4})],
)
def test_series_may_be_named_by_number_or_description(entry, details):
    rules = Rules(measurements=(Measurement("s", (entry,)),))
    slices = [make_slice(0.0, series=1), make_slice(0.0, **({"series": 2} | details))]
    assert [suffix for suffix, _ in split_repeats(slices, rules, "s")[0]] == ["_a", "_b"]


def test_no_part_of_a_name_is_taken_for_the_name():
    rules = Rules(measurements=(Measurement("123", ("sax_1",)),))
    slices = [in_folder(0.0, "sax_10"), in_folder(10.0, "sax_11")]
    assert len(split_repeats(slices, rules, "123")[0]) == 1


def test_input_is_not_reordered():
    slices = [*measured(POSITIONS, 21), *measured(POSITIONS, 1)]
    order = list(slices)
    split_repeats(slices, RULES)
    assert slices == order
