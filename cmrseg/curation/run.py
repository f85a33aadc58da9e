"""Curating a source: reading all files, one examination after the other, and the tables of the run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath

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
from cmrseg.curation.grouping import free_name, group_images, is_version, patient_name, told_name
from cmrseg.curation.privacy import (
    REMOVED,
    load_salt,
    pseudonym,
    redact,
    without_identity,
    without_words,
    words_of,
)
from cmrseg.curation.rules import Rules
from cmrseg.curation.selection import SeriesChoice
from cmrseg.curation.source import File, open_source
from cmrseg.io.atomic import remove_leftovers, write_table
from cmrseg.io.dicom import DicomImage, NotAnImage, read_headers
from cmrseg.parallel import map_studies
from cmrseg.problems import DataError, Problem, problem_table

_FILES_AT_ONCE = 200
_WORTH_PROCESSES = 10_000  # files
_VISITS_A_DAY = 2
Progress = Callable[[str, int, int], None]
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
        Whether studies are called by their PatientID and paths are told as they are.
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
    """What some files hold: image planes, damaged files with the reason, and how many are something else."""

    images: list[DicomImage]
    damaged: list[tuple[str, str]]
    others: Counter[str]


def curate(
    source: Path, target: Path, *, options: Options | None = None, progress: Progress | None = None
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


def source_files(source: Path, target: Path) -> AbstractContextManager[list[File]]:
    """Files of a source, see `open_source`; what an archive holds is unpacked in the target meanwhile."""
    remove_leftovers(target)
    return open_source(source, target / RECORDS / "unpacked")


def curate_files(
    files: Sequence[File], target: Path, *, options: Options | None = None, progress: Progress | None = None
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
    scan = _scan(files, options, tell)
    if not scan.images and not scan.damaged:
        raise DataError(f"no MR image among the {len(files)} file(s) of the source; name the DICOM folder")
    damaged = _damaged(scan, options)
    examinations = _examinations(scan.images, target, options)
    notes, count = _notes(files, scan, examinations), len(examinations)
    paths = {e.key: {image.name: image.path for image in e.images} for e in examinations}
    scan.images.clear()
    sources: dict[str, dict[tuple[int, int], tuple[Path, int]]] = defaultdict(dict)
    unreadable, waiting = len(damaged), _handed_out(examinations)
    done = map_studies(curate_examination, waiting, jobs=options.jobs, scheduler=options.scheduler)
    for number, record in enumerate(done, start=1):
        unreadable += sum(problem.problem == kinds.UNREADABLE for problem in record.problems)
        for study in record.studies:
            sources[study.study] = {}
        for used in record.used:
            sources[used.study][used.slice, used.frame] = paths[record.key][used.file], used.plane
        tell("curating", number, count)
    return _write_tables(target, damaged, notes, unreadable=unreadable, sources=sources)


def _handed_out(examinations: list[Examination]) -> Iterator[Examination]:
    """Examinations one by one; their headers are not kept, so that memory does not grow with the source."""
    while examinations:
        yield examinations.pop(0)


def _scan(files: Sequence[File], options: Options, tell: Progress) -> Scan:
    """Read the headers of all files."""
    chunks = [files[n : n + _FILES_AT_ONCE] for n in range(0, len(files), _FILES_AT_ONCE)]
    whole = Scan([], [], Counter())
    read = 0
    jobs = options.jobs if len(files) > _WORTH_PROCESSES else 1  # they take a second to start
    for part in map_studies(scan_files, chunks, jobs=jobs, scheduler=options.scheduler):
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
            scan.others[str(error)] += 1
        except DataError as error:
            scan.damaged.append((name, str(error)))
    return scan


def _examinations(images: Sequence[DicomImage], target: Path, options: Options) -> list[Examination]:
    """Images by examination, under the names that they will have.

    An examination that the target holds already keeps its name; cines under a name that it no longer has
    (the user has given another) are removed, and what lies beside them comes along.
    """
    pattern, names, salt = options.rules.study_pattern, dict(options.names), load_salt()
    known = {record.key: path for path, record in _records(target)}
    groups = group_images(images, pattern)
    keys = {key: pseudonym("\n".join(key), salt, prefix="K") for key in groups}
    taken = {path.stem for path in known.values()}
    words = words_of(image.identity for image in images)
    examinations = []
    for key in list(groups):
        members = groups.pop(key)
        first = members[0]
        told = told_name(members, pattern) if options.tell else pseudonym("\n".join(key), salt)
        wanted = names.get(first.study_uid) or names.get(first.patient_id) or told
        before = known[keys[key]].stem if keys[key] in known else ""
        name = before if is_version(before, wanted) else free_name(wanted, taken)
        taken.add(name)
        examinations.append(
            Examination(
                name=name,
                subject=patient_name(key, salt, tell=options.tell),
                key=keys[key],
                images=tuple(members if options.tell else without_identity(members, words)),
                rules=options.rules,
                series=options.series,
                target=target,
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


def _damaged(scan: Scan, options: Options) -> list[Problem]:
    """Damaged files as problems of no study; who is in a folder is told by the readable files in it."""
    people: defaultdict[str, set[str]] = defaultdict(set)
    for image in scan.images:
        people[str(PurePosixPath(image.name).parent)].update(image.identity)
    words = words_of(people.values())
    names = {name: name if options.tell else _hidden(name, people, words) for name, _ in scan.damaged}
    return [
        Problem("", kinds.UNREADABLE, "file left out", names[name], reason)
        for name, reason in sorted(scan.damaged)
    ]


def _hidden(name: str, people: Mapping[str, set[str]], words: Collection[str]) -> str:
    """A path without its patient; nothing of it where no other file tells who that is (--keep-ids does)."""
    path = PurePosixPath(name)
    for parent in path.parents:
        if str(parent) in people:
            return without_words(redact(name, people[str(parent)]), words)
    return REMOVED + path.suffix


def _notes(files: Sequence[File], scan: Scan, examinations: Sequence[Examination]) -> list[str]:
    """What a user should know."""
    notes = [f"{len(files)} files, {len(scan.images)} MR images of {len(examinations)} examination(s)"]
    if scan.others:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(scan.others.items()))
        notes.append(f"left aside: {told}")
    visits = Counter((e.subject, e.images[0].study_date) for e in examinations)
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
    ):
        write_table(table, target / f"{name}.tsv")
    return CurationRun(studies, problems, series, notes, unreadable, sources)


def _table(rows: Sequence[object], kind: type) -> pd.DataFrame:
    """Rows as a table that has its columns even when it is empty."""
    return pd.DataFrame([vars(row) for row in rows], columns=[f.name for f in fields(kind)])
