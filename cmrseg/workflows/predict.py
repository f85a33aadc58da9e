"""From DICOM files to masks, numbers, checks and reports: what `cmrseg predict` does for a person.

The folder of a study tells by ``result.json`` what its mask was made from. A run that is started again goes
on where it was stopped, a mask that somebody corrected is kept and measured, and the tables hold all studies
of the folder.
"""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pandas as pd

from cmrseg.curation.examination import FAILED
from cmrseg.curation.run import Planes
from cmrseg.examination.cohort import COHORT_COLUMNS, cohort_page
from cmrseg.examination.outdated import EARLIER, mark_failed
from cmrseg.examination.result import CINE, ExaminationResult, read_result
from cmrseg.io.atomic import write_table, write_text
from cmrseg.io.in_use import works_in
from cmrseg.io.own_masks import put_aside
from cmrseg.metrics.volumes import FUNCTION_COLUMNS, VOLUME_COLUMNS
from cmrseg.parallel import Progress, StepProgress, map_studies
from cmrseg.problems import PROBLEM_COLUMNS, DataError, Problem, problem_table
from cmrseg.tasks.segmentation.mask_files import check_no_teacher
from cmrseg.workflows.cines import Cines, cines_of
from cmrseg.workflows.examination import Clock, Maker, ReportOptions, load_maker, report_study
from cmrseg.zoo.manifest import DEFAULT_MODEL
from cmrseg.zoo.resolved import ModelName

COHORT, INDEX = "cohort.csv", "index.html"


@dataclass(frozen=True)
class ReportRun:
    """What a run made of a source.

    Attributes
    ----------
    cohort
        ``cohort.csv``: all studies of the folder.
    studies
        Names of those of this run that have numbers.
    failed
        Study -> why it has none.
    problems
        Everything that was wrong, as in ``problems.tsv``.
    notes
        What a user should know.
    unreadable
        Number of damaged files.
    seconds
        Time by step.
    """

    cohort: pd.DataFrame
    studies: Sequence[str]
    failed: Mapping[str, str]
    problems: pd.DataFrame
    notes: Sequence[str]
    unreadable: int
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Job:
    """A curated study that is to be made.

    Attributes
    ----------
    folder, planes, problems
        As for `cmrseg.workflows.examination.report_study`.
    """

    folder: Path
    planes: Planes
    problems: tuple[Problem, ...] = ()

    @property
    def study(self) -> str:
        """Its name."""
        return self.folder.name


@dataclass(frozen=True)
class Made:
    """What came of a study.

    Attributes
    ----------
    study
        Its name.
    problem
        Why it has no numbers.
    ef_percent, level
        Ejection fraction of the LV, and the level of its checks.
    seconds
        By step.
    """

    study: str
    problem: Problem | None = None
    ef_percent: float = math.nan
    level: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)


@works_in("out", "predict")
def predict_examinations(  # noqa: PLR0913 (all but the first two are options)
    source: Path,
    out: Path,
    *,
    model: ModelName = DEFAULT_MODEL,
    splits: Sequence[str] = (),
    options: ReportOptions | None = None,
    progress: StepProgress | None = None,
    each: Callable[[Made], None] | None = None,
) -> ReportRun:
    """Segment, measure and check whole cines, and write a report of each; DICOM studies are curated first.

    Parameters
    ----------
    source
        Folder tree or archive with DICOM files in any order, or a data set of cines in any known layout.
    out
        Gets a folder per study, the tables of all its studies, and ``index.html``.
    model
        Name of a model of the zoo, or a model file; the default model.
    splits
        Of a data set, only these splits.
    options
        How it is done.
    progress
        Called with what is done, how much of it is done, and how much there is.
    each
        Told of every study that is made, or has failed.

    Returns
    -------
    Tables and problems; a study that cannot be used is a problem, the others go on.

    Raises
    ------
    DataError
        If the source is missing or holds no image, the model cannot be loaded, facts are told of more than
        one patient, or ``out`` holds the masks of a teacher.
    """
    check_no_teacher(out)
    options, tell, clock = options or ReportOptions(), progress or _silent, Clock()
    with clock("model"):
        maker = load_maker(model, options, clock)
    with ExitStack() as stack:
        with clock("curation"):
            given = stack.enter_context(cines_of(source, out, splits, options.curation, tell))
        _check_facts(given, options)
        failures = []
        for made in _make_studies(given, out, maker, tell):
            clock.add(made.seconds)
            failures += [made.problem] if made.problem else []
            if each:
                each(made)
    with clock("tables"):
        return _finish(given, failures, out, clock)


def _silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def _check_facts(given: Cines, options: ReportOptions) -> None:
    """Height, weight, heart rate, sex and age are those of one patient."""
    if given.patients > 1 and options.facts.of_a_person:
        raise DataError(
            "height, weight and heart rate, sex and age are those of one patient, and the source holds "
            f"{given.patients}; name the folder of one, or leave them out"
        )


def _make_studies(given: Cines, out: Path, maker: Maker, tell: StepProgress) -> Iterator[Made]:
    """Make the studies, one after the other or in several processes; those that fail stop no other."""
    problems = {
        study: tuple(Problem(*row) for row in rows[list(PROBLEM_COLUMNS)].to_numpy())
        for study, rows in given.problems.groupby("study")
    }
    jobs = [Job(out / study, planes, problems.get(study, ())) for study, planes in given.planes.items()]
    workers, count = maker.options.curation, len(jobs)
    if workers.jobs > 1 or workers.scheduler:
        done = map_studies(
            partial(make_study, maker=maker),
            jobs,
            what="the report of a study",
            jobs=workers.jobs,
            scheduler=workers.scheduler,
            killed=lambda job, error: Made(job.study, _no_numbers(job, str(error))),
        )
        for number, made in enumerate(done, start=1):
            tell("studies", number, count)
            yield made
        return
    for number, job in enumerate(jobs, start=1):
        step = "segmenting" if count == 1 else f"segmenting study {number} of {count}"
        yield make_study(job, maker=replace(maker, clock=Clock()), progress=partial(tell, step))


def make_study(job: Job, *, maker: Maker, progress: Progress | None = None) -> Made:
    """Make a study, here or in another process; what is wrong with it is told, not raised.

    Parameters
    ----------
    job
        The study.
    maker
        Model and options; its clock is the study's own.
    progress
        Told of the parts of the cine that are segmented.

    Raises
    ------
    OSError
        If nothing can be written, which no other study can either.
    """
    gc.collect()  # figures and headers of the last one are circles of references that hold its images
    try:
        result = report_study(job.folder, job.planes, job.problems, maker, progress)
    except DataError as error:
        return Made(job.study, _no_numbers(job, str(error)))
    except OSError:
        raise
    # One strange study must not stop a hundred others; it is tried again on the next call.
    except Exception as error:
        if os.environ.get("CMRSEG_DEBUG"):
            raise
        reason = f"unexpected {type(error).__name__}; CMRSEG_DEBUG=1 shows where, please report it"
        return Made(job.study, _no_numbers(job, reason))
    row = result.cohort or {}
    seconds = dict(maker.clock.seconds)
    return Made(job.study, None, row.get("EF_percent", math.nan), row.get("level", ""), seconds)


def _no_numbers(job: Job, reason: str) -> Problem:
    """That a study has failed."""
    return Problem(job.study, FAILED, "no numbers", extra_info=reason)


def _finish(given: Cines, failures: list[Problem], out: Path, clock: Clock) -> ReportRun:
    """Tables and page of all studies that the folder holds, of this run and of earlier ones."""
    failed = {**given.failed, **{problem.study: problem.extra_info for problem in failures}}
    now = {study: reason for study, reason in failed.items() if study not in given.earlier}
    for study, reason in now.items():
        mark_failed(out / study, reason)
    results, failed = results_of(out, failed)
    later = problem_table([*(p for r in results.values() for p in r.problems), *failures])
    problems = pd.concat([given.problems, later], ignore_index=True).fillna("")
    cohort = write_cohort(results, failed, problems, out)
    names = [study for study in given.planes if study in results]
    notes = [*given.notes, *(note for name in names for note in results[name].notes)]
    return ReportRun(cohort, names, now, problems, notes, given.unreadable, dict(clock.seconds))


def results_of(out: Path, failed: Mapping[str, str]) -> tuple[dict[str, ExaminationResult], dict[str, str]]:
    """Results of the studies that a folder holds and that have numbers, and why the others have none.

    Parameters
    ----------
    out
        Folder of `predict_examinations`.
    failed
        Studies that are known to have none, with the reason.
    """
    known = {path.parent.name: read_result(path.parent) for path in sorted(out.glob(f"*/{CINE}"))}
    failed = {**failed, **{study: r.failed for study, r in known.items() if r and r.failed}}
    return {study: r for study, r in known.items() if r and r.cohort and study not in failed}, failed


def write_cohort(
    results: Mapping[str, ExaminationResult], failed: Mapping[str, str], problems: pd.DataFrame, out: Path
) -> pd.DataFrame:
    """Write the tables and the page of all studies, as `results_of` gave them, and give ``cohort.csv``."""
    cohort = _write_tables(results.values(), problems, out)
    told = {study: _with_earlier(reason, out / study) for study, reason in failed.items()}
    write_text(cohort_page(cohort, failed=told), out / INDEX)
    return cohort


def _write_tables(results: Iterable[ExaminationResult], problems: pd.DataFrame, out: Path) -> pd.DataFrame:
    """Write what was measured, and give ``cohort.csv``; what has these names from elsewhere is put aside."""
    results = list(results)
    cohort = pd.DataFrame([r.cohort for r in results], columns=list(COHORT_COLUMNS))
    volumes = pd.DataFrame([v for r in results for v in r.volumes], columns=list(VOLUME_COLUMNS))
    tables = {COHORT: cohort, "summary.csv": cohort[list(FUNCTION_COLUMNS)], "volumes.csv": volumes}
    if not (out / COHORT).exists():
        for name in (*tables, INDEX):
            put_aside(out / name)
    for name, table in (tables | {"problems.tsv": problems}).items():
        write_table(table, out / name)
    return cohort


def _with_earlier(reason: str, folder: Path) -> str:
    """Why a study has no numbers, and where those of an earlier run are."""
    there = (folder / EARLIER).exists()
    return (
        f"{reason} (what an earlier run measured is in {folder.name}/{EARLIER} and not current)"
        if there
        else reason
    )
