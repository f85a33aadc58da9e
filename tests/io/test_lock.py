"""Locks that end with their process."""

import errno
import threading

import pytest
from filelock import FileLock

from cmrseg.io.lock import alone


def test_nothing_is_left(tmp_path):
    with alone(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()
    assert not list(tmp_path.iterdir())


def test_a_second_one_does_not_get_in(tmp_path):
    with alone(tmp_path / "lock"), pytest.raises(BlockingIOError), alone(tmp_path / "lock", wait_s=0):
        pass


def test_a_second_one_may_wait(tmp_path):
    order = []

    def second():
        with alone(tmp_path / "lock"):
            order.append("second")

    with alone(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]


def test_a_lock_file_that_nobody_holds_is_no_lock(tmp_path):
    (tmp_path / "lock").touch()
    with alone(tmp_path / "lock", wait_s=0):
        pass


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def refuse(self, **_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with alone(tmp_path / "lock"):
        pass
    assert "has no locks" in caplog.text
