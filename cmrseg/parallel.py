"""Map a function over studies: in this process, in several processes, or on a dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_KILLED = (
    "a worker process was killed, most often because memory ran out; what is finished is kept: "
    "run the same command again, with fewer processes"
)


def map_studies(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
) -> Iterator[Result]:
    """Apply a function to every study, results in the order of the studies.

    Parameters
    ----------
    function
        Called with one item. For more than one process or a scheduler it must be importable
        (no lambda, no closure), because processes are spawned.
    items
        One entry per study; picklable when another process works on it.
    jobs
        Number of processes; 1 works in this process.
    scheduler
        Address of a dask scheduler (``tcp://host:8786``); ``jobs`` is then the cluster's business.

    Returns
    -------
    Iterator over the results; an error of the function is raised where its result is due.

    Raises
    ------
    ValueError
        If ``jobs`` is not positive, or a scheduler is named and dask is not installed.
    ChildProcessError
        If a worker was killed.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1 (processes), got {jobs}")
    if scheduler:
        return _map_dask(function, list(items), _connect(scheduler))
    if jobs == 1:
        return map(function, items)
    return _map_processes(function, list(items), jobs)


def _map_processes(function: Callable[[Item], Result], items: list[Item], jobs: int) -> Iterator[Result]:
    """Results of spawned processes; fork would copy the threads of torch and of OpenMP half-alive."""
    workers = max(1, min(jobs, len(items)))
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield from pool.map(function, items)
    except BrokenProcessPool:
        raise ChildProcessError(_KILLED) from None


def _connect(scheduler: str):
    """Client of a running dask scheduler."""
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ValueError(
            f"scheduler {scheduler} was named but dask is not installed; "
            "install it with 'pip install distributed' or leave the scheduler out"
        ) from error
    return Client(scheduler)


def _map_dask(function: Callable[[Item], Result], items: list[Item], client) -> Iterator[Result]:
    """Results of a dask cluster, each handed on as soon as those before it are there."""
    from dask.distributed import KilledWorker

    with client:
        try:
            for future in client.map(function, items, pure=False):
                yield future.result()
        except KilledWorker:
            raise ChildProcessError(_KILLED) from None
