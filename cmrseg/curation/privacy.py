"""Pseudonyms for studies and patients, and keeping what identifies a person out of what is written."""

from __future__ import annotations

import csv
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from cmrseg.io.atomic import write_text
from cmrseg.problems import DataError

SALT_VARIABLE = "CMRSEG_SALT"
REMOVED = "[removed]"
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


def redact(text: str, identity: Iterable[str]) -> str:
    """A text without the values that identify a person, and without the parts of their names."""
    values = frozenset(identity)
    return _pattern(values).sub(REMOVED, text) if values else text


@lru_cache(maxsize=256)
def _pattern(values: frozenset[str]) -> re.Pattern[str]:
    """What to remove, the longest first."""
    parts = {part for value in values for part in [value, *re.split(r"[\^=\s,]+", value)] if len(part) > 1}
    alone = r"(?<![A-Za-z0-9]){}(?![A-Za-z0-9])"
    patterns = [
        re.escape(part) if len(part) >= _LONG else alone.format(re.escape(part))
        for part in sorted(parts, key=lambda part: (-len(part), part))
    ]
    return re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE)
