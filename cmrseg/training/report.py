"""The report on a training run, from the files that the run wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cmrseg.io.settings import read_json
from cmrseg.io.tables import read_table
from cmrseg.problems import DataError
from cmrseg.report.figures import Example, learning_curve_figure, overlay_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report

_BEST = (
    "The model is that of the epoch with the best validation Dice, which is our choice; the paper takes the "
    "last epoch (--weights last)."
)
_LAST = "The model is that of the last epoch, as in the paper."
_BLEND = (
    "The model is the mixture of the base model's weights and those of the epoch with the best validation "
    "Dice that validates best (blend.csv)."
)
_CHOICES = {"last": _LAST, "blend": _BLEND}


def training_report(
    out: Path,
    *,
    examples: Sequence[Example] = (),
    tables: Mapping[str, pd.DataFrame] | None = None,
    verdict: str = "",
) -> Report:
    """What is told of a training run.

    Parameters
    ----------
    out
        Folder of the run, with ``history.csv`` and ``config.json``.
    examples
        Validation images with their predicted and true masks.
    tables
        Tables by their caption, such as scores before and after a transfer, see
        `before_after_table`.
    verdict
        Which model to use, to be read first.

    Raises
    ------
    DataError
        If ``history.csv`` or ``config.json`` is missing or cannot be read.
    """
    history, config = _read_run(out)
    sections = [
        _learning_section(history),
        Section("Scores", tables=[Table(table, caption) for caption, table in (tables or {}).items()]),
        _example_section(examples),
    ]
    title = f"Training of {config.get('recipe', config.get('name', out.resolve().name))}"
    summary = " ".join(filter(None, [verdict, _headline(history, config)]))
    return Report(title, sections, config, summary, figures=None)


def before_after_table(before: pd.DataFrame, after: pd.DataFrame, *, group: str = "all") -> pd.DataFrame:
    """Mean scores of one group before and after, side by side.

    Parameters
    ----------
    before, after
        Columns of the evaluation's ``summary.csv``.
    group
        Group to compare.

    Returns
    -------
    Columns structure, metric, before, after, change (after minus before) and unit, for the metrics
    that both tables have.
    """
    keys = ["structure", "metric", "unit"]
    parts = [table.loc[table["group"] == group, [*keys, "mean"]] for table in (before, after)]
    both = parts[0].merge(parts[1], on=keys, suffixes=("_before", "_after"))
    both = both.rename(columns={"mean_before": "before", "mean_after": "after"})
    both["change"] = both["after"] - both["before"]
    return both[["structure", "metric", "before", "after", "change", "unit"]]


def best_epoch(history: pd.DataFrame) -> pd.Series:
    """Epoch with the highest mean validation Dice, or the lowest validation loss where there is none."""
    dice = history.filter(like="dice_").dropna(axis="columns", how="all")
    if not dice.empty and dice.notna().any(axis=None):
        return history.loc[dice.mean(axis="columns").idxmax()]
    if "valid_loss" in history and history["valid_loss"].notna().any():
        return history.loc[history["valid_loss"].idxmin()]
    return history.iloc[-1]


def _read_run(out: Path) -> tuple[pd.DataFrame, dict]:
    """History and configuration of a run."""
    for name in ("history.csv", "config.json"):
        if not (out / name).is_file():
            raise DataError(f"{out / name} does not exist; is {out} the folder of a training run?")
    history = read_table(out / "history.csv")
    config = read_json(out / "config.json", "train again")
    if history.empty or "epoch" not in history:
        raise DataError(f"{out / 'history.csv'} holds no epoch; train first")
    return history, config


def _learning_section(history: pd.DataFrame) -> Section:
    """Curves and the table of the best epoch of every stage."""
    picture = Picture(
        learning_curve_figure(history),
        "Loss, validation Dice and learning rate; dotted lines are where a stage begins.",
        "learning_curves",
    )
    stages = history.groupby("stage", sort=False) if "stage" in history else [("", history)]
    table = history.loc[[best_epoch(part).name for _, part in stages]].dropna(axis="columns", how="all")
    return Section("Learning curves", tables=[Table(table, "Best epoch of every stage")], pictures=[picture])


def _example_section(examples: Sequence[Example]) -> Section:
    """Overlays, when there are any."""
    if not examples:
        return Section("Examples")
    picture = Picture(
        overlay_figure(examples), "Validation images with true and predicted contours.", "examples"
    )
    return Section("Examples", pictures=[picture])


def _headline(history: pd.DataFrame, config: Mapping[str, object]) -> str:
    """The paragraph for a reader in a hurry."""
    best, weights = best_epoch(history), str(config.get("weights"))
    minutes = history["seconds"].sum() / 60 if "seconds" in history else float("nan")
    parts = [f"{len(history)} epoch{'s' * (len(history) > 1)}"]
    if pd.notna(minutes):
        parts = [f"{parts[0]} in {minutes:.1f} minutes"]
    if dice := _dice_of(best):
        parts.append(f"best validation Dice (epoch {best['epoch']:g}): {dice}")
        parts += [f"of the last epoch: {_dice_of(history.iloc[-1])}"] * (weights == "last")
    return f"{'; '.join(parts)}. {_CHOICES.get(str(weights), _BEST)}"


def _dice_of(epoch: pd.Series) -> str:
    """Dice of every structure that has one."""
    scores = epoch.filter(like="dice_").dropna()
    return ", ".join(f"{name.removeprefix('dice_')} {value:.3f}" for name, value in scores.items())
