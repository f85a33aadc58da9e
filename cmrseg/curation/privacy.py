"""Pseudonyms for studies and patients, and keeping what identifies a person out of what is written."""

from __future__ import annotations

import csv
import hmac
import os
import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from cmrseg.io.atomic import write_text
from cmrseg.io.dicom import DicomImage
from cmrseg.problems import DataError

SALT_VARIABLE = "CMRSEG_SALT"
REMOVED = "[removed]"
_ALONE = r"(?<![A-Za-z0-9]){}(?![A-Za-z0-9])"
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
_LONG = 4  # characters; a shorter value is only removed where it stands alone
_MAX_NAME = 64


def load_salt() -> str:
    """The secret behind the pseudonyms: ``CMRSEG_SALT``, else one of this user, made on the first call.

    Raises
    ------
    DataError
        If it can neither be read nor made.
    """
    told = os.environ.get(SALT_VARIABLE)
    if told:
        return told
    path = home() / "pseudonym_salt"
    try:
        if not path.exists():
            write_text(secrets.token_hex(16), path)
            path.chmod(0o600)
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise DataError(
            f"the secret for pseudonyms cannot be kept in {path} ({error.strerror}); set {SALT_VARIABLE}"
        ) from None


def home() -> Path:
    """Folder for what cmrseg keeps for a user: ``CMRSEG_HOME``, else in the user's data folder."""
    told = os.environ.get("CMRSEG_HOME")
    if told:
        return Path(told)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "cmrseg"


def pseudonym(text: str, salt: str, *, prefix: str = "S") -> str:
    """A name that always follows from the same text and secret, and does not lead back."""
    return prefix + hmac.new(salt.encode(), text.encode(), "sha256").hexdigest()[:10]


def safe_name(text: str) -> str:
    """A value of a header as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:_MAX_NAME]


def load_names(path: Path) -> dict[str, str]:
    """A user's own pseudonyms: a table with the columns ``id`` (PatientID or StudyInstanceUID) and ``name``.

    Raises
    ------
    DataError
        If the table cannot be read, or a name is no name for a folder.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"names {path} cannot be read: {error}") from None
    names = {}
    for row in rows:
        identifier, name = (row.get("id") or "").strip(), (row.get("name") or "").strip()
        if not identifier or not name or name != safe_name(name):
            raise DataError(
                f"names {path}: a row needs an id and a name of letters, digits, - and _, "
                f"got '{identifier}', '{name}'"
            )
        names[identifier] = name
    return names


def without_identity(images: Sequence[DicomImage]) -> list[DicomImage]:
    """Images of one patient under names and descriptions that do not tell who it is.

    Names stay different: where two would become the same, they are numbered.
    """
    identity = frozenset(value for image in images for value in image.identity)
    clean: dict[str, str] = {}
    taken: Counter[str] = Counter()
    for name in sorted({image.name for image in images}):
        told = redact(name, identity)
        taken[told] += 1
        clean[name] = told if taken[told] == 1 else f"{told}#{taken[told]}"
    return [
        replace(image, name=clean[image.name], description=redact(image.description, identity))
        for image in images
    ]


def redact(text: str, identity: Iterable[str]) -> str:
    """A name of a file or a description without what identifies a person.

    Gone are the values of the header, the parts of names (also without umlauts and accents), and dates in
    usual spellings. What no header tells cannot be recognised.
    """
    values = frozenset(identity)
    return _pattern(values).sub(REMOVED, text) if values else text


@lru_cache(maxsize=256)
def _pattern(values: frozenset[str]) -> re.Pattern[str]:
    """What to remove, the longest first; short values and numbers only where they stand alone."""
    parts = {spelling for value in values for part in _parts(value) for spelling in _spellings(part)}
    patterns = [
        re.escape(part) if len(part) >= _LONG and not part.isdigit() else _ALONE.format(re.escape(part))
        for part in sorted(parts, key=lambda part: (-len(part), part))
    ]
    return re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE)


def _parts(value: str) -> set[str]:
    """A value and the parts of a name."""
    return {part for part in [value, *re.split(r"[\^=\s,]+", value)] if len(part) > 1}


def _spellings(part: str) -> set[str]:
    """A part as it may stand in the name of a folder."""
    plain = unicodedata.normalize("NFKD", part).encode("ascii", "ignore").decode()
    german = part.translate(_UMLAUTS)
    spellings = {part, plain, german, re.sub(r"\W+", "_", german)}
    if re.fullmatch(r"(19|20)\d{6}", part):
        year, month, day = part[:4], part[4:6], part[6:]
        spellings |= {f"{year}{s}{month}{s}{day}" for s in "-_."} | {
            f"{day}{s}{month}{s}{year}" for s in "-_."
        }
        spellings |= {f"{day}{month}{year}", f"{part[2:]}"}
    return {spelling for spelling in spellings if len(spelling) > 1 and spelling.strip("_0")}
