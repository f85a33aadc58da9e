"""One run of a transfer-learning study: training it, its curve, its scores; and the base model's scores."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cmrseg.data.catalog import Catalog
from cmrseg.data.subsets import FULL
from cmrseg.evaluation import evaluate_masks
from cmrseg.io.atomic import write_table, write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.parallel import map_studies
from cmrseg.predict import predict
from cmrseg.problems import DataError, Problem, problem_table, read_problems
from cmrseg.studies.curves import DICE_COLUMNS, STARTS
from cmrseg.studies.keys import begin, contents, finish, is_scored, sha256
from cmrseg.studies.planning import BASE, SCORE_COLUMNS
from cmrseg.studies.transfer_plan import StudyRun
from cmrseg.training.fit import MODEL_FILE, TrainingRun, finetune, train
from cmrseg.training.log import Listener
from cmrseg.zoo.manifest import model_path, read_manifest

CURVE_FILE, SCORES_FILE, PROBLEMS_FILE = "curve.csv", "scores.csv", "study_problems.tsv"
# What a curve calls by our names has the authors' in the combined log, which begins with their columns.
_PUBLISHED = {"accuracy": "acc_seg", **{f"image_{ours}": theirs for theirs, ours in DICE_COLUMNS.items()}}
_CURVE = ("epoch", "images_seen", "train_loss", "valid_loss", *_PUBLISHED, "seconds")
COMBINED_COLUMNS = (
    "epoch", "train_loss", "valid_loss", "acc_seg", "diceComb", "diceLV", "diceMY", "time", "model",
    "images_seen", "diceRV", "start", "subset", "seed", "images",
)  # fmt: skip


def carry_out_all(
    runs: tuple[StudyRun, ...], work: Any, *, jobs: int = 1, scheduler: str | None = None
) -> Iterator[tuple[StudyRun, list[Problem]]]:
    """Every run with its problems.

    Where a process is killed, which ends all of them, the runs that are left go on, each in a process of its
    own: most often memory ran out. On a cluster they are problems.

    Parameters
    ----------
    runs
        In their order.
    work
        `carry_out` with what all runs share.
    jobs, scheduler
        See `cmrseg.parallel.map_studies`.
    """
    left = list(runs)
    try:
        for problems in map_studies(work, runs, jobs=jobs, scheduler=scheduler):
            yield left.pop(0), problems
    except ChildProcessError as error:
        killed = error
    for run in left:
        yield run, [_failed(run, killed)] if scheduler else _alone(run, work)


def carry_out(
    run: StudyRun,
    *,
    data: Path,
    base: str,
    test: Catalog,
    threads: int | None = None,
    listener: Listener | None = None,
) -> list[Problem]:
    """Train one run and score its model, as far as that has not been done.

    Parameters
    ----------
    run, data, base
        Of the study.
    test
        Subjects to score.
    threads
        Processor threads of this run, where several go on beside each other.
    listener
        Told of every batch.

    Returns
    -------
    What could not be used; a run that fails is a problem, the others go on.
    """
    listener = listener or Listener()
    if is_scored(run.folder, run.score_key):
        listener.batch(run.images_to_see)
        return read_problems(run.folder / PROBLEMS_FILE)
    if threads:
        torch.set_num_threads(threads)
    try:
        trained = _train(run, data, base, listener)
        dice, problems = _dice_of_model(run.folder / MODEL_FILE, test, run.folder / "test")
    except DataError as error:
        return [_failed(run, error)]
    finally:
        gc.collect()  # a fastai learner is a circle of references that holds all images
    tags = {key: getattr(run, key) for key in SCORE_COLUMNS[:5]}
    problems = [*trained.problems, *problems]
    _write_scores(dice.assign(**tags), problems, run.folder, run.score_key)
    return problems


def base_scores(base: str | Path, test: Catalog, folder: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Dice of the test subjects with the base model as it is, and what could not be used."""
    key = sha256(sha256_of([model_path(base)]), contents(test))
    if not is_scored(folder, key):
        dice, problems = _dice_of_model(base, test, folder / "test")
        tags = {"start": BASE, "subset": "", "subjects": 0, "images": 0, "seed": 0}
        _write_scores(dice.assign(**tags), problems, folder, key)
    return read_scores(folder), read_problems(folder / PROBLEMS_FILE)


def dice_of_masks(masks: Path, test: Catalog) -> tuple[pd.DataFrame, list[Problem]]:
    """Dice per test subject and structure (mean over its volumes) of masks that are there."""
    evaluation = evaluate_masks(masks, test)
    rows = evaluation.metrics[evaluation.metrics["metric"] == "dice"]
    dice = rows.groupby(["subject", "structure"], sort=False)["value"].mean().rename("dice").reset_index()
    return dice, list(evaluation.problems)


def read_scores(folder: Path) -> pd.DataFrame:
    """Dice of the test subjects with the model of a run, `SCORE_COLUMNS`."""
    text = {"subject": str, "start": str, "subset": str}
    return pd.read_csv(folder / SCORES_FILE, dtype=text, keep_default_na=False, na_values={"dice": [""]})


def published_log(run: StudyRun) -> pd.DataFrame:
    """The curve of a run as the authors wrote theirs: epochs from 0, minutes and seconds, their names."""
    curve = pd.read_csv(run.folder / CURVE_FILE).rename(columns=_PUBLISHED)
    models = {ours: theirs for theirs, ours in STARTS.items()}
    seconds = curve["seconds"].round().astype(int)
    told = {
        "epoch": curve["epoch"] - 1,
        "time": [f"{s // 60:02d}:{s % 60:02d}" for s in seconds],
        "model": models[run.start] + ("" if run.subset == FULL else f"_{run.subset}"),
    }
    of_run = {"start": run.start, "subset": run.subset, "seed": run.seed, "images": run.images}
    return curve.assign(**told, **of_run)[list(COMBINED_COLUMNS)]


def portable_name(base: str | Path) -> str:
    """The name of a model of the zoo, or the absolute path of a file: a run goes on from any folder."""
    return str(base) if str(base) in read_manifest() else str(model_path(base).resolve())


def _train(run: StudyRun, data: Path, base: str, listener: Listener) -> TrainingRun:
    """Train a run, or go on with it; all runs have the split of the study, whatever their seed."""
    resume = begin(run.folder, run.key)
    splits = (run.folder.parents[1] / "splits.csv").read_text(encoding="utf-8")
    write_text(splits, run.folder / "splits.csv")
    told = Listener(
        start=lambda images, epochs, done: listener.batch(images * done),
        batch=listener.batch,
        epoch=partial(_add_to_curve, run.folder / CURVE_FILE),
    )
    if run.start == "TL2":
        return finetune(base, data, run.folder, config=run.config, resume=resume, listener=told)
    return train(run.config, data, run.folder, resume=resume, listener=told)


def _add_to_curve(path: Path, row: dict[str, Any]) -> None:
    """Add a validated epoch to the curve of a run; later ones are of a run that was stopped."""
    rows = pd.DataFrame([row]).reindex(columns=list(_CURVE))
    if path.exists():
        before = pd.read_csv(path)
        rows = pd.concat([before[before["epoch"] < row["epoch"]], rows])
    write_table(rows, path)


def _dice_of_model(model: str | Path, test: Catalog, masks: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Dice per test subject and structure, after predicting."""
    predicted = predict(test, masks, model=model)
    dice, problems = dice_of_masks(masks, test)
    return dice, [*predicted.problems, *problems]


def _write_scores(scores: pd.DataFrame, problems: list[Problem], folder: Path, key: str) -> None:
    """Write down what a run has reached, and that it is finished."""
    write_table(scores[list(SCORE_COLUMNS)], folder / SCORES_FILE)
    write_table(problem_table(problems), folder / PROBLEMS_FILE)
    finish(folder, key)


def _alone(run: StudyRun, work: Any) -> list[Problem]:
    """Carry out a run in a process of its own."""
    try:
        (problems,) = map_studies(work, [run], jobs=2)
    except ChildProcessError as error:
        return [_failed(run, error)]
    return problems


def _failed(run: StudyRun, error: Exception) -> Problem:
    """A run that the study goes on without."""
    return Problem(run.name, "run failed", "left out of the study", "", str(error))
