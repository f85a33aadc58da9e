"""Curating a source: reading all files, one examination after the other, and the tables of the run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from re import search

import pandas as pd

from cmrseg.curation import kinds
from cmrseg.curation.examination import (
    FAILED,
    RECORDS,
    Examination,
    Study,
    UsedImage,
    curate_examination,
    read_record,
)
from cmrseg.curation.privacy import load_salt, pseudonym, redact, safe_name
from cmrseg.curation.rules import Rules
from cmrseg.curation.selection import SeriesChoice
from cmrseg.curation.source import File, open_source
from cmrseg.io.atomic import write_table
from cmrseg.io.dicom import DicomImage, NotAnImage, read_headers
from cmrseg.parallel import map_studies
from cmrseg.problems import DataError, Problem, problem_table

_FILES_AT_ONCE = 200
Progress = Callable[[str, int, int], None]


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

    ``unreadable`` counts the damaged DICOM files of this run.
    """

    studies: pd.DataFrame
    problems: pd.DataFrame
    series: pd.DataFrame
    notes: list[str]
    unreadable: int

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
    options = options or Options()
    tell = progress or (lambda what, done, total: None)
    with open_source(source, target / RECORDS / "unpacked") as files:
        scan = _scan(files, options, tell)
        if not scan.images and not scan.damaged:
            raise DataError(f"no MR image among the {len(files)} file(s) of {source}; name the DICOM folder")
        examinations = _examinations(scan.images, target, options)
        done = map_studies(curate_examination, examinations, jobs=options.jobs, scheduler=options.scheduler)
        for number, _ in enumerate(done, start=1):
            tell("curating", number, len(examinations))
    return _write_tables(
        target, _damaged(scan, options), _notes(files, scan, examinations), len(scan.damaged)
    )


def _scan(files: Sequence[File], options: Options, tell: Progress) -> Scan:
    """Read the headers of all files."""
    chunks = [files[n : n + _FILES_AT_ONCE] for n in range(0, len(files), _FILES_AT_ONCE)]
    whole = Scan([], [], Counter())
    read = 0
    for part in map_studies(scan_files, chunks, jobs=options.jobs, scheduler=options.scheduler):
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
    """Images by examination, under the names that they will have."""
    groups: defaultdict[str, list[DicomImage]] = defaultdict(list)
    find_name = partial(_name_in_path, pattern=options.rules.study_pattern)
    for image in images:
        groups[find_name(image) or image.study_uid or f"patient {image.patient_id}"].append(image)
    patients = {key: _patient(members) for key, members in groups.items()}
    is_anonymous = len(groups) > 2 and len(set(patients.values())) == 1  # one id for everybody
    salt = "" if options.tell else load_salt()
    taken: set[str] = set()
    examinations = []
    for key, members in sorted(groups.items(), key=lambda item: _when(item[1])):
        patient = key if is_anonymous or not patients[key] else patients[key]
        name = _free(_study_name(key, members, options, salt), taken)
        subject = safe_name(patient) if options.tell else pseudonym(patient, salt, prefix="P")
        examinations.append(
            Examination(name, subject, tuple(members), options.rules, options.series, target, options.tell)
        )
    return examinations


def _study_name(key: str, members: Sequence[DicomImage], options: Options, salt: str) -> str:
    """The name that the user gives, the PatientID where it may be told, else a pseudonym."""
    names = dict(options.names)
    for identifier in (members[0].study_uid, members[0].patient_id):
        if identifier and identifier in names:
            return names[identifier]
    if not options.tell:
        return pseudonym(key, salt)
    found = _name_in_path(members[0], options.rules.study_pattern)
    return safe_name(found or members[0].patient_id) or safe_name(key)


def _name_in_path(image: DicomImage, pattern: str) -> str:
    """What the rules find in a path."""
    match = search(pattern, image.name) if pattern else None
    return match.group(1) if match else ""


def _patient(members: Sequence[DicomImage]) -> str:
    """The patient of an examination."""
    return members[0].patient_id


def _when(members: Sequence[DicomImage]) -> tuple[str, str]:
    """Sorts examinations by their date, then by their UID."""
    return min((image.study_date, image.study_uid) for image in members)


def _free(name: str, taken: set[str]) -> str:
    """A name that no other examination has, whatever the case of its letters."""
    free, number = name, 1
    while free.lower() in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free.lower())
    return free


def _damaged(scan: Scan, options: Options) -> list[Problem]:
    """Damaged files as problems of no study."""
    identity = () if options.tell else {v for image in scan.images for v in image.identity}
    return [
        Problem("", kinds.UNREADABLE, "file left out", redact(name, identity), reason)
        for name, reason in sorted(scan.damaged)
    ]


def _notes(files: Sequence[File], scan: Scan, examinations: Sequence[Examination]) -> list[str]:
    """What a user should know."""
    notes = [f"{len(files)} files, {len(scan.images)} MR images of {len(examinations)} examination(s)"]
    if scan.others:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(scan.others.items()))
        notes.append(f"left aside: {told}")
    return notes


def _write_tables(target: Path, damaged: list[Problem], notes: list[str], unreadable: int) -> CurationRun:
    """Tables of all examinations that the target holds, of this run and of earlier ones."""
    records = [r for path in sorted((target / RECORDS).glob("*.json")) if (r := read_record(path))]
    studies = _table([s for r in records for s in r.studies], Study).sort_values("study", ignore_index=True)
    studies = studies.astype(dict.fromkeys(("x", "y", "slices", "phases"), "Int64"))
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
    return CurationRun(studies, problems, series, notes, unreadable)


def _table(rows: Sequence[object], kind: type) -> pd.DataFrame:
    """Rows as a table that has its columns even when it is empty."""
    return pd.DataFrame([asdict(row) for row in rows], columns=[f.name for f in fields(kind)])
