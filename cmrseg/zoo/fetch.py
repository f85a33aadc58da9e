"""The file of a published model: from the cache, or fetched and compared with its checksum before it counts.

`requests` carries the bytes: neither pooch (1.9) nor zenodo-get (3.1) sends Range, so both begin an
interrupted file anew, and pooch does not read Retry-After.

Notes
-----
An MD5 becomes a pinned SHA-256 on first use. ``load_model`` tells of a fetch through ``logging``, commands
through ``FetchOptions.note``. A fastai pickle is only read, so it can at worst be wrong: its first copy
over https or from the user's own file is pinned by itself (``CMRSEG_REQUIRE_CHECKSUM=1``: not), and loses
its pin if it is no learner.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from cmrseg.problems import DataError
from cmrseg.zoo.cache import checksum, difference, pin, pin_path
from cmrseg.zoo.download import BytesProgress, download_checked, public
from cmrseg.zoo.entry import Entry, cached_path
from cmrseg.zoo.sources import (
    Source,
    address,
    host,
    is_encrypted,
    is_offline,
    needs_checksum,
    origins,
    resolve,
)

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
        Accept the first copy of a file of which no checksum is known; later copies must equal it. Learners of
        fastai need no such trust over https, because nothing of them is run.
    note
        Told in one sentence what is fetched, from where, how large and under which licence.
    progress
        Told of the bytes done and in all.
    """

    source: str | None = None
    trust_first_use: bool = False
    note: Callable[[str], object] = _tell
    progress: BytesProgress = _ignore


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
    with told_of_disk(path):
        if _is_kept(entry, path, options):
            return path
        if not path.exists():
            _check_allowed(entry, path, options)
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone_with(path, options):
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
    if expected is None and not _is_trusted(entry, str(path), options):
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
def alone_with(path: Path, options: FetchOptions) -> Iterator[None]:
    """Keep other processes from making the same file of the cache meanwhile."""
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
    place = options.source or origins(entry)[-1]
    if not verifiable and not _is_trusted(entry, place, options):
        raise _unverifiable(entry, place)


def _is_trusted(entry: Entry, place: str, options: FetchOptions) -> bool:
    """Whether the first copy of a file counts that cannot be compared with anything.

    What is only read can at worst be wrong, not harmful: https says whose it is, users know their files.
    """
    is_theirs = is_encrypted(place) or Path(place).is_file()
    return options.trust_first_use or (entry.format == "fastai" and is_theirs and not needs_checksum())


def _unverifiable(entry: Entry, where: str) -> DataError:
    why = ""
    if entry.format == "fastai":
        why = " (CMRSEG_REQUIRE_CHECKSUM is set)" if needs_checksum() else " (it comes without https)"
    return DataError(
        f"no checksum of {entry.name} is known, so {public(where)} cannot be verified{why}; "
        f"if you trust it, `cmrseg zoo get {entry.name} --trust-first-use` takes it "
        "and accepts no other file from then on"
    )


def _bring(entry: Entry, path: Path, options: FetchOptions) -> None:
    """Fetch from the first origin that has the right file."""
    part = path.with_name(f"{path.name}.part")
    places = (options.source,) if options.source else origins(entry)
    for number, place in enumerate(places, start=1):
        try:
            _take(entry, place, part, _telling(entry, place, options))
            break
        except DataError as error:
            if number == len(places):
                raise
            options.note(f"the mirror failed: {error}")
    is_first = checksum(entry) is None
    pin(entry, part)  # before the file is there: a file without its pin would have to be trusted again
    part.replace(path)
    if is_first:
        told = f"sha256 of this first copy of {path.stat().st_size} bytes"
        options.note(f"{told} (delete {pin_path(entry)} to trust another): {checksum(entry)[1]}")


def _telling(entry: Entry, place: str, options: FetchOptions) -> FetchOptions:
    """Tell what is fetched: at once, or with the first bytes where only the server knows how large it is."""
    runs = "; a pickle of fastai, of which no code is run" if entry.format == "fastai" else ""

    def tell(size: str) -> None:
        options.note(f"fetching {entry.name} from {host(place)}: {size}, licence {entry.licence}{runs}")

    if entry.bytes is not None or Path(place).is_file():
        tell(entry.size if entry.bytes else f"{Path(place).stat().st_size / 1e6:.1f} MB")
        return options
    told: list[str] = []

    def progress(done: int, total: int | None) -> None:
        if not told:
            told.append("unknown size" if total is None else f"{total / 1e6:.1f} MB")
            tell(told[0])
        options.progress(done, total)

    return replace(options, progress=progress)


def _take(entry: Entry, place: str, part: Path, options: FetchOptions) -> None:
    """Copy or download one place's file into ``part`` and compare it; a wrong one is deleted."""
    is_file = Path(place).is_file()
    found = Source(place) if is_file else resolve(place, entry.file)
    expected = checksum(entry) or found.checksum
    if expected is None:
        if not _is_trusted(entry, place, options):
            raise _unverifiable(entry, found.url)
        part.unlink(missing_ok=True)  # nothing would tell that two halves are of two files
    if is_file:
        shutil.copyfile(place, part)
        wrong = difference(part, expected) if expected else ""
    else:
        size = entry.bytes or found.size
        wrong = download_checked(found.url, part, size=size, expected=expected, progress=options.progress)
    if not wrong:
        return
    part.unlink(missing_ok=True)
    pinned = "" if entry.sha256 or not pin_path(entry).exists() else f" (pinned in {pin_path(entry)})"
    raise DataError(
        f"{public(found.url)} is not the file of {entry.name}; what arrived is deleted: {wrong}{pinned}"
    )


@contextmanager
def told_of_disk(path: Path, other: str = "in CMRSEG_HOME") -> Iterator[None]:
    """A full disk or a folder that is not ours in one sentence, with where to name another folder."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}); make room there, "
            f"or name another folder {other}"
        ) from None
