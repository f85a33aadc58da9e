"""The paper's incremental parameter search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cmrseg.data.confidence_sets import confidence_sha256
from cmrseg.data.truth import usable_true_volumes
from cmrseg.evaluation.summary import summarise
from cmrseg.experiments.keys import begin, finish, is_scored, masks_key, settings, sha256
from cmrseg.experiments.scoring import (
    ALL,
    CHOSE,
    TRAINED,
    VALIDATION,
    Examinations,
    Scored,
    fixed_examinations,
    score_run,
    told_of_roles,
)
from cmrseg.io.atomic import write_table
from cmrseg.io.checksum import sha256_of
from cmrseg.io.in_use import works_in
from cmrseg.io.tables import read_problems, read_table
from cmrseg.labels import near_matches
from cmrseg.metrics.registry import METRICS
from cmrseg.predict import Options, prediction_options
from cmrseg.problems import DataError, Problem, check_apart, problem_table
from cmrseg.recipe import Recipe
from cmrseg.training.config import TrainConfig, train_config
from cmrseg.training.fit import train
from cmrseg.training.log import Listener
from cmrseg.training.options import TrainOptions

DECIDING = ("ef_abs_error", "dice", "abs_error")
PARTS = ("architecture", "loss", "train_set", "augmentation", "size", "recipe")
SEARCH_COLUMNS = (
    "step", "recipe", "metric", "mean", "sd", "median", "iqr", "n", "trained", "chose_epoch", "best",
)  # fmt: skip
SCORES_FILE, PROBLEMS_FILE = "scores.csv", "search_problems.tsv"


@dataclass(frozen=True)
class Step:
    """One step of a search: the values of one part of the recipe; the part ``recipe`` lists whole ones."""

    part: str
    choices: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ValueError(f"a recipe has no part '{self.part}'; {near_matches(self.part, PARTS)}")
        if not self.choices:
            raise ValueError(f"step {self.part} needs at least one choice")

    def candidates(self, best: str) -> list[str]:
        """Recipes of the step, the best one so far with one part exchanged."""
        if self.part == "recipe":
            return [str(Recipe.parse(choice)) for choice in self.choices]
        recipe = Recipe.parse(best)
        is_size = self.part == "size"
        changes: list[dict[str, Any]] = [
            {self.part: int(c) if is_size and c.isdigit() else c} for c in self.choices
        ]
        return [str(Recipe.parse(str(replace(recipe, **change)))) for change in changes]


# Ankenbrand et al. (2021), II.C.1: first the architecture, then the loss, then the confidence set.
PAPER_START = "r34_CE_p5_s1"
PAPER_STEPS = (
    Step("architecture", ("v16", "r34", "r50")),
    Step("loss", ("CE", "DICE", "focal")),
    Step("train_set", ("p5", "p10", "p15")),
)


@dataclass(frozen=True)
class SearchSetup:
    """What all runs of a search share.

    Attributes
    ----------
    options
        Of every run.
    confidence
        Folder of `cmrseg confidence`, for recipes that name its sets.
    truth
        Table or folder of true volumes; without one the EF of the masks is the truth.
    by
        What decides by its mean over the examinations: ``ef_abs_error`` (points; the paper), ``dice``,
        or ``abs_error`` of recipes that give numbers.
    on
        The examinations that all recipes are scored on: ``all`` or ``validation``, see
        `cmrseg.experiments.scoring.fixed_examinations`. By default all with true volumes, as the paper; where
        masks are the truth, a model has learned them by heart, and the validation examinations score it.
    as_published
        Make the masks that are scored as the paper's, see `cmrseg.predict.AS_PUBLISHED`.
    """

    options: TrainOptions = field(default_factory=TrainOptions)
    confidence: Path | None = None
    truth: Path | None = None
    by: str = "ef_abs_error"
    on: str = ""
    as_published: bool = False

    def __post_init__(self) -> None:
        if self.on not in ("", ALL, VALIDATION):
            raise ValueError(f"on must be {ALL} or {VALIDATION}, got '{self.on}'")
        if self.by not in DECIDING:
            raise ValueError(f"by must be one of {', '.join(DECIDING)}, got '{self.by}'")

    @property
    def scored_on(self) -> str:
        """``all`` or ``validation``."""
        volumes_decide = self.truth is not None and self.by == "ef_abs_error"
        return self.on or (ALL if volumes_decide else VALIDATION)

    @property
    def masks(self) -> Options:
        """How the masks that are scored are made."""
        return prediction_options(as_published=self.as_published)

    def config(self, recipe: str) -> TrainConfig:
        """Configuration of one run."""
        return train_config(recipe, self.options)


@dataclass(frozen=True)
class SearchRun:
    """What a search found.

    Attributes
    ----------
    table
        ``search.csv``: one row per step and recipe with statistics of the deciding score, and how many of
        its examinations the model was trained on, or chose its epoch.
    scores
        ``scores.csv``: one row per recipe, examination, structure and metric, with the role of the
        examination in the training.
    best
        The recipe that won the last step.
    problems
        What could not be used, over all runs.
    which
        Which examinations scored the recipes, for people.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    best: str
    problems: list[Problem]
    which: str = ""

    @property
    def sentences(self) -> list[str]:
        """What the recipes were scored on, and what these examinations were in the training."""
        n = int(self.table["n"].max())
        same = f"All recipes are scored on the same {n} examinations: {self.which}."
        return [same, *told_of_roles(self.table)]


@works_in("out", "study search")
def search(
    data: Path,
    out: Path,
    *,
    start: str = PAPER_START,
    steps: Sequence[Step] = PAPER_STEPS,
    setup: SearchSetup | None = None,
    listener: Listener | None = None,
) -> SearchRun:
    """The incremental parameter search: in every step one part of the recipe varies, and the best goes on.

    All recipes are scored on the same examinations, whatever their confidence sets are.

    Parameters
    ----------
    data
        Data set with masks.
    out
        Gets a folder per recipe, ``search.csv`` and ``scores.csv``. Finished runs are kept, a stopped one
        goes on.
    start
        Recipe to start from.
    steps
        What varies, in order; a recipe that a step before has trained is not trained again.
    setup
        What all runs share.
    listener
        Who is told how it goes.

    Raises
    ------
    DataError
        If the data cannot be used, or a run has no score.

    References
    ----------
    Ankenbrand et al. (2021), doi:10.1101/2020.06.15.20131656, II.C.1 and III.A.
    """
    check_apart(out, data, around=True)
    setup, listener = setup or SearchSetup(), listener or Listener()
    _check(start, steps, setup)
    examinations = fixed_examinations(
        data,
        setup.config(steps[0].candidates(start)[0]),
        on=setup.scored_on,
        truth=setup.truth,
        confidence=setup.confidence,
    )
    runs: dict[str, Scored] = {}
    best, rows = start, []
    for number, step in enumerate(steps, start=1):
        for recipe in step.candidates(best):
            if recipe not in runs:
                listener.note(f"step {number}, {step.part}: {recipe}")
                runs[recipe] = _scored(recipe, data, out / recipe, (setup, examinations), listener)
        rows.append(_step_table(f"{number} {step.part}", step.candidates(best), runs, setup.by))
        best = rows[-1].loc[rows[-1]["best"], "recipe"].iloc[0]
    return _finish(rows, runs, out, examinations)


def _check(start: str, steps: Sequence[Step], setup: SearchSetup) -> None:
    """Find what is wrong before hours of training: recipes, settings, the truth."""
    if not steps:
        raise ValueError("steps must hold at least one step, got none")
    for step in steps:
        for recipe in step.candidates(start):
            setup.config(recipe)
    if setup.truth is not None:
        usable_true_volumes(setup.truth)


def _scored(
    recipe: str, data: Path, folder: Path, given: tuple[SearchSetup, Examinations], listener: Listener
) -> Scored:
    """Train and score a recipe, as far as that has not been done."""
    setup, examinations = given
    config = setup.config(recipe)
    key = run_key(config, data, setup)
    score_key = sha256(key, *_contents(setup.truth), *examinations.subjects, *masks_key(setup.masks))
    if is_scored(folder, score_key):
        return _read_scored(folder)
    begun = begin(folder, key)
    run = train(config, data, folder, resume=begun, listener=listener, confidence=setup.confidence)
    scored = score_run(run, config, examinations, setup.masks)
    write_table(scored.scores, folder / SCORES_FILE)
    write_table(problem_table(scored.problems), folder / PROBLEMS_FILE)
    finish(folder, score_key)
    return scored


def _read_scored(folder: Path) -> Scored:
    """What an earlier call has found."""
    text = {"subject": str, "role": str}
    scores = read_table(folder / SCORES_FILE, text, keep_default_na=False, na_values={"value": [""]})
    return Scored(scores, read_problems(folder / PROBLEMS_FILE))


def _step_table(step: str, recipes: Sequence[str], runs: Mapping[str, Scored], by: str) -> pd.DataFrame:
    """Statistics of the recipes of a step, and which of them is the best."""
    scores = pd.concat([runs[recipe].scores for recipe in dict.fromkeys(recipes)])
    scores = scores[(scores["metric"] == by) & scores["value"].notna()]
    for recipe in recipes:
        if recipe not in set(scores["recipe"]):
            raise DataError(
                f"{recipe} has no {by} on the examinations; an EF needs frames at ED and ES, dice does not "
                "(--by dice)"
            )
    table = summarise(scores.assign(group=scores["recipe"], structure="", unit=""))
    table = table.rename(columns={"group": "recipe"}).assign(step=step, best=False)
    for column, role in (("trained", TRAINED), ("chose_epoch", CHOSE)):
        subjects = scores[scores["role"] == role].groupby("recipe")["subject"].nunique()
        table[column] = table["recipe"].map(subjects).fillna(0).astype(int)
    table = table[list(SEARCH_COLUMNS)]
    winner = table["mean"].idxmin() if METRICS[by].better == "less" else table["mean"].idxmax()
    table.loc[winner, "best"] = True
    return table


def _finish(
    rows: list[pd.DataFrame], runs: Mapping[str, Scored], out: Path, examinations: Examinations
) -> SearchRun:
    """Write the tables of a search."""
    table = pd.concat(rows, ignore_index=True)
    best = rows[-1].loc[rows[-1]["best"], "recipe"].iloc[0]
    scores = pd.concat([run.scores for run in runs.values()], ignore_index=True)
    wrong = [*examinations.problems, *(problem for run in runs.values() for problem in run.problems)]
    problems = list(dict.fromkeys(wrong))
    write_table(table, out / "search.csv")
    write_table(scores, out / SCORES_FILE)
    if problems:
        write_table(problem_table(problems), out / "problems.tsv")
    else:
        (out / "problems.tsv").unlink(missing_ok=True)
    return SearchRun(table, scores, best, problems, examinations.which)


def run_key(config: TrainConfig, data: Path, setup: SearchSetup) -> str:
    """Changes when a run would be another one: by its settings, its data folder, its confidence sets."""
    start = Path(config.start)
    return sha256(
        settings(config),
        str(data.resolve()),
        confidence_sha256(setup.confidence) if setup.confidence else "",
        sha256_of([start]) if start.is_file() else "",
    )


def _contents(truth: Path | None) -> list[str]:
    """What the tables of the truth hold."""
    if truth is None:
        return []
    return [sha256_of([truth] if truth.is_file() else sorted(p for p in truth.iterdir() if p.is_file()))]
