"""The files of `cmrseg study curves`: learning curves of a transfer-learning study, and its table of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cmrseg.io.atomic import write_table, write_text
from cmrseg.report.evaluation import software, write_figure
from cmrseg.report.html import Picture, Section, Table, render_report
from cmrseg.report.learning_curves import THOUSAND, learning_figure
from cmrseg.studies.curves import (
    PLATEAU_DICE,
    RUN,
    SPAN,
    join_logs,
    read_training_log,
    run_table,
    seed_table,
    with_smoothed,
)
from cmrseg.studies.printed import beside, read_printed

SCREEN_COLUMNS = ("start", "subset", "structure", "starting point", "peak", "plateau")


def write_curves(
    logs: Sequence[Path], out: Path, *, subsets: Path | None = None, paper: Path | None = None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Draw the learning curves of a study and write all files.

    Parameters
    ----------
    logs
        Combined logs, see `cmrseg.studies.curves.read_training_log`.
    out
        Folder for ``curves.csv`` (the log, raw and smoothed), ``runs.csv``, ``seeds.csv`` (mean and range
        over seeds), ``beside.csv`` (only with a paper), ``fig6.png``, ``fig6_raw.png`` and ``report.html``.
    subsets
        Table of the subsets.
    paper
        Printed numbers, see `cmrseg.studies.printed.read_printed`.

    Returns
    -------
    The table of runs, and what the paper prints beside it.

    Raises
    ------
    DataError
        If a log or table cannot be used.
    """
    log = with_smoothed(join_logs([read_training_log(path, subsets) for path in logs]))
    runs = run_table(log)
    compared = None if paper is None else beside(runs, read_printed(paper))
    tables = {"curves.csv": log, "runs.csv": runs, "seeds.csv": seed_table(runs), "beside.csv": compared}
    for name, table in tables.items():
        if table is None:
            (out / name).unlink(missing_ok=True)
        else:
            write_table(table, out / name)
    sections = [curve_section(log), run_section(runs)]
    if compared is not None:
        sections.append(_paper_section(compared))
    for picture in sections[0].pictures:
        write_figure(picture.figure, out / f"{picture.name}.png")
    provenance = {"logs": ", ".join(map(str, logs)), "subsets": subsets, "paper": paper, **software()}
    page = render_report("Learning curves", sections, provenance=provenance, summary=_headline(runs))
    write_text(page, out / "report.html")
    return runs, compared


def screen_table(runs: pd.DataFrame) -> pd.DataFrame:
    """The table of runs as a reader wants it: one row per start, subset and structure.

    Parameters
    ----------
    runs
        See `cmrseg.studies.curves.run_table`.

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
        Picture(learning_figure(log, smoothed=False), f"{what} Raw.{seeds}", "fig6_raw"),
    ]
    return Section("Learning curves", [text], pictures=pictures)


def run_section(runs: pd.DataFrame) -> Section:
    """The table of runs, and over their seeds."""
    text = (
        "starting_point is the first Dice of the log, starting_at the images seen by then; peak is the "
        "largest Dice of the log, smoothed_peak that of the smoothed curve, and plateau the images seen when "
        f"the smoothed curve first comes within {PLATEAU_DICE:g} of its peak."
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
        See `cmrseg.studies.printed.beside`.
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
