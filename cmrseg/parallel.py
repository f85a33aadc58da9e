"""Map a function over studies: in this process, in several processes, or on a dask cluster; and threads.

Every wait for a worker has a limit, and no worker keeps a command from ending.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from ctypes import CDLL
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # (done, in all)
StepProgress = Callable[[str, int, int], None]  # (what is done, how much of it, in all)

LIMIT_S = 3600.0  # for one study; what takes longer than that has a limit of its own
CLUSTER_LIMIT_S = 7 * 24 * 3600.0  # its machines may be given out long after they were asked for
_END_S = 0.3  # for a process that was told to end
_BUSY: set[int] = set()  # threads that are at work
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_KILLED = (
    "a worker process was killed, most often because memory ran out; what is finished is kept: "
    "run the same command again, with fewer processes"
)


def map_studies(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    what: str = "a study",
    jobs: int = 1,
    scheduler: str | None = None,
    limit_s: float = LIMIT_S,
) -> Iterator[Result]:
    """Apply a function to every study, results in the order of the studies.

    Parameters
    ----------
    function
        Called with one item. For more than one process or a scheduler it must be importable
        (no lambda, no closure), because processes are spawned.
    items
        One entry per study; picklable when another process works on it.
    what
        What the workers are waited for, for the sentence that says so.
    jobs
        Number of processes; 1 works in this process.
    scheduler
        Address of a dask scheduler (``tcp://host:8786``); ``jobs`` is then the cluster's business.
    limit_s
        How long one study may take in another process.

    Returns
    -------
    Iterator over the results; an error of the function is raised where its result is due.

    Raises
    ------
    ValueError
        If ``jobs`` is not positive, or a scheduler is named and dask is not installed.
    ChildProcessError
        If a worker was killed.
    TimeoutError
        If a worker gave no answer within the limit.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1 (processes), got {jobs}")
    if scheduler:
        return _map_dask(function, list(items), _connect(scheduler), what)
    if jobs == 1:
        return map(function, items)
    return _map_processes(function, items, jobs, what, limit_s)


def awaited(future: Any, what: str, limit_s: float = LIMIT_S) -> Any:
    """What a worker answers.

    Parameters
    ----------
    future
        Of a thread, a process or dask.
    what
        What it works at, for the sentence that says so.
    limit_s
        How long to wait.

    Raises
    ------
    TimeoutError
        If there is no answer by then; an error of the work itself is raised as it is.
    """
    try:
        return future.result(timeout=limit_s)
    except TimeoutError:
        if future.done():
            raise
        raise TimeoutError(
            f"waited {limit_s / 60:.3g} min for {what}, but the worker gives no answer; "
            "what is finished is kept: run the same command again"
        ) from None


class Threads:
    """Threads as those of `concurrent.futures`, which can keep the process neither waiting nor alive.

    Parameters
    ----------
    count
        How many.
    what
        What they are waited for, for the sentence that says so.
    limit_s
        How long to wait for one answer.
    """

    def __init__(self, count: int, what: str, limit_s: float = LIMIT_S) -> None:
        self._what, self._limit_s = what, limit_s
        self._work: SimpleQueue = SimpleQueue()
        self._threads = [
            threading.Thread(target=_serve, args=(self._work,), daemon=True) for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have a function called; `result` gives what it returned."""
        future: Future[Result] = Future()
        self._work.put((future, function, arguments))
        return future

    def result(self, future: Future[Result]) -> Result:
        """What a function returned or raised, within the limit; see `awaited`."""
        return awaited(future, self._what, self._limit_s)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Have a function called with all items now; results come in the order of the items."""
        futures = deque([self.submit(function, item) for item in items])
        return (self.result(futures.popleft()) for _ in range(len(futures)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Empty):
            while True:
                self._work.get_nowait()[0].cancel()
        for _ in self._threads:
            self._work.put(None)
        # One who leaves by Ctrl-C, or because a worker hangs, waits for nobody.
        if kind is None or (issubclass(kind, Exception) and not issubclass(kind, TimeoutError)):
            for thread in self._threads:
                thread.join(self._limit_s)


def _serve(work: SimpleQueue) -> None:
    """Do what comes, until None comes."""
    me = threading.get_ident()
    while (task := work.get()) is not None:
        future, function, arguments = task
        _BUSY.add(me)
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)
        _BUSY.discard(me)
        del task, future, function, arguments  # they hold images, and the next task may come late


def end_workers(patience_s: float = 0.0) -> bool:
    """End all worker processes, whatever they do, and wait a moment for threads.

    Parameters
    ----------
    patience_s
        How long threads may go on with what they are at.

    Returns
    -------
    Whether all have ended; where not, only ``os._exit`` ends this process in good order.
    """
    children = active_children()
    for child in children:
        child.terminate()
    for child in children:
        child.join(_END_S)
        if child.is_alive():
            child.kill()
    until = time.monotonic() + patience_s
    while _BUSY and time.monotonic() < until:
        time.sleep(0.01)
    return not _BUSY


def _map_processes(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int, what: str, limit_s: float
) -> Iterator[Result]:
    """Results of spawned processes; fork would copy the threads of torch and of OpenMP half-alive."""
    try:
        with ProcessPoolExecutor(
            jobs, get_context("spawn"), initializer=end_with_parent, initargs=(_in_main_thread(),)
        ) as pool:
            try:
                with _deaf_to_interrupts():
                    futures = deque([pool.submit(function, item) for item in items])
                for number in range(1, len(futures) + 1):
                    yield awaited(futures.popleft(), f"{what} (number {number})", limit_s)
            except BaseException:  # Ctrl-C, a worker that hangs: the others would be waited for
                end_workers()
                raise
    except BrokenProcessPool:
        raise ChildProcessError(_KILLED) from None


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that start meanwhile never hear Ctrl-C: their parent hears it, says it once and ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(from_main_thread: bool = False) -> None:
    """Let this worker process end when its parent does, even by SIGKILL.

    Parameters
    ----------
    from_main_thread
        Whether the parent's main thread started the worker: Linux ends a worker with the thread that did.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
    if from_main_thread and sys.platform == "linux":  # at once, and where code never gives Python back
        with suppress(OSError, AttributeError):
            CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _in_main_thread() -> bool:
    """Whether this is the main thread, which lasts as long as the process."""
    return threading.current_thread() is threading.main_thread()


def _connect(scheduler: str) -> Any:
    """Client of a running dask scheduler."""
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ValueError(
            f"scheduler {scheduler} was named but dask is not installed; "
            "install it with 'pip install distributed' or leave the scheduler out"
        ) from error
    return Client(scheduler)


def _map_dask(
    function: Callable[[Item], Result], items: list[Item], client: Any, what: str
) -> Iterator[Result]:
    """Results of a dask cluster, each handed on as soon as those before it are there."""
    from dask.distributed import KilledWorker

    with client:
        try:
            for number, future in enumerate(client.map(function, items, pure=False), start=1):
                yield awaited(future, f"{what} (number {number}) from the cluster", CLUSTER_LIMIT_S)
        except KilledWorker:
            raise ChildProcessError(_KILLED) from None
