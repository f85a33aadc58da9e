"""Metrics with their units, and the summary of their values over groups."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

METRIC_COLUMNS = ("subject", "frame", "structure", "metric", "value", "unit")
SUMMARY_COLUMNS = ("group", "structure", "metric", "mean", "sd", "median", "iqr", "n", "unit")
NO_EF_ERROR_POINTS = 100.0


def summarise(values: pd.DataFrame, *, by: Sequence[str] = ()) -> pd.DataFrame:
    """Summarise metric values over groups.

    Parameters
    ----------
    values
        Columns group, structure, metric, value, unit; ``nan`` values are not counted.
    by
        Further columns to group by; they follow the others in the result.

    Returns
    -------
    Table with `SUMMARY_COLUMNS` in the order of first appearance; ``sd`` has n - 1 degrees of
    freedom, ``iqr`` is the 75th minus the 25th percentile, between values by linear interpolation.
    """
    grouped = values.groupby(["group", "structure", "metric", "unit", *by], sort=False)["value"]
    table = grouped.agg(["mean", "std", "median", _iqr, "count"]).reset_index()
    return table.rename(columns={"std": "sd", "_iqr": "iqr", "count": "n"})[[*SUMMARY_COLUMNS, *by]]


def _iqr(values: pd.Series) -> float:
    """Interquartile range of the values that exist."""
    return float(values.quantile(0.75) - values.quantile(0.25))
