"""Files are there whole or not at all."""

import errno
import os
import stat
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from cmrseg.io import atomic
from cmrseg.io.atomic import (
    atomic_path,
    final_path,
    keep_first,
    remove_leftovers,
    scratch_folder,
    temporary_path,
    write_table,
    write_text,
)
from cmrseg.io.process import Process, this_process


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_when_the_block_ends(tmp_path):
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "a.txt").exists()
    assert names(tmp_path) == ["a.txt"]


def write_half(path):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_an_error_leaves_neither_file(tmp_path):
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "a.txt")
    assert names(tmp_path) == []


def test_an_error_before_anything_is_written_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt"):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_an_existing_file_survives_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failing_rename_leaves_the_old_file_only(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EACCES, "Permission denied")

    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="Permission denied"):
        write_text("new", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_temporary_name_keeps_the_suffixes_and_is_hidden(tmp_path):
    with atomic_path(tmp_path / "seg.nii.gz") as temporary:
        temporary.touch()
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".nii.gz")
        assert temporary.name.startswith(".")


def test_missing_folders_are_made(tmp_path):
    write_text("ä", tmp_path / "a" / "b" / "c.txt")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "ä".encode()


@pytest.mark.parametrize(("name", "text"), [("t.csv", "a,b\n1,x\n"), ("t.tsv", "a\tb\n1\tx\n")])
def test_the_suffix_decides_the_separator(tmp_path, name, text):
    write_table(pd.DataFrame({"a": [1], "b": ["x"]}), tmp_path / name)
    assert (tmp_path / name).read_text() == text


# What a killed process leaves


def left_by(process: Process, folder, name="a.txt"):
    path = folder / temporary_path(folder / name).name.replace(str(this_process()), str(process))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    return path


ENDED = replace(this_process(), start=this_process().start + 1)
ELSEWHERE = replace(this_process(), place="0123abcd")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell when a process began")
def test_files_of_an_ended_process_are_removed_at_every_depth(tmp_path):
    left = [left_by(ENDED, tmp_path.joinpath(*["d"] * depth)) for depth in range(5)]
    remove_leftovers(tmp_path)
    assert not [path for path in left if path.exists()]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell when a process began")
def test_a_scratch_folder_of_an_ended_process_is_removed(tmp_path):
    scratch = left_by(ENDED, tmp_path, "unpacked")
    scratch.unlink()
    (scratch / "series").mkdir(parents=True)
    (scratch / "series" / "raw.dcm").touch()
    remove_leftovers(tmp_path)
    assert not scratch.exists()


def test_the_old_form_of_the_name_is_understood(tmp_path):
    (tmp_path / ".99999999.part.a.nii.gz").touch()  # no system counts its processes so far
    (tmp_path / f".{os.getpid()}.part.b.nii.gz").touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [f".{os.getpid()}.part.b.nii.gz"]


def test_files_of_running_processes_and_of_users_stay(tmp_path):
    kept = [left_by(this_process(), tmp_path), left_by(ELSEWHERE, tmp_path), tmp_path / ".a.part.b"]
    kept[-1].touch()
    remove_leftovers(tmp_path)
    assert all(path.exists() for path in kept)


def test_files_of_another_computer_go_after_a_day_or_once_it_is_known_to_have_ended(tmp_path):
    old = left_by(ELSEWHERE, tmp_path / "old")
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path / "old")
    assert not old.exists()
    new = left_by(ELSEWHERE, tmp_path / "new")
    remove_leftovers(tmp_path / "new", ended=[ELSEWHERE.place])
    assert not new.exists()


def test_a_scratch_folder_is_there_for_its_block_only(tmp_path):
    with scratch_folder(tmp_path / "unpacked") as scratch:
        scratch.mkdir()
        (scratch / "a").touch()
        assert final_path(scratch) == tmp_path / "unpacked"
    assert not list(tmp_path.iterdir())


# What is written once


@pytest.mark.parametrize("before", [None, "", " \n"])
def test_of_many_that_come_at_a_time_all_keep_the_text_of_one(tmp_path, before):
    path, kept, barrier = tmp_path / "home" / "secret", [], threading.Barrier(16)
    if before is not None:
        write_text(before, path)

    def first_use(number):
        barrier.wait()
        kept.append(keep_first(f"secret {number}", path, mode=0o600))

    threads = [threading.Thread(target=first_use, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 16
    assert set(kept) == {path.read_text()}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path.parent) == ["secret"]


def test_where_there_are_no_locks_the_first_one_is_kept_too(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    write = atomic._write_private

    def overtaken(text, temporary, mode):
        write(text, temporary, mode)
        path.write_text("another's")

    monkeypatch.setattr(atomic, "_write_private", overtaken)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert keep_first("ours", path) == "another's"


def test_where_there_are_no_links_it_is_kept_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert keep_first("text", tmp_path / "a") == "text"
    assert names(tmp_path) == ["a"]


def test_what_is_there_is_kept_although_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("kept\n")
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("nothing is to be written"))
    assert keep_first("text", tmp_path / "a") == "kept"
