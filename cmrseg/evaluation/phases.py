"""Dice and Hausdorff distance of every structure at end-diastole and end-systole, and clinical parameters.

References
----------
Patravali, Jain, Chilamkurthy, STACOM 2017, doi:10.1007/978-3-319-75541-0_14 (the layout); Bernard et al.,
IEEE TMI 37:2514 (2018), doi:10.1109/TMI.2018.2837502 (clinical parameters of the ACDC challenge).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cmrseg.evaluation.masks import Evaluation
from cmrseg.metrics.agreement import bland_altman
from cmrseg.metrics.registry import METRICS, unit_of

PHASES, POSTER_METRICS = ("ED", "ES"), ("dice", "hd")
POSTER_STRUCTURES = ("LV", "RV", "MYO")  # in the poster's order
VALUE_COLUMNS = ("subject", "phase", "structure", "metric", "value", "unit")
PHASE_COLUMNS = (
    "metric", "structure", "phase", "mean", "sd", "median", "n", "volumes", "missed", "unit",
)  # fmt: skip
CLINICAL = (
    ("LV", "EDV"),
    ("LV", "ESV"),
    ("LV", "EF"),
    ("RV", "EDV"),
    ("RV", "ESV"),
    ("RV", "EF"),
    ("MYO", "mass"),
)
CLINICAL_COLUMNS = (
    "structure", "measure", "unit", "n", "correlation", "bias", "sd", "lower", "upper", "mean_abs_error",
)  # fmt: skip


def phase_values(evaluation: Evaluation) -> pd.DataFrame:
    """Dice and Hausdorff distance of every volume at end-diastole and end-systole.

    Returns
    -------
    Columns `VALUE_COLUMNS`; a distance is nan where a structure is absent from one of the masks.
    """
    phases = {(r.subject, int(r.frame)): r.phase for r in evaluation.images.itertuples()}
    rows = evaluation.metrics[evaluation.metrics["metric"].isin(POSTER_METRICS)]
    places = zip(rows["subject"], rows["frame"], strict=True)
    rows = rows.assign(phase=[phases.get((subject, int(frame)), "") for subject, frame in places])
    return rows.loc[rows["phase"].isin(PHASES), list(VALUE_COLUMNS)].reset_index(drop=True)


def phase_table(values: pd.DataFrame) -> pd.DataFrame:
    """Summary of the values of `phase_values`, in the poster's order.

    Parameters
    ----------
    values
        Of one method.

    Returns
    -------
    Columns `PHASE_COLUMNS`: ``n`` counts the values that exist, ``volumes`` all, ``missed`` those in which
    one of truth and prediction has the structure and the other has not: Dice is 0 there, and there is no
    distance.
    """
    wide = values.pivot_table(
        index=["subject", "phase", "structure"], columns="metric", values="value", dropna=False
    )
    wide = wide.reindex(columns=list(POSTER_METRICS))
    missed = ((wide["dice"] == 0) & wide["hd"].isna()).groupby(["structure", "phase"]).sum()
    rows = []
    for metric in POSTER_METRICS:
        for structure in POSTER_STRUCTURES:
            for phase in PHASES:
                chosen = values[
                    (values["metric"] == metric)
                    & (values["structure"] == structure)
                    & (values["phase"] == phase)
                ]["value"]
                if len(chosen):
                    known = chosen.dropna()
                    spread = (known.mean(), known.std(), known.median(), len(known), len(chosen))
                    rows.append(
                        (metric, structure, phase, *spread, int(missed[structure, phase]), unit_of(metric))
                    )
    return pd.DataFrame(rows, columns=list(PHASE_COLUMNS))


def poster_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The poster's layout: a row per method, Dice and then Hausdorff distance of LV, RV, MYO at ED and ES.

    Parameters
    ----------
    tables
        Of `phase_table`, by method.

    Returns
    -------
    Text: the mean, with ``(n)`` where it is that of fewer volumes than there are. Columns method, ``Dice LV
    ED`` ... ``HD MYO ES`` and volumes.
    """
    rows = []
    for method, table in tables.items():
        row = {
            "method": method,
            **{_heading(r.metric, r.structure, r.phase): _cell(r) for r in table.itertuples()},
        }
        rows.append({**row, "volumes": int(table["volumes"].max()) if len(table) else 0})
    columns = [_heading(m, s, p) for m in POSTER_METRICS for s in POSTER_STRUCTURES for p in PHASES]
    found = pd.DataFrame(rows)
    return found[["method", *(c for c in columns if c in found), *(["volumes"] if rows else [])]]


def clinical_table(measurements: pd.DataFrame) -> pd.DataFrame:
    """Correlation, bias and limits of agreement of volumes, EF and mass, predicted minus true.

    Parameters
    ----------
    measurements
        ``measurements.csv`` of an evaluation.

    Returns
    -------
    Columns `CLINICAL_COLUMNS`; Pearson's correlation, limits are bias -/+ 1.96 sd. Measurements that nobody
    has are left out.
    """
    rows = []
    for structure, measure in CLINICAL:
        chosen = measurements[(measurements["structure"] == structure) & (measurements["measure"] == measure)]
        chosen = chosen.dropna(subset=["true", "predicted"])
        if chosen.empty:
            continue
        predicted, true = chosen["predicted"].to_numpy(float), chosen["true"].to_numpy(float)
        found = bland_altman(predicted, true)
        spread = np.ptp(predicted) > 0 and np.ptp(true) > 0
        correlation = float(np.corrcoef(predicted, true)[0, 1]) if spread else float("nan")
        limits = (found.bias.value, found.sd, found.lower.value, found.upper.value)
        error = float(np.abs(predicted - true).mean())
        rows.append((structure, measure, chosen["unit"].iloc[0], found.n, correlation, *limits, error))
    return pd.DataFrame(rows, columns=list(CLINICAL_COLUMNS))


def _heading(metric: str, structure: str, phase: str) -> str:
    return f"{'Dice' if metric == 'dice' else 'HD'} {structure} {phase}"


def _cell(row: Any) -> str:
    """The mean of a row of a phase table."""
    text = "–" if row.n == 0 else f"{row.mean:.{METRICS[row.metric].digits}f}"
    return text if row.n == row.volumes else f"{text} ({row.n})"
