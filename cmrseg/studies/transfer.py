"""The transfer-learning study: what a starting point is worth, and how many subjects to contour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cmrseg.data.catalog import Catalog
from cmrseg.data.subsets import write_subsets
from cmrseg.evaluation import evaluate_masks
from cmrseg.io.atomic import write_table
from cmrseg.io.checksum import sha256_of
from cmrseg.parallel import map_studies
from cmrseg.predict import predict
from cmrseg.problems import DataError, Problem, problem_table, read_problems
from cmrseg.studies.keys import begin, finish, is_scored, refuse_another, sha256
from cmrseg.studies.planning import BASE, SCORE_COLUMNS
from cmrseg.studies.transfer_plan import StudyRun, TransferSetup, plan_runs, possible_starts, subset_tables
from cmrseg.training.config import with_run_options
from cmrseg.training.fit import MODEL_FILE, finetune, train, transfer_config
from cmrseg.training.log import Listener
from cmrseg.training.split_images import read_split_images
from cmrseg.zoo.manifest import load_model, model_path

# The combined log has the columns and the model names that the authors published, and then our own.
PUBLISHED_STARTS = {"R": "plainLearn", "TL": "imagenetTransferLearn", "TL2": "doubleTransferLearn"}
LOG_COLUMNS = {
    "epoch": "epoch", "train_loss": "train_loss", "valid_loss": "valid_loss", "accuracy": "acc_seg",
    "image_dice_heart": "diceComb", "image_dice_LV": "diceLV", "image_dice_MYO": "diceMY", "time": "time",
    "model": "model", "images_seen": "images_seen", "image_dice_RV": "diceRV", "start": "start",
    "subset": "subset", "seed": "seed",
}  # fmt: skip
_CURVE = (
    "epoch", "images_seen", "train_loss", "valid_loss", "accuracy",
    "image_dice_heart", "image_dice_LV", "image_dice_MYO", "image_dice_RV", "seconds",
)  # fmt: skip
CURVE_FILE, SCORES_FILE, PROBLEMS_FILE = "curve.csv", "scores.csv", "study_problems.tsv"
LOG_FILE = "train_log_combined.csv"


@dataclass(frozen=True)
class StudyPlan:
    """A study before its first run.

    Attributes
    ----------
    runs
        What will be trained.
    test
        The subjects to be scored.
    problems
        What of the data cannot be used.
    """

    runs: tuple[StudyRun, ...]
    test: Catalog
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class TransferStudy:
    """What a study found.

    Attributes
    ----------
    plan
        What was to be trained.
    done
        The runs that were.
    log
        Learning curves of all runs, as in ``train_log_combined.csv``.
    scores
        Dice of every test subject with every model, `SCORE_COLUMNS`; the start ``base`` is the base model
        as it is.
    reader
        The same of a second reader (subject, structure, dice), None without one.
    problems
        What could not be used, over all runs.
    """

    plan: StudyPlan
    done: tuple[StudyRun, ...]
    log: pd.DataFrame
    scores: pd.DataFrame
    reader: pd.DataFrame | None
    problems: tuple[Problem, ...]


def transfer_study(
    data: Path,
    out: Path,
    *,
    setup: TransferSetup | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    listener: Listener | None = None,
) -> TransferStudy:
    """Train every start on every subset, and score all models on the test subjects.

    Parameters
    ----------
    data
        Data set with masks, split into train, val and test. Without test subjects the validation subjects
        are scored, which a note says.
    out
        Gets ``subsets.tsv``, ``esed_frames.tsv``, ``train_log_combined.csv``, ``scores.csv`` and a folder per
        run. Finished runs are kept, a stopped one goes on.
    setup
        What is compared.
    jobs, scheduler
        Processes, or a dask scheduler, see `cmrseg.parallel.map_studies`.
    listener
        Who is told how it goes.

    Raises
    ------
    DataError
        If the data or the base model cannot be used, ``out`` holds runs of another study, or no run
        succeeds.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.D and III.B.
    """
    setup, listener = setup or TransferSetup(), listener or Listener()
    plan = plan_study(data, out, setup=setup, listener=listener)
    scores, problems = _base_scores(plan.test, out / BASE, setup.base)
    reader, unread = _reader_scores(plan.test, setup.reader)
    found = [*plan.problems, *problems, *unread]
    listener.start(sum(run.images_to_see for run in plan.runs), 1, 0)
    work = partial(carry_out, data=data, base=str(setup.base), test=plan.test)
    if jobs == 1 and not scheduler:
        work = partial(work, listener=listener)
    else:
        work = partial(work, threads=None if scheduler else max(1, torch.get_num_threads() // jobs))
    for run, problems in _finished_first(plan.runs, work, listener, jobs=jobs, scheduler=scheduler):
        found += problems
        listener.note(_sentence(run))
    done = tuple(run for run in plan.runs if is_scored(run.folder, run.key))
    if not done:
        raise DataError(f"no run of the study succeeded: {found[-1].extra_info}")
    tables = [scores, *(pd.read_csv(run.folder / SCORES_FILE, dtype={"subject": str}) for run in done)]
    log = pd.concat([_published_log(run) for run in done], ignore_index=True)
    study = TransferStudy(
        plan, done, log, pd.concat(tables, ignore_index=True), reader, tuple(dict.fromkeys(found))
    )
    _write(study, out)
    return study


def plan_study(data: Path, out: Path, *, setup: TransferSetup, listener: Listener) -> StudyPlan:
    """Read the data, draw the subsets and write them to ``out``; nothing is trained.

    Raises
    ------
    DataError
        As `transfer_study`.
    """
    base = load_model(setup.base)
    options = replace(setup.options, seed=setup.seeds[0])
    images = read_split_images(data, with_run_options(transfer_config(base, data), options), out, listener)
    starts = possible_starts(setup, base, listener)
    tables, frames, problems = subset_tables(images, setup, out)
    runs = plan_runs(setup, base, data, tables, starts)
    for run in runs:
        refuse_another(run.folder, run.key)
    for path, table in tables.items():
        write_subsets(table, path)
    write_table(frames, out / "esed_frames.tsv")
    splits = images.catalog.table[["subject", "split"]].drop_duplicates()
    for folder in (out, *(run.folder for run in runs)):  # all runs have the same split, whatever their seed
        write_table(splits, folder / "splits.csv")
    return StudyPlan(runs, _test_subjects(images.catalog, listener), (*images.problems, *problems))


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
    if threads:
        torch.set_num_threads(threads)
    resume = begin(run.folder, run.key)
    told = Listener(
        start=lambda images, epochs, done: listener.batch(images * done) if listener else None,
        batch=listener.batch if listener else Listener().batch,
        epoch=partial(_add_to_curve, run.folder / CURVE_FILE),
    )
    try:
        if run.start == "TL2":
            trained = finetune(base, data, run.folder, config=run.config, resume=resume, listener=told)
        else:
            trained = train(run.config, data, run.folder, resume=resume, listener=told)
        dice, problems = _dice_of(run.folder / MODEL_FILE, test, run.folder / "test")
    except DataError as error:
        return [Problem(run.name, "run failed", "left out of the study", "", str(error))]
    tags = {key: getattr(run, key) for key in SCORE_COLUMNS[:5]}
    write_table(dice.assign(**tags)[list(SCORE_COLUMNS)], run.folder / SCORES_FILE)
    problems = [*trained.problems, *problems]
    write_table(problem_table(problems), run.folder / PROBLEMS_FILE)
    finish(run.folder, run.key)
    return problems


def _finished_first(
    runs: tuple[StudyRun, ...], work: Any, listener: Listener, **where: Any
) -> Iterator[tuple[StudyRun, list[Problem]]]:
    """Every run with its problems: those of an earlier call, then the others as they are done."""
    waiting = []
    for run in runs:
        if is_scored(run.folder, run.key):
            listener.batch(run.images_to_see)
            yield run, read_problems(run.folder / PROBLEMS_FILE)
        else:
            waiting.append(run)
    in_process = where["jobs"] == 1 and not where["scheduler"]
    for run, problems in zip(waiting, map_studies(work, waiting, **where), strict=True):
        if not in_process:
            listener.batch(run.images_to_see)
        yield run, problems


def _sentence(run: StudyRun) -> str:
    """How a run ended."""
    if not is_scored(run.folder, run.key):
        return f"{run.name} failed"
    dice = pd.read_csv(run.folder / SCORES_FILE)["dice"].mean()
    return f"{run.name}: {run.subjects} subjects, {run.images} images, Dice {dice:.3f}"


def _test_subjects(catalog: Catalog, listener: Listener) -> Catalog:
    """The test subjects, or the validation subjects where there are none."""
    if "test" in set(catalog.table["split"]):
        return catalog.select(["test"])
    listener.note(
        "no test subjects: the validation subjects, which choose the best epoch, are scored; "
        "the Dice is too good"
    )
    return catalog.select(["val"])


def _add_to_curve(path: Path, row: dict[str, Any]) -> None:
    """Add a validated epoch to the curve of a run; later ones are of a run that was stopped."""
    rows = pd.DataFrame([row]).reindex(columns=list(_CURVE))
    if path.exists():
        before = pd.read_csv(path)
        rows = pd.concat([before[before["epoch"] < row["epoch"]], rows])
    write_table(rows, path)


def _published_log(run: StudyRun) -> pd.DataFrame:
    """The curve of a run as the authors wrote theirs: epochs from 0, minutes and seconds."""
    curve = pd.read_csv(run.folder / CURVE_FILE)
    suffix = "" if run.subset == "full" else f"_{run.subset}"
    seconds = curve["seconds"].round().astype(int)
    curve = curve.assign(
        epoch=curve["epoch"] - 1,
        time=[f"{s // 60:02d}:{s % 60:02d}" for s in seconds],
        model=PUBLISHED_STARTS[run.start] + suffix,
        start=run.start,
        subset=run.subset,
        seed=run.seed,
    )
    return curve.rename(columns=LOG_COLUMNS)[list(LOG_COLUMNS.values())]


def _dice_of(model: str | Path, test: Catalog, masks: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Dice per test subject and structure (mean over its volumes), after predicting."""
    predicted = predict(test, masks, model=model)
    dice, problems = _dice_of_masks(masks, test)
    return dice, [*predicted.problems, *problems]


def _dice_of_masks(masks: Path, test: Catalog) -> tuple[pd.DataFrame, list[Problem]]:
    """Dice per test subject and structure of masks that are there."""
    evaluation = evaluate_masks(masks, test)
    rows = evaluation.metrics[evaluation.metrics["metric"] == "dice"]
    dice = rows.groupby(["subject", "structure"], sort=False)["value"].mean().rename("dice").reset_index()
    return dice, list(evaluation.problems)


def _base_scores(test: Catalog, folder: Path, base: str | Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Scores of the base model as it is."""
    key = sha256(sha256_of([model_path(base)]), test.table.to_csv(index=False))
    if not is_scored(folder, key):
        dice, problems = _dice_of(base, test, folder / "test")
        tags = {"start": BASE, "subset": "", "subjects": 0, "images": 0, "seed": 0}
        write_table(dice.assign(**tags)[list(SCORE_COLUMNS)], folder / SCORES_FILE)
        write_table(problem_table(problems), folder / PROBLEMS_FILE)
        finish(folder, key)
    scores = pd.read_csv(
        folder / SCORES_FILE, dtype={"subject": str}, keep_default_na=False, na_values={"dice": [""]}
    )
    return scores, read_problems(folder / PROBLEMS_FILE)


def _reader_scores(test: Catalog, reader: Path | None) -> tuple[pd.DataFrame | None, list[Problem]]:
    """Scores of a second reader."""
    return (None, []) if reader is None else _dice_of_masks(reader, test)


def _write(study: TransferStudy, out: Path) -> None:
    """Write the tables of a study."""
    write_table(study.log, out / LOG_FILE)
    write_table(study.scores, out / SCORES_FILE)
    if study.problems:
        write_table(problem_table(list(study.problems)), out / "problems.tsv")
    else:
        (out / "problems.tsv").unlink(missing_ok=True)
