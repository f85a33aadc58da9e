"""Studies over many training runs: the paper's parameter search."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cmrseg.data.truth import read_true_volumes, true_volumes_for
from cmrseg.evaluation import evaluate_masks
from cmrseg.io.atomic import write_table, write_text
from cmrseg.labels import near_matches
from cmrseg.predict import PredictionRun, predict
from cmrseg.problems import DataError, Problem
from cmrseg.training.config import RunOptions, TrainConfig, base_config, with_run_options
from cmrseg.training.fit import MODEL_FILE, TrainingRun, train
from cmrseg.training.log import Listener
from cmrseg.training.recipe import Recipe

LOWER_IS_BETTER = {"ef_abs_error": True, "dice": False}
PARTS = ("architecture", "loss", "train_set", "augmentation", "size", "recipe")
SCORE_COLUMNS = ("recipe", "subject", "structure", "metric", "value", "unit")
SEARCH_COLUMNS = ("step", "recipe", "metric", "mean", "sd", "median", "iqr", "n", "best")
SCORES_FILE, KEY_FILE = "scores.csv", "scores.key"


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
        values = [int(choice) if self.part == "size" else choice for choice in self.choices]
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
    if not steps:
        raise ValueError("steps must hold at least one step, got none")
    runner = _Runner(data, out, setup or SearchSetup(), listener or Listener())
    best, rows = start, []
    for number, step in enumerate(steps, start=1):
        rows.append(_step_table(f"{number} {step.part}", step.candidates(best), runner))
        best = rows[-1].loc[rows[-1]["best"], "recipe"].iloc[0]
    return _finish(rows, runner, best)


class _Runner:
    """Trains and scores recipes, each once; it holds what they share and what came out."""

    def __init__(self, data: Path, out: Path, setup: SearchSetup, listener: Listener) -> None:
        self.data, self.out, self.setup, self.listener = data, out, setup, listener
        self.scores: dict[str, pd.DataFrame] = {}
        self.problems: list[Problem] = []

    def __call__(self, recipe: str) -> pd.DataFrame:
        """Scores of a recipe on the validation subjects."""
        if recipe not in self.scores:
            self.listener.note(f"recipe {recipe}")
            self.scores[recipe] = self._scores(recipe)
        return self.scores[recipe]

    def _scores(self, recipe: str) -> pd.DataFrame:
        folder, config = self.out / recipe, self.setup.config(recipe)
        key = _key(config, self.data, self.setup)
        if (folder / SCORES_FILE).exists() and _text(folder / KEY_FILE) == key:
            return pd.read_csv(folder / SCORES_FILE, dtype={"subject": str})
        resume = (folder / "config.json").exists()
        run = train(config, self.data, folder, resume=resume, listener=self.listener, **self.setup.training)
        self.problems += [p for p in run.problems if p not in self.problems]
        scores = _score(run, recipe, self.setup.truth)
        write_table(scores, folder / SCORES_FILE)
        write_text(key, folder / KEY_FILE)
        return scores


def _score(run: TrainingRun, recipe: str, truth: Path | None) -> pd.DataFrame:
    """Dice, and the error of EF, of the validation subjects."""
    catalog = run.catalog.select(["val"])
    masks = run.out / "validation"
    predicted = predict(catalog, masks, model=run.out / MODEL_FILE)
    metrics = evaluate_masks(masks, catalog).metrics
    is_lv_ef = (metrics["metric"] == "ef_abs_error") & (metrics["structure"] == "LV")
    wanted = metrics[is_lv_ef | (metrics["metric"] == "dice")].assign(recipe=recipe)
    if truth is not None:
        wanted = pd.concat([wanted[wanted["metric"] != "ef_abs_error"], _ef_errors(predicted, recipe, truth)])
    return wanted[list(SCORE_COLUMNS)].reset_index(drop=True)


def _ef_errors(predicted: PredictionRun, recipe: str, truth: Path) -> pd.DataFrame:
    """Absolute error of the predicted EF against true volumes, points."""
    summary = predicted.summary.assign(study=predicted.summary["study"].astype(str))
    true = true_volumes_for(summary["study"].tolist(), read_true_volumes(truth))
    errors = summary.merge(true, left_on="study", right_on="Id", suffixes=("", "_true"))
    return pd.DataFrame(
        {
            "recipe": recipe,
            "subject": errors["study"],
            "structure": "LV",
            "metric": "ef_abs_error",
            "value": (errors["EF_percent"] - errors["EF_percent_true"]).abs(),
            "unit": "points",
        }
    )


def _step_table(step: str, recipes: Sequence[str], runner: _Runner) -> pd.DataFrame:
    """Statistics of the recipes of a step, and which of them is the best."""
    by = runner.setup.by
    rows = []
    for recipe in dict.fromkeys(recipes):
        scores = runner(recipe)
        values = scores.loc[scores["metric"] == by, "value"].dropna()
        if values.empty:
            raise DataError(
                f"{recipe} has no {by} on the validation subjects; an EF needs frames at ED and ES, "
                "dice does not (--by dice)"
            )
        iqr = values.quantile(0.75) - values.quantile(0.25)
        rows.append((step, recipe, by, values.mean(), values.std(), values.median(), iqr, len(values), False))
    table = pd.DataFrame(rows, columns=list(SEARCH_COLUMNS))
    winner = table["mean"].idxmin() if LOWER_IS_BETTER[by] else table["mean"].idxmax()
    table.loc[winner, "best"] = True
    return table


def _finish(rows: list[pd.DataFrame], runner: _Runner, best: str) -> SearchRun:
    """Write the tables of a search."""
    table = pd.concat(rows, ignore_index=True)
    scores = pd.concat(list(runner.scores.values()), ignore_index=True)
    write_table(table, runner.out / "search.csv")
    write_table(scores, runner.out / SCORES_FILE)
    return SearchRun(table, scores, best, runner.problems)


def _key(config: TrainConfig, data: Path, setup: SearchSetup) -> str:
    """Changes when a run would be another one."""
    told = repr((config, data.resolve(), setup.truth, sorted(setup.training.items())))
    return hashlib.sha256(told.encode()).hexdigest()


def _text(path: Path) -> str:
    """A text file, empty where there is none."""
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""
