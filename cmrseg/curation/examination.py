"""One examination: from its image headers to clean cines on disk and a record of what was done."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import cmrseg
from cmrseg.cine import Cine
from cmrseg.curation import kinds
from cmrseg.curation.facts import Acquisition, acquisition_of
from cmrseg.curation.pictures import Pictures, picture_of, save_pictures
from cmrseg.curation.planes import remove_tilted
from cmrseg.curation.repairs import repair, rotated, to_cine
from cmrseg.curation.repeats import split_repeats
from cmrseg.curation.rules import Rules
from cmrseg.curation.selection import SeriesChoice, select_short_axis, series_key
from cmrseg.curation.slices import Slice, find_slices, load_frames, typical_gap_mm
from cmrseg.io.atomic import write_text
from cmrseg.io.dicom import DicomImage
from cmrseg.io.dicom_words import known_words
from cmrseg.io.images import save_image
from cmrseg.io.settings import read_json
from cmrseg.problems import DataError, Problem

RECORDS = ".curation"  # folder in the target
OK, FAILED = "ok", "failed"


@dataclass(frozen=True)
class Examination:
    """What is needed to curate one examination; it can be sent to another process.

    Attributes
    ----------
    name, subject
        Names of the study and of the patient in all that is written.
    key
        What the examination is recognised by in a later run.
    images
        Headers of all its image planes, with labels that may be told.
    rules, series
        Tolerances and whether ids may be told, and the series to use (empty: choose).
    target
        Folder of the run.
    unclear
        Why there is no telling whose the images are; empty where there is.
    """

    name: str
    subject: str
    key: str
    images: tuple[DicomImage, ...]
    rules: Rules
    series: tuple[str, ...]
    target: Path
    unclear: str = ""


@dataclass(frozen=True)
class Study:
    """One cine that was written, or why there is none; sizes in pixels, spacings in mm."""

    study: str
    status: str
    x: int | None = None
    y: int | None = None
    slices: int | None = None
    phases: int | None = None
    dx: float = float("nan")
    dy: float = float("nan")
    dz: float = float("nan")
    problems: int = 0
    subject: str = ""
    reason: str = ""


@dataclass(frozen=True)
class UsedImage:
    """The file that a frame of a slice comes from, the number of the plane in it, and its InstanceNumber."""

    study: str
    slice: int
    frame: int
    series: int
    file: str
    plane: int = 0
    instance: int = -1


@dataclass(frozen=True)
class Record:
    """What became of one examination, which may hold several measurements."""

    studies: list[Study]
    problems: list[Problem]
    used: list[UsedImage]
    series: list[SeriesChoice]
    digest: str
    key: str
    acquisitions: list[Acquisition] = field(default_factory=list)


def curate_examination(examination: Examination) -> Record:
    """Curate one examination, unless an earlier run has done just that.

    Returns
    -------
    What was done; bad data is a study with the status ``failed``.

    Raises
    ------
    OSError
        If the results cannot be written.
    """
    path = record_path(examination.target, examination.name)
    digest = _digest(examination)
    done = read_record(path)
    if done and done.digest == digest and _is_whole(done, examination.target):
        return done
    try:
        record, pictures = _curated(examination, digest)
    except OSError:
        raise
    # One strange examination must not stop a thousand others; it is tried again on the next call.
    except Exception as error:
        if os.environ.get("CMRSEG_DEBUG"):
            raise
        record, pictures = _unexpected(examination, error), []
    if done:
        remove_cines(done, examination.target, kept={s.study for s in record.studies if s.status == OK})
    save_pictures(pictures, path.with_suffix(".npz"))
    write_text(json.dumps(asdict(record)), path)
    return record


def record_path(target: Path, name: str) -> Path:
    """Where the record of an examination lies."""
    return target / RECORDS / f"{name}.json"


def read_record(path: Path) -> Record | None:
    """The record of an earlier run, if there is a whole one."""
    try:
        told = read_json(path, "it is made again")
        return Record(
            studies=[Study(**row) for row in told["studies"]],
            problems=[Problem(**row) for row in told["problems"]],
            used=[UsedImage(**row) for row in told["used"]],
            series=[SeriesChoice(**row) for row in told["series"]],
            digest=told["digest"],
            key=told["key"],
            acquisitions=[Acquisition(**row) for row in told.get("acquisitions", ())],
        )
    except (ValueError, KeyError, TypeError):
        return None


def _curated(examination: Examination, digest: str) -> tuple[Record, Pictures]:
    """All measurements of an examination, written; or the reason why there is none."""
    try:
        parts, series, problems = measurements(examination)
    except NoCine as error:
        problems = _named([*error.problems, _failure(error)], examination.name)
        failed = Study(examination.name, FAILED, subject=examination.subject, reason=str(error))
        return _counted(Record([failed], problems, [], error.series, digest, examination.key)), []
    record = Record([], problems, [], series, digest, examination.key)
    pictures: Pictures = []
    for suffix, members in parts:
        studies, found, used, taken = _measurement(examination, examination.name + suffix, members)
        record.studies.extend(studies)
        record.problems.extend(found)
        record.used.extend(used)
        record.acquisitions.extend(acquisition_of(s.study, members) for s in studies)
        pictures += taken
    return _counted(record), pictures


class NoCine(DataError):
    """An examination without a short-axis cine, with what is known about it."""

    def __init__(self, reason: str, series: list[SeriesChoice], problems: list[Problem]) -> None:
        super().__init__(reason)
        self.series, self.problems = series, problems


def measurements(
    examination: Examination,
) -> tuple[list[tuple[str, list[Slice]]], list[SeriesChoice], list[Problem]]:
    """The measurements of the short-axis stack, what became of the series, and what was wrong so far.

    Raises
    ------
    NoCine
        If there is no short-axis cine.
    """
    if examination.unclear:
        raise NoCine(examination.unclear, [], [])
    name = examination.name
    slices, problems = find_slices(examination.images)
    rules = _rules_for(slices, examination.rules)
    selection = select_short_axis(slices, rules, series=examination.series)
    series = {key: _told(choice, examination) for key, choice in selection.series.items()}
    if selection.failure:
        raise NoCine(selection.failure, list(series.values()), [])
    problems = _of(problems, selection.slices)
    try:
        parallel, tilted = remove_tilted(selection.slices, rules)
    except DataError as error:
        raise NoCine(str(error), list(series.values()), problems) from None
    parts, repeated = split_repeats(parallel, rules, name)
    for suffix, members in parts:
        for s in members:
            series[series_key(s)] = replace(series[series_key(s)], study=name + suffix)
    return parts, list(series.values()), _by_part([*problems, *tilted, *repeated], parts, name)


def _told(choice: SeriesChoice, examination: Examination) -> SeriesChoice:
    """What became of a series, in words that may be written."""
    told = choice.description if examination.rules.keep_ids else known_words(choice.description)
    return replace(choice, study=examination.name, description=told)


def _rules_for(slices: Sequence[Slice], rules: Rules) -> Rules:
    """The rules with tolerances that suit the size of the heart."""
    cines = [s for s in slices if len(s.images) >= rules.min_phases]
    return rules.scaled_to(typical_gap_mm(cines, rules.parallel_cosine))


def _unexpected(examination: Examination, error: Exception) -> Record:
    """The record of an examination that the program could not cope with."""
    reason = f"unexpected {type(error).__name__}; CMRSEG_DEBUG=1 shows where, please report it"
    problem = replace(_failure(DataError(reason)), study=examination.name)
    study = Study(examination.name, FAILED, problems=1, subject=examination.subject, reason=reason)
    return Record([study], [problem], [], [], digest="", key=examination.key)


def _measurement(
    examination: Examination, study: str, slices: list[Slice]
) -> tuple[list[Study], list[Problem], list[UsedImage], Pictures]:
    """One measurement of a stack, repaired and written."""
    problems: list[Problem] = []
    pictures: Pictures = []
    try:
        loaded, problems = load_frames(slices)
        repaired = repair(loaded, _rules_for(loaded, examination.rules))
        pictures = [replace(p, study=study) for p in repaired.pictures] + [picture_of(study, repaired.slices)]
        problems = problems + repaired.problems
        versions = _versions(study, to_cine(repaired.slices), examination.rules)
        used = [image for name, _ in versions for image in _used_images(name, repaired.slices)]
        for name, cine in versions:
            save_image(cine, examination.target / name / "sa.nii.gz")
        written = [_study(name, examination.subject, cine) for name, cine in versions]
        return written, _named(problems, study), used, pictures
    except DataError as error:
        failed = Study(study, FAILED, subject=examination.subject, reason=str(error))
        return [failed], _named([*problems, _failure(error)], study), [], pictures


def _versions(study: str, cine: Cine, rules: Rules) -> list[tuple[str, Cine]]:
    """The cine, and its rotated version where the rules ask for one."""
    is_landscape = cine.array.shape[0] > cine.array.shape[1]
    turned = [(f"{study}_rot90", rotated(cine))] if rules.rotate_landscape and is_landscape else []
    return [(study, cine), *turned]


def _study(name: str, subject: str, cine: Cine) -> Study:
    """What a cine is like."""
    return Study(name, OK, *cine.array.shape, *(round(v, 6) for v in cine.spacing), subject=subject)


def _used_images(study: str, slices: list[Slice]) -> list[UsedImage]:
    """Where every frame comes from."""
    return [
        UsedImage(study, z, t, image.series_number, image.label, image.frame, image.instance)
        for z, s in enumerate(slices)
        for t, image in enumerate(s.images)
    ]


def _of(problems: list[Problem], slices: list[Slice]) -> list[Problem]:
    """Problems of the images that are used; those of other views are nobody's."""
    labels = {image.label for s in slices for image in s.images}
    return [problem for problem in problems if problem.image in labels]


def _named(problems: list[Problem], study: str) -> list[Problem]:
    """Problems under the name of their study."""
    return [replace(problem, study=study) for problem in problems]


def _by_part(problems: list[Problem], parts: list[tuple[str, list[Slice]]], name: str) -> list[Problem]:
    """Problems under the name of the measurement whose image they are about, else of the first."""
    suffixes = {image.label: suffix for suffix, members in parts for s in members for image in s.images}
    return [replace(p, study=name + suffixes.get(p.image, parts[0][0])) for p in problems]


def _failure(error: DataError) -> Problem:
    """The problem of a study that has failed."""
    return Problem("", kinds.FAILED, "study left out", "", str(error))


def _counted(record: Record) -> Record:
    """The record with the problems of every study counted."""
    counts = Counter(problem.study for problem in record.problems)
    return replace(record, studies=[replace(s, problems=counts[s.study]) for s in record.studies])


def _digest(examination: Examination) -> str:
    """Changes when the images, the rules or the program change."""
    told = hashlib.sha256()
    told.update(
        repr((cmrseg.__version__, examination.rules, examination.series, examination.unclear)).encode()
    )
    told.update(repr((examination.name, examination.subject)).encode())
    for image in _in_order(examination.images):
        told.update(
            repr((image.label, image.frame, image.instance_uid, image.position, image.trigger_ms)).encode()
        )
    return told.hexdigest()


def _in_order(images: Iterable[DicomImage]) -> list[DicomImage]:
    """Images in an order that does not depend on who read them."""
    return sorted(images, key=lambda image: (image.name, image.frame))


def _is_whole(record: Record, target: Path) -> bool:
    """Whether all cines of a record are there, and how they were acquired."""
    cines = [target / s.study / "sa.nii.gz" for s in record.studies if s.status == OK]
    if cines and not record.acquisitions:  # of an earlier version
        return False
    return all(path.is_file() and path.stat().st_size > 0 for path in cines)


def remove_cines(record: Record, target: Path, *, kept: Container[str] = ()) -> None:
    """Remove the cines of an earlier run, except those that have been written again."""
    for s in record.studies:
        if s.study not in kept:
            (target / s.study / "sa.nii.gz").unlink(missing_ok=True)
            with suppress(OSError):  # a folder that holds a user's files stays
                (target / s.study).rmdir()
