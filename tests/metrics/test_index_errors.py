"""Errors of indices by index and by group, by hand."""

import numpy as np
import pandas as pd
import pytest

from cmrseg.metrics.index_errors import ERROR_COLUMNS, group_errors, index_errors

TRUE = pd.DataFrame(
    {
        "cavity_area_mm2": [1000.0, 2000.0, 3000.0],
        "myocardium_area_mm2": [500.0, 700.0, 600.0],
        "dim1_mm": [40.0, 50.0, 60.0],
        "phase": [0.0, 1.0, 1.0],
    }
)
PREDICTED = pd.DataFrame(
    {
        "cavity_area_mm2": [1100.0, 2100.0, 3100.0],
        "myocardium_area_mm2": [500.0, 500.0, 900.0],
        "dim1_mm": [40.0, 50.0, np.nan],
        "phase": [0.2, 0.9, 0.4],
    }
)


@pytest.fixture
def errors():
    return index_errors(PREDICTED, TRUE).set_index("name")


def test_an_index_has_mean_sd_and_correlation(errors):
    cavity = errors.loc["cavity_area_mm2"]
    assert (cavity["mae"], cavity["sd"], cavity["n"]) == (100, 0, 3)
    assert cavity["pcc"] == pytest.approx(1)


def test_a_group_is_averaged_in_both_ways(errors):
    areas = errors.loc["areas"]  # errors of the images: 50, 150, 200
    assert areas["mae"] == pytest.approx(400 / 3)
    assert areas["sd"] == pytest.approx(np.std([50, 150, 200], ddof=1))
    assert areas["sd_by_index"] == pytest.approx(np.std([0, 200, 300], ddof=1) / 2)
    shared = np.corrcoef([500, 500, 900], [500, 700, 600])[0, 1]
    assert areas["pcc"] == pytest.approx((1 + shared) / 2)
    pooled = np.corrcoef([1100, 2100, 3100, 500, 500, 900], [1000, 2000, 3000, 500, 700, 600])[0, 1]
    assert areas["pcc_pooled"] == pytest.approx(pooled)


def test_a_missing_value_is_left_out(errors):
    assert errors.loc["dimensions", ["n", "mae"]].tolist() == [2, 0]


def test_the_phase_is_wrong_where_its_rounded_value_is(errors):
    assert errors.loc["phase", "mae"] == pytest.approx(100 / 3)
    assert errors.loc["phase", "unit"] == "%"


def test_what_one_of_the_tables_lacks_is_not_compared():
    errors = index_errors(PREDICTED.drop(columns="phase"), TRUE)
    assert tuple(errors) == ERROR_COLUMNS
    assert errors["name"].tolist() == [
        "cavity_area_mm2", "myocardium_area_mm2", "dim1_mm", "areas", "dimensions"
    ]  # fmt: skip


def test_errors_of_images_are_those_that_are_averaged(errors):
    images = group_errors(PREDICTED, TRUE)
    assert images["areas"].tolist() == [50, 150, 200]
    assert images["phase"].tolist() == [0, 0, 1]
    assert images["dimensions"].mean() == errors.loc["dimensions", "mae"]


def test_a_constant_has_no_correlation():
    constant = TRUE.assign(dim1_mm=3.0)
    assert np.isnan(index_errors(constant, TRUE).set_index("name").loc["dim1_mm", "pcc"])
