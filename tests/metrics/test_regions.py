"""Base, middle and apex by the centres of slices."""

import numpy as np
import pytest

from cmrseg.metrics.regions import slice_positions, slice_regions


@pytest.mark.parametrize(
    ("slices", "base"), [(1, 0), (2, 0), (3, 1), (5, 1), (7, 1), (8, 2), (10, 2), (12, 2), (13, 3)]
)
def test_a_fifth_at_either_end_by_the_centres_of_slices(slices, base):
    areas = np.linspace(1000, 200, slices).astype(int)
    assert slice_regions(areas) == ["base"] * base + ["middle"] * (slices - 2 * base) + ["apex"] * base


def test_the_base_is_the_larger_end_wherever_it_lies():
    areas = np.array([100, 200, 300, 400, 500])
    assert slice_regions(areas) == ["apex", "middle", "middle", "middle", "base"]
    assert slice_regions(areas[::-1]) == ["base", "middle", "middle", "middle", "apex"]


def test_a_base_that_is_cut_small_is_still_the_base():
    assert slice_regions(np.array([150, 500, 450, 400, 200]))[0] == "base"


def test_slices_without_a_heart_belong_to_no_region():
    assert slice_regions(np.array([0, 500, 400, 300, 0, 0])) == [
        "non-cardiac", "base", "middle", "apex", "non-cardiac", "non-cardiac",
    ]  # fmt: skip
    assert slice_regions(np.zeros(2, int)) == ["non-cardiac"] * 2


def test_positions_are_those_of_centres():
    assert slice_positions(np.array([0, 400, 300, 200, 100])) == pytest.approx(
        [np.nan, 0.125, 0.375, 0.625, 0.875], nan_ok=True
    )
