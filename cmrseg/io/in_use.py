"""Who works in a folder: two commands never write into one folder at a time."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import wraps
from inspect import signature
from multiprocessing import parent_process
from pathlib import Path
from typing import ParamSpec, TypeVar

from cmrseg.io.atomic import remove_leftovers, write_text
from cmrseg.io.lock import alone
from cmrseg.io.process import Process, this_process
from cmrseg.io.settings import read_json, record
from cmrseg.problems import DataError

LOCK, USER = ".cmrseg.lock", ".cmrseg.json"  # hidden files in the folder
_GRACE_S, _POLL_S = 5.0, 0.05  # for workers to end whose parent was killed
_JUST_BEGUN_S = 0.5  # until a process has written down who it is

P = ParamSpec("P")
Result = TypeVar("Result")
_held: dict[Path, tuple[int, int]] = {}  # folder -> process and thread of this program that work there


@dataclass(frozen=True)
class User:
    """Who works in a folder.

    Attributes
    ----------
    command
        Without its arguments, which may name patients.
    pid, host, since
        For a person.
    process, parent
        For `Process`; the parent is empty unless the process is a worker that ends with it.
    """

    command: str
    pid: int
    host: str
    since: str
    process: str
    parent: str = ""

    @property
    def is_ending(self) -> bool:
        """Whether it, or the one that it works for, was killed."""
        told = [Process.parse(text) for text in (self.process, self.parent)]
        return any(process is not None and process.is_running is False for process in told)


@contextmanager
def working_in(folder: Path, command: str) -> Iterator[None]:
    """Work in a folder alone; what a killed process was writing there is removed first.

    The same thread may come in again, as where `predict` calls `curate`. Hidden files say who works there;
    they are gone at the end, and so is the folder where it was made for this and nothing is in it.

    Parameters
    ----------
    folder
        Is made where it is not there.
    command
        Of `cmrseg`, as others are told.

    Raises
    ------
    DataError
        If another process or thread works there, or it is a file.
    OSError
        If the folder cannot be made or written.
    """
    place, me = folder.resolve(), (os.getpid(), threading.get_ident())
    if _held.get(place) == me:
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; name a folder")
    with ExitStack() as stack:
        try:
            stack.callback(_remove_empty, _made(folder))
            stack.enter_context(_only_user(folder))
            _held[place] = me
            stack.callback(_held.pop, place)
            stack.callback((folder / USER).unlink, missing_ok=True)
            _begin(folder, command)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder)) from None  # the user named the folder
        yield


def works_in(argument: str, command: str) -> Callable[[Callable[P, Result]], Callable[P, Result]]:
    """`working_in` the folder that an argument of a function names, as long as the function runs."""

    def decorate(function: Callable[P, Result]) -> Callable[P, Result]:
        told = signature(function)

        @wraps(function)
        def alone_there(*args: P.args, **kwargs: P.kwargs) -> Result:
            with working_in(Path(told.bind(*args, **kwargs).arguments[argument]), command):
                return function(*args, **kwargs)

        return alone_there

    return decorate


def _begin(folder: Path, command: str) -> None:
    """Clear up after a killed user, and say who works here now."""
    killed = _read(folder)
    before = Process.parse(killed.process) if killed else None
    remove_leftovers(folder, ended=[before.place] if before else [])
    parent = parent_process()
    user = User(
        command=f"cmrseg {command}",
        pid=os.getpid(),
        host=socket.gethostname(),
        since=datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        process=str(this_process()),
        parent=str(Process.of(parent.pid)) if parent and parent.pid else "",
    )
    with suppress(OSError):  # a full disk is told by what comes next
        write_text(json.dumps(asdict(user)), folder / USER)


@contextmanager
def _only_user(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; a user that was killed gets the time to end, any other one stays."""
    begun = time.monotonic()
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(alone(folder / LOCK, wait_s=0))
                break
            except FileNotFoundError:  # whoever has just ended removed the empty folder
                folder.mkdir(parents=True, exist_ok=True)
            except BlockingIOError:
                user, waited = _read(folder), time.monotonic() - begun
                patience = _JUST_BEGUN_S if user is None else _GRACE_S if user.is_ending else 0
                if waited >= patience:
                    raise DataError(_sentence(folder, user)) from None
                time.sleep(_POLL_S)
        yield


def _sentence(folder: Path, user: User | None) -> str:
    """That a folder is taken."""
    who = "another process"
    if user:
        who = f"`{user.command}` (process {user.pid} on host {user.host}, since {user.since})"
    return f"{folder} is in use by {who}; wait for it or choose another folder"


def _read(folder: Path) -> User | None:
    """Who says to work in a folder."""
    try:
        return record(User, read_json(folder / USER, ""))
    except ValueError:
        return None


def _made(folder: Path) -> list[Path]:
    """Make a folder; those that were not there, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that hold nothing."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
