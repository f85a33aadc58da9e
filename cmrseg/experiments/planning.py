"""Dice against the number of contoured subjects, with bootstrap intervals over the test subjects."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from cmrseg.data.subsets import FULL
from cmrseg.labels import STRUCTURES
from cmrseg.problems import DataError

BASE, READER = "base", "reader"
STARTS = (BASE, "R", "TL", "TL2")
MEAN = "mean"
SCORE_COLUMNS = ("start", "subset", "subjects", "images", "seed", "subject", "structure", "dice")
IMAGE_COLUMNS = ("dice_image", "test_images")
PLANNING_COLUMNS = ("start", "subset", "structure", "subjects", "images", "n_test", "n_seeds", "mean", "low",
                    "high", "seed_low", "seed_high", "dice_image")  # fmt: skip
GAIN_COLUMNS = ("start", "over", "subset", "structure", "subjects", "images", "n_test", "gain", "low", "high")
RESAMPLES = 10_000
_PERCENTILES = (2.5, 97.5)
_RUN = ["start", "subset"]
_ROW = [*_RUN, "structure"]
_ROW_ORDER = (*(s.name for s in STRUCTURES), MEAN)


def planning_table(scores: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Expected Dice of every start and training set, with its interval over the test subjects.

    Parameters
    ----------
    scores
        One row per run, test subject and structure: start, subset (empty for ``base``), subjects and images
        (of the training set), seed, subject (of the test set), structure, dice (0 to 1; ``nan`` is left out);
        and, for the Dice per image, dice_image (mean over the images of the subject) and test_images.
    resamples, seed
        Number and seed of the bootstrap samples; all rows share the samples.

    Returns
    -------
    Per start, subset and structure (and ``mean`` over structures): subjects, images, n_test, n_seeds, mean
    over seeds and then test subjects, low and high (95 % percentile bootstrap over test subjects, ``nan``
    below two of them), seed_low and seed_high (range of the means of single seeds), dice_image (mean over
    the single images of all test subjects, as published; ``nan`` where unknown). The interval tells
    what other test subjects may change; what other training subjects may change, the seeds tell.

    Raises
    ------
    DataError
        If there are no scores, a column is missing, or a run scores a subject twice.

    References
    ----------
    Efron and Tibshirani, Stat Sci 1:54 (1986), doi:10.1214/ss/1177013815.
    """
    rows = with_mean(scores)
    table = intervals(by_subject(rows), resamples=resamples, seed=seed)
    seeds = rows.groupby([*_ROW, "seed"])["dice"].mean().groupby(_ROW)
    table = table.assign(n_seeds=seeds.size(), seed_low=seeds.min(), seed_high=seeds.max())
    table["dice_image"] = _per_image(rows)
    return _sorted(table.reset_index().merge(_sizes(rows), on=_RUN))[list(PLANNING_COLUMNS)]


def _per_image(rows: pd.DataFrame) -> pd.Series:
    """Dice per image of every row: all images of all test subjects count alike, then all seeds."""
    rows = rows.reindex(columns=list(dict.fromkeys([*rows.columns, *IMAGE_COLUMNS])))
    known = rows[rows["structure"] != MEAN].dropna(subset=list(IMAGE_COLUMNS))
    sums = known.assign(total=known["dice_image"] * known["test_images"]).groupby([*_ROW, "seed"])
    each = (sums["total"].sum() / sums["test_images"].sum()).groupby(_ROW).mean()
    means = each.groupby(_RUN).mean().rename(MEAN).reset_index().assign(structure=MEAN)
    return pd.concat([each, means.set_index(_ROW)[MEAN]])


def reader_table(reader: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Dice of a second reader, in the form of `planning_table` with the start ``reader``.

    Parameters
    ----------
    reader
        Columns subject, structure and dice, against the truth of the test subjects.
    resamples, seed
        As `planning_table`.
    """
    scores = reader.assign(start=READER, subset="", subjects=0, images=0, seed=0)
    return planning_table(scores, resamples=resamples, seed=seed)


def gain_table(scores: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """What the last of the starts (TL2) gains over the others with the same training set.

    Parameters
    ----------
    scores, resamples, seed
        As `planning_table`.

    Returns
    -------
    Columns start, over, subset, structure, subjects, images, n_test, gain, low and high: the difference of
    the Dice, paired over the test subjects, with its 95 % bootstrap interval. The base model is the same
    for every training set.

    Raises
    ------
    DataError
        As `planning_table`.
    """
    rows = with_mean(scores)
    values, starts = by_subject(rows), ordered_starts(rows["start"])
    ours = values.loc[starts[-1]]
    parts = {over: ours - _same_rows(values.loc[over], ours.index, over) for over in starts[:-1]}
    if not parts:
        return pd.DataFrame(columns=list(GAIN_COLUMNS))
    differences = pd.concat(parts, names=["start"]).dropna(how="all")
    found = intervals(differences, resamples=resamples, seed=seed).rename(columns={"mean": "gain"})
    sizes = _sizes(rows).query("start == @starts[-1]").drop(columns="start")
    table = _sorted(found.reset_index().merge(sizes, on="subset"))
    return table.rename(columns={"start": "over"}).assign(start=starts[-1])[list(GAIN_COLUMNS)]


def with_mean(scores: pd.DataFrame) -> pd.DataFrame:
    """Checked scores, and rows ``mean``: the mean over the structures of every run and test subject.

    A run that lacks a structure which another one scored in that subject has no mean there: means over
    different structures do not compare.

    Raises
    ------
    DataError
        As `planning_table`.
    """
    missing = [column for column in SCORE_COLUMNS if column not in scores]
    if missing or scores.empty:
        lack = f"lack the column {', '.join(missing)}" if missing else "hold no row"
        raise DataError(f"scores of the study {lack}; every run needs one row per test subject and structure")
    rows = scores.astype({"subject": str, "subset": object}).fillna({"subset": ""})
    key = [*_RUN, "seed", "subject"]
    repeats = rows[rows.duplicated([*key, "structure"])]
    if not repeats.empty:
        told = ", ".join(str(value) for value in repeats.iloc[0][[*key, "structure"]])
        raise DataError(f"scores name {told} more than once; keep one row each")
    scored = rows.dropna(subset="dice").groupby("subject")["structure"].nunique()
    means = rows.groupby(key, as_index=False).agg(
        subjects=("subjects", "first"), images=("images", "first"), dice=("dice", "mean"), n=("dice", "count")
    )
    means["dice"] = means["dice"].where(means["n"] == means["subject"].map(scored))
    return pd.concat([rows, means.drop(columns="n").assign(structure=MEAN)], ignore_index=True)


def by_subject(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice over seeds: one row per start, subset and structure, one column per test subject."""
    means = rows.groupby([*_ROW, "subject"])["dice"].mean()
    return means.unstack("subject")  # noqa: PD010 - pivot_table drops subjects whose Dice is missing


def intervals(values: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Mean over test subjects with its bootstrap interval; all rows are resampled alike.

    Parameters
    ----------
    values
        One column per test subject; ``nan`` is left out.
    resamples, seed
        Number and seed of the bootstrap samples.

    Returns
    -------
    Columns n_test, mean, low and high with the index of ``values``.
    """
    array = values.to_numpy(float)
    known, subjects = np.isfinite(array), array.shape[1]
    chance = np.full(subjects, 1 / subjects)
    times_drawn = np.random.default_rng(seed).multinomial(subjects, chance, size=resamples)
    with np.errstate(invalid="ignore"):  # a sample without any known subject has no mean
        means = (times_drawn @ np.where(known, array, 0).T) / (times_drawn @ known.T.astype(int))
    limits = np.full((2, len(array)), np.nan)
    enough = known.sum(axis=1) > 1
    limits[:, enough] = np.nanpercentile(means[:, enough], _PERCENTILES, axis=0)
    return pd.DataFrame(
        {"n_test": known.sum(axis=1), "mean": values.mean(axis=1), "low": limits[0], "high": limits[1]},
        index=values.index,
    )


def is_whole(subset: str) -> bool:
    """Whether a training set holds all images of its subjects: ``full``, ``v7``, ``v3``."""
    return subset == FULL or re.fullmatch(r"v\d+", subset) is not None


def ordered_starts(starts: pd.Series) -> list[str]:
    """The starts that occur, from no training to the longest chain."""
    present = list(dict.fromkeys(starts))
    return [s for s in STARTS if s in present] + [s for s in present if s not in STARTS]


def _same_rows(other: pd.DataFrame, index: pd.MultiIndex, start: str) -> pd.DataFrame:
    """What another start reached with the same training sets; the base model is one for all of them."""
    if start != BASE:
        return other.reindex(index)
    one = other.droplevel("subset").reindex(index.get_level_values("structure"))
    return one.set_axis(index)


def _sizes(rows: pd.DataFrame) -> pd.DataFrame:
    """Training subjects and images of every start and set, the rounded mean where seeds drew other ones."""
    return rows.groupby(_RUN)[["subjects", "images"]].mean().round().astype(int).reset_index()


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by start, whole subjects first, then by size and structure."""
    order = pd.DataFrame(
        {
            "start": table["start"].map(ordered_starts(table["start"]).index),
            "parts": ~table["subset"].map(is_whole),
            "images": table["images"],
            "subset": table["subset"],
            "structure": table["structure"].map(lambda s: _ROW_ORDER.index(s) if s in _ROW_ORDER else -1),
        }
    )
    return table.loc[order.sort_values(list(order)).index].reset_index(drop=True)
