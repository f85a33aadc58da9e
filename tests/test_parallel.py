"""Mapping over studies keeps the order and passes errors on."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from multiprocessing import active_children
from pathlib import Path

import pytest

from cmrseg.parallel import Threads, cores, end_workers, map_studies


def test_one_job_works_in_order():
    assert list(map_studies(math.sqrt, [1, 4, 9])) == [1, 2, 3]


def test_an_error_is_raised_where_its_result_is_due():
    results = map_studies(math.sqrt, [4, -1])
    assert next(results) == 2
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        next(results)


def test_jobs_must_be_positive():
    with pytest.raises(ValueError, match="jobs must be at least 1"):
        map_studies(math.sqrt, [1], jobs=0)


def test_a_scheduler_without_dask_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(ValueError, match="dask is not installed"):
        map_studies(math.sqrt, [1], scheduler="tcp://localhost:8786")


@pytest.mark.slow  # starts two interpreters
def test_processes_keep_the_order():
    assert list(map_studies(math.sqrt, [1, 4, 9], jobs=2)) == [1, 2, 3]


@pytest.mark.slow  # starts an interpreter
def test_a_process_that_hangs_is_told_and_ended():
    with pytest.raises(TimeoutError, match=r"waited .* min for the curation of a heart \(number 1\)"):
        list(map_studies(time.sleep, [60, 60], jobs=2, what="the curation of a heart", limit_s=3))
    assert not active_children()


def test_threads_keep_the_order_and_pass_errors_on():
    with Threads(2, "a root") as threads:
        assert list(threads.map(math.sqrt, [1, 4, 9])) == [1, 2, 3]
        with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
            threads.result(threads.submit(math.sqrt, -1))


def test_a_thread_that_hangs_is_told_and_left_alone():
    ends = threading.Event()
    with pytest.raises(TimeoutError, match="min for the network"), Threads(1, "the network", 0.05) as threads:
        list(threads.map(lambda wait: wait(), [ends.wait] * 3))
    assert not end_workers()
    ends.set()
    assert end_workers(patience_s=10)


def test_an_error_of_the_work_is_not_taken_for_a_hang():
    def late():
        raise TimeoutError("the server does not answer")

    with Threads(1, "the network") as threads, pytest.raises(TimeoutError, match="server does not"):
        threads.result(threads.submit(late))


def test_who_leaves_by_ctrl_c_waits_for_no_thread():
    def stop(*_):
        raise KeyboardInterrupt

    ends, begun = threading.Event(), time.monotonic()
    with pytest.raises(KeyboardInterrupt), Threads(1, "the network") as threads:
        stop(threads.submit(ends.wait, 30))
    assert time.monotonic() - begun < 5
    ends.set()


def test_who_leaves_in_good_order_finds_all_done():
    done = []
    with Threads(1, "a list") as threads:
        threads.submit(time.sleep, 0.05)
        list(threads.map(done.append, [1, 2]))
    assert done == [1, 2]


def test_threads_keep_no_answer_alive():
    class Image:
        pass

    with Threads(1, "an image") as threads:
        answer = weakref.ref(threads.result(threads.submit(Image)))
        threads.result(threads.submit(int))
        assert answer() is None


PROGRAM = """
import sys, time
from pathlib import Path
from cmrseg.parallel import map_studies

def work(folder):
    import os
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

def run():
    list(map_studies(work, [sys.argv[1]] * 2, jobs=2))

if __name__ == "__main__":
    if sys.argv[2] == "main":
        run()
    import threading
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
"""


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow  # starts three interpreters
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("thread", ["main", "another"])
def test_workers_end_with_a_parent_that_is_killed(tmp_path, thread):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "workers").mkdir()
    command = [sys.executable, tmp_path / "program.py", tmp_path / "workers", thread]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    workers = until(
        lambda: [int(p.name) for p in (tmp_path / "workers").iterdir()], lambda w: len(w) == 2, 60
    )
    parent.kill()
    parent.wait()
    assert until(lambda: [w for w in workers if is_there(w)], lambda left: not left, 3) == []


def until(look, is_good, seconds):
    """What is seen once it is good, or when the time is over."""
    deadline = time.monotonic() + seconds
    while not is_good(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return seen


def dies_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_the_others_go_on_when_a_worker_is_killed():
    done = map_studies(dies_at_three, range(7), jobs=2, killed=lambda number, error: f"{number}: {error}")
    found = list(done)
    assert [n for n in found if isinstance(n, int)] == [0, 1, 2, 4, 5, 6]
    assert found[3].startswith("3: a worker process was killed")


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_worker_is_an_error_where_nothing_stands_for_its_result():
    with pytest.raises(ChildProcessError, match="was killed"):
        list(map_studies(dies_at_three, [3], jobs=2))


def threads_of(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert list(map_studies(threads_of, [0], jobs=2)) == ["1"]
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert list(map_studies(threads_of, [0], jobs=2)) == [str(max(1, cores() // 2))]
