"""Which identities say something: those that an anonymiser leaves or makes up are nobody's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from cmrseg.io.dicom import DicomImage

_NOBODY = re.compile(
    r"anon\w*|unknown|none|null|nil|n ?a|nan|no ?name|no ?id|name|test|patient( ?(id|name))?|subject|removed|"
    r"deleted|redacted|hidden|private|confidential|blank|empty|de ?id\w*|dummy|default|not ?\w+|[0x ]*",
    re.IGNORECASE,
)
_SHORTEST_UID = 12  # characters; a real one names an organisation, a machine and a time


@lru_cache(maxsize=4096)
def is_nobody(text: str) -> bool:
    """Whether a name or id says nothing about whose it is: ``ANON``, ``0``, ``REMOVED``, nothing at all."""
    return _NOBODY.fullmatch(re.sub(r"[\W_]+", " ", text).strip()) is not None


@lru_cache(maxsize=4096)
def said_uid(uid: str) -> str:
    """A UID, empty where it is a dummy: ``0``, ``1.2.3``, zeros, one that counts, no UID at all."""
    parts = uid.split(".")
    counts = [str(n) for n in range(1, len(parts) + 1)]
    is_dummy = (
        len(uid) < _SHORTEST_UID
        or not all(part.isascii() and part.isdigit() for part in parts)
        or parts == counts
        or not set(uid) - set(".01")
    )
    return "" if is_dummy else uid


def study_uid_of(image: DicomImage) -> str:
    """StudyInstanceUID, if it says something; a UID that stands for several things says nothing."""
    told = said_uid(image.study_uid)
    return "" if told in (image.series_uid, image.instance_uid, image.frame_of_reference) else told


def frame_of(image: DicomImage) -> str:
    """FrameOfReferenceUID, if it says something."""
    told = said_uid(image.frame_of_reference)
    return "" if told in (image.series_uid, image.instance_uid, image.study_uid) else told


def frames_of(images: Iterable[DicomImage]) -> set[str]:
    """FrameOfReferenceUIDs of some images, an empty one where it says nothing."""
    return {frame_of(image) for image in images}


def contradict(images: Iterable[DicomImage]) -> bool:
    """Whether images tell different sexes, ages, heights, scanners ..., so that they are of two people."""
    told = {image.whose for image in images}
    columns = zip(*told, strict=True) if all(told) else ()
    return any(len({value for value in column if not is_nobody(value)}) > 1 for column in columns)
