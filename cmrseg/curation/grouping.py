"""Which images belong to one examination, and what examinations and patients are called."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from cmrseg.curation.privacy import pseudonym, safe_name
from cmrseg.io.dicom import DicomImage

_NOBODY = re.compile(r"anon\w*|unknown|none|no.?name|[0x*_ -]*", re.IGNORECASE)
_PART = re.compile(r"_([a-z]|rot90)$")

Key = tuple[str, str]  # of the examination, of the patient


def group_images(images: Iterable[DicomImage], pattern: str = "") -> dict[Key, list[DicomImage]]:
    """Images by examination, the oldest first.

    Parameters
    ----------
    images
        All images of a source.
    pattern
        Regular expression that finds the examination in a path, where headers do not tell it.

    Returns
    -------
    Examinations by StudyInstanceUID and PatientID; without the former by patient and date.
    """
    groups: defaultdict[Key, list[DicomImage]] = defaultdict(list)
    for image in images:
        found = name_in_path(image, pattern) or image.study_uid or f"{image.patient_id} {image.study_date}"
        groups[found, "" if name_in_path(image, pattern) else image.patient_id].append(image)
    return dict(sorted(groups.items(), key=lambda item: (_date(item[1]), item[0])))


def name_in_path(image: DicomImage, pattern: str) -> str:
    """What the rules find in a path."""
    match = re.search(pattern, image.name) if pattern else None
    return match.group(1) if match else ""


def told_name(images: Sequence[DicomImage], pattern: str) -> str:
    """Name of an examination where ids may be told."""
    first = images[0]
    return safe_name(name_in_path(first, pattern) or first.patient_id) or safe_name(first.study_uid)


def patient_name(key: Key, salt: str, *, tell: bool) -> str:
    """Name of the patient; where nobody or only a path is named, every examination has its own."""
    examination, patient = key
    if _NOBODY.fullmatch(patient):
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
