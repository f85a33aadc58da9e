"""From DICOM files to masks, numbers, checks and reports: what `cmrseg predict` does for a person.

The folder of a study tells by ``result.json`` what its mask was made from. A run that is started again goes
on where it was stopped, a mask that somebody corrected is kept and measured, and the tables hold all studies
of the folder.
"""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from cmrseg.curation.examination import FAILED
from cmrseg.curation.run import CurationRun, Planes, curate_files, source_files
from cmrseg.curation.source import holds_dicom
from cmrseg.data.catalog import Catalog, VolumeRef, load_whole_image, read_catalog
from cmrseg.data.catalog_rows import study_name
from cmrseg.data.layouts import LOOSE_FILES, find_layout, list_images
from cmrseg.examination.cohort import COHORT_COLUMNS, cohort_page
from cmrseg.examination.outdated import EARLIER, mark_failed
from cmrseg.examination.result import CINE, read_result
from cmrseg.io.atomic import write_table, write_text
from cmrseg.io.images import save_image
from cmrseg.io.in_use import works_in
from cmrseg.io.own_masks import put_aside
from cmrseg.metrics.volumes import FUNCTION_COLUMNS, VOLUME_COLUMNS
from cmrseg.parallel import StepProgress
from cmrseg.problems import PROBLEM_COLUMNS, DataError, Problem, left_out, problem_table
from cmrseg.tasks.segmentation.mask_files import check_no_teacher, check_no_truth
from cmrseg.workflows.examination import Clock, Maker, ReportOptions, load_maker, report_study
from cmrseg.zoo.manifest import DEFAULT_MODEL
from cmrseg.zoo.resolved import ModelName

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


@works_in("out", "predict")
def predict_examinations(
    source: Path,
    out: Path,
    *,
    model: ModelName = DEFAULT_MODEL,
    splits: Sequence[str] = (),
    options: ReportOptions | None = None,
    progress: StepProgress | None = None,
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
        If the source is missing or holds no image, the model cannot be loaded, facts are told of more than
        one patient, or ``out`` holds the masks of a teacher.
    """
    check_no_teacher(out)
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
                given = _read_cines(source, out, splits)
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


def _read_cines(source: Path, out: Path, splits: Sequence[str]) -> _Given:
    """The cines of a data set; where none can be read that an earlier run has measured, these have failed."""
    try:
        catalog = read_catalog(source, splits=splits, masks=False)
    except DataError as error:
        known = [name for name in _subjects(source) if read_result(out / name)]
        if not known:
            raise
        problems = [Problem(name, FAILED, "no numbers", extra_info=str(error)) for name in known]
        return _Given({}, 0, {p.study: p.extra_info for p in problems}, problem_table(problems), ())
    check_no_truth(catalog, out)
    return _cines(catalog, out)


def _subjects(source: Path) -> list[str]:
    """Names of the studies of a data set, whether their images can be read or not."""
    if source.is_file():
        return [study_name(source)]
    with suppress(DataError):
        return list(dict.fromkeys(file.subject for file in list_images(source)[0]))
    return []


def _cines(catalog: Catalog, out: Path) -> _Given:
    """The whole cines of a data set, copied as they are."""
    planes: dict[str, Planes] = {}
    failed, problems = {}, list(catalog.problems)
    for study in catalog.cines():
        name, image = study[0].subject, study[0].image
        try:
            if len(study) < MIN_PHASES or name in planes:
                raise DataError(f"{image.name} is no cine of {MIN_PHASES} frames or more; leave --report out")
            _take_cine(study, out / name / CINE)
            planes[name] = {}
        except DataError as error:
            failed[name] = str(error)
            problems.append(left_out(name, image, error))
    failed |= {p.study: p.extra_info for p in catalog.problems if p.study not in planes}
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


def _make_studies(given: _Given, out: Path, maker: Maker, tell: StepProgress) -> list[Problem]:
    """Make the studies one after the other; what failed is returned, the others go on."""
    problems = {
        study: [Problem(*row) for row in rows[list(PROBLEM_COLUMNS)].to_numpy()]
        for study, rows in given.problems.groupby("study")
    }
    failures, count = [], len(given.planes)
    for number, (study, planes) in enumerate(given.planes.items(), start=1):
        step = "segmenting" if count == 1 else f"segmenting study {number} of {count}"
        gc.collect()  # figures and headers of the last one are circles of references that hold its images
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
    now = {study: reason for study, reason in failed.items() if study not in given.earlier}
    for study, reason in now.items():
        mark_failed(out / study, reason)
    known = {path.parent.name: read_result(path.parent) for path in sorted(out.glob(f"*/{CINE}"))}
    failed |= {study: r.failed for study, r in known.items() if r and r.failed}
    results = {study: r for study, r in known.items() if r and r.cohort and study not in failed}
    cohort = pd.DataFrame([r.cohort for r in results.values()], columns=list(COHORT_COLUMNS))
    volumes = pd.DataFrame([v for r in results.values() for v in r.volumes], columns=list(VOLUME_COLUMNS))
    later = problem_table([*(p for r in results.values() for p in r.problems), *failures])
    problems = pd.concat([given.problems, later], ignore_index=True).fillna("")
    tables = {COHORT: cohort, "summary.csv": cohort[list(FUNCTION_COLUMNS)], "volumes.csv": volumes}
    if not (out / COHORT).exists():  # what has these names is not of this program
        for name in (*tables, INDEX):
            put_aside(out / name)
    for name, table in (tables | {"problems.tsv": problems}).items():
        write_table(table, out / name)
    told = {study: _with_earlier(reason, out / study) for study, reason in failed.items()}
    write_text(cohort_page(cohort, failed=told), out / INDEX)
    names = [study for study in given.planes if study in results]
    notes = [*given.notes, *(note for name in names for note in results[name].notes)]
    return ReportRun(cohort, names, now, problems, notes, given.unreadable, dict(clock.seconds))


def _with_earlier(reason: str, folder: Path) -> str:
    """Why a study has no numbers, and where those of an earlier run are."""
    there = (folder / EARLIER).exists()
    return (
        f"{reason} (what an earlier run measured is in {folder.name}/{EARLIER} and not current)"
        if there
        else reason
    )
