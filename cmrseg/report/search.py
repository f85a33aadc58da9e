"""Table and figure of a parameter search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmrseg import __version__
from cmrseg.io.atomic import atomic_path, write_text
from cmrseg.report.boxes import error_figure, score_figure
from cmrseg.report.figures import png_bytes
from cmrseg.report.html import Picture, Section, Table, render_report
from cmrseg.studies.search import SearchRun, SearchSetup, search

_LABELS = {"ef_abs_error": "|EF error| (points)", "dice": "Dice"}


def search_and_report(
    data: Path, out: Path, *, setup: SearchSetup | None = None, **settings: Any
) -> SearchRun:
    """`cmrseg.studies.search.search` with the same parameters, then ``search.png`` and ``report.html``."""
    setup = setup or SearchSetup()
    run = search(data, out, setup=setup, **settings)
    write_search_report(run, out, setup)
    return run


def write_search_report(run: SearchRun, out: Path, setup: SearchSetup) -> Path:
    """Write the figure and the page of a search."""
    picture = _picture(run, setup.by)
    with atomic_path(out / "search.png") as temporary:
        temporary.write_bytes(png_bytes(picture.figure))
    table = Table(run.table, f"Validation subjects, {_LABELS[setup.by]}; the best of every step goes on")
    page = render_report(
        "Parameter search",
        [Section("Recipes", tables=[table], pictures=[picture]), _dice_section(run)],
        provenance={"cmrseg": __version__, "by": setup.by, "options": vars(setup.options)},
        summary=f"The best recipe is {run.best}.",
    )
    return write_text(page, out / "report.html")


def _picture(run: SearchRun, by: str) -> Picture:
    """Box plots of the deciding score, in the order in which the recipes were tried."""
    scores = run.scores[run.scores["metric"] == by].dropna(subset=["value"])
    recipes = list(dict.fromkeys(run.table["recipe"]))
    if by == "dice":
        panels = {
            str(structure): {r: rows.loc[rows["recipe"] == r, "value"].tolist() for r in recipes}
            for structure, rows in scores.groupby("structure", sort=False)
        }
        figure = score_figure(panels, label=_LABELS[by])
    else:
        errors = {r: scores.loc[scores["recipe"] == r, "value"].tolist() for r in recipes}
        figure = error_figure(errors, label=_LABELS[by])
    return Picture(figure, "The deciding score of every recipe, one value per validation subject.", "search")


def _dice_section(run: SearchRun) -> Section:
    """Mean Dice of all recipes."""
    dice = run.scores[run.scores["metric"] == "dice"]
    table = dice.pivot_table(index="recipe", columns="structure", values="value", sort=False).reset_index()
    return Section("Dice", tables=[Table(table, "Mean Dice per volume, validation subjects")])
