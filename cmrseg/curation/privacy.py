"""Pseudonyms for studies and patients, and keeping what identifies a person out of what is written."""

from __future__ import annotations

import csv
import hmac
import os
import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from cmrseg.io.atomic import atomic_path
from cmrseg.io.dicom import DicomImage
from cmrseg.io.home import home
from cmrseg.problems import DataError

SALT_VARIABLE = "CMRSEG_SALT"
REMOVED = "[removed]"
_ALONE = r"(?<![A-Za-z0-9]){}(?![A-Za-z0-9])"
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
_LONG = 4  # characters; a shorter value is only removed where it stands alone
_LONG_NUMBER, _SHORT_NAME = 6, 3  # characters of what tells of other patients
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
        salt = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if not salt:
            salt = secrets.token_hex(16)
            with atomic_path(path) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_text(salt, encoding="utf-8")
        return salt
    except OSError as error:
        raise DataError(
            f"the secret for pseudonyms cannot be kept in {path} ({error.strerror}); set {SALT_VARIABLE}"
        ) from None


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


def without_identity(images: Sequence[DicomImage], words: Collection[str] = ()) -> list[DicomImage]:
    """Images of one patient under names and descriptions that do not tell who it is.

    Parameters
    ----------
    images
        All images of an examination.
    words
        Words that tell of any patient of the source, see `words_of`.

    Returns
    -------
    The images; names of files stay different: where two would become the same, they are numbered.
    """
    identity = frozenset(value for image in images for value in image.identity)
    clean: dict[Path, str] = {}
    taken: Counter[str] = Counter()
    for name, path in sorted({(image.name, image.path) for image in images}):
        told = without_words(redact(name, identity), words)
        taken[told] += 1
        clean[path] = told if taken[told] == 1 else f"{told}#{taken[told]}"
    return [
        replace(
            image,
            name=clean[image.path],
            description=without_words(redact(image.description, identity), words),
        )
        for image in images
    ]


def words_of(identities: Iterable[Iterable[str]]) -> frozenset[str]:
    """Words that tell of one of many patients: parts of names, and long numbers, in lower case."""
    values = {value for identity in set(map(tuple, identities)) for value in identity}
    words = {spelling.lower() for value in values for part in _parts(value) for spelling in _spellings(part)}
    return frozenset(
        word
        for word in words
        if len(word) >= _LONG_NUMBER or (len(word) >= _SHORT_NAME and not word.isdigit())
    )


def without_words(text: str, words: Collection[str]) -> str:
    """A text without some whole words."""
    if not words:
        return text
    return re.sub(r"[^\W_]+", lambda m: REMOVED if m.group().lower() in words else m.group(), text)


def redact(text: str, identity: Iterable[str]) -> str:
    """A name of a file or a description without what identifies a person.

    Gone are the values of the header, the parts of names (also joined, and without umlauts and accents), and
    dates in usual spellings. What no header tells cannot be recognised.
    """
    values = frozenset(identity)
    return _pattern(values).sub(REMOVED, unicodedata.normalize("NFC", text)) if values else text


@lru_cache(maxsize=256)
def _pattern(values: frozenset[str]) -> re.Pattern[str]:
    """What to remove, the longest first; short values and numbers only where they stand alone."""
    parts = {spelling for value in values for part in _parts(value) for spelling in _spellings(part)}
    patterns = [
        re.escape(part)
        if not part.isascii() or (len(part) >= _LONG and not part.isdigit())
        else _ALONE.format(re.escape(part))
        for part in sorted(parts, key=lambda part: (-len(part), part))
    ]
    return re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE)


def _parts(value: str) -> set[str]:
    """A value, the parts of a name, and those joined."""
    parts = [part for part in re.split(r"[\^=\s,]+", unicodedata.normalize("NFC", value)) if part]
    return {value, *parts, "".join(parts), "".join(reversed(parts))}


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
    return {s for s in spellings if s.strip("_0") and (len(s) > 1 or not s.isascii())}
