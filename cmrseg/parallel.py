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
from functools import partial
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


def map_studies(  # noqa: PLR0913 (all but the first two are options)
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    what: str = "a study",
    jobs: int = 1,
    scheduler: str | None = None,
    limit_s: float = LIMIT_S,
    killed: Callable[[Item, Exception], Result] | None = None,
) -> Iterator[Result]:
    """Apply a function to every study, results in the order of the studies.

    Processes share the cores: what computes with threads has its part of them in each.

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
    killed
        What stands for the result of a study that its worker does not survive, most often for want of memory;
        the others go on, those that were worked at with it each in a process of its own first.

    Returns
    -------
    Iterator over the results; an error of the function is raised where its result is due.

    Raises
    ------
    ValueError
        If ``jobs`` is not positive, or a scheduler is named and dask is not installed.
    ChildProcessError
        If a worker was killed, and nothing stands for its result.
    TimeoutError
        If a worker gave no answer within the limit.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1 (processes), got {jobs}")
    if scheduler:
        return _map_dask(function, list(items), _connect(scheduler), what, killed)
    if jobs == 1:
        return map(function, items)
    in_processes = partial(_map_processes, function, what=what, limit_s=limit_s)
    return in_processes(items, jobs) if killed is None else _map_on(in_processes, items, jobs, killed)


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


def _map_on(
    in_processes: Callable[[Iterable[Item], int], Iterator[Result]],
    items: Iterable[Item],
    jobs: int,
    killed: Callable[[Item, Exception], Result],
) -> Iterator[Result]:
    """Results of processes, and of those that go on after one of them was killed, which ends them all."""
    left = deque(items)
    while left:
        try:
            for result in in_processes(tuple(left), jobs):
                left.popleft()
                yield result
        except ChildProcessError:
            for _ in range(min(jobs, len(left))):
                yield _alone(in_processes, left.popleft(), killed)


def _alone(
    in_processes: Callable[[Iterable[Item], int], Iterator[Result]],
    item: Item,
    killed: Callable[[Item, Exception], Result],
) -> Result:
    """The result of one item in a process of its own."""
    try:
        (result,) = in_processes([item], 1)
    except ChildProcessError as error:
        return killed(item, error)
    return result


def _map_processes(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int, what: str, limit_s: float
) -> Iterator[Result]:
    """Results of spawned processes; fork would copy the threads of torch and of OpenMP half-alive."""
    begin = (_in_main_thread(), max(1, cores() // jobs))
    try:
        with ProcessPoolExecutor(
            jobs, get_context("spawn"), initializer=_begin_worker, initargs=begin
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


def cores() -> int:
    """Processor cores that this process may use; ``OMP_NUM_THREADS`` limits them, as it does for torch."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(available, int(limit))) if limit.isdigit() else available


def _begin_worker(from_main_thread: bool, threads: int) -> None:
    """Before a worker process imports what computes with threads."""
    end_with_parent(from_main_thread)
    os.environ["OMP_NUM_THREADS"] = str(threads)


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
    function: Callable[[Item], Result],
    items: list[Item],
    client: Any,
    what: str,
    killed: Callable[[Item, Exception], Result] | None,
) -> Iterator[Result]:
    """Results of a dask cluster, each handed on as soon as those before it are there."""
    from dask.distributed import KilledWorker

    with client:
        futures = deque(client.map(function, items, pure=False))
        for number, item in enumerate(items, start=1):
            try:
                # Popped: a result that nobody holds any more is freed on the cluster.
                yield awaited(
                    futures.popleft(), f"{what} (number {number}) from the cluster", CLUSTER_LIMIT_S
                )
            except KilledWorker:
                if killed is None:
                    raise ChildProcessError(_KILLED) from None
                yield killed(item, ChildProcessError(_KILLED))
