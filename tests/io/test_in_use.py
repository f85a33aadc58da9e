"""Two commands never write into one folder at a time, and a killed one is in nobody's way."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cmrseg.io.atomic import temporary_path
from cmrseg.io.in_use import USER, User, working_in, works_in
from cmrseg.io.process import Process, this_process
from cmrseg.problems import DataError

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from cmrseg.io.atomic import atomic_path
from cmrseg.io.in_use import working_in
with working_in(Path(sys.argv[1]), "train"), atomic_path(Path(sys.argv[1]) / "a" / "b" / "c.pt") as temporary:
    temporary.write_bytes(b"half")
    print("inside", flush=True)
    time.sleep(60)
"""


def other_process(folder: Path) -> subprocess.Popen:
    """A process that works in a folder and has written half a file there."""
    running = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert running.stdout.readline() == "inside\n"
    return running


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught, working_in(folder, "train"):
        pass
    return str(caught.value)


def test_nothing_is_left_not_even_a_folder_that_stayed_empty(tmp_path):
    with working_in(tmp_path / "a" / "b", "train"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not list(tmp_path.iterdir())


def test_what_was_written_stays(tmp_path):
    with working_in(tmp_path / "a", "train"):
        (tmp_path / "a" / "result").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["result"]


def test_the_same_thread_may_come_in_again(tmp_path):
    with working_in(tmp_path, "train"):
        with working_in(tmp_path / "." / "x" / "..", "predict"):
            pass
        assert (tmp_path / USER).exists()


def test_another_thread_may_not(tmp_path):
    told = []
    with working_in(tmp_path, "train"):
        thread = threading.Thread(target=lambda: told.append(refusal(tmp_path)))
        thread.start()
        thread.join()
    assert "is in use by `cmrseg train`" in told[0]


def test_a_function_holds_the_folder_that_it_is_given(tmp_path):
    @works_in("out", "predict")
    def work(data, out):
        return json.loads((out / USER).read_text())["command"]

    assert work(1, out=tmp_path) == work(1, tmp_path) == "cmrseg predict"


@pytest.mark.slow  # starts an interpreter
def test_another_process_is_told_who_works_there_and_a_killed_one_is_cleared_up(tmp_path):
    running = other_process(tmp_path)
    try:
        told = refusal(tmp_path)
    finally:
        running.kill()
        running.wait()
    assert told.startswith(f"{tmp_path} is in use by `cmrseg train` (process {running.pid} on host ")
    assert told.endswith("; wait for it or choose another folder")
    assert len(list((tmp_path / "a" / "b").iterdir())) == 1
    with working_in(tmp_path, "train"):
        assert not list((tmp_path / "a" / "b").iterdir())


@pytest.mark.slow  # starts an interpreter
def test_files_that_a_running_process_writes_elsewhere_in_the_folder_stay(tmp_path):
    running = other_process(tmp_path / "sub")
    try:
        with working_in(tmp_path, "train"):
            assert len(list((tmp_path / "sub" / "a" / "b").iterdir())) == 1
    finally:
        running.kill()
        running.wait()


def test_files_of_a_killed_container_are_removed_where_its_lock_is_free(tmp_path):
    container = Process(1, 2, "0123abcd")
    user = User("cmrseg train", 1, "container", "then", str(container))
    (tmp_path / USER).write_text(json.dumps(asdict(user)))
    theirs, strange = (
        tmp_path / temporary_path(tmp_path / "a").name.replace(str(this_process()), str(process))
        for process in (container, replace(container, place="4567abcd"))
    )
    theirs.touch()
    strange.touch()
    with working_in(tmp_path, "train"):
        assert not theirs.exists()
        assert strange.exists()


def test_a_worker_whose_parent_was_killed_gets_the_time_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr("cmrseg.io.in_use._GRACE_S", 0.2)
    ended = replace(this_process(), start=this_process().start + 1)
    user = User("cmrseg study", 1, "host", "now", str(this_process()), parent=str(ended))
    assert user.is_ending
    assert not replace(user, parent="").is_ending
    with working_in(tmp_path, "study"):
        (tmp_path / USER).write_text(json.dumps(asdict(user)))
        told = []
        thread = threading.Thread(target=lambda: told.append(refusal(tmp_path)))
        thread.start()
        thread.join(timeout=0.1)
        assert not told
        thread.join()
    assert "in use by `cmrseg study`" in told[0]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").touch()
    with (
        pytest.raises(DataError, match="out is a file; name a folder"),
        working_in(tmp_path / "out", "train"),
    ):
        pass
