"""Subjects that are one person under two names: their images are the same files."""

from __future__ import annotations

import gzip
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from zlib import error as ZlibError

import pandas as pd

_PROBE = 2**16  # bytes that tell nearly all files of one size apart
_BLOCK = 2**20
_BLANK = 2**11  # bytes: a file as small shows nobody
_SHARE = 0.5  # of the fewer images: blank ones at the ends of a stack are alike in anybody


def twins(table: pd.DataFrame) -> dict[str, str]:
    """Subjects whose images are those of another one.

    Parameters
    ----------
    table
        Rows of a catalog.

    Returns
    -------
    Subject -> the first subject, by name, with the same images; nothing of those that are alone. Files are
    compared as they are uncompressed, by their sizes first, so that hardly any is read.
    """
    owners = table.groupby("image")["subject"].first()
    images = owners.value_counts()
    shared: dict[tuple[str, str], int] = defaultdict(int)
    for group in _same(map(Path, owners.index)):
        first, *others = sorted({owners[str(path)] for path in group})
        for other in others:
            shared[first, other] += 1
    found: dict[str, str] = {}
    for (first, other), count in sorted(shared.items()):
        if count >= _SHARE * min(images[first], images[other]):
            found[other] = found.get(first, first)
    return found


def twin_notes(found: Mapping[str, str]) -> list[str]:
    """That subjects are one person, for whoever reads their data set."""
    told = [f"{first} and {other}" for other, first in found.items()]
    return [f"the same images under two names, taken as one patient: {', '.join(told[:5])}"] * bool(told)


def _same(paths: Iterable[Path]) -> list[list[Path]]:
    """Groups of files with the same contents."""
    return [group for alike in _groups(paths, _fingerprint) for group in _groups(alike, _digest)]


def _groups(paths: Iterable[Path], key: Callable[[Path], Hashable]) -> list[list[Path]]:
    """Groups of two files and more that agree in something."""
    groups: dict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        with suppress(OSError, EOFError, ZlibError):  # who reads it tells why it cannot be read
            groups[key(path)].append(path)
    return [group for group in groups.values() if len(group) > 1]


def _fingerprint(path: Path) -> Hashable:
    """What costs little: size and checksum at the end of a gzip file, size and middle of another one."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < _BLANK:
            return path
        if path.suffix == ".gz":
            file.seek(max(0, size - 8))
            return file.read()
        file.seek(max(0, (size - _PROBE) // 2))
        return size, sha256(file.read(_PROBE)).digest()


def _digest(path: Path) -> bytes:
    """Of all that a file holds, uncompressed."""
    digest = sha256()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.digest()
