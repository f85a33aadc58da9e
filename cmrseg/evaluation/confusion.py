"""Dice scores from tables of per-image confusion counts, as the paper published them for 7T."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.names import structure
from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.data.tables import (
    as_numbers,
    filled,
    image_places,
    method_names,
    need_columns,
    read_published,
    refuse_repeats,
    some,
)
from cmrseg.evaluation.summary import METRIC_COLUMNS, summarise
from cmrseg.metrics.overlap import label_dice, predicted_pixels, true_pixels
from cmrseg.metrics.registry import unit_of
from cmrseg.problems import DataError, Problem

BACKGROUND = ("bg", "background", "0")
IMAGE_METRIC_COLUMNS = (*METRIC_COLUMNS, "image", "slice", "set", "method")
SUBJECT_COLUMNS = (
    "method", "set", "subject", "structure", "images", "dice_image", "dice_pooled",
    "true_pixels", "predicted_pixels",
)  # fmt: skip
ALL = "all"


@dataclass(frozen=True)
class ConfusionEvaluation:
    """What tables of confusion counts tell.

    Attributes
    ----------
    metrics
        ``metrics.csv``: ``dice_image`` of every image and structure, `IMAGE_METRIC_COLUMNS`.
    subjects
        ``subjects.csv``: mean Dice of the images of every subject, Dice of their pooled pixels and the
        pixels themselves, `SUBJECT_COLUMNS`.
    summary
        ``summary.csv``: the columns of every summary and ``method``; group is the set. ``dice_pooled`` is
        the Dice of all pixels of a set, one value (n = 1).
    problems
        Images that could not be evaluated, with the reason.
    """

    metrics: pd.DataFrame
    subjects: pd.DataFrame
    summary: pd.DataFrame
    problems: list[Problem]


@dataclass(frozen=True)
class ConfusionTable:
    """Confusion counts of images.

    Attributes
    ----------
    images
        Columns image, subject, frame, slice, set and method.
    structures
        Names in the order of the counts, the background first.
    counts
        Pixels, shape ``(n_images, n_structures, n_structures)``: row = truth, column = prediction.
    """

    images: pd.DataFrame
    structures: tuple[str, ...]
    counts: np.ndarray


def evaluate_confusion(tables: Sequence[Path]) -> ConfusionEvaluation:
    """Dice per image, subject and set from tables of per-image confusion counts.

    Parameters
    ----------
    tables
        See `read_confusion`; tables of several methods are scored side by side.

    Returns
    -------
    Tables and problems. A structure that is absent from truth and prediction of an image has a Dice of 1
    there, and every image weighs the same in a mean.

    Raises
    ------
    DataError
        If a table cannot be read or holds nothing to score.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, III.B; Dice, Ecology 26:297 (1945),
    doi:10.2307/1932409.
    """
    read, problems = [], []
    for name, path in method_names(tables).items():
        table, unread = read_confusion(path, method=name)
        read.append(table)
        problems += unread
    read = _told_apart(read, list(method_names(tables)))
    metrics = pd.concat([_image_scores(table) for table in read], ignore_index=True)
    subjects = pd.concat([_subject_scores(table) for table in read], ignore_index=True)
    return ConfusionEvaluation(metrics, subjects, _summary(metrics, read), problems)


def read_confusion(path: Path, *, method: str) -> tuple[ConfusionTable, list[Problem]]:
    """Confusion counts of images.

    Parameters
    ----------
    path
        Table with the column image and one of pixels for every pair of structures, such as ``bg_lv`` for
        true background that was predicted to be LV; set, methodA (who made the truth) and methodB (the
        predicted method) where known. Several truths in one table are methods of their own, ``A vs B``.
    method
        Name of the prediction where the table does not tell it.

    Returns
    -------
    The counts, and one problem per image whose name does not tell subject, slice and frame.

    Raises
    ------
    DataError
        If the table cannot be read, the background or a pair of structures is missing, a count is no whole
        number from 0 on, an image has no pixels or occurs twice, or no name of an image is understood.
    """
    table = read_published(path, text=["image", "set", "methodA", "methodB"])
    need_columns(table, ["image"], path)
    names = _structures(table, path)
    columns = [f"{true}_{pred}" for true in names for pred in names]
    counts = as_numbers(table, columns, path, key="image", whole=True).to_numpy()
    if not (counts.sum(axis=1) > 0).all():
        empty = table.loc[counts.sum(axis=1) == 0, "image"]
        raise DataError(f"{path}: all counts are 0 for image {some(empty)}; an image has pixels")
    images, problems = _images(table, path, method)
    kept = counts.reshape(-1, len(names), len(names))[images.index]
    return ConfusionTable(images.reset_index(drop=True), _plain(names), kept), problems


def _structures(table: pd.DataFrame, path: Path) -> list[str]:
    """Names of the structures as the columns write them, the background first."""
    halves = ((c[: len(c) // 2], c) for c in map(str, table.columns))
    names = [half for half, column in halves if half and column == f"{half}_{half}"]
    background = [name for name in names if name.lower() in BACKGROUND]
    if names and not background:
        raise DataError(
            f"{path} lacks the counts of the background such as bg_bg; without bg_{names[0]} and "
            f"{names[0]}_bg no Dice is right"
        )
    if len(background) > 1:
        raise DataError(f"{path} has more than one background: {', '.join(background)}; keep one")
    if len(names) < 2:
        found = some(map(str, table.columns), shown=12)
        raise DataError(
            f"{path} has no confusion counts; columns such as bg_bg, bg_lv, lv_bg, lv_lv are needed, "
            f"it has: {found}"
        )
    need_columns(table, [f"{a}_{b}" for a in names for b in names], path)
    return sorted(names, key=lambda name: name not in background)


def _plain(names: Sequence[str]) -> tuple[str, ...]:
    """LV, MYO and RV for what the columns call them; other names as they are."""
    return tuple(name if name.lower() in BACKGROUND else structure(name) or name for name in names)


def _images(table: pd.DataFrame, path: Path, method: str) -> tuple[pd.DataFrame, list[Problem]]:
    """Subject, frame, slice, set and method of the images whose names are understood."""
    images = image_places(table["image"]).rename(columns={"Id": "subject"})
    images.insert(0, "image", table["image"])
    for column, source, default in (("set", "set", ALL), ("method", "methodB", method)):
        images[column] = filled(table[source], default) if source in table else default
    raters = filled(table["methodA"], "") if "methodA" in table else pd.Series("", index=table.index)
    if len(set(raters) - {""}) > 1:
        images["method"] = images["method"].where(raters == "", raters + " vs " + images["method"])
    known = images["subject"].notna()
    if not known.any():
        raise DataError(
            f"{path}: no image name is understood, such as '{table['image'].iloc[0]}'; "
            "expected <Id>_slice004_frame003 or <Id>-frame003-slice004.png"
        )
    problems = [
        Problem(str(name), "name of the image not understood", NOT_EVALUATED, path.name)
        for name in table.loc[~known, "image"]
    ]
    images = images[known]
    repeated = images.duplicated(["subject", "frame", "slice", "method"])
    refuse_repeats(images["image"], path, repeated=repeated)
    return images, problems


def _told_apart(tables: list[ConfusionTable], names: list[str]) -> list[ConfusionTable]:
    """Tables whose methods have different names: those of the files where two say the same."""
    told = [set(table.images["method"]) for table in tables]
    if sum(map(len, told)) == len(set().union(*told)):
        return tables
    return [
        replace(table, images=table.images.assign(method=f"{name}: " + table.images["method"]))
        for table, name in zip(tables, names, strict=True)
    ]


def _image_scores(table: ConfusionTable) -> pd.DataFrame:
    """Dice of every image and structure."""
    scores = label_dice(table.counts)
    parts = [
        table.images.assign(
            structure=name, metric="dice_image", value=scores[:, i], unit=unit_of("dice_image")
        )
        for i, name in _scored(table)
    ]
    rows = pd.concat(parts).sort_index(kind="stable")
    return rows[list(IMAGE_METRIC_COLUMNS)]


def _scored(table: ConfusionTable) -> list[tuple[int, str]]:
    """Positions and names of the structures that are not the background."""
    return [(i, name) for i, name in enumerate(table.structures) if name.lower() not in BACKGROUND]


def _subject_scores(table: ConfusionTable) -> pd.DataFrame:
    """Mean and pooled Dice of every subject."""
    rows = []
    groups = table.images.groupby(["method", "set", "subject"], sort=False).indices
    for (method, group, subject), chosen in groups.items():
        counts = table.counts[chosen]
        rows += [(method, group, subject, *row) for row in _pooled(table, counts)]
    return pd.DataFrame(rows, columns=list(SUBJECT_COLUMNS))


def _pooled(table: ConfusionTable, counts: np.ndarray) -> list[tuple]:
    """Structure, images, mean and pooled Dice, true and predicted pixels of some images."""
    mean, total = label_dice(counts).mean(axis=0), counts.sum(axis=0)
    pooled = label_dice(total)
    # The rows of these tables are the truth, those of `cmrseg.metrics.overlap` the prediction.
    true, pred = predicted_pixels(total), true_pixels(total)
    return [(name, len(counts), mean[i], pooled[i], int(true[i]), int(pred[i])) for i, name in _scored(table)]


def _summary(metrics: pd.DataFrame, tables: Sequence[ConfusionTable]) -> pd.DataFrame:
    """Statistics over the images of every set and method, and the Dice of their pooled pixels."""
    columns = ["structure", "metric", "value", "unit"]
    parts = []
    for table in tables:
        groups = table.images.groupby(["method", "set"], sort=False).indices
        for (method, group), chosen in groups.items():
            images = metrics[(metrics["method"] == method) & (metrics["set"] == group)]
            pooled = [
                (name, "dice_pooled", value, unit_of("dice_pooled"))
                for name, _, _, value, *_ in _pooled(table, table.counts[chosen])
            ]
            both = pd.concat([images[columns], pd.DataFrame(pooled, columns=columns)])
            parts.append(both.assign(group=group, method=method))
    return summarise(pd.concat(parts, ignore_index=True), by=["method"])
