"""Writes that are there whole or not at all, and what killed processes left of theirs."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import pandas as pd

from cmrseg.io import process
from cmrseg.io.lock import alone
from cmrseg.io.process import Process, this_process
from cmrseg.io.tables import guarded

# Files of versions before this one have the number of the process alone.
_TEMPORARY = re.compile(rf"\.({process.PATTERN}|\d+)\.part\.")
_LONGEST = 64  # letters of a name that its temporary name keeps
_MOST_FOLDERS = 20_000  # are searched: a user may have named a home folder
_ABANDONED_S = 24 * 3600.0  # of a file of another computer, whose processes cannot be asked
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)  # of file systems


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Temporary path beside ``path`` that takes its name when the block ends without an error.

    The temporary name keeps the suffixes, because writers choose the format by them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A path beside ``path`` for a folder of this process alone; what it holds is removed at the end.

    The folder is for the block to make, and `remove_leftovers` finds that of a killed process.
    """
    folder = temporary_path(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def temporary_path(path: Path) -> Path:
    """Where this process writes what shall become ``path``; hidden, and no other process's."""
    return path.with_name(f".{this_process()}.part.{path.name[-_LONGEST:]}")


def final_path(path: Path) -> Path:
    """What a temporary path shall become; any other path is what it is."""
    return path.with_name(_TEMPORARY.sub("", path.name, count=1))


def remove_leftovers(folder: Path, *, ended: Collection[str] = ()) -> None:
    """Remove what killed processes were writing, at any depth; what a running one writes stays.

    Parameters
    ----------
    folder
        To be searched.
    ended
        Places (`cmrseg.io.process.Process.place`) whose processes are known to have ended here. Files of
        other computers go when nobody has touched them for a day.
    """
    for parent, folders, files in islice(os.walk(folder), _MOST_FOLDERS):
        for name in filter(_TEMPORARY.match, [*folders, *files]):
            path = Path(parent, name)
            if _is_left(path, ended):
                _remove(path)
        folders[:] = [name for name in folders if not _TEMPORARY.match(name)]


def _is_left(path: Path, ended: Collection[str]) -> bool:
    """Whether the process that was writing a temporary file or folder has ended."""
    told = _TEMPORARY.match(path.name)[1]
    writer = Process.parse(told)
    if writer is None:
        return not process.is_number_in_use(int(told))
    if writer.is_running is not None:
        return not writer.is_running
    with suppress(OSError):
        return writer.place in ended or time.time() - path.stat().st_mtime > _ABANDONED_S
    return False


def _remove(path: Path) -> None:
    """Remove a file or a folder, if the system lets us."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def keep_first(text: str, path: Path, *, mode: int = 0o644) -> str:
    """The text of a file that is written once: of all processes that come at a time, the text of the first.

    Parameters
    ----------
    text
        What to write where nothing is; a file without a text counts as none.
    path
        Of the file.
    mode
        Who may read it.

    Returns
    -------
    What the file holds, without space around it.

    Raises
    ------
    OSError
        If it can neither be read nor written.
    """
    if kept := _text(path):
        return kept
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.with_name(f".{path.name}.lock")):
        if not _text(path):
            temporary = temporary_path(path)
            temporary.unlink(missing_ok=True)
            try:
                _write_private(text, temporary, mode)
                _name_first(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        return _text(path)


def _text(path: Path) -> str:
    """What a file holds, nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _name_first(temporary: Path, path: Path) -> None:
    """Give a file its name, unless another one got it meanwhile where the file system has no locks."""
    try:
        if path.exists():
            os.replace(temporary, path)  # it is empty
        else:
            os.link(temporary, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.replace(temporary, path)


def _write_private(text: str, path: Path, mode: int) -> None:
    """Write a file that nobody has seen yet, and see it on the disk before it gets its name."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as UTF-8 text: commas, or tabs where the name ends in ``.tsv``.

    Text that a spreadsheet would run is marked; `cmrseg.io.tables.read_table` gives it back as it was.
    """
    with atomic_path(path) as temporary:
        guarded(table).to_csv(temporary, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return path


def write_text(text: str, path: Path) -> Path:
    """Write a text file, UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
