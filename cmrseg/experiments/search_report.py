"""Table and figure of a parameter search."""

from __future__ import annotations

from cmrseg.experiments.search import SearchRun, SearchSetup
from cmrseg.report.boxes import error_figure, score_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report

_LABELS = {"ef_abs_error": "|EF error| (points)", "dice": "Dice", "abs_error": "mean |error|"}


def search_report(run: SearchRun, setup: SearchSetup) -> Report:
    """What is told of a search: every recipe by the score that decides, and their Dice."""
    table = Table(run.table, f"{_LABELS[setup.by]} of the examinations; the best of every step goes on")
    recipes = Section("Recipes", run.sentences, tables=[table], pictures=[_picture(run, setup.by)])
    provenance = {
        "by": setup.by,
        "on": setup.scored_on,
        "as_published": setup.as_published,
        **setup.options.said(),
    }
    summary = f"The best recipe is {run.best}."
    return Report("Parameter search", [recipes, _dice_section(run)], provenance, summary, figures=".")


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
    return Picture(figure, "The deciding score of every recipe, one value per examination.", "search")


def _dice_section(run: SearchRun) -> Section:
    """Mean Dice of all recipes."""
    dice = run.scores[run.scores["metric"] == "dice"]
    if dice.empty:
        return Section("Dice", ["The examinations have no masks."])
    table = dice.pivot_table(index="recipe", columns="structure", values="value", sort=False).reset_index()
    return Section("Dice", tables=[Table(table, "Mean Dice per volume against the masks of the data")])
