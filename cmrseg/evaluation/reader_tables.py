"""Pixels that two readers and a model drew, from published tables of confusion counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.evaluation.confusion import BACKGROUND, ConfusionTable, read_confusion
from cmrseg.evaluation.reader_counts import (
    COUNT_COLUMNS,
    IMAGE,
    READERS,
    ReaderCounts,
    Spacing,
    comparable,
)
from cmrseg.metrics.volumes import voxel_volume
from cmrseg.problems import DataError, Problem


def count_tables(
    readers: Path, models: Sequence[Path] = (), *, splits: Sequence[str] = (), spacing: Spacing | None = None
) -> ReaderCounts:
    """Take what every rater drew from tables of confusion counts.

    Parameters
    ----------
    readers
        A in the rows and B in the columns, see `cmrseg.evaluation.confusion.read_confusion`.
    models
        The model against A, against B, or one table of each. Which reader it is, the pixels tell.
    splits
        Compare the images of these sets only.
    spacing
        ``(dx, dy, dz)`` in mm of the images in which the pixels were counted; unknown by default.

    Returns
    -------
    Counts. Without a table of the model against a reader, their volumes are compared, but not their Dice.

    Raises
    ------
    DataError
        If a table cannot be read, holds more than one pair of raters, or has other images or readers.
    """
    counts, problems = _read_pair(readers)
    chosen = counts[counts["split"].isin([split.strip() for split in splits])] if splits else counts
    if chosen.empty:
        known = ", ".join(counts["split"].unique())
        raise DataError(f"{readers} has no image in split {', '.join(splits)}; it has: {known}")
    table = chosen.rename(columns={"first": "A", "second": "B", "common": "A vs B"})
    table = table.assign(phase="", voxel_ml=voxel_volume(spacing) if spacing else math.nan)
    table = table.reindex(columns=list(COUNT_COLUMNS))
    for path in models:
        model, unread = _read_pair(path)
        table, problems = _with_model(table, model, path), [*problems, *unread]
    if models:
        problems += _without_model(table)
    return comparable(table, problems, [])


def _read_pair(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Pixels of the rater in the rows (first), in the columns (second) and of both (common)."""
    table, problems = read_confusion(path, method=path.stem)
    methods = table.images["method"].unique()
    if len(methods) > 1:
        raise DataError(
            f"{path} compares {len(methods)} pairs ({', '.join(methods)}); one table compares one"
        )
    return _long(table), problems


def _long(table: ConfusionTable) -> pd.DataFrame:
    """One row per image and structure."""
    images = table.images.rename(columns={"set": "split"})[[*IMAGE, "split"]].astype(
        {"frame": int, "slice": int}
    )
    columns = {
        "first": table.counts.sum(axis=2),
        "second": table.counts.sum(axis=1),
        "common": np.diagonal(table.counts, axis1=1, axis2=2),
    }
    parts = [
        images.assign(structure=name, **{column: values[:, i] for column, values in columns.items()})
        for i, name in enumerate(table.structures)
        if name.lower() not in BACKGROUND
    ]
    return pd.concat(parts, ignore_index=True)


def _with_model(table: pd.DataFrame, model: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The counts with those of a model, whose table has reader A or B in its rows."""
    both = table.merge(model.drop(columns="split"), how="left", on=[*IMAGE, "structure"])
    known = both["first"].notna()
    if not known.any():
        raise DataError(
            f"{path} has none of the images of the readers; check that both tables are of one set"
        )
    reader = next((r for r in READERS if (both["first"] == both[r])[known].all()), None)
    if reader is None:
        raise DataError(
            f"the rows of {path} are neither reader A nor B: their pixels differ; the reader comes first"
        )
    if both[f"{reader} vs model"].notna().any():
        raise DataError(
            f"{path} compares the model with reader {reader} once more; name one table per reader"
        )
    if (known & both["model"].notna() & (both["model"] != both["second"])).any():
        raise DataError(f"{path} is of another model: its pixels differ; compare one model at a time")
    both["model"] = both["model"].fillna(both["second"])
    both[f"{reader} vs model"] = both["common"]
    return both[list(COUNT_COLUMNS)]


def _without_model(table: pd.DataFrame) -> list[Problem]:
    """Subjects of which the model lacks images."""
    images = table.loc[table["model"].isna(), IMAGE].drop_duplicates()
    return [
        Problem(
            str(subject),
            "model missing",
            NOT_EVALUATED,
            "",
            f"{len(part)} image(s) are in no table of the model",
        )
        for subject, part in images.groupby("subject")
    ]
