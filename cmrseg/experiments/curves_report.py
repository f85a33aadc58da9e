"""What is told of the learning curves of a transfer-learning study, and its table of runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from cmrseg.experiments.curves import (
    LOESS_VALUES,
    PLATEAU_DICE,
    RUN,
    SPAN,
    seed_table,
    structures_in,
)
from cmrseg.experiments.learning_figure import THOUSAND, learning_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report

SCREEN_COLUMNS = ("start", "subset", "structure", "starting point", "peak", "plateau")


@dataclass(frozen=True)
class Curves:
    """Learning curves of a study.

    Attributes
    ----------
    log
        Raw and smoothed, ``curves.csv``.
    runs
        Starting point, peak and plateau of every run, ``runs.csv``.
    compared
        What a paper prints beside them, ``beside.csv``; None without one.
    """

    log: pd.DataFrame
    runs: pd.DataFrame
    compared: pd.DataFrame | None = None


def curves_report(found: Curves, provenance: Mapping[str, object]) -> Report:
    """What is told of learning curves; ``seeds.csv`` holds mean and range over seeds."""
    compared = found.compared
    sections = [curve_section(found.log), run_section(found.runs)]
    tables = {
        "curves.csv": found.log,
        "runs.csv": found.runs,
        "seeds.csv": seed_table(found.runs),
        "beside.csv": compared,
    }
    return Report(
        "Learning curves",
        [*sections, *([] if compared is None else [_paper_section(compared)])],
        provenance,
        _headline(found.runs),
        tables=tables,
        figures=".",
    )


def screen_table(runs: pd.DataFrame) -> pd.DataFrame:
    """The table of runs as a reader wants it: one row per start, subset and structure.

    Parameters
    ----------
    runs
        See `cmrseg.experiments.curves.run_table`.

    Returns
    -------
    Columns `SCREEN_COLUMNS`: starting point and peak as Dice, of several seeds as mean and range (text);
    plateau in thousands of images, their mean, rounded.
    """
    table = seed_table(runs)
    several = bool((table["seeds"] > 1).any())
    columns = {
        "starting point": _with_range(table, "starting_point") if several else table["starting_point"],
        "peak": _with_range(table, "peak") if several else table["peak"],
        "plateau": (table["plateau"] / THOUSAND).round().astype(int),
    }
    return table.assign(**columns)[list(SCREEN_COLUMNS)]


def _with_range(table: pd.DataFrame, name: str) -> pd.Series:
    """Mean and range as text."""
    parts = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
    return pd.Series([f"{mean:.2f} ({low:.2f}-{high:.2f})" for mean, low, high in parts], index=table.index)


def curve_section(log: pd.DataFrame) -> Section:
    """Fig. 6, smoothed and raw."""
    what = (
        "Dice of the validation subjects against images seen; colour: size of the subset, dotted: random "
        "images of the same number."
    )
    seeds = " Lines are means over seeds, bands their range." if len(set(log["seed"])) > 1 else ""
    text = (
        f"Smoothed curves are local straight lines with tricube weights (LOESS) over {SPAN:.0%} of a run's "
        "images to both sides, and never further than the images seen so far: starting points stay as they "
        "are. The Dice axis is cut off below; a curve that begins there enters from it."
    )
    pictures = [
        Picture(learning_figure(log), f"{what} Smoothed.{seeds}", "fig6"),
        Picture(learning_figure(log, curve="dice"), f"{what} Raw.{seeds}", "fig6_raw"),
    ]
    if _has_loess(log):
        said = "Smoothed as the paper's Fig. 6, by R's loess (parabolas over 75 % of a run's values); it "
        caption = f"{what} {said}blurs the beginning of a curve.{seeds}"
        pictures.insert(1, Picture(learning_figure(log, curve="loess"), caption, "fig6_loess"))
    return Section("Learning curves", [text], pictures=pictures)


def _has_loess(log: pd.DataFrame) -> bool:
    """Whether every run has values enough for R's loess."""
    names = structures_in(log)
    return all(log[f"loess_{n}"].notna().equals(log[f"dice_{n}"].notna()) for n in names)


def run_section(runs: pd.DataFrame) -> Section:
    """The table of runs, and over their seeds."""
    text = (
        "starting_point is the first Dice of the log, starting_at the images seen by then; peak is the "
        "largest Dice of the log, smoothed_peak that of the smoothed curve, loess_peak that of R's loess "
        f"(from {LOESS_VALUES} values on), and plateau the images seen when the "
        f"smoothed curve first comes within {PLATEAU_DICE:g} of its peak."
    )
    tables = [Table(runs, "Runs (runs.csv)")]
    if len(set(runs["seed"])) > 1:
        caption = "Mean and range over the seeds; plateau in thousands of images"
        tables.insert(0, Table(screen_table(runs), caption))
    return Section("Starting points, peaks and plateaus", [text], tables)


def _paper_section(compared: pd.DataFrame) -> Section:
    """What the paper prints beside the log, and where they disagree."""
    text = [
        "The difference is the log minus the paper, from the nearer end of a range. Both agree where the log "
        "rounds to the printed number or lies in the printed range.",
        *disagreements(compared),
    ]
    shown = compared.assign(agrees=compared["agrees"].map({True: "yes", False: "no"}))
    return Section("Beside the paper", text, [Table(shown, "Log and paper (beside.csv)")])


def disagreements(compared: pd.DataFrame) -> list[str]:
    """One sentence per quantity: how many printed numbers the log gives, and which it does not.

    Parameters
    ----------
    compared
        See `cmrseg.experiments.printed.beside`.
    """
    sentences = []
    for quantity, rows in compared.groupby("quantity", sort=False):
        wrong = rows[~rows["agrees"]]
        sentence = f"{quantity.replace('_', ' ')}: {len(rows) - len(wrong)} of {len(rows)} agree"
        digits = 0 if quantity == "plateau" else 3
        told = [
            f"{r.start} {r.subset} {r.structure} (paper {r.paper}, log {r.log:.{digits}f})"
            for r in wrong.itertuples()
        ]
        sentences.append(f"{sentence}; not {', '.join(told)}." if told else f"{sentence}.")
    peaks = compared[compared["quantity"].isin(["peak", "loess_peak"])]
    either = peaks.groupby(["start", "subset", "structure"])["agrees"].any()
    if "loess_peak" in set(peaks["quantity"]):
        sentences.append(
            f"{either.sum()} of {len(either)} printed peaks are that of the log or of its loess curve."
        )
    return sentences


def _headline(runs: pd.DataFrame) -> str:
    """The paragraph for a reader in a hurry."""
    table = seed_table(runs)
    largest = table[table["images"] == table["images"].max()]
    parts = []
    for start, rows in largest.groupby("start", sort=False):
        dice = [f"{r.structure} {r.starting_point:.2f} to {r.peak:.2f}" for r in rows.itertuples()]
        parts.append(f"{start} {', '.join(dice)}")
    n = runs[RUN].drop_duplicates().shape[0]
    return f"{n} runs. Dice on all training images, from the starting point to the peak: {'; '.join(parts)}."
