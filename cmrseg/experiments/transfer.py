"""The transfer-learning study: what a starting point is worth, and how many subjects to contour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog
from cmrseg.data.subsets import write_subsets
from cmrseg.evaluation import Evaluation, evaluate_masks
from cmrseg.experiments.keys import contents, is_scored, masks_key, refuse_another, sha256
from cmrseg.experiments.planning import BASE
from cmrseg.experiments.transfer_plan import PlannedRun, TransferSetup, plan_runs, possible_starts
from cmrseg.experiments.transfer_runs import (
    MASKS,
    SCORES_FILE,
    Carried,
    carry_out,
    carry_out_all,
    dice_by_subject,
    portable_name,
    published_log,
    read_scores,
    score_base,
    score_model,
)
from cmrseg.experiments.transfer_subsets import subset_tables
from cmrseg.io.atomic import write_table
from cmrseg.io.in_use import works_in
from cmrseg.problems import DataError, Problem, check_apart, problem_table
from cmrseg.training.config import transfer_config
from cmrseg.training.log import Listener
from cmrseg.training.split_images import ReadImages, read_images, read_split_images
from cmrseg.zoo.manifest import resolve

LOG_FILE = "train_log_combined.csv"


@dataclass(frozen=True)
class ExperimentPlan:
    """A study before its first run.

    Attributes
    ----------
    runs
        What will be trained.
    test
        The subjects to be scored.
    problems
        What of the data cannot be used.
    images
        Of the training and validation subjects.
    """

    runs: tuple[PlannedRun, ...]
    test: Catalog
    problems: tuple[Problem, ...]
    images: ReadImages


@dataclass(frozen=True)
class TransferExperiment:
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
        Dice of every test subject with every model, ``SCORE_COLUMNS`` and ``IMAGE_COLUMNS`` of
        `cmrseg.experiments.planning`; the start ``base`` is the base model as it is.
    reader
        The same of a second reader (subject, structure, dice), None without one.
    problems
        What could not be used, over all runs.
    scored
        By their folders, evaluations of runs that this call has scored.
    """

    plan: ExperimentPlan
    done: tuple[PlannedRun, ...]
    log: pd.DataFrame
    scores: pd.DataFrame
    reader: pd.DataFrame | None
    problems: tuple[Problem, ...]
    scored: Mapping[Path, Evaluation] = field(default_factory=dict)

    def evaluation(self, folder: Path) -> Evaluation:
        """Of a run, or of the base; masks that an earlier call has scored are compared again."""
        return self.scored.get(folder) or evaluate_masks(folder / MASKS, self.plan.test)


@works_in("out", "study subsets")
def transfer_study(
    data: Path,
    out: Path,
    *,
    setup: TransferSetup | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    listener: Listener | None = None,
) -> TransferExperiment:
    """Train every start on every subset, and score all models on the test subjects.

    Parameters
    ----------
    data
        Data set with masks, split into train, val and test. Without test subjects the validation subjects
        are scored, which a note says.
    out
        Gets ``splits.csv``, ``subsets.tsv``, ``esed_frames.tsv``, ``train_log_combined.csv``, ``scores.csv``
        and a folder per run. Finished runs are kept, a stopped one goes on.
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
    base = resolve(setup.base)
    setup = replace(setup, base=base)
    plan = plan_study(data, out, setup=setup, listener=listener)
    reader = None if setup.reader is None else evaluate_masks(setup.reader, plan.test)
    scored = {out / BASE: score_base(base, plan.test, out / BASE, setup.masks)}
    score = partial(score_model, test=plan.test, options=setup.masks)
    if scheduler:  # another machine reads data and model itself
        work = partial(carry_out, data=data.resolve(), base=portable_name(base), score=score)
    else:
        work = partial(carry_out, data=_measured(plan), base=base, score=score)
    scored |= _carry_out(plan.runs, work, listener, jobs=jobs, scheduler=scheduler)
    found = [
        *plan.problems,
        *(reader.problems if reader else ()),
        *(p for each in scored.values() for p in each.problems),
    ]
    done = tuple(run for run in plan.runs if is_scored(run.folder, run.score_key))
    if not done:
        raise DataError(f"no run of the study succeeded: {found[-1].extra_info}")
    study = TransferExperiment(
        plan=plan,
        done=done,
        log=pd.concat([published_log(run) for run in done], ignore_index=True),
        scores=pd.concat(
            [read_scores(f) for f in (out / BASE, *(r.folder for r in done))], ignore_index=True
        ),
        reader=None if reader is None else dice_by_subject(reader),
        problems=tuple(dict.fromkeys(found)),
        scored={folder: each.scored for folder, each in scored.items() if each.scored},
    )
    _write(study, out)
    return study


def _measured(plan: ExperimentPlan) -> ReadImages:
    """The images with what is told of them in the models, where any is still to be trained."""
    todo = not all(is_scored(run.folder, run.score_key) for run in plan.runs)
    return plan.images.measured() if todo else plan.images


@works_in("out", "study subsets")
def plan_study(data: Path, out: Path, *, setup: TransferSetup, listener: Listener) -> ExperimentPlan:
    """Read the data, draw the subsets and write them to ``out``; nothing is trained.

    Raises
    ------
    DataError
        As `transfer_study`.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; name a folder for the study")
    check_apart(out, data, around=True)
    base = resolve(setup.base)
    starts = possible_starts(setup, base.spec, listener)
    config = transfer_config(base.spec, data, replace(setup.options, seed=setup.seeds[0]))
    read = read_images([data], config, out, listener)
    images = read_split_images(read, config, out, listener)
    tables, frames, problems = subset_tables(images, setup, out, listener)
    test = _test_subjects(images.catalog, listener, chosen_by=setup.options.weights != "last")
    learned, scored = contents(images.catalog.select(["train", "val"])), contents(test)
    runs = tuple(
        replace(
            run,
            key=sha256(run.key, learned),
            score_key=sha256(run.key, learned, scored, *masks_key(setup.masks)),
        )
        for run in plan_runs(setup, base, data, tables, starts)
    )
    for run in runs:
        refuse_another(run.folder, run.key)
    for path, table in tables.items():
        write_subsets(table, path)
    if frames is not None:
        write_table(frames, out / "esed_frames.tsv")
    write_table(images.catalog.table[["subject", "split"]].drop_duplicates(), out / "splits.csv")
    return ExperimentPlan(runs, test, (*images.problems, *problems), read)


def _carry_out(
    runs: tuple[PlannedRun, ...], work: partial, listener: Listener, *, jobs: int, scheduler: str | None
) -> dict[Path, Carried]:
    """Carry out all runs, those that are finished first, and tell how each ended; by their folders."""
    listener.start(sum(run.images_to_see for run in runs), 1, 0)
    here = jobs == 1 and not scheduler
    if here:
        work = partial(work, listener=listener)
    finished_first = tuple(sorted(runs, key=lambda run: not is_scored(run.folder, run.score_key)))
    found = {}
    for run, carried in carry_out_all(finished_first, work, jobs=jobs, scheduler=scheduler):
        if not here:
            listener.batch(run.images_to_see)
        listener.note(_sentence(run, carried.problems))
        found[run.folder] = carried
    return found


def _sentence(run: PlannedRun, problems: list[Problem]) -> str:
    """How a run ended."""
    if not is_scored(run.folder, run.score_key):
        return f"{run.name} failed: {problems[-1].extra_info}"
    dice = read_scores(run.folder)["dice"].mean()
    subjects = f"{run.subjects} subject{'s' * (run.subjects > 1)}"
    return f"{run.name}: {subjects}, {run.images} images, mean Dice {dice:.3f}"


def _test_subjects(catalog: Catalog, listener: Listener, *, chosen_by: bool) -> Catalog:
    """The test subjects, or the validation subjects where there are none, by which epochs may be chosen."""
    if "test" in set(catalog.table["split"]):
        return catalog.select(["test"])
    choice = ", which choose the best epoch, are scored; the Dice is too good" if chosen_by else " are scored"
    listener.note(f"no test subjects: the validation subjects{choice}")
    return catalog.select(["val"])


def _write(study: TransferExperiment, out: Path) -> None:
    """Write the tables of a study."""
    write_table(study.log, out / LOG_FILE)
    write_table(study.scores, out / SCORES_FILE)
    if study.problems:
        write_table(problem_table(list(study.problems)), out / "problems.tsv")
    else:
        (out / "problems.tsv").unlink(missing_ok=True)
