"""One run of a transfer-learning study: training it, its curve, its scores; and the base model's scores.

Notes
-----
A learner is a reference cycle; `carry_out` collects it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from cmrseg.data.catalog import Catalog
from cmrseg.data.subsets import FULL
from cmrseg.evaluation import Evaluation, evaluate_masks
from cmrseg.experiments.curves import DICE_COLUMNS, STARTS
from cmrseg.experiments.keys import begin, contents, finish, is_scored, masks_key, sha256
from cmrseg.experiments.planning import BASE, IMAGE_COLUMNS, SCORE_COLUMNS
from cmrseg.experiments.transfer_plan import PlannedRun
from cmrseg.io.atomic import write_table, write_text
from cmrseg.io.in_use import working_in
from cmrseg.io.tables import read_problems, read_table
from cmrseg.parallel import map_studies
from cmrseg.predict import Options, predict
from cmrseg.problems import DataError, Problem, problem_table
from cmrseg.training.fit import MODEL_FILE, TrainingRun, finetune, train
from cmrseg.training.log import Listener
from cmrseg.training.split_images import Data
from cmrseg.zoo.manifest import read_manifest
from cmrseg.zoo.resolved import ModelName, ResolvedModel

CURVE_FILE, SCORES_FILE, PROBLEMS_FILE = "curve.csv", "scores.csv", "study_problems.tsv"
MASKS = "test"  # folder of the masks of the test subjects
Score = Callable[[Path, Path], Evaluation]  # of a model, whose masks go to a folder
_TRAINING: dict[str, Any] = {
    "what": "the training of a run",
    "limit_s": 7 * 24 * 3600.0,
}  # on a slow processor
# What a curve calls by our names has the authors' in the combined log, which begins with their columns.
_PUBLISHED = {"accuracy": "acc_seg", **{f"image_{ours}": theirs for theirs, ours in DICE_COLUMNS.items()}}
_CURVE = ("epoch", "images_seen", "train_loss", "valid_loss", *_PUBLISHED, "seconds")
COMBINED_COLUMNS = (
    "epoch", "train_loss", "valid_loss", "acc_seg", "diceComb", "diceLV", "diceMY", "time", "model",
    "images_seen", "diceRV", "start", "subset", "seed", "images",
)  # fmt: skip


@dataclass(frozen=True)
class Carried:
    """What came of a run.

    Attributes
    ----------
    problems
        What could not be used.
    scored
        The evaluation of its masks; None where an earlier study has scored them, or the run failed.
    """

    problems: list[Problem] = field(default_factory=list)
    scored: Evaluation | None = None


def carry_out_all(
    runs: tuple[PlannedRun, ...], work: Any, *, jobs: int = 1, scheduler: str | None = None
) -> Iterator[tuple[PlannedRun, Carried]]:
    """Every run with what came of it; one that its process does not survive is a problem.

    Parameters
    ----------
    runs
        In their order.
    work
        `carry_out` with what all runs share.
    jobs, scheduler
        See `cmrseg.parallel.map_studies`.
    """
    done = map_studies(work, runs, jobs=jobs, scheduler=scheduler, killed=_failed, **_TRAINING)
    return zip(runs, done, strict=True)


def carry_out(
    run: PlannedRun,
    *,
    data: Data,
    base: ModelName,
    score: Score,
    listener: Listener | None = None,
) -> Carried:
    """Train one run and score its model, as far as that has not been done.

    Parameters
    ----------
    run, data, base
        Of the study; its images where they are read already.
    score
        `score_model` on the test subjects.
    listener
        Told of every batch.

    Returns
    -------
    A run that fails is a problem, the others go on.
    """
    listener = listener or Listener()
    if is_scored(run.folder, run.score_key):
        listener.batch(run.images_to_see)
        return Carried(read_problems(run.folder / PROBLEMS_FILE))
    try:
        with working_in(run.folder, "study subsets"):
            return _carried_out(run, data, base, score, listener)
    except DataError as error:
        return _failed(run, error)
    finally:
        gc.collect()  # a fastai learner is a circle of references that holds all images


def _carried_out(run: PlannedRun, data: Data, base: ModelName, score: Score, listener: Listener) -> Carried:
    """Train a run and score its model."""
    trained = _train(run, data, base, listener)
    scored = score(run.folder / MODEL_FILE, run.folder / MASKS)
    tags = {key: getattr(run, key) for key in SCORE_COLUMNS[:5]}
    problems = [*trained.problems, *scored.problems]
    _write_scores(dice_by_subject(scored).assign(**tags), problems, run.folder, run.score_key)
    return Carried(problems, scored)


def score_base(base: ResolvedModel, test: Catalog, folder: Path, masks: Options) -> Carried:
    """Score the base model as it is on the test subjects, as far as that has not been done."""
    key = sha256(base.sha256, contents(test), *masks_key(masks))
    if is_scored(folder, key):
        return Carried(read_problems(folder / PROBLEMS_FILE))
    scored = score_model(base, folder / MASKS, test=test, options=masks)
    tags = {"start": BASE, "subset": "", "subjects": 0, "images": 0, "seed": 0}
    _write_scores(dice_by_subject(scored).assign(**tags), scored.problems, folder, key)
    return Carried(scored.problems, scored)


def dice_by_subject(evaluation: Evaluation) -> pd.DataFrame:
    """Dice per test subject and structure.

    ``dice`` is the mean over the volumes of the subject, ``dice_image`` that over its ``test_images`` images.
    """
    places = [(truth.subject, truth.frame, len(truth.slices)) for truth, _ in evaluation.pairs]
    sizes = pd.DataFrame(places, columns=["subject", "frame", "test_images"])
    rows = evaluation.metrics.merge(sizes, how="left", on=["subject", "frame"])
    volumes, images = (
        rows[rows["metric"] == name].groupby(["subject", "structure"], sort=False)
        for name in ("dice", "dice_image")
    )
    total = images.apply(lambda part: (part["value"] * part["test_images"]).sum(), include_groups=False)
    table = volumes["value"].mean().rename("dice").to_frame()
    table["test_images"] = images["test_images"].sum()
    table["dice_image"] = total / table["test_images"]
    return table.reset_index()


def read_scores(folder: Path) -> pd.DataFrame:
    """Dice of the test subjects with the model of a run, `SCORE_COLUMNS` and `IMAGE_COLUMNS`."""
    text = {"subject": str, "start": str, "subset": str}
    empty = {"dice": [""], "dice_image": [""]}
    table = read_table(folder / SCORES_FILE, text, keep_default_na=False, na_values=empty)
    return table.reindex(columns=[*SCORE_COLUMNS, *IMAGE_COLUMNS])


def published_log(run: PlannedRun) -> pd.DataFrame:
    """The curve of a run as the authors wrote theirs: epochs from 0, minutes and seconds, their names."""
    curve = read_table(run.folder / CURVE_FILE).rename(columns=_PUBLISHED)
    models = {ours: theirs for theirs, ours in STARTS.items()}
    seconds = curve["seconds"].round().astype(int)
    told = {
        "epoch": curve["epoch"] - 1,
        "time": [f"{s // 60:02d}:{s % 60:02d}" for s in seconds],
        "model": models[run.start] + ("" if run.subset == FULL else f"_{run.subset}"),
    }
    of_run = {"start": run.start, "subset": run.subset, "seed": run.seed, "images": run.images}
    return curve.assign(**told, **of_run)[list(COMBINED_COLUMNS)]


def portable_name(base: ResolvedModel) -> str:
    """The name of a model of the zoo, or the absolute path of a file: other machines find it themselves."""
    return base.name if base.name in read_manifest() else str(base.path.resolve())


def _train(run: PlannedRun, data: Data, base: ModelName, listener: Listener) -> TrainingRun:
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
        before = read_table(path)
        rows = pd.concat([before[before["epoch"] < row["epoch"]], rows])
    write_table(rows, path)


def score_model(model: ModelName, masks: Path, *, test: Catalog, options: Options) -> Evaluation:
    """The test subjects as a model segments them, compared with their masks.

    Parameters
    ----------
    model
        Name or file.
    masks
        Folder for its masks.
    test
        Subjects to score.
    options
        How the masks are made.
    """
    predicted = predict(test, masks, model=model, options=options)
    found = evaluate_masks(masks, test)
    return replace(found, problems=[*predicted.problems, *found.problems])


def _write_scores(scores: pd.DataFrame, problems: list[Problem], folder: Path, key: str) -> None:
    """Write down what a run has reached, and that it is finished."""
    write_table(scores[[*SCORE_COLUMNS, *IMAGE_COLUMNS]], folder / SCORES_FILE)
    write_table(problem_table(problems), folder / PROBLEMS_FILE)
    finish(folder, key)


def _failed(run: PlannedRun, error: Exception) -> Carried:
    """A run that the study goes on without."""
    return Carried([Problem(run.name, "run failed", "left out of the study", "", str(error))])
