"""Where the file of a model can be had: a mirror, an address, a record of Zenodo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from cmrseg.zoo.cache import Checksum
from cmrseg.zoo.download import public
from cmrseg.zoo.entry import Entry
from cmrseg.zoo.zenodo import DOI, read_record

ENCRYPTED = ("https",)  # nobody on the way can exchange what they carry


@dataclass(frozen=True)
class Source:
    """One place to fetch a file from, and what it says of the file."""

    url: str
    checksum: Checksum | None = None
    size: int | None = None


def is_offline() -> bool:
    """Whether ``CMRSEG_OFFLINE`` forbids every connection."""
    return _is_set("CMRSEG_OFFLINE")


def needs_checksum() -> bool:
    """Whether ``CMRSEG_REQUIRE_CHECKSUM`` forbids what cannot be compared with anything, harmless or not."""
    return _is_set("CMRSEG_REQUIRE_CHECKSUM")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() not in ("", "0", "no", "false")


def is_encrypted(origin: str) -> bool:
    """Whether nobody on the way to an origin can exchange a file."""
    return DOI.fullmatch(origin) is not None or urlsplit(origin).scheme in ENCRYPTED


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
    """
    if DOI.fullmatch(origin) is None:
        return Source(origin)
    found = read_record(origin).file(file)
    return Source(found.url, found.checksum, found.size)
