"""How far predicted indices of the left ventricle are from true ones: of each, and of their three groups.

Two ways to average over a group are in use. By image: the errors of a group are averaged in every image, then
over the images; their SD is small, as errors of one image cancel. By index: mean and SD of every index are
averaged over the group. The mean is the same where no index is missing; SD and correlation are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from cmrseg.metrics.indices import AREA_COLUMNS, DIMENSIONS, INDICES, THICKNESSES

PHASE = "phase"  # 1 systole, 0 diastole, or the probability of systole
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"areas": AREA_COLUMNS, "dimensions": tuple(DIMENSIONS), "thicknesses": tuple(THICKNESSES)}
)
UNITS: Mapping[str, str] = MappingProxyType(
    {"areas": "mm2", "dimensions": "mm", "thicknesses": "mm", PHASE: "%"}
)
ERROR_COLUMNS = ("name", "group", "n", "mae", "sd", "sd_by_index", "pcc", "pcc_pooled", "unit")


def index_errors(predicted: pd.DataFrame, true: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute errors of indices and of their groups, and the error rate of the phase.

    Parameters
    ----------
    predicted, true
        A row per image, in the same order; columns of `INDICES` in mm and mm2, and ``phase``, as far as both
        have them. A value that is ``nan`` in either is left out.

    Returns
    -------
    Table with `ERROR_COLUMNS`, a row per index, then per group, then ``phase``. ``sd`` of a group is that of
    the images, ``sd_by_index`` the mean of its indices; ``pcc`` is Pearson's correlation, of a group the mean
    of its indices, ``pcc_pooled`` that of all its values at once. The phase is wrong where its rounded value
    is; ``mae`` is the share of the images in percent.

    References
    ----------
    Gessert and Schlaefer, STACOM (2019), table 1.
    """
    rows = []
    for group, names in GROUPS.items():
        shared = [name for name in names if name in predicted and name in true]
        if shared:
            rows += _of_group(group, predicted[shared].to_numpy(float), true[shared].to_numpy(float), shared)
    rows.sort(key=lambda row: row["name"] in GROUPS)  # stable: indices first
    if PHASE in predicted and PHASE in true:
        rows.append(_of_phase(predicted[PHASE].to_numpy(float), true[PHASE].to_numpy(float)))
    return pd.DataFrame(rows, columns=list(ERROR_COLUMNS))


def group_errors(predicted: pd.DataFrame, true: pd.DataFrame) -> pd.DataFrame:
    """Error of every image by group, in mm or mm2, and whether its phase is wrong, 1 or 0.

    Parameters
    ----------
    predicted, true
        As of `index_errors`.

    Returns
    -------
    A column per group that both have, rows as given.
    """
    shared = [name for name in (*INDICES, PHASE) if name in predicted and name in true]
    errors = (predicted[shared] - true[shared]).abs()
    columns = {
        group: errors[[name for name in names if name in errors]].mean(axis=1)
        for group, names in GROUPS.items()
        if any(name in errors for name in names)
    }
    if PHASE in errors:
        wrong = (predicted[PHASE] >= 0.5) != (true[PHASE] >= 0.5)
        columns[PHASE] = wrong.astype(float).where(errors[PHASE].notna())
    return pd.DataFrame(columns)


def _of_group(group: str, predicted: np.ndarray, true: np.ndarray, names: list[str]) -> list[dict]:
    """Rows of the indices of a group and of the group itself."""
    errors = np.abs(predicted - true)
    rows = []
    for name, each, one, other in zip(names, errors.T, predicted.T, true.T, strict=True):
        pcc = _correlation(one, other)
        row = {"mae": _mean(each), "sd": _sd(each), "sd_by_index": _sd(each), "pcc": pcc, "pcc_pooled": pcc}
        rows.append({"name": name, "n": int(np.isfinite(each).sum()), **row})
    known = np.isfinite(errors)
    of_images = np.nanmean(errors[known.any(axis=1)], axis=1)
    whole = {
        "name": group,
        "n": len(of_images),
        "mae": _mean(of_images),
        "sd": _sd(of_images),
        "sd_by_index": _mean(np.array([row["sd"] for row in rows])),
        "pcc": _mean(np.array([row["pcc"] for row in rows])),
        "pcc_pooled": _correlation(predicted.ravel(), true.ravel()),
    }
    return [{**row, "group": group, "unit": UNITS[group]} for row in (*rows, whole)]


def _of_phase(predicted: np.ndarray, true: np.ndarray) -> dict:
    """Error rate in percent."""
    known = np.isfinite(predicted) & np.isfinite(true)
    wrong = (predicted[known] >= 0.5) != (true[known] >= 0.5)
    rate = 100 * _mean(wrong.astype(float))
    missing = dict.fromkeys(("sd", "sd_by_index", "pcc", "pcc_pooled"), np.nan)
    return {"name": PHASE, "group": PHASE, "n": len(wrong), "mae": rate, "unit": UNITS[PHASE], **missing}


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def _sd(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if values.size > 1 else float("nan")


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's; ``nan`` where one of the two does not vary."""
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known], second[known]
    if known.sum() < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
