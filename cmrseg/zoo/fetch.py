"""The file of a published model: from the cache, or fetched and compared with its checksum before it counts.

`requests` carries the bytes: neither pooch (1.9) nor zenodo-get (3.1) sends Range, so both begin an
interrupted file anew, and pooch does not read Retry-After.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from cmrseg.problems import DataError
from cmrseg.zoo.cache import cached_path, checksum, difference, pin, pin_path
from cmrseg.zoo.download import Progress, download, public
from cmrseg.zoo.sources import Source, address, host, is_offline, origins, resolve

if TYPE_CHECKING:
    from cmrseg.zoo.manifest import Entry

# A download nobody asked for by name is told even where no command listens: on stderr, by Python's default.
_tell = logging.getLogger(__name__).warning


def _ignore(*_: object) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class FetchOptions:
    """How a model is fetched.

    Attributes
    ----------
    source
        Address or file to take it from instead of its publisher.
    trust_first_use
        Accept the first copy of a file of which no checksum is known; later copies must equal it.
    note
        Told in one sentence what is fetched, from where, how large and under which licence.
    progress
        Told of the bytes done and in all.
    """

    source: str | None = None
    trust_first_use: bool = False
    note: Callable[[str], object] = _tell
    progress: Progress = _ignore


def fetch(entry: Entry, options: FetchOptions | None = None) -> Path:
    """The verified file of a published model; fetched on the first call, resumed if that was broken off.

    Parameters
    ----------
    entry
        Of the manifest, with an address or DOI.
    options
        How; by default from the publisher, and told through `logging`.

    Returns
    -------
    File in the cache, ``<CMRSEG_HOME>/models/<name>/<file>``.

    Raises
    ------
    DataError
        If it cannot be had, is not what its checksum says, or no checksum is known; or if it is not there and
        ``CMRSEG_OFFLINE`` is set.
    """
    options, path = options or FetchOptions(), cached_path(entry)
    with _told(path):
        if _is_kept(entry, path, options):
            return path
        if not path.exists():
            _check_allowed(entry, path, options)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path, options):
            if not _is_kept(entry, path, options):  # another process may have been faster
                _remove_damaged(entry, path, options)
                _check_allowed(entry, path, options)
                _bring(entry, path, options)
    return path


def _is_kept(entry: Entry, path: Path, options: FetchOptions) -> bool:
    """Whether the cache holds the file, undamaged."""
    if not path.exists():
        return False
    expected = checksum(entry)
    if expected is None and not options.trust_first_use:
        raise _unverifiable(entry, str(path))
    if expected and difference(path, expected):
        return False
    pin(entry, path)
    return True


def _remove_damaged(entry: Entry, path: Path, options: FetchOptions) -> None:
    """Delete a file that is not what it should be, and say so."""
    if path.exists():
        wrong = difference(path, checksum(entry))
        path.unlink()
        options.note(f"{path} was not the file of {entry.name} ({wrong}) and is deleted")


@contextmanager
def _alone(path: Path, options: FetchOptions) -> Iterator[None]:
    """Keep other processes from fetching the same file meanwhile."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        options.note(f"waiting for another process that fetches {path.name}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_allowed(entry: Entry, path: Path, options: FetchOptions) -> None:
    is_file = options.source is not None and Path(options.source).is_file()
    if is_offline() and not is_file:
        raise DataError(
            f"{entry.name} is not in the cache and CMRSEG_OFFLINE is set; "
            f"copy {address(origins(entry)[-1], entry.file)} to {path}, "
            "or bring it in an archive for `cmrseg zoo import`"
        )
    verifiable = checksum(entry) or (entry.doi and not options.source)
    if not verifiable and not options.trust_first_use:
        raise _unverifiable(entry, options.source or origins(entry)[-1])


def _unverifiable(entry: Entry, where: str) -> DataError:
    return DataError(
        f"no checksum of {entry.name} is known, so {public(where)} cannot be verified; if you trust it, "
        f"`cmrseg zoo get {entry.name} --trust-first-use` takes it and accepts no other file from then on"
    )


def _bring(entry: Entry, path: Path, options: FetchOptions) -> None:
    """Fetch from the first origin that has the right file."""
    part = path.with_name(f"{path.name}.part")
    places = (options.source,) if options.source else origins(entry)
    for number, place in enumerate(places, start=1):
        options.note(f"fetching {entry.name} from {host(place)}: {entry.size}, licence {entry.licence}")
        try:
            _take(entry, place, part, options)
            break
        except DataError as error:
            if number == len(places):
                raise
            options.note(f"the mirror failed: {error}")
    is_first = checksum(entry) is None
    pin(entry, part)  # before the file is there: a file without its pin would have to be trusted again
    part.replace(path)
    if is_first:
        told = f"sha256 of this first copy (delete {pin_path(entry)} to trust another)"
        options.note(f"{told}: {checksum(entry)[1]}")


def _take(entry: Entry, place: str, part: Path, options: FetchOptions) -> None:
    """Copy or download one place's file into ``part`` and compare it; a wrong one is deleted."""
    is_file = Path(place).is_file()
    found = Source(place) if is_file else resolve(place, entry.file)
    expected = checksum(entry) or (("md5", found.md5) if found.md5 else None)
    if expected is None:
        if not options.trust_first_use:
            raise _unverifiable(entry, found.url)
        part.unlink(missing_ok=True)  # nothing would tell that two halves are of two files
    resumed = part.exists() and not is_file
    if is_file:
        shutil.copyfile(place, part)
    else:
        download(found.url, part, size=entry.bytes or found.size, progress=options.progress)
    wrong = difference(part, expected) if expected else ""
    if not wrong:
        return
    part.unlink()
    if resumed:  # the beginning may have been of another file
        return _take(entry, place, part, options)
    pinned = "" if entry.sha256 or not pin_path(entry).exists() else f" (pinned in {pin_path(entry)})"
    raise DataError(
        f"{public(found.url)} is not the file of {entry.name}; what arrived is deleted: {wrong}{pinned}"
    )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """A full disk or a folder that is not ours in one sentence."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}); make room there, "
            "or name another folder in CMRSEG_HOME"
        ) from None
