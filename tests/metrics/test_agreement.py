"""Agreement statistics against published and closed-form values."""

import math

import numpy as np
import pytest

from cmrseg.metrics.agreement import (
    absolute_relative_difference,
    bland_altman,
    coefficient_of_variation,
    icc_2_1,
    paired_p_value,
)

# Table 2 of Shrout and Fleiss (1979): six targets, four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def test_a_constant_offset_is_all_bias():
    reference = np.array([100.0, 120, 140, 160])
    result = bland_altman(reference + 5, reference)
    assert result.n == 4
    assert result.bias.value == result.lower.value == result.upper.value == pytest.approx(5)
    assert result.sd == pytest.approx(0)


def test_limits_are_196_standard_deviations_from_the_bias():
    result = bland_altman(np.array([1.0, -1, 1, -1]), np.zeros(4))
    sd = math.sqrt(4 / 3)
    assert result.bias.value == pytest.approx(0)
    assert result.sd == pytest.approx(sd)
    assert result.upper.value == pytest.approx(1.96 * sd, rel=1e-4)
    assert result.lower.value == pytest.approx(-1.96 * sd, rel=1e-4)


def test_intervals_follow_bland_and_altman():
    result = bland_altman(np.array([1.0, -1, 1, -1]), np.zeros(4))
    t, sd = 3.182446, math.sqrt(4 / 3)
    assert result.bias.high == pytest.approx(t * sd / 2, rel=1e-5)
    width = t * sd * math.sqrt(1 / 4 + 1.959964**2 / 6)
    assert result.upper.high - result.upper.value == pytest.approx(width, rel=1e-5)


def test_pairs_with_a_missing_value_are_left_out():
    assert bland_altman(np.array([1.0, np.nan, 3]), np.array([1.0, 2, np.nan])).n == 1


def test_one_pair_has_a_bias_and_no_spread():
    result = bland_altman(np.array([3.0]), np.array([1.0]))
    assert result.bias.value == 2
    assert math.isnan(result.sd)
    assert math.isnan(result.upper.value)


def test_lengths_must_fit():
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        bland_altman(np.zeros(2), np.zeros(3))


def test_icc_of_the_published_example():
    icc = icc_2_1(SHROUT_FLEISS)
    assert icc.value == pytest.approx(0.29, abs=0.005)
    assert (icc.low, icc.high) == pytest.approx((0.019, 0.761), abs=0.001)


def test_icc_of_equal_raters_is_one():
    values = np.array([1.0, 2, 3, 4])
    assert icc_2_1(np.stack([values, values], axis=1)).value == pytest.approx(1)


def test_icc_needs_two_raters():
    with pytest.raises(ValueError, match="raters >= 2"):
        icc_2_1(np.zeros((4, 1)))


def test_icc_without_spread_is_unknown():
    assert math.isnan(icc_2_1(np.ones((4, 2))).value)


def test_coefficient_of_variation_is_a_percentage_of_the_mean():
    value = coefficient_of_variation(np.array([101.0, 99, 101, 99]), np.full(4, 100.0))
    assert value == pytest.approx(100 * math.sqrt(4 / 3) / 100)


def test_relative_differences_are_parts_of_the_reference_without_their_sign():
    measured, reference = np.array([110.0, 160, np.nan]), np.array([100.0, 200, 50])
    assert absolute_relative_difference(measured, reference) == pytest.approx((10 + 20) / 2)
    assert math.isnan(absolute_relative_difference(measured, reference * 0))


def test_equal_pairs_do_not_differ():
    assert paired_p_value(np.arange(5.0), np.arange(5.0)) == 1


def test_a_consistent_gain_has_the_exact_p_value():
    first = np.arange(1.0, 7)  # differences of one sign only: p = 2 / 2^6
    assert paired_p_value(first, np.zeros(6)) == pytest.approx(2 / 64)
