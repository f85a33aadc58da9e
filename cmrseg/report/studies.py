"""From DICOM files to masks, numbers, checks and reports: what `cmrseg predict` does for a person.

The folder of a study tells by ``result.json`` what its mask was made from. A run that is started again goes
on where it was stopped, a mask that somebody corrected is kept and measured, and the tables hold all studies
of the folder.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from cmrseg.curation.examination import FAILED
from cmrseg.curation.run import CurationRun, Planes, Progress, curate_files, source_files
from cmrseg.curation.source import holds_dicom
from cmrseg.data.catalog import Catalog, VolumeRef, load_whole_image, read_catalog
from cmrseg.data.layouts import LOOSE_FILES, find_layout
from cmrseg.io.atomic import write_table, write_text
from cmrseg.io.images import save_image
from cmrseg.metrics.volumes import SUMMARY_COLUMNS, VOLUME_COLUMNS
from cmrseg.problems import PROBLEM_COLUMNS, DataError, Problem, left_out, problem_table
from cmrseg.report.cohort import COHORT_COLUMNS, cohort_page
from cmrseg.report.study_result import CINE, put_aside, read_result
from cmrseg.report.study_run import Clock, Maker, ReportOptions, load_maker, report_study
from cmrseg.zoo.manifest import DEFAULT_MODEL

COHORT, INDEX = "cohort.csv", "index.html"
MIN_PHASES = 3  # of a cine


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
class _Given:
    """Studies whose cines lie in the folder.

    ``planes`` holds the files of those of this run, ``patients`` is how many these are of, ``failed`` holds
    those that have no cine, with the reason, ``earlier`` names those of them that are of an earlier run.
    """

    planes: Mapping[str, Planes]
    patients: int
    failed: Mapping[str, str]
    problems: pd.DataFrame
    notes: Sequence[str]
    unreadable: int = 0
    earlier: frozenset[str] = frozenset()


def predict_and_report(
    source: Path,
    out: Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    splits: Sequence[str] = (),
    options: ReportOptions | None = None,
    progress: Progress | None = None,
) -> ReportRun:
    """Segment, measure and check whole cines, and write a report of each; DICOM studies are curated first.

    Parameters
    ----------
    source
        Folder tree or archive with DICOM files in any order, or a data set of cines in any known layout.
    out
        Gets a folder per study, the tables of all its studies, and ``index.html``.
    model
        Name of a model of the zoo, or a model file; the embedded model by default.
    splits
        Of a data set, only these splits.
    options
        How it is done.
    progress
        Called with what is done, how much of it is done, and how much there is.

    Returns
    -------
    Tables and problems; a study that cannot be used is a problem, the others go on.

    Raises
    ------
    DataError
        If the source is missing or holds no image, the model cannot be loaded, or facts are told of more than
        one patient.
    """
    options, tell, clock = options or ReportOptions(), progress or _silent, Clock()
    with clock("model"):
        maker = load_maker(model, options, clock)
    with ExitStack() as stack:
        with clock("curation"):
            if is_dicom_source(source):
                files = stack.enter_context(
                    source_files(source, out)
                )  # those of an archive last until the end
                given = _curated(curate_files(files, out, options=options.curation, progress=tell))
            else:
                given = _cines(read_catalog(source, splits=splits, masks=False), out)
        _check_facts(given, options)
        failures = _make_studies(given, out, maker, tell)
    with clock("tables"):
        return _finish(given, failures, out, clock)


def is_dicom_source(source: Path) -> bool:
    """Whether a source holds DICOM files and is no data set of a known layout.

    A folder of loose NIfTI or PNG files, such as previews, counts as DICOM if it holds DICOM files, too.
    """
    if source.is_dir():
        with suppress(DataError):
            if find_layout(source).name not in LOOSE_FILES:
                return False
    return holds_dicom(source)


def _silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def _curated(run: CurationRun) -> _Given:
    """What a curation has made."""
    lost = run.studies[run.studies["status"] == FAILED]
    failed = dict(zip(lost["study"], lost["reason"], strict=True))
    planes = {study: found for study, found in run.sources.items() if found}
    patients = run.studies.loc[run.studies["study"].isin(planes), "subject"].nunique()
    earlier = frozenset(failed) - set(run.sources)
    return _Given(planes, patients, failed, run.problems, run.notes, run.unreadable, earlier)


def _cines(catalog: Catalog, out: Path) -> _Given:
    """The whole cines of a data set, copied as they are."""
    planes: dict[str, Planes] = {}
    failed, problems = {}, list(catalog.problems)
    for study in catalog.studies():
        name, image = study[0].subject, study[0].image
        try:
            if len(study) < MIN_PHASES or name in planes:
                raise DataError(f"{image.name} is no cine of {MIN_PHASES} frames or more; leave --report out")
            _take_cine(study, out / name / CINE)
            planes[name] = {}
        except DataError as error:
            failed[name] = str(error)
            problems.append(left_out(name, image, error))
    return _Given(planes, len(planes), failed, problem_table(problems), catalog.notes)


def _take_cine(study: Sequence[VolumeRef], path: Path) -> None:
    """Copy the cine of a data set, unless the results go into that data set; a strange one is put aside."""
    image, _ = load_whole_image(*study)
    if path.exists() and path.samefile(study[0].image):
        return
    if read_result(path.parent) is None:
        put_aside(path)
    save_image(image, path)


def _check_facts(given: _Given, options: ReportOptions) -> None:
    """Height, weight and heart rate are those of one patient."""
    if given.patients > 1 and not all(math.isnan(v) for v in astuple(options.facts)[:3]):
        raise DataError(
            f"height, weight and heart rate are those of one patient, and the source holds {given.patients}; "
            "name the folder of one, or leave them out"
        )


def _make_studies(given: _Given, out: Path, maker: Maker, tell: Progress) -> list[Problem]:
    """Make the studies one after the other; what failed is returned, the others go on."""
    problems = {
        study: [Problem(*row) for row in rows[list(PROBLEM_COLUMNS)].to_numpy()]
        for study, rows in given.problems.groupby("study")
    }
    failures, count = [], len(given.planes)
    for number, (study, planes) in enumerate(given.planes.items(), start=1):
        step = "segmenting" if count == 1 else f"segmenting study {number} of {count}"
        try:
            report_study(out / study, planes, problems.get(study, ()), maker, partial(tell, step))
        except DataError as error:
            failures.append(Problem(study, FAILED, "no numbers", extra_info=str(error)))
        except OSError:
            raise
        # One strange study must not stop a hundred others; it is tried again on the next call.
        except Exception as error:
            if os.environ.get("CMRSEG_DEBUG"):
                raise
            reason = f"unexpected {type(error).__name__}; CMRSEG_DEBUG=1 shows where, please report it"
            failures.append(Problem(study, FAILED, "no numbers", extra_info=reason))
    return failures


def _finish(given: _Given, failures: list[Problem], out: Path, clock: Clock) -> ReportRun:
    """Tables of all studies that the folder holds, of this run and of earlier ones."""
    failed = {**given.failed, **{problem.study: problem.extra_info for problem in failures}}
    known = {path.parent.name: read_result(path.parent) for path in sorted(out.glob(f"*/{CINE}"))}
    results = {study: r for study, r in known.items() if r and r.cohort and study not in failed}
    cohort = pd.DataFrame([r.cohort for r in results.values()], columns=list(COHORT_COLUMNS))
    volumes = pd.DataFrame([v for r in results.values() for v in r.volumes], columns=list(VOLUME_COLUMNS))
    later = problem_table([*(p for r in results.values() for p in r.problems), *failures])
    problems = pd.concat([given.problems, later], ignore_index=True).fillna("")
    tables = {COHORT: cohort, "summary.csv": cohort[list(SUMMARY_COLUMNS)], "volumes.csv": volumes}
    if not (out / COHORT).exists():  # what has these names is not of this program
        for name in (*tables, INDEX):
            put_aside(out / name)
    for name, table in (tables | {"problems.tsv": problems}).items():
        write_table(table, out / name)
    write_text(cohort_page(cohort, failed=failed), out / INDEX)
    names = [study for study in given.planes if study in results]
    now = {study: reason for study, reason in failed.items() if study not in given.earlier}
    return ReportRun(cohort, names, now, problems, given.notes, given.unreadable, dict(clock.seconds))
