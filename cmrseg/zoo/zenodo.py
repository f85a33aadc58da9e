"""Records of Zenodo: what a DOI, a number or a page leads to, as zenodo-get asks for it and lists it.

zenodo-get knows Zenodo's and the sandbox's addresses and forms of answers. It asks through our own
connection, which waits for a busy server, knows proxies and certificates, and tells failures in a sentence.

Notes
-----
Never import zenodo-get otherwise: its command takes Ctrl-C over for the whole program and fails outside the
main thread. It is AGPL-3.0; it is a dependency, not part of this package.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote

from cmrseg.legacy.records import brief
from cmrseg.problems import DataError
from cmrseg.zoo.cache import Checksum
from cmrseg.zoo.download import read_json

# By the prefix of the DOI; the second is Zenodo's playground.
ZENODO = {"10.5281": "https://zenodo.org", "10.5072": "https://sandbox.zenodo.org"}
DOI = re.compile(r"(10\.5281|10\.5072)/zenodo\.(\d+)")
_KNOWN_TO_ZENODO_GET = {"10.5281": "https://zenodo.org", "10.5072": "https://sandbox.zenodo.org"}
_FORMS = (
    re.compile(
        r"(?:doi:|(?:https?://)?(?:dx\.)?doi\.org/)?(10\.5281|10\.5072)/zenodo\.(\d+)(?:/(.+))?", re.I
    ),
    re.compile(r"(?:https?://)?(sandbox\.|)zenodo\.org/records?/(\d+)(?:/files/([^?#]+))?(?:[?#].*)?", re.I),
    re.compile(r"()(\d+)(?:/(.+))?"),
)
_PREFIXES = {"": "10.5281", "sandbox.": "10.5072"}
_PLAIN_FILE = re.compile(r"[^/\\:*?\"<>|\x00-\x1f\x7f-\x9f]{1,200}")
_ALGORITHMS = ("md5", "sha256")


@dataclass(frozen=True)
class RecordName:
    """What a user calls a record, or one file of it."""

    doi: str
    file: str | None = None


@dataclass(frozen=True)
class RecordFile:
    """One file of a record.

    Attributes
    ----------
    name, size, url
        Plain name, bytes, and where its content is.
    checksum
        Of its content; None where the record names none that is known.
    """

    name: str
    size: int
    url: str
    checksum: Checksum | None


@dataclass(frozen=True)
class Record:
    """A record of Zenodo.

    Attributes
    ----------
    doi
        Of this version, also where that of all versions was asked for.
    title, licence
        As its authors state; "not stated" where they do not.
    files
        In the order of their names.
    """

    doi: str
    title: str
    licence: str
    files: tuple[RecordFile, ...]

    def file(self, name: str) -> RecordFile:
        """One file by name.

        Raises
        ------
        DataError
            If there is none.
        """
        for file in self.files:
            if file.name == name:
                return file
        held = ", ".join(file.name for file in self.files) or "no files"
        raise DataError(f"record {self.doi} has no file {name}; it holds {held}")


def parse_record(text: str) -> RecordName | None:
    """The record that a user names by DOI, number or page, with ``/FILE`` where one file is meant; else None.

    Parameters
    ----------
    text
        Such as ``10.5281/zenodo.7``, ``7``, ``https://zenodo.org/records/7`` or
        ``10.5281/zenodo.7/model.zip``. A record of the sandbox is named by its DOI (10.5072) or page.
    """
    for form in _FORMS:
        if match := form.fullmatch(text.strip()):
            prefix, number, file = match.groups()
            return RecordName(
                f"{_PREFIXES.get(prefix.lower(), prefix)}/zenodo.{int(number)}", file and unquote(file)
            )
    return None


def read_record(doi: str) -> Record:
    """What a record holds; of a DOI that stands for all versions Zenodo shows the newest.

    Parameters
    ----------
    doi
        ``10.5281/zenodo.N``, or 10.5072 for the sandbox.

    Raises
    ------
    DataError
        If it cannot be read.

    References
    ----------
    https://developers.zenodo.org
    """
    prefix, number = DOI.fullmatch(doi).groups()
    fetch_metadata, choose, file_url = _zenodo_get()
    answer = fetch_metadata(
        number,
        sandbox=prefix == "10.5072",
        access_token=None,
        timeout_val=0,  # our connection has its own
        exceptions_on_failure=True,
        get_client=lambda: _Connection(prefix),
    )
    try:
        listed = choose({"files": list(answer["files"])}, (), number)
        if len(listed) < len(answer["files"]):
            raise KeyError("key")  # a file without a name is not listed
        files = [_file(told, file_url(told, number, f"{ZENODO[prefix]}/records/")) for told in listed]
        version = DOI.fullmatch(str(answer.get("doi")))
        about = answer.get("metadata") or {}
        licence = (about.get("license") or {}).get("id") or "not stated"
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"record {doi} does not list files as Zenodo does; update cmrseg") from None
    return Record(
        version[0] if version else doi,
        brief(str(about.get("title") or "not stated")),
        brief(str(licence)),
        tuple(sorted(files, key=lambda file: file.name)),
    )


def _file(told: dict[str, Any], url: str) -> RecordFile:
    """One file of a record; its name becomes a path."""
    name = told["key"]
    if not _PLAIN_FILE.fullmatch(name) or name.strip(". ") != name:
        raise DataError(
            f"a file of the record is called '{brief(name)}', which is no plain name; nothing was fetched"
        )
    kind, _, value = told["checksum"].partition(":")
    return RecordFile(name, int(told["size"]), url, (kind, value) if kind in _ALGORITHMS else None)


class _Connection:
    """What zenodo-get asks a record of."""

    def __init__(self, prefix: str) -> None:
        self._known, self._host = _KNOWN_TO_ZENODO_GET[prefix], ZENODO[prefix]

    def get(self, url: str, **_: object) -> _Answer:
        return _Answer(read_json(url.replace(self._known, self._host, 1)))


@dataclass(frozen=True)
class _Answer:
    """An answer that came whole; whatever went wrong was told before."""

    content: dict[str, Any]

    def raise_for_status(self) -> None:
        """Nothing is wrong."""

    def json(self) -> dict[str, Any]:
        return self.content


@cache
def _zenodo_get() -> tuple[Callable[..., Any], ...]:
    """Functions of zenodo-get, without its command, which on import takes Ctrl-C over for the program."""
    command = "zenodo_get.zget"
    without = command not in sys.modules
    if without:
        sys.modules[command] = None  # its package does without what cannot be imported
    try:
        from loguru import logger
        from zenodo_get.metadata import fetch_record_metadata, filter_files_from_metadata
        from zenodo_get.workflow.file_url import file_url
    finally:
        if without:
            del sys.modules[command]
            sys.modules.pop("zenodo_get", None)  # so that a user's own import has all of it
    logger.disable("zenodo_get")
    return fetch_record_metadata, filter_files_from_metadata, file_url
