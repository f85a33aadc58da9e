"""Statistics of values by group."""

import math

import pandas as pd
import pytest

from cmrseg.evaluation import SUMMARY_COLUMNS, summarise


def table(values, **columns):
    base = {"group": "all", "structure": "LV", "metric": "hd", "unit": "mm"}
    return pd.DataFrame({"value": values}).assign(**(base | columns))


def test_summary_counts_the_values_that_exist():
    (row,) = summarise(table([1.0, 2.0, 4.0, math.nan])).itertuples()
    assert (row.mean, row.median, row.n) == (pytest.approx(7 / 3), 2, 3)
    assert row.sd == pytest.approx(math.sqrt(7 / 3))
    assert row.iqr == pytest.approx(1.5)


def test_groups_stay_in_their_order():
    rows = pd.concat([table([1.0], group="b"), table([2.0], group="a"), table([3.0], group="b")])
    assert summarise(rows)[["group", "mean"]].to_numpy().tolist() == [["b", 2.0], ["a", 2.0]]


def test_further_columns_follow_those_of_the_contract():
    rows = pd.concat([table([1.0], method="m"), table([2.0], method="n")])
    summary = summarise(rows, by=["method"])
    assert tuple(summary.columns) == (*SUMMARY_COLUMNS, "method")
    assert summary["method"].tolist() == ["m", "n"]
