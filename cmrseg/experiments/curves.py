"""Learning curves of a transfer-learning study: its log, smoothed curves, starting points and peaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmrseg.data.subsets import FULL, read_subsets, subset_sizes
from cmrseg.data.tables import as_numbers, filled, need_columns, numbers_of, read_published, some
from cmrseg.labels import STRUCTURES, near_matches
from cmrseg.problems import DataError

# Names of the published log and of the paper (II.D.1).
STARTS = {"plainLearn": "R", "imagenetTransferLearn": "TL", "doubleTransferLearn": "TL2"}
DICE_COLUMNS = {"diceLV": "dice_LV", "diceMY": "dice_MYO", "diceRV": "dice_RV", "diceComb": "dice_heart"}
LOSSES = ("train_loss", "valid_loss")
LOG_COLUMNS = (
    "start", "subset", "seed", "images", "epoch", "images_seen",
    *DICE_COLUMNS.values(), "accuracy", *LOSSES,
)  # fmt: skip
RUN = ["start", "subset", "seed"]
SPAN = 0.15
PLATEAU_DICE = 0.01
LOESS_SPAN, LOESS_DEGREE, LOESS_VALUES = 0.75, 2, 7
QUANTITIES = ("starting_point", "peak", "smoothed_peak", "loess_peak", "plateau")
RUN_COLUMNS = (
    *RUN, "structure", "images", "epochs", "images_seen",
    "starting_point", "starting_at", "peak", "peak_at", "smoothed_peak", "loess_peak", "plateau",
)  # fmt: skip


def read_training_log(path: Path, subsets: Path | None = None) -> pd.DataFrame:
    """Read the combined training log of a study.

    Parameters
    ----------
    path
        Table with the columns epoch (from 0), diceLV, diceMY and model, and where they are there diceRV,
        diceComb, acc_seg, train_loss and valid_loss; a structure that was not labelled is an empty column.
        Ours has start, subset, seed, images and images_seen too; without start and subset the model tells
        them, such as ``imagenetTransferLearn_v7``.
    subsets
        Table with one row per training image and a column of TRUE and FALSE per subset; needed where the
        log has no images_seen. See `cmrseg.data.subsets.read_subsets`.

    Returns
    -------
    Columns `LOG_COLUMNS`, sorted by start, then from many images to few. images is the size of the subset,
    where nothing tells it the images that an epoch shows; images_seen is what the run has seen after the
    epoch; Dice is ``nan`` where the log has none, and a loss where it is no number (a run that diverged).

    Raises
    ------
    DataError
        If a table cannot be read, a column or a subset is missing, a model or start is unknown, a value is
        no number, a Dice is above 1, or a run has an epoch twice.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.D and Fig. 6.
    """
    table = read_published(path, text=["model", "start", "subset"])
    need_columns(table, ["epoch", "diceLV", "diceMY"], path)
    log = _runs_of(table, path).assign(**_numbers(table, path))
    _check_epochs(log, path)
    if subsets is not None:
        log["images"] = _sizes_by_row(log, subsets)
    elif "images" in table:
        log["images"] = _counted(table, "images", path, above=0)
    if "images_seen" in table:
        log["images_seen"] = _counted(table, "images_seen", path, above=0)
    elif subsets is not None:
        log["images_seen"] = (log["epoch"] + 1) * log["images"]
    else:
        raise DataError(f"{path} has no column images_seen; name the table of image subsets (--subsets)")
    if "images" not in log:
        log["images"] = _images_per_epoch(log)
    return _sorted(log.reindex(columns=list(LOG_COLUMNS)))


def join_logs(logs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several logs of `read_training_log` as one, such as those of several seeds.

    Raises
    ------
    DataError
        If two of them hold the same run.
    """
    runs = pd.concat([log[RUN].drop_duplicates() for log in logs])
    twice = runs[runs.duplicated()].itertuples(index=False)
    if names := [f"{r.start} {r.subset} seed {r.seed}" for r in twice]:
        raise DataError(f"several logs hold the run {some(names)}; name every log once, or give seeds")
    return _sorted(pd.concat(logs, ignore_index=True))


def smooth(
    images_seen: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"], *, span: float = SPAN
) -> Float[np.ndarray, " n"]:
    """Smooth a learning curve by local straight lines with tricube weights (LOESS of degree 1).

    The window reaches ``span`` of all images of the run to both sides, but never further than the images seen
    so far: a curve is steep where it begins, so the first value stays as it is and the rise is not blurred. A
    straight line comes out unchanged up to both ends, so nothing lags behind.

    Parameters
    ----------
    images_seen
        Ascending and positive.
    values
        Such as Dice, the same length.
    span
        Half-width of the window as a part of the largest ``images_seen``.

    Returns
    -------
    Smoothed values.

    Raises
    ------
    ValueError
        If the span is not positive.

    References
    ----------
    Cleveland, J Am Stat Assoc 74:829 (1979), doi:10.1080/01621459.1979.10481038.
    """
    if not span > 0:
        raise ValueError(f"span must be positive (part of the images seen), got {span}")
    x, y = np.asarray(images_seen, float), np.asarray(values, float)
    half = np.minimum(span * x.max(), x)[:, None]
    d = (x[None, :] - x[:, None]) / half
    weight = np.clip(1 - np.abs(d) ** 3, 0, None) ** 3
    s0, s1, s2 = (np.sum(weight * d**power, axis=1) for power in range(3))
    t0, t1 = weight @ y, (weight * d) @ y
    spread = s0 * s2 - s1**2
    alone = spread < 1e-9  # one value in the window: no line through it
    return np.where(alone, t0 / s0, (s2 * t0 - s1 * t1) / np.where(alone, 1, spread))


def loess(images_seen: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Smooth a learning curve as R's ``loess`` with its defaults: local parabolas over 75 % of the values.

    20 of the 22 peaks that the paper prints of its Fig. 6 are those of these curves. A steep beginning is
    blurred: where R's curve starts, the run has not been; see `smooth`.

    Parameters
    ----------
    images_seen
        Ascending.
    values
        Such as Dice, the same length.

    Returns
    -------
    Smoothed values; ``nan`` for fewer than 7 values, which local parabolas run through.

    References
    ----------
    Cleveland, Devlin and Grosse, J Econom 37:87 (1988), doi:10.1016/0304-4076(88)90077-2; their code, which R
    calls too, is in scikit-misc.
    """
    x, y = np.asarray(images_seen, float), np.asarray(values, float)
    if len(x) < LOESS_VALUES:
        return np.full(len(x), np.nan)
    from skmisc.loess import loess as cleveland  # of use here only

    fit = cleveland(x, y, span=LOESS_SPAN, degree=LOESS_DEGREE)
    fit.fit()
    return np.array(fit.outputs.fitted_values)


def structures_in(log: pd.DataFrame) -> list[str]:
    """Names of the structures whose Dice a log holds."""
    return [s.name for s in STRUCTURES if log[f"dice_{s.name}"].notna().any()]


def with_smoothed(log: pd.DataFrame) -> pd.DataFrame:
    """A log with the columns smooth_LV, loess_LV and so on: `smooth` and `loess` of the Dice of every run."""
    log = log.copy()
    for structure in structures_in(log):
        log[[f"smooth_{structure}", f"loess_{structure}"]] = np.nan
        for _, run in log.dropna(subset=f"dice_{structure}").groupby(RUN, sort=False):
            seen, dice = run["images_seen"].to_numpy(), run[f"dice_{structure}"].to_numpy()
            log.loc[run.index, f"smooth_{structure}"] = smooth(seen, dice)
            log.loc[run.index, f"loess_{structure}"] = loess(seen, dice)
    return log


def run_table(log: pd.DataFrame) -> pd.DataFrame:
    """Starting point, peak and plateau of every run.

    Parameters
    ----------
    log
        See `read_training_log`.

    Returns
    -------
    One row per run and structure, columns `RUN_COLUMNS`. starting_point is the first Dice of the log, after
    the first epoch where every epoch is validated; peak is its largest Dice; starting_at and peak_at are the
    images seen by then. smoothed_peak is the largest value of the smoothed curve, plateau the images seen
    when that curve first comes within 0.01 of it; loess_peak is the largest value of R's `loess`.
    """
    log, rows = with_smoothed(log), []
    for names, run in log.groupby(RUN, sort=False):
        for structure in structures_in(run):
            known = run.dropna(subset=f"dice_{structure}")
            rows.append((*names, structure, *_landmarks(known, structure)))
    return pd.DataFrame(rows, columns=list(RUN_COLUMNS))


def _landmarks(run: pd.DataFrame, structure: str) -> tuple[float, ...]:
    """The last columns of `RUN_COLUMNS` for one structure of a run."""
    dice, curve, seen = run[f"dice_{structure}"], run[f"smooth_{structure}"], run["images_seen"]
    on_plateau = curve >= curve.max() - PLATEAU_DICE
    length = (run["images"].iloc[0], run["epoch"].max() + 1, seen.max())
    points = (dice.iloc[0], seen.iloc[0], dice.max(), seen[dice.idxmax()])
    peaks = (curve.max(), run[f"loess_{structure}"].max())
    return (*length, *points, *peaks, seen[on_plateau.idxmax()])


def seed_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and range over the seeds of every start and subset.

    Parameters
    ----------
    runs
        See `run_table`.

    Returns
    -------
    Columns start, subset, structure, images, seeds (their number), and for every one of `QUANTITIES` its
    mean under its own name, then ``_low`` and ``_high``.
    """
    groups = runs.groupby(["start", "subset", "structure"], sort=False)
    table = groups.agg(images=("images", "first"), seeds=("seed", "nunique"))
    for name in QUANTITIES:
        table[name] = groups[name].mean()
        table[f"{name}_low"], table[f"{name}_high"] = groups[name].min(), groups[name].max()
    return table.reset_index()


def _runs_of(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Start, subset and seed of every row, and the name of its run for messages."""
    if not {"start", "subset"} <= set(table):
        need_columns(table, ["model"], path)
        names = filled(table["model"], "").str.partition("_")
        _check_known(names[0], list(STARTS), path, "model")
        table = table.assign(start=names[0].map(STARTS), subset=names[2].replace("", FULL))
    _check_known(filled(table["start"], ""), list(STARTS.values()), path, "start")
    seed = _counted(table, "seed", path) if "seed" in table else 0
    runs = table[["start", "subset"]].assign(subset=filled(table["subset"], FULL), seed=seed)
    return runs.assign(run=runs["start"] + " " + runs["subset"] + " seed " + runs["seed"].astype(str))


def _check_known(names: pd.Series, known: list[str], path: Path, what: str) -> None:
    """Refuse a name that is not known."""
    unknown = names[~names.isin(known)]
    if len(unknown):
        name, row = unknown.iloc[0], unknown.index[0] + 2
        raise DataError(f"{path}, row {row}: unknown {what} '{name}'; {near_matches(name, known)}")


def _numbers(table: pd.DataFrame, path: Path) -> dict[str, pd.Series]:
    """Epoch, Dice and the other measurements under our names; columns without any value are left out."""
    names = {c: n for c, n in {**DICE_COLUMNS, "acc_seg": "accuracy"}.items() if c in table}
    names = {column: name for column, name in names.items() if table[column].notna().any()}
    if not {"diceLV", "diceMY", "diceRV"} & set(names):
        raise DataError(f"{path}: diceLV and diceMY hold no value, and there is no diceRV; nothing to draw")
    numbers = as_numbers(_with_rows(table), list(names), path, key="row").rename(columns=names)
    for name in numbers.columns[(numbers > 1).any()]:
        raise DataError(f"{path}: {name} must lie between 0 and 1, got {numbers[name].max():g} (percent?)")
    losses = {name: numbers_of(table[name]) for name in LOSSES if name in table}
    return {**numbers, **losses, "epoch": _counted(table, "epoch", path)}


def _counted(table: pd.DataFrame, column: str, path: Path, *, above: float | None = None) -> pd.Series:
    """A column that counts something."""
    numbers = as_numbers(_with_rows(table), [column], path, key="row", above=above, whole=True)
    return numbers[column].astype(int)


def _with_rows(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose rows are named by their place in the file, for messages."""
    return table.assign(row=[f"row {n}" for n in range(2, len(table) + 2)])


def _check_epochs(log: pd.DataFrame, path: Path) -> None:
    """Refuse a run that has an epoch twice."""
    twice = log[log.duplicated(["run", "epoch"])]
    if len(twice):
        first = twice.iloc[0]
        raise DataError(
            f"{path}: {first['run']} has epoch {first['epoch']} more than once; keep one row per epoch"
        )


def _images_per_epoch(log: pd.DataFrame) -> pd.Series:
    """Images that an epoch shows, of the run of every row."""
    first = log.sort_values("epoch").groupby("run")[["images_seen", "epoch"]].first()
    return log["run"].map((first["images_seen"] / (first["epoch"] + 1)).round().astype(int))


def _sizes_by_row(log: pd.DataFrame, path: Path) -> pd.Series:
    """Number of images of the subset of every row."""
    sizes = dict(subset_sizes(read_subsets(path))[["subset", "images"]].itertuples(index=False))
    for subset in log["subset"].unique():
        if subset not in sizes:
            hint = near_matches(subset, list(sizes))
            raise DataError(f"{path} lacks the subset '{subset}' of the training log; {hint}")
    return log["subset"].map(sizes)


def _sorted(log: pd.DataFrame) -> pd.DataFrame:
    """Rows by start, then from many images to few, whole subjects before random images."""
    key = pd.DataFrame({
        "start": log["start"].map(list(STARTS.values()).index),
        "images": -log["images"],
        "random": log["subset"].map(is_random),
        "subset": log["subset"],
        "seed": log["seed"],
        "epoch": log["epoch"],
    })  # fmt: skip
    return log.loc[key.sort_values(list(key)).index].reset_index(drop=True)


def is_random(subset: str) -> bool:
    """Whether a subset holds random images, such as ``r7`` and ``r_esed``."""
    return re.fullmatch(r"r(\d+|_.+)", subset) is not None
