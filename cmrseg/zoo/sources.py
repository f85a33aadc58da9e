"""Where the file of a model can be had: a mirror, an address, a record of Zenodo."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from cmrseg.problems import DataError
from cmrseg.zoo.download import public, read_json

if TYPE_CHECKING:
    from cmrseg.zoo.manifest import Entry

# By the prefix of the DOI; the second is Zenodo's playground.
ZENODO = {"10.5281": "https://zenodo.org", "10.5072": "https://sandbox.zenodo.org"}
DOI = re.compile(r"(10\.5281|10\.5072)/zenodo\.(\d+)")


@dataclass(frozen=True)
class Source:
    """One place to fetch a file from, and what it says of the file."""

    url: str
    md5: str | None = None
    size: int | None = None


def is_offline() -> bool:
    """Whether ``CMRSEG_OFFLINE`` forbids every connection."""
    return os.environ.get("CMRSEG_OFFLINE", "").lower() not in ("", "0", "no", "false")


def origins(entry: Entry) -> tuple[str, ...]:
    """Addresses and DOIs to try in this order, a mirror of ``CMRSEG_MIRROR`` first.

    A mirror is laid out as the cache: ``<name>/<file>``, so that a cache served over HTTP is one.
    """
    mirror = os.environ.get("CMRSEG_MIRROR", "").rstrip("/")
    first = [f"{mirror}/{quote(entry.name)}/{quote(entry.file)}"] if mirror else []
    return (*first, *filter(None, [entry.url or entry.doi]))


def host(origin: str) -> str:
    """What a user knows an origin by."""
    return f"Zenodo (doi:{origin})" if DOI.fullmatch(origin) else (urlsplit(origin).hostname or origin)


def address(origin: str, file: str) -> str:
    """Where a user finds a file with a browser."""
    return f"{file} of https://doi.org/{origin}" if DOI.fullmatch(origin) else public(origin)


def resolve(origin: str, file: str) -> Source:
    """The address of a file; of a DOI as its record tells.

    Parameters
    ----------
    origin
        Address of the file, or DOI of the Zenodo record that holds it. Of a DOI that stands for all versions
        Zenodo shows the newest.
    file
        Name of the file in the record.

    Raises
    ------
    DataError
        If the record cannot be read or has no such file.

    References
    ----------
    https://developers.zenodo.org
    """
    match = DOI.fullmatch(origin)
    if match is None:
        return Source(origin)
    record = f"{ZENODO[match[1]]}/api/records/{match[2]}"
    answer = read_json(record)
    try:
        files = {listed["key"]: _source(listed) for listed in answer["files"]}
    except (KeyError, TypeError, AttributeError, ValueError):
        raise DataError(f"{record} does not list files as Zenodo does; update cmrseg") from None
    if file not in files:
        raise DataError(f"{record} has no file {file}; it holds {', '.join(sorted(files)) or 'no files'}")
    return files[file]


def _source(listed: dict[str, Any]) -> Source:
    """One file of a record."""
    kind, _, checksum = listed["checksum"].partition(":")
    return Source(listed["links"]["self"], checksum if kind == "md5" else None, int(listed["size"]))
