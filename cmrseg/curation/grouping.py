"""Which images belong to one examination, and what examinations and patients are called."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from cmrseg.curation.identity import contradict, frames_of, is_nobody, study_uid_of
from cmrseg.curation.joining import join_examinations, join_series
from cmrseg.curation.privacy import pseudonym, safe_name
from cmrseg.curation.rules import Rules
from cmrseg.curation.separation import separate
from cmrseg.io.dicom import DicomImage

_PART = re.compile(r"_([a-z]|rot90)$")
_COMPARED = 1 << 16  # bytes of two files

Key = tuple[str, str]  # of the examination, of the patient
NO_KEY = ("", "")


@dataclass(frozen=True)
class Group:
    """Images of one examination.

    Attributes
    ----------
    key
        What it is recognised by: its StudyInstanceUID or what stands for it, and the PatientID.
    images
        All its images.
    unclear
        Why it cannot be told whose they are; empty where it can.
    """

    key: Key
    images: list[DicomImage]
    unclear: str = ""


def group_images(images: Iterable[DicomImage], rules: Rules | None = None) -> tuple[list[Group], list[str]]:
    """Images by examination, the oldest first, and what a user should know about how they were told apart.

    Headers tell it: StudyInstanceUID and PatientID, without the former patient and date. UIDs that differ
    within one examination are joined, and examinations under one name that says nothing are told apart, by
    frame of reference, geometry, folders and what else the headers tell. ``study_pattern`` in the rules goes
    before all that.

    Parameters
    ----------
    images
        All images of a source.
    rules
        Of curation.
    """
    rules, notes = rules or Rules(), _Notes()
    named: defaultdict[Key, list[DicomImage]] = defaultdict(list)
    told: defaultdict[tuple[str, str, str], list[DicomImage]] = defaultdict(list)
    for image in images:
        if name := name_in_path(image, rules.study_pattern):
            named[name, ""].append(image)
        else:
            uid = study_uid_of(image)
            told[image.patient_id, uid, "" if uid else image.study_date].append(image)
    groups = [Group(key, join_series(members, rules)[0]) for key, members in named.items()]
    days: defaultdict[tuple[str, str], dict[str, list[DicomImage]]] = defaultdict(dict)
    for (patient, uid, _), members in told.items():
        days[patient, _date(members)][uid] = _without_false_copies(members)
    for day, studies in days.items():
        groups += _of_one_day(day, studies, rules, notes)
    return sorted(groups, key=lambda group: (_date(group.images), group.key)), notes.sentences()


class _Notes:
    """What was joined and told apart, counted."""

    def __init__(self) -> None:
        self.studies = self.series = 0
        self.apart: Counter[str] = Counter()

    def sentences(self) -> list[str]:
        """What a user should know."""
        told = []
        if self.studies:
            told.append(
                f"{self.studies} StudyInstanceUIDs hold parts of examinations: joined by patient, date, "
                "frame of reference and geometry; if that is wrong, name the examinations by their folders "
                "(study_pattern in the rules, --rules)"
            )
        if self.series:
            told.append(
                f"{self.series} SeriesInstanceUIDs hold single phases or images of a cine: joined by "
                "geometry and description"
            )
        for by, count in self.apart.items():
            told.append(
                f"{count} examinations have the same PatientID and StudyInstanceUID, or none: "
                f"told apart by {by}"
            )
        return told


def _of_one_day(
    day: tuple[str, str], studies: dict[str, list[DicomImage]], rules: Rules, notes: _Notes
) -> list[Group]:
    """Examinations of one patient and date, by their StudyInstanceUIDs."""
    is_sure = not is_nobody(day[0]) and bool(day[1])
    uids = sorted(studies)
    groups, left = [], set(range(len(uids)))
    for numbers in join_examinations([studies[uid] for uid in uids], rules, is_sure=is_sure):
        together = [image for n in numbers for image in studies[uids[n]]]
        name = " ".join((*day, *_marks([together])))
        groups += _examinations((name, day[0]), together, rules, notes, is_sure=False)
        left -= set(numbers)
        notes.studies += len(numbers)
    for uid in (uids[n] for n in sorted(left)):
        name = uid or " ".join(day)
        groups += _examinations((name, day[0]), studies[uid], rules, notes, is_sure=bool(uid))
    return groups


def _examinations(
    key: Key, images: list[DicomImage], rules: Rules, notes: _Notes, *, is_sure: bool
) -> list[Group]:
    """Examinations among images that the headers give to one."""
    images, count = join_series(images, rules)
    notes.series += count
    is_sure = is_sure and not is_nobody(key[1])
    if is_sure and len(frames_of(images)) < 2 and not contradict(images):
        return [Group(key, images)]
    parts = separate(images, rules, is_sure=is_sure)
    if len(parts.images) > 1:
        notes.apart[parts.by] += len(parts.images)
    is_named = len(parts.images) == 1 and not is_nobody(key[1])
    marks = [""] if is_named else _marks(parts.images)
    return [
        Group((f"{key[0]} {mark}".rstrip(), key[1]), members, parts.unclear)
        for mark, members in zip(marks, parts.images, strict=True)
    ]


def _marks(parts: Sequence[Sequence[DicomImage]]) -> list[str]:
    """What parts are recognised by in later runs: the frame of reference, else the first image."""
    frames = [min(frames_of(images) - {""}, default="") for images in parts]
    first = [min(images, key=lambda image: (image.instance_uid, image.name)) for images in parts]
    for marks in (frames, [image.instance_uid for image in first]):
        if all(marks) and len(set(marks)) == len(marks):
            return marks
    return [image.name for image in first]


def _without_false_copies(images: list[DicomImage]) -> list[DicomImage]:
    """Images; those under one SOPInstanceUID that hold different pixels are left without it."""
    same: defaultdict[tuple, list[DicomImage]] = defaultdict(list)
    for image in images:
        if image.instance_uid:
            same[image.instance_uid, image.frame].append(image)
    false = {
        uid
        for (uid, _), copies in same.items()
        if len(copies) > 1 and len({_some_pixels(copy) for copy in copies}) > 1
    }
    return [replace(i, instance_uid="") if i.instance_uid in false else i for i in images]


def _some_pixels(image: DicomImage) -> bytes:
    """The first pixels of a file, or its end where they are compressed."""
    try:
        with image.path.open("rb") as file:
            end = max(image.path.stat().st_size - _COMPARED, 0)
            file.seek(image.pixels.offset if image.pixels.offset >= 0 else end)
            return file.read(min(_COMPARED, 2 * image.rows * image.columns))
    except OSError:
        return b""


def name_in_path(image: DicomImage, pattern: str) -> str:
    """What the rules find in a path."""
    match = re.search(pattern, image.name) if pattern else None
    return match.group(1) if match else ""


def told_name(group: Group, pattern: str) -> str:
    """Name of an examination where ids may be told."""
    if not group.images:
        return safe_name(group.key[1]) or safe_name(group.key[0])
    first = group.images[0]
    return safe_name(name_in_path(first, pattern) or first.patient_id) or safe_name(first.study_uid)


def patient_name(key: Key, salt: str, *, tell: bool) -> str:
    """Name of the patient; where nobody or only a path is named, every examination has its own."""
    examination, patient = key
    if is_nobody(patient):
        patient = examination
    return safe_name(patient) if tell else pseudonym(patient, salt, prefix="P")


def free_name(name: str, taken: Collection[str]) -> str:
    """A name that is not taken, whatever the case; ``_a`` and ``_rot90`` are parts of a study."""
    roots = {_PART.sub("", other.lower()) for other in taken}
    free, number = name, 1
    while _PART.sub("", free.lower()) in roots:
        number += 1
        free = f"{name}_{number}"
    return free


def is_version(name: str, wanted: str) -> bool:
    """Whether a name is the wanted one, or the wanted one with a number that made it free."""
    return re.fullmatch(re.escape(wanted) + r"(_\d+)?", name) is not None


def _date(images: Sequence[DicomImage]) -> str:
    """Date of an examination."""
    return min(image.study_date for image in images)
