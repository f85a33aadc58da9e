"""Locks of the operating system, which end with the process that holds them, however it ends."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LONGEST_S = 600.0
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)


@contextmanager
def alone(path: Path, *, wait_s: float = LONGEST_S) -> Iterator[None]:
    """Be the only one in this block, among all processes that can reach ``path``.

    Parameters
    ----------
    path
        File of the lock; it is there as long as the lock is held, and after a kill.
    wait_s
        How long to wait for the one that is in the block.

    Raises
    ------
    BlockingIOError
        If another one is still there.
    OSError
        If the file cannot be made.
    """
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)  # a soft one would outlive its process
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise BlockingIOError(errno.EAGAIN, "another process is at work there", str(path)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logging.getLogger(__name__).warning(
            "the file system of %s has no locks; start no second command that writes there", path.parent
        )
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                path.unlink()  # as long as it is held: whoever opened it meanwhile sees that and tries anew
            lock.release()
