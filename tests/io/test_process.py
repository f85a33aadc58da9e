"""A process that has ended is recognised, and one that cannot be asked is left alone."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from cmrseg.io.process import Process, this_process

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems tell less of their processes")


def test_what_is_written_down_is_read_back():
    assert Process.parse(str(this_process())) == this_process()


@pytest.mark.parametrize("text", ["", "4711", "4711-1-x", "4711-1-0123456789"])
def test_anything_else_is_no_process(text):
    assert Process.parse(text) is None


@only_linux
def test_this_process_runs():
    assert this_process().is_running is True


@only_linux
def test_a_killed_process_does_not_run_even_before_its_parent_has_asked():
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process = Process.of(running.pid)
    assert process.is_running is True
    running.kill()
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert process.is_running is False
    running.wait()
    assert process.is_running is False


@only_linux
def test_another_process_of_the_same_number_is_not_taken_for_it():
    assert replace(this_process(), start=this_process().start + 1).is_running is False


def test_a_process_of_another_computer_cannot_be_asked():
    assert replace(this_process(), place="0" * 8).is_running is None
