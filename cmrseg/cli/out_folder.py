"""Where a command writes that was not told: a new folder under ``runs``, named for what is made."""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count, takewhile
from pathlib import Path

from cmrseg.cli.console import err, note, out
from cmrseg.problems import DataError

RUNS = Path("runs")  # in the folder where the command is typed
_LONGEST = 100  # bytes of a part: file systems take 255 of a name
_SAID_BY_FOLDER = frozenset({"model", "summary", "volumes", "masks", "catalog"})  # names that every run gives


def out_folder(given: Path | None, *parts: str | Path, resume: bool = False) -> Path:
    """The folder of ``--out``, or else a new one that is named for what is made; that is told in one line.

    Parameters
    ----------
    given
        What the user named.
    parts
        Of the name: a word as it is; of a path the folder or file that it leads to.
    resume
        Go on with the newest folder of the name where there is one.

    Returns
    -------
    ``runs/<name>``, or ``runs/<name>-2`` and so on where that is taken; it is made, and removed at the end of
    the command if nothing was written.

    Raises
    ------
    DataError
        If it cannot be made.
    """
    if given is not None:
        return given
    name = "-".join(_plain(part) for part in parts)
    begun = _newest(name) if resume else None
    folder = begun or _new(name)
    note(f"results: {folder}{', which goes on' if begun else ''} (another folder: --out)")
    return folder


@contextmanager
def run_folder(given: Path | None, *parts: str | Path, resume: bool = False) -> Iterator[Path]:
    """`out_folder` of a training; where a launcher has started several processes, the first one's is kept.

    Raises
    ------
    DataError
        If it cannot be made, or several processes were not told which one it is.
    """
    from cmrseg.training.fit import STATE
    from cmrseg.training.ranks import rank, ranks, together

    if ranks() > 1 and given is None:
        raise DataError("several processes train together; name the folder of the run with --out")
    out.quiet = err.quiet = rank() > 0  # all would say the same
    with together(out_folder(given, *parts, resume=resume), STATE) as folder:
        yield folder


def path_name(path: str | Path) -> str:
    """What a file or folder is called; of a file whose name says nothing the folder that it lies in."""
    whole = Path(path).resolve()
    if os.path.isdir(whole):
        return whole.name
    name = whole.name.split(".")[0]
    return whole.parent.name if name in _SAID_BY_FOLDER else name


def _plain(part: str | Path) -> str:
    """A part of a name that every file system takes and that leads nowhere else."""
    text = path_name(part) if isinstance(part, Path) else part
    plain = re.sub(r"[^\w.+-]+", "_", text).strip("._-").encode(errors="ignore")[:_LONGEST]
    return plain.decode(errors="ignore").rstrip("._-") or "data"


def _candidates(name: str) -> Iterator[Path]:
    """The folders of a name, one after the other."""
    yield RUNS / name
    yield from (RUNS / f"{name}-{number}" for number in count(2))


def _newest(name: str) -> Path | None:
    """The last folder of a name."""
    there = list(takewhile(lambda folder: folder.is_dir(), _candidates(name)))
    return there[-1] if there else None


def _new(name: str) -> Path:
    """Make the first folder of a name that is not there; of two commands at a time each gets its own."""
    try:
        RUNS.mkdir(exist_ok=True)
        folder = next(filter(_made, _candidates(name)))
    except OSError as error:
        raise DataError(
            f"{RUNS.resolve()} cannot be written ({error.strerror}); name a folder with --out"
        ) from None
    atexit.register(_remove_empty, folder.resolve())
    return folder


def _made(folder: Path) -> bool:
    """Make a folder that is not there; whether it was not."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _remove_empty(folder: Path) -> None:
    """Remove a folder in which nothing was written."""
    with suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()
