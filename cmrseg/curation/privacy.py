"""Pseudonyms for studies and patients."""

from __future__ import annotations

import csv
import hmac
import os
import re
import secrets
from pathlib import Path

from cmrseg.io.atomic import keep_first
from cmrseg.io.home import home
from cmrseg.problems import DataError

SALT_VARIABLE = "CMRSEG_SALT"
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
        return keep_first(secrets.token_hex(16), path, mode=0o600)
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
