"""Models that were fetched: where they lie, and whether they still are what was published."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cmrseg.io.atomic import keep_first
from cmrseg.zoo.entry import Entry, cached_path

Checksum = tuple[str, str]  # algorithm, hexadecimal digest


def pin_path(entry: Entry) -> Path:
    """Text file with the SHA-256 of the first copy, where the manifest names none."""
    path = cached_path(entry)
    return path.with_name(f"{path.name}.sha256")


def checksum(entry: Entry) -> Checksum | None:
    """What a file is compared with: SHA-256 of the manifest or of a first copy, else the publisher's MD5."""
    if entry.sha256:
        return "sha256", entry.sha256
    if pin_path(entry).exists():
        return "sha256", pin_path(entry).read_text(encoding="utf-8").strip()
    return ("md5", entry.md5) if entry.md5 else None


def difference(path: Path, expected: Checksum) -> str:
    """Both sums where a file is not what was expected; empty where it is."""
    algorithm, value = expected
    found = _digest(path, algorithm)
    return "" if found == value else f"{algorithm} {found}, expected {value}"


def pin(entry: Entry, path: Path) -> None:
    """Keep the SHA-256 of a first copy, so that no other file ever passes for it."""
    if not entry.sha256 and not pin_path(entry).exists():
        keep_first(_digest(path, "sha256") + "\n", pin_path(entry))


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
