"""Telling apart examinations whose headers do not say whose they are, by what else differs between them.

Short-axis stacks that cannot be of one measurement of one heart are two examinations, if a frame of
reference, a height, a folder ... has one value for each, cuts no slice in two and leaves no slice over.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import PurePosixPath

import numpy as np

from cmrseg.curation.hearts import cine_slices, combs, is_one_heart, is_repeated, lies_near, lines, short_axes
from cmrseg.curation.identity import contradict, frame_of, frames_of, is_nobody, study_uid_of
from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import Slice
from cmrseg.io.dicom import DicomImage
from cmrseg.io.dicom_header import VISIT, WHOSE

UNCLEAR = (
    "short-axis slices of more than one measurement lie among each other, and PatientID, UIDs, folders and "
    "geometry do not tell whose they are: give every examination a folder of its own and name it by "
    "study_pattern in the rules (--rules), or name the series of one with --series"
)
_WORDS = {
    "PatientName": "patient's name",
    "PatientSex": "sex",
    "PatientBirthDate": "birth date",
    "PatientAge": "age",
    "PatientSize": "height",
    "PatientWeight": "weight",
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "scanner",
    "MagneticFieldStrength": "field strength",
    "AccessionNumber": "accession number",
    "StudyID": "study ID",
    "StudyTime": "study time",
}
_PATH_LEVELS = 4
_COUNTS = (r"\d+$", r"\d+", r"[-_. ].*")  # what differs between the files of one examination
_MANY_PARTS = 20  # of more, not every one is compared with every other
_TOO_MANY = 500  # slices; they are not of one heart
_EVEN = 1.6  # times the usual step: more is a gap

Label = Callable[[DicomImage], object]


@dataclass(frozen=True)
class Parts:
    """Images of one examination each; by what they were told apart; why they could not be."""

    images: list[list[DicomImage]]
    by: str = ""
    unclear: str = ""


def separate(images: list[DicomImage], rules: Rules, *, is_sure: bool) -> Parts:
    """Images of one patient by their headers, as examinations.

    Parameters
    ----------
    images
        All that the headers give to one examination.
    rules
        What is a stack.
    is_sure
        Whether the headers say whose they are; a stack that was measured twice is then one examination.
    """
    cines = cine_slices(images, rules)
    is_one = len(cines) < _TOO_MANY and is_one_heart(cines, rules)
    frames = frames_of(s.images[0] for s in cines)
    if is_one and len(frames - {""}) < 2:
        return Parts([images])
    is_same = is_sure or (len(frames) == 1 and "" not in frames and bool(study_uid_of(images[0])))
    if is_same and is_repeated(cines, rules) and not contradict(images):
        return Parts([images])
    for by, label in _labels(cines, rules):
        found = _told_apart(images, label, rules, is_sure=is_sure)
        if found:
            return Parts(found, by)
    is_clear = is_one or is_same or is_repeated(cines, rules)
    return Parts([images], unclear="" if is_clear else UNCLEAR)


def _labels(cines: Sequence[Slice], rules: Rules) -> Iterator[tuple[str, Label]]:
    """What may tell examinations apart, the surest first."""
    yield "frame of reference", frame_of
    for number, name in enumerate(WHOSE):
        yield _WORDS[name], lambda image, n=number: _said(image.whose, n)
    for level in range(1, _PATH_LEVELS + 1):
        yield "folder", lambda image, n=level: PurePosixPath(image.name).parts[:-1][:n]
    for pattern in _COUNTS:
        yield "names of files", lambda image, p=pattern: _stem(image, p)
        yield (
            "names of folders",
            lambda image, p=pattern: re.sub(p, "", PurePosixPath(image.name).parent.name),
        )
    for number, name in enumerate(VISIT):
        yield _WORDS[name], lambda image, n=number: _said(image.visit, n)
    yield "heart rate", lambda image: round(image.interval_ms) if image.interval_ms > 0 else ""
    if cines and len(cines) < _TOO_MANY:
        yield "direction of the slices", _numbered(short_axes(cines, rules))
        for found in (lines, combs):
            yield "places of the slices", _numbered(_divided(short_axes(cines, rules), found))
    yield "series", lambda image: image.series_uid


def _told_apart(
    images: Sequence[DicomImage], label: Label, rules: Rules, *, is_sure: bool
) -> list[list[DicomImage]]:
    """Images by their label, if that gives examinations; else nothing."""
    groups: defaultdict[object, list[DicomImage]] = defaultdict(list)
    for image in images:
        groups[label(image)].append(image)
    if len(groups) < 2:
        return []
    slices = {key: cine_slices(members, rules) for key, members in groups.items()}
    whole = [key for key in groups if short_axes(slices[key], rules)]
    rest = [key for key in groups if key not in whole]
    if len(whole) < 2 or _cuts(images, label, rules):
        return []
    stacks = {key: short_axes(slices[key], rules)[0] for key in whole}
    if any(lies_near(s, stacks[whole[0]]) for key in rest for s in slices[key]):
        return []
    pairs = combinations(whole, 2) if len(whole) <= _MANY_PARTS else pairwise(whole)
    if label is not frame_of and any(is_one_heart(slices[a] + slices[b], rules) for a, b in pairs):
        return []
    found = [separate(groups[key], rules, is_sure=is_sure) for key in whole]
    if any(part.unclear for part in found):
        return []
    parts = [members for part in found for members in part.images]
    for key in rest:
        _nearest(groups[key], parts).extend(groups[key])
    return parts


def _cuts(images: Sequence[DicomImage], label: Label, rules: Rules) -> bool:
    """Whether a label cuts the frames of one slice into parts that are no cines of their own."""
    for s in cine_slices(images, rules):
        parts: defaultdict[object, list[DicomImage]] = defaultdict(list)
        for image in s.images:
            parts[label(image)].append(image)
        if len(parts) > 1 and not all(_is_whole(part, rules) for part in parts.values()):
            return True
    return False


def _is_whole(images: Sequence[DicomImage], rules: Rules) -> bool:
    """Whether no frame is missing among those of a slice."""
    times = np.array([image.trigger_ms for image in images])
    steps = np.diff(np.sort(times if np.isfinite(times).all() else [image.instance for image in images]))
    return len(images) >= rules.min_phases and bool(steps.max() < _EVEN * np.median(steps))


def _nearest(images: Sequence[DicomImage], parts: Sequence[list[DicomImage]]) -> list[DicomImage]:
    """The examination that some other images are part of: by frame, folder, number of the series."""
    first = images[0]

    def likeness(part: list[DicomImage]) -> tuple[bool, int, int]:
        return (
            frame_of(first) in frames_of(part) - {""},
            max(_shared_folders(first, image) for image in part),
            -min(abs(first.series_number - image.series_number) for image in part),
        )

    return max(parts, key=likeness)


def _shared_folders(image: DicomImage, other: DicomImage) -> int:
    """How many folders two files have in common."""
    ours, theirs = (PurePosixPath(i.name).parts[:-1] for i in (image, other))
    return next(
        (n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
    )


def _said(values: Sequence[str], number: int) -> str:
    """One of some values, empty where it says nothing."""
    return "" if len(values) <= number or is_nobody(values[number]) else values[number]


def _stem(image: DicomImage, counts: str) -> tuple[str, str]:
    """Folder of a file, and its name without what counts."""
    path = PurePosixPath(image.name)
    return str(path.parent), re.sub(counts, "", path.stem)


def _divided(stacks: Sequence[list[Slice]], numbers: Callable[[list[Slice]], list[int]]) -> list[list[Slice]]:
    """Stacks by the numbers of their slices."""
    found: defaultdict[tuple[int, int], list[Slice]] = defaultdict(list)
    for number, stack in enumerate(stacks):
        for s, part in zip(stack, numbers(stack), strict=True):
            found[number, part].append(s)
    return list(found.values())


def _numbered(stacks: Sequence[Sequence[Slice]]) -> Label:
    """The number of the stack that an image is part of."""
    numbers = {
        (image.name, image.frame): number
        for number, stack in enumerate(stacks)
        for s in stack
        for image in s.images
    }
    return lambda image: numbers.get((image.name, image.frame), -1)
