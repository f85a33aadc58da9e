"""Precision and recall of classes, from a confusion table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int

CLASS_COLUMNS = ("class", "n", "predicted", "precision", "recall")
WEIGHTED = "weighted"  # the row of the means over classes


def class_table(counts: Int[np.ndarray, "n n"], names: Sequence[str]) -> pd.DataFrame:
    """Precision and recall of every class, and their means weighted by how often the classes occur.

    Parameters
    ----------
    counts
        How often a true class (rows) was answered by each class (columns).
    names
        Of the classes.

    Returns
    -------
    `CLASS_COLUMNS`, a row per class and a last one, `WEIGHTED`. The precision of a class that was never
    answered is 0, the recall of one that never occurs is nan and counts nothing. The weighted recall is the
    share of right answers.

    Raises
    ------
    ValueError
        If there is not one name for every class.
    """
    if counts.shape != (len(names), len(names)):
        raise ValueError(f"counts must be ({len(names)}, {len(names)}), one row per name, got {counts.shape}")
    right, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    precision = right / np.maximum(predicted, 1)
    recall = np.where(true > 0, right / np.maximum(true, 1), np.nan)
    rows = list(zip(names, true, predicted, precision, recall, strict=True))
    n = int(true.sum())
    means = [float(np.nansum(true * score) / n) if n else np.nan for score in (precision, recall)]
    return pd.DataFrame([*rows, (WEIGHTED, n, n, *means)], columns=list(CLASS_COLUMNS))


def weighted_scores(counts: Int[np.ndarray, "n n"]) -> tuple[float, float]:
    """Precision and recall weighted over classes, see `class_table`."""
    last = class_table(counts, [str(number) for number in range(len(counts))]).iloc[-1]
    return float(last["precision"]), float(last["recall"])
