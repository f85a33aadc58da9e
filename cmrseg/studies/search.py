"""The paper's incremental parameter search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cmrseg.data.confidence_sets import confidence_sha256
from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.data.truth import true_volumes_for, usable_true_volumes
from cmrseg.evaluation import evaluate_masks
from cmrseg.evaluation.summary import NO_EF_ERROR_POINTS, summarise
from cmrseg.io.atomic import write_table
from cmrseg.io.checksum import sha256_of
from cmrseg.labels import near_matches
from cmrseg.predict import predict
from cmrseg.problems import DataError, Problem, problem_table, read_problems
from cmrseg.studies.keys import begin, finish, is_scored, sha256
from cmrseg.training.config import RunOptions, TrainConfig, base_config, with_run_options
from cmrseg.training.fit import MODEL_FILE, TrainingRun, train
from cmrseg.training.log import Listener
from cmrseg.training.recipe import Recipe

LOWER_IS_BETTER = {"ef_abs_error": True, "dice": False}
PARTS = ("architecture", "loss", "train_set", "augmentation", "size", "recipe")
SCORE_COLUMNS = ("recipe", "subject", "structure", "metric", "value", "unit")
SEARCH_COLUMNS = ("step", "recipe", "metric", "mean", "sd", "median", "iqr", "n", "best")
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
        values = [int(c) if self.part == "size" and c.isdigit() else c for c in self.choices]
        return [str(Recipe.parse(str(replace(recipe, **{self.part: value})))) for value in values]


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
    config_file
        ``train.toml`` with further settings.
    options
        Epochs, batch size, seed, start weights and labels of every run.
    training
        Further parameters of `cmrseg.training.fit.train`.
    truth
        Table or folder of true volumes; without one the EF of the masks is the truth.
    by
        What decides by its mean over the validation subjects: ``ef_abs_error`` (points; the paper), ``dice``.
    """

    config_file: Path | None = None
    options: RunOptions = field(default_factory=RunOptions)
    training: Mapping[str, Any] = field(default_factory=dict)
    truth: Path | None = None
    by: str = "ef_abs_error"

    def __post_init__(self) -> None:
        if self.by not in LOWER_IS_BETTER:
            raise ValueError(f"by must be one of {', '.join(LOWER_IS_BETTER)}, got '{self.by}'")

    def config(self, recipe: str) -> TrainConfig:
        """Configuration of one run."""
        return with_run_options(base_config(recipe, file=self.config_file), self.options)


@dataclass(frozen=True)
class SearchRun:
    """What a search found.

    Attributes
    ----------
    table
        ``search.csv``: one row per step and recipe with statistics of the deciding score.
    scores
        ``scores.csv``: one row per recipe, validation subject, structure and metric.
    best
        The recipe that won the last step.
    problems
        What could not be used, over all runs.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    best: str
    problems: list[Problem]


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
    setup, listener = setup or SearchSetup(), listener or Listener()
    _check(start, steps, setup)
    runs: dict[str, Scored] = {}
    best, rows = start, []
    for number, step in enumerate(steps, start=1):
        for recipe in step.candidates(best):
            if recipe not in runs:
                listener.note(f"step {number}, {step.part}: {recipe}")
                runs[recipe] = _scored(setup.config(recipe), data, out / recipe, setup, listener)
        rows.append(_step_table(f"{number} {step.part}", step.candidates(best), runs, setup.by))
        best = rows[-1].loc[rows[-1]["best"], "recipe"].iloc[0]
    return _finish(rows, runs, out, best)


def _check(start: str, steps: Sequence[Step], setup: SearchSetup) -> None:
    """Find what is wrong before hours of training: recipes, settings, the truth."""
    if not steps:
        raise ValueError("steps must hold at least one step, got none")
    for step in steps:
        for recipe in step.candidates(start):
            setup.config(recipe)
    if setup.truth is not None:
        usable_true_volumes(setup.truth)


@dataclass(frozen=True)
class Scored:
    """One recipe's scores on the validation subjects, and what could not be used."""

    scores: pd.DataFrame
    problems: list[Problem]


def _scored(config: TrainConfig, data: Path, folder: Path, setup: SearchSetup, listener: Listener) -> Scored:
    """Train and score a recipe, as far as that has not been done."""
    run_key = _run_key(config, data, setup)
    score_key = sha256(run_key, *_contents(setup.truth))
    if is_scored(folder, score_key):
        return _read_scored(folder)
    begun = begin(folder, run_key)
    run = train(config, data, folder, resume=begun, listener=listener, **setup.training)
    scored = _score(run, config.recipe, setup.truth)
    write_table(scored.scores, folder / SCORES_FILE)
    write_table(problem_table(scored.problems), folder / PROBLEMS_FILE)
    finish(folder, score_key)
    return scored


def _read_scored(folder: Path) -> Scored:
    """What an earlier call has found."""
    scores = pd.read_csv(folder / SCORES_FILE, dtype={"subject": str})
    return Scored(scores, read_problems(folder / PROBLEMS_FILE))


def _score(run: TrainingRun, recipe: str, truth: Path | None) -> Scored:
    """Dice, and the error of EF, of the validation subjects."""
    catalog = run.catalog.select(["val"])
    masks = run.out / "validation"
    predicted = predict(catalog, masks, model=run.out / MODEL_FILE)
    evaluation = evaluate_masks(masks, catalog)
    metrics, problems = evaluation.metrics, [*run.problems, *predicted.problems, *evaluation.problems]
    is_lv_ef = (metrics["metric"] == "ef_abs_error") & (metrics["structure"] == "LV")
    scores = metrics[is_lv_ef | (metrics["metric"] == "dice")].assign(recipe=recipe)
    if truth is not None:
        errors, unknown = _ef_errors(predicted.summary, usable_true_volumes(truth).table)
        scores = pd.concat([scores[scores["metric"] != "ef_abs_error"], errors.assign(recipe=recipe)])
        problems += [Problem(study, "no true volumes", NOT_EVALUATED, "", truth.name) for study in unknown]
    return Scored(scores[list(SCORE_COLUMNS)].reset_index(drop=True), list(dict.fromkeys(problems)))


def _ef_errors(summary: pd.DataFrame, truth: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Absolute error of the predicted EF against true volumes (points), and studies that the truth lacks.

    A study without any predicted LV counts as an error of 100 points.
    """
    studies = summary["study"].astype(str).tolist()
    true = true_volumes_for(studies, truth)
    known = true["true_Id"].notna().to_numpy()
    error = abs(summary["EF_percent"].to_numpy(float) - true["EF_percent"].to_numpy(float))
    table = pd.DataFrame({"subject": studies, "value": error}).fillna({"value": NO_EF_ERROR_POINTS})[known]
    told = {"structure": "LV", "metric": "ef_abs_error", "unit": "points"}
    return table.assign(**told), [
        study for study, is_known in zip(studies, known, strict=True) if not is_known
    ]


def _step_table(step: str, recipes: Sequence[str], runs: Mapping[str, Scored], by: str) -> pd.DataFrame:
    """Statistics of the recipes of a step, and which of them is the best."""
    scores = pd.concat([runs[recipe].scores for recipe in dict.fromkeys(recipes)])
    scores = scores[(scores["metric"] == by) & scores["value"].notna()]
    for recipe in recipes:
        if recipe not in set(scores["recipe"]):
            raise DataError(
                f"{recipe} has no {by} on the validation subjects; an EF needs frames at ED and ES, "
                "dice does not (--by dice)"
            )
    table = summarise(scores.assign(group=scores["recipe"], structure="", unit=""))
    table = table.rename(columns={"group": "recipe"}).assign(step=step, best=False)[list(SEARCH_COLUMNS)]
    winner = table["mean"].idxmin() if LOWER_IS_BETTER[by] else table["mean"].idxmax()
    table.loc[winner, "best"] = True
    return table


def _finish(rows: list[pd.DataFrame], runs: Mapping[str, Scored], out: Path, best: str) -> SearchRun:
    """Write the tables of a search."""
    table = pd.concat(rows, ignore_index=True)
    scores = pd.concat([run.scores for run in runs.values()], ignore_index=True)
    problems = list(dict.fromkeys(problem for run in runs.values() for problem in run.problems))
    write_table(table, out / "search.csv")
    write_table(scores, out / SCORES_FILE)
    if problems:
        write_table(problem_table(problems), out / "problems.tsv")
    else:
        (out / "problems.tsv").unlink(missing_ok=True)
    return SearchRun(table, scores, best, problems)


def _run_key(config: TrainConfig, data: Path, setup: SearchSetup) -> str:
    """Changes when a run would be another one: by its settings, its data folder, its confidence sets."""
    confidence = setup.training.get("confidence")
    start = Path(config.start)
    return sha256(
        repr(config),
        str(data.resolve()),
        confidence_sha256(confidence) if confidence else "",
        sha256_of([start]) if start.is_file() else "",
    )


def _contents(truth: Path | None) -> list[str]:
    """What the tables of the truth hold."""
    if truth is None:
        return []
    return [sha256_of([truth] if truth.is_file() else sorted(p for p in truth.iterdir() if p.is_file()))]
