"""The examinations that all recipes of a search are scored on, and the scores of a recipe.

A recipe must not choose what it is judged by: the examinations of its own confidence set are those where the
teacher is right, so that p5 looks better than p15. Whether examinations trained the model or chose its epoch
stands in the column ``role`` of their scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog, assign_splits, read_catalog
from cmrseg.data.confidence_sets import SPLIT_OF_SET, confidence_file
from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.data.tables import need_columns, read_published, some
from cmrseg.data.truth import known_names, rotated_originals, true_volumes_for, usable_true_volumes
from cmrseg.evaluation import evaluate_masks
from cmrseg.evaluation.numbers import evaluate_numbers
from cmrseg.evaluation.summary import NO_EF_ERROR_POINTS
from cmrseg.predict import Options, predict
from cmrseg.problems import DataError, Problem
from cmrseg.tasks import get_task
from cmrseg.training.config import TrainConfig
from cmrseg.training.fit import MODEL_FILE, TrainingRun
from cmrseg.training.split_images import images_to_learn, learns_from_masks
from cmrseg.zoo.model_file import read_spec

ALL, VALIDATION = "all", "validation"
TRAINED, CHOSE = "trained", "chose the epoch"
SCORE_COLUMNS = ("recipe", "subject", "structure", "metric", "value", "unit", "role")


@dataclass(frozen=True)
class Examinations:
    """What every recipe of a search is scored on.

    Attributes
    ----------
    catalog
        Their images.
    which
        Which they are, for people.
    true
        True volumes, see `cmrseg.data.truth`; None where the masks are the truth.
    problems
        Examinations that cannot be scored, with the reason.
    """

    catalog: Catalog
    which: str
    true: pd.DataFrame | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def subjects(self) -> list[str]:
        """Names of the examinations."""
        return sorted(self.catalog.table["subject"].unique())


@dataclass(frozen=True)
class Scored:
    """One recipe's scores (`SCORE_COLUMNS`), and what could not be used."""

    scores: pd.DataFrame
    problems: list[Problem]


def fixed_examinations(
    data: Path, config: TrainConfig, *, on: str, truth: Path | None = None, confidence: Path | None = None
) -> Examinations:
    """The examinations that every recipe of a search is scored on.

    Parameters
    ----------
    data
        Data set with masks.
    config
        Label scheme, structures, and seed of a random split.
    on
        ``all``: all with true volumes, without ``truth`` all with masks. ``validation``: those that
        ``splits.csv`` beside the data gives to ``val``, or else the validation part of the challenge (the
        column set of the truth or of the confidence table), or else the validation split of the data.
    truth
        True volumes.
    confidence
        Folder of `cmrseg confidence`.

    Returns
    -------
    The examinations; a ``_rot90`` version replaces its original.

    Raises
    ------
    DataError
        If there is none.
    """
    catalog = read_catalog(data, labels=config.labels).only_structures(config.structures)
    subjects = set(catalog.table["subject"])
    subjects -= rotated_originals(subjects)
    true = None if truth is None else usable_true_volumes(truth).table
    which = "all"
    if on == VALIDATION:
        which, chosen = _validation(catalog, config, true, confidence)
        subjects &= chosen
    if true is None:
        by_masks = learns_from_masks(config, data)
        known = subjects & set((catalog.with_masks() if by_masks else catalog).table["subject"])
        return _checked(
            catalog, known, f"{which} with {'masks' if by_masks else 'numbers'}", f"{data} has none"
        )
    known = set(true_volumes_for(subjects, true).dropna(subset="true_Id")["Id"])
    unknown = sorted(subjects - known)
    problems = tuple(Problem(s, "no true volumes", NOT_EVALUATED, "", truth.name) for s in unknown)
    reason = f"{truth} knows none of {some(unknown)}; its Ids are {some(true['Id'])}"
    found = _checked(catalog, known, f"{which} with true volumes", reason)
    return replace(found, true=true, problems=problems)


def _checked(catalog: Catalog, subjects: set[str], which: str, reason: str) -> Examinations:
    """The images of some examinations; there must be some."""
    if not subjects:
        raise DataError(f"there is no examination to score the recipes on ({which}): {reason}")
    return Examinations(replace(catalog, table=catalog.table[catalog.table["subject"].isin(subjects)]), which)


def _validation(
    catalog: Catalog, config: TrainConfig, true: pd.DataFrame | None, confidence: Path | None
) -> tuple[str, set[str]]:
    """Validation examinations that no recipe chooses, and what they are called."""
    table = catalog.table
    if not (catalog.root / "splits.csv").exists():
        official = _official_sets(sorted(set(table["subject"])), true, confidence)
        chosen = {subject for subject, name in official.items() if SPLIT_OF_SET.get(name) == "val"}
        if chosen:
            return "the official validation examinations", chosen
    table = assign_splits(images_to_learn(catalog, config), seed=config.seed).table
    return "the validation examinations of the data", set(table.loc[table["split"] == "val", "subject"])


def _official_sets(subjects: list[str], true: pd.DataFrame | None, confidence: Path | None) -> dict[str, str]:
    """Set of the challenge (train, validate, test) by examination, as far as the tables tell."""
    if true is not None:
        return dict(zip(subjects, true_volumes_for(subjects, true)["set"], strict=True))
    if confidence is None:
        return {}
    file = confidence_file(confidence)
    table = read_published(file, text=("Id", "set"))
    need_columns(table, ("Id", "set"), file)
    sets = table.drop_duplicates("Id").set_index("Id")["set"]
    return dict(zip(subjects, sets.reindex(known_names(subjects, sets.index)), strict=True))


def score_run(run: TrainingRun, config: TrainConfig, examinations: Examinations, options: Options) -> Scored:
    """Scores of a trained recipe on the examinations of the search: of masks Dice and the error of EF.

    Parameters
    ----------
    run
        A finished training.
    config
        Its settings.
    examinations
        From `fixed_examinations`.
    options
        How masks are made.

    Returns
    -------
    Scores, with the role that each examination had in the training.
    """
    answers = run.out / "scored"
    predicted = predict(examinations.catalog, answers, model=run.out / MODEL_FILE, options=options)
    parts, problems = [], [*run.problems, *predicted.problems]
    is_known = not learns_from_masks(config, examinations.catalog.root)
    if is_known or not examinations.catalog.with_masks().table.empty:
        gives = get_task(config.recipe.network.task).gives
        metrics, found = SCORED[gives](run, answers, examinations)
        parts, problems = [metrics], [*problems, *found]
    if examinations.true is not None:
        parts.append(ef_errors(predicted.summary, examinations.true))
    scores = pd.concat(parts, ignore_index=True)
    role = scores["subject"].map(roles(run, config.weights)).fillna("")
    scores = scores.assign(recipe=str(config.recipe), role=role)
    return Scored(scores[list(SCORE_COLUMNS)], list(dict.fromkeys(problems)))


def _mask_scores(
    run: TrainingRun, answers: Path, examinations: Examinations
) -> tuple[pd.DataFrame, list[Problem]]:
    """Dice, and the error of EF where no true volumes are known."""
    evaluation = evaluate_masks(answers, examinations.catalog)
    metrics = evaluation.metrics
    is_lv_ef = (metrics["metric"] == "ef_abs_error") & (metrics["structure"] == "LV")
    parts = [metrics[metrics["metric"] == "dice"], metrics[is_lv_ef & (examinations.true is None)]]
    return pd.concat(parts, ignore_index=True), evaluation.problems


def _number_scores(
    run: TrainingRun, answers: Path, examinations: Examinations
) -> tuple[pd.DataFrame, list[Problem]]:
    """Errors of the numbers."""
    spec = read_spec(run.out / MODEL_FILE)
    return evaluate_numbers(answers, examinations.catalog, get_task(spec.task), spec.labels)


SCORED = {"masks": _mask_scores, "numbers": _number_scores}  # by what a task gives


def roles(run: TrainingRun, weights: str = "best") -> Mapping[str, str]:
    """What examinations were to a model: trained on, or validated with, which chose the best epoch."""
    table = run.catalog.table.drop_duplicates("subject").set_index("subject")["split"]
    return table.map({"train": TRAINED} | ({} if weights == "last" else {"val": CHOSE})).dropna().to_dict()


def ef_errors(summary: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Absolute error of the predicted EF against true volumes, in points.

    Parameters
    ----------
    summary
        Columns study and EF_percent.
    truth
        See `cmrseg.data.truth.usable_true_volumes`.

    Returns
    -------
    One row per study that the truth knows; a study without any predicted LV counts as 100 points.
    """
    studies = summary["study"].astype(str).tolist()
    true = true_volumes_for(studies, truth)
    known = true["true_Id"].notna().to_numpy()
    error = abs(summary["EF_percent"].to_numpy(float) - true["EF_percent"].to_numpy(float))
    table = pd.DataFrame({"subject": studies, "value": error}).fillna({"value": NO_EF_ERROR_POINTS})[known]
    return table.assign(structure="LV", metric="ef_abs_error", unit="points")


def told_of_roles(table: pd.DataFrame) -> list[str]:
    """Sentences on examinations that are scored although they trained a model or chose its epoch.

    Parameters
    ----------
    table
        ``search.csv``: columns recipe, n, trained and chose_epoch.
    """
    table = table.drop_duplicates("recipe")
    said = {
        "trained": "were trained on, so the errors are smaller than on new ones",
        "chose_epoch": "chose the epoch of the model, so its score is a little too good",
    }
    sentences = []
    for column, what in said.items():
        low, high = int(table[column].min()), int(table[column].max())
        if high:
            count = f"{low}" if low == high else f"{low} to {high}, by recipe,"
            sentences.append(f"Of these examinations {count} {what} (column {column}).")
    return sentences
