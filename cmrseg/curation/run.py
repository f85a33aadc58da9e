"""Curating a source: reading all files, one examination after the other, and the tables of the run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import pandas as pd

from cmrseg.curation import kinds
from cmrseg.curation.examination import (
    FAILED,
    RECORDS,
    Examination,
    Record,
    Study,
    UsedImage,
    curate_examination,
    read_record,
    remove_cines,
)
from cmrseg.curation.facts import Acquisition, person_of
from cmrseg.curation.grouping import (
    NO_KEY,
    Group,
    Key,
    free_name,
    group_images,
    is_version,
    patient_name,
    told_name,
)
from cmrseg.curation.privacy import load_salt, pseudonym
from cmrseg.curation.private_files import FILES, PRIVATE, Row, numbered, write_files, write_people
from cmrseg.curation.rules import Rules
from cmrseg.curation.selection import SeriesChoice
from cmrseg.curation.source import File, archive_fault, is_archive, open_source
from cmrseg.io.atomic import scratch_folder, write_table
from cmrseg.io.dicom import DicomImage, NotAnImage, UnusableImage, read_headers
from cmrseg.io.in_use import working_in, works_in
from cmrseg.parallel import StepProgress, map_studies
from cmrseg.problems import DataError, Problem, problem_table

ACQUISITION = "acquisition"
_FILES_AT_ONCE = 200
_WORTH_PROCESSES = 10_000  # files
_VISITS_A_DAY = 2
_WHERE = f" (its path: {PRIVATE}/{FILES})"
Planes = Mapping[tuple[int, int], tuple[Path, int]]  # slice and frame -> file, number of the plane in it


@dataclass(frozen=True)
class Options:
    """How a source is curated.

    Attributes
    ----------
    rules
        Tolerances and choices.
    series
        Numbers, descriptions or UIDs of the series to use; empty to choose by geometry.
    names
        PatientID or StudyInstanceUID to the name of the study, where a user gives names.
    keep_ids
        Whether studies are called by their PatientID, and files and series as they are.
    jobs, scheduler
        Processes, or the address of a dask scheduler.
    """

    rules: Rules = field(default_factory=Rules)
    series: tuple[str, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    keep_ids: bool = False
    jobs: int = 1
    scheduler: str | None = None

    @property
    def tell(self) -> bool:
        """Whether names, ids and dates may be told."""
        return self.keep_ids or self.rules.keep_ids


@dataclass(frozen=True)
class CurationRun:
    """The tables of a target folder, and what a user should know about this run.

    ``unreadable`` counts the damaged files and images of this run. ``sources`` holds the file, and the number
    of the plane in it, of every slice and frame of the cines that this run curated or found finished, and
    nothing for a study of this run that has failed; names of patients may stand in these paths.
    """

    studies: pd.DataFrame
    problems: pd.DataFrame
    series: pd.DataFrame
    notes: list[str]
    unreadable: int
    sources: Mapping[str, Planes] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Studies without a cine."""
        return int((self.studies["status"] == FAILED).sum())


@dataclass(frozen=True)
class Scan:
    """What some files hold: image planes; damaged files, why and whose they are; how many are other files."""

    images: list[DicomImage]
    damaged: list[tuple[str, str, Key]]
    others: Counter[str]


def curate(
    source: Path, target: Path, *, options: Options | None = None, progress: StepProgress | None = None
) -> CurationRun:
    """Turn the DICOM files of a source into clean short-axis cines.

    Parameters
    ----------
    source
        Folder tree or archive (.zip, .tar.gz) with examinations in any order.
    target
        Folder for ``<study>/sa.nii.gz`` and the tables; what an earlier run finished there is kept.
    options
        Rules, names, processes.
    progress
        Called with what is done, how much of it is done, and how much there is.

    Returns
    -------
    The tables as they are written.

    Raises
    ------
    DataError
        If the source is missing, empty or damaged, or holds no MR image.

    References
    ----------
    Ankenbrand et al. (2021), doi:10.1101/2020.06.15.20131656.
    """
    with source_files(source, target) as files:
        return curate_files(files, target, options=options, progress=progress)


@contextmanager
def source_files(source: Path, target: Path) -> Iterator[list[File]]:
    """Files of a source, see `open_source`; what an archive holds is unpacked in the target meanwhile.

    Nobody else works in the target as long as they are open.
    """
    with (
        working_in(target, "curate"),
        scratch_folder(target / RECORDS / "unpacked") as scratch,
        open_source(source, scratch) as files,
    ):
        yield files


@works_in("target", "curate")
def curate_files(
    files: Sequence[File],
    target: Path,
    *,
    options: Options | None = None,
    progress: StepProgress | None = None,
) -> CurationRun:
    """`curate` for files that are open already: the sources of the result can be read as long as they are.

    Parameters
    ----------
    files
        From `source_files`.
    target, options, progress
        As for `curate`.
    """
    options = options or Options()
    tell = progress or (lambda what, done, total: None)
    scan = scan_source(files, options, tell)
    if not scan.images and not scan.damaged:
        raise DataError(
            f"no MR image among the {len(files)} file(s) of the source ({_told(scan.others)}); name the "
            "folder of the original DICOM images"
        )
    damaged, rows = _damaged(scan, options)
    groups, told = group_images(scan.images, options.rules)
    groups += _lost(scan, [problem.image for problem in damaged], where="" if options.tell else _WHERE)
    examinations = _examinations(groups, target, options)
    notes, count = [*_notes(files, scan, examinations), *told], len(examinations)
    found = {e.key: {image.label: (image.path, image.name) for image in e.images} for e in examinations}
    persons = {e.key: person_of(e.images[0]) for e in examinations if e.images}
    scan.images.clear()
    sources: dict[str, dict[tuple[int, int], tuple[Path, int]]] = defaultdict(dict)
    people: list[tuple[str, str, float]] = []
    unreadable, waiting = len(damaged), _handed_out(examinations)
    workers = {"jobs": options.jobs, "scheduler": options.scheduler}
    done = map_studies(curate_examination, waiting, what="the curation of an examination", **workers)
    for number, record in enumerate(done, start=1):
        unreadable += sum(problem.problem == kinds.UNREADABLE for problem in record.problems)
        for study in record.studies:
            sources[study.study] = {}
            rows += [(study.study, label, name) for label, (_, name) in found[record.key].items()]
            if person := persons.get(record.key):
                people.append((study.study, person.sex, person.age_years))
        for used in record.used:
            sources[used.study][used.slice, used.frame] = found[record.key][used.file][0], used.plane
        tell("curating", number, count)
    run = _write_tables(target, damaged, notes, unreadable=unreadable, sources=sources)
    kept = set(run.studies["study"]) - set(sources)
    write_people(people, target, kept=kept)
    if not options.tell:
        write_files(rows, target, kept=kept)
    return run


def _handed_out(examinations: list[Examination]) -> Iterator[Examination]:
    """Examinations one by one; their headers are not kept, so that memory does not grow with the source."""
    while examinations:
        yield examinations.pop(0)


def scan_source(files: Sequence[File], options: Options, tell: StepProgress) -> Scan:
    """Read the headers of all files."""
    chunks = [files[n : n + _FILES_AT_ONCE] for n in range(0, len(files), _FILES_AT_ONCE)]
    whole = Scan([], [], Counter())
    read = 0
    jobs = options.jobs if len(files) > _WORTH_PROCESSES else 1  # they take a second to start
    what = f"the headers of {_FILES_AT_ONCE} files"
    for part in map_studies(scan_files, chunks, what=what, jobs=jobs, scheduler=options.scheduler):
        whole.images.extend(part.images)
        whole.damaged.extend(part.damaged)
        whole.others.update(part.others)
        read = min(read + _FILES_AT_ONCE, len(files))
        tell("reading headers", read, len(files))
    return whole


def scan_files(files: Sequence[File]) -> Scan:
    """Read the headers of some files."""
    scan = Scan([], [], Counter())
    for path, name in files:
        try:
            scan.images.extend(read_headers(path, name))
        except NotAnImage as error:
            if fault := is_archive(path) and archive_fault(path):
                scan.damaged.append((name, fault, NO_KEY))
            else:
                scan.others[str(error)] += 1
        except UnusableImage as error:
            scan.damaged.append((name, str(error), (error.study_uid, error.patient_id)))
        except DataError as error:
            scan.damaged.append((name, str(error), NO_KEY))
    return scan


def _lost(scan: Scan, labels: Sequence[str], *, where: str) -> list[Group]:
    """Examinations of which no image can be used."""
    seen = {(image.study_uid, image.patient_id) for image in scan.images} | {NO_KEY}
    lost: defaultdict[Key, list[str]] = defaultdict(list)
    for (_, reason, key), label in zip(sorted(scan.damaged), labels, strict=True):
        if key not in seen:
            lost[key].append(f"{label}{where}: {reason}")
    return [
        Group(key, [], f"none of {len(told)} file(s) can be used; {told[0]}") for key, told in lost.items()
    ]


def _examinations(groups: list[Group], target: Path, options: Options) -> list[Examination]:
    """Examinations under the names that they will have; the groups are emptied.

    An examination that the target holds already keeps its name; cines under a name that it no longer has
    (the user has given another) are removed, and what lies beside them comes along.
    """
    pattern, names, salt = options.rules.study_pattern, dict(options.names), load_salt()
    known = {record.key: path for path, record in _records(target)}
    keys = {group.key: pseudonym("\n".join(group.key), salt, prefix="K") for group in groups}
    taken = {PRIVATE, *(path.stem for path in known.values())}
    rules = replace(options.rules, keep_ids=options.tell)
    examinations = []
    while groups:
        group = groups.pop(0)
        key, members = group.key, group.images
        ids = (members[0].study_uid, members[0].patient_id) if members else key
        told = told_name(group, pattern) if options.tell else pseudonym("\n".join(key), salt)
        wanted = names.get(ids[0]) or names.get(ids[1]) or told
        before = known[keys[key]].stem if keys[key] in known else ""
        name = before if is_version(before, wanted) else free_name(wanted, taken)
        taken.add(name)
        examinations.append(
            Examination(
                name=name,
                subject=patient_name(key, salt, tell=options.tell),
                key=keys[key],
                images=tuple(numbered(members, tell=options.tell)),
                rules=rules,
                series=options.series,
                target=target,
                unclear="" if options.series and members else group.unclear,
            )
        )
    _remove_renamed(examinations, known, target)
    return examinations


def _remove_renamed(examinations: Sequence[Examination], known: dict[str, Path], target: Path) -> None:
    """Remove the cines of the same examinations under other names; what else lies there is renamed."""
    for examination in examinations:
        path = known.get(examination.key)
        record = read_record(path) if path and path.stem != examination.name else None
        if path and record:
            remove_cines(record, target)
            for study in (s.study for s in record.studies):  # a mask that somebody corrected, for one
                old, new = target / study, target / (examination.name + study.removeprefix(path.stem))
                if old.exists() and not new.exists():
                    old.rename(new)
            path.unlink(missing_ok=True)
            path.with_suffix(".npz").unlink(missing_ok=True)


def _records(target: Path) -> list[tuple[Path, Record]]:
    """Records of all examinations that a target holds."""
    paths = sorted((target / RECORDS).glob("*.json"))
    return [(path, record) for path in paths if (record := read_record(path))]


def _damaged(scan: Scan, options: Options) -> tuple[list[Problem], list[Row]]:
    """Damaged files as problems of no study, and which they are."""
    rows = [
        ("", path if options.tell else f"damaged file {n}", path)
        for n, (path, *_) in enumerate(sorted(scan.damaged), start=1)
    ]
    reasons = [reason for _, reason, _ in sorted(scan.damaged)]
    problems = [
        Problem("", kinds.UNREADABLE, "file left out", label, reason)
        for (_, label, _), reason in zip(rows, reasons, strict=True)
    ]
    return problems, rows


def _told(others: Mapping[str, int]) -> str:
    """How many files are what."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(others.items()))


def _notes(files: Sequence[File], scan: Scan, examinations: Sequence[Examination]) -> list[str]:
    """What a user should know."""
    notes = [f"{len(files)} files, {len(scan.images)} MR images of {len(examinations)} examination(s)"]
    if scan.others:
        notes.append(f"left aside: {_told(scan.others)}")
    visits = Counter((e.subject, e.images[0].study_date) for e in examinations if e.images)
    if visits and max(visits.values()) > _VISITS_A_DAY:
        notes.append(
            f"{max(visits.values())} examinations are of one patient and day: if StudyInstanceUIDs were "
            "made up when the data were anonymised, name them by their folders (study_pattern in the rules)"
        )
    if len(examinations) > 1 and len({e.subject for e in examinations}) == 1:
        notes.append(
            "all examinations are of one patient by their PatientID; if not, give names with --names"
        )
    return notes


def _write_tables(
    target: Path,
    damaged: list[Problem],
    notes: list[str],
    *,
    unreadable: int,
    sources: Mapping[str, Planes],
) -> CurationRun:
    """Tables of all examinations that the target holds, of this run and of earlier ones."""
    records = [record for _, record in _records(target)]
    studies = _table([s for r in records for s in r.studies], Study).sort_values("study", ignore_index=True)
    studies = studies.astype(dict.fromkeys(("x", "y", "slices", "phases"), "Int64"))
    if repeated := int(studies["study"].str.endswith("_b").sum()):
        notes.append(
            f"{repeated} examination(s) hold the stack more than once: studies _a, _b in order of time"
        )
    problems = problem_table([p for r in records for p in r.problems] + damaged)
    problems["published_kind"] = problems["problem"].map(kinds.PUBLISHED).fillna("")
    used = _table([u for r in records for u in r.used], UsedImage)
    series = _table([s for r in records for s in r.series], SeriesChoice)
    for name, table in (
        ("studies", studies),
        ("problems", problems),
        ("used_images", used),
        ("series", series),
        (ACQUISITION, _table([a for r in records for a in r.acquisitions], Acquisition)),
    ):
        write_table(table, target / f"{name}.tsv")
    return CurationRun(studies, problems, series, notes, unreadable, sources)


def _table(rows: Sequence[object], kind: type) -> pd.DataFrame:
    """Rows as a table that has its columns even when it is empty."""
    return pd.DataFrame([vars(row) for row in rows], columns=[f.name for f in fields(kind)])
