"""Which process wrote something; one that has ended is recognised although its number is used again."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

PATTERN = r"\d+-[0-9a-f]+-[0-9a-f]{8}"  # of `str(Process)`
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NUMBERS = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class Process:
    """A process of this or another computer.

    Attributes
    ----------
    number
        Of the process (pid).
    start
        When it began, in ticks of its computer; 0 where the system does not tell.
    place
        Where that number means this process: computer, its last boot, and container.
    """

    number: int
    start: int
    place: str

    def __str__(self) -> str:
        return f"{self.number}-{self.start:x}-{self.place}"

    @classmethod
    def parse(cls, text: str) -> Process | None:
        """The process that `str` wrote down; None for anything else."""
        if not re.fullmatch(PATTERN, text):
            return None
        number, start, place = text.split("-")
        return cls(int(number), int(start, 16), place)

    @classmethod
    def of(cls, number: int) -> Process:
        """The process of this computer that has this number now."""
        return cls(number, _start(number) or 0, _place())

    @property
    def is_running(self) -> bool | None:
        """Whether it runs; None where this computer cannot tell, because it runs on another one."""
        if self.place != _place() or sys.platform == "win32":
            return None
        return is_number_in_use(self.number) and (_start(self.number) or self.start) == self.start


def this_process() -> Process:
    """The process that asks."""
    return _this(os.getpid())


@lru_cache(maxsize=1)
def _this(number: int) -> Process:
    return Process.of(number)  # asked anew after a fork


def is_number_in_use(number: int) -> bool:
    """Whether this computer has a process of that number."""
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody else's, or the system cannot tell
        return True
    return True


def _start(number: int) -> int | None:
    """When a process began; -1 for one that has ended and waits for its parent, None where nobody tells."""
    try:
        told = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *values = told.rpartition(")")[2].split()  # the name of the program may hold anything
    return -1 if state in "ZX" else int(values[18])


@cache
def _place() -> str:
    """Short name of this computer since its last boot, and of the container."""
    told = [socket.gethostname()]
    with suppress(OSError):
        told += [_BOOT.read_text(encoding="ascii"), os.readlink(_NUMBERS)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]
