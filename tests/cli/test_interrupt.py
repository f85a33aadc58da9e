"""Ctrl-C ends every command soon, with one sentence, and leaves nobody behind."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.phantom.dicom import dicom_datasets, write_datasets
from cmrseg.workflows.demo import DemoSize, write_studies

SOON_S = 30  # half of what the work would take; benchmarks measure, a busy machine must not fail here
COMMANDS = {
    "curate": "curate dicom out --jobs 2",
    "predict of DICOM": "predict dicom out",
    "predict of images": "predict images out",
    "train": "train light2d_hybrid_images_s3 --data images --out out",
    "finetune": "finetune --base light2d_hybrid_acdc_s3 --data images --out out",
    "label": "label images --teacher embedded --out out",
    "study": "study subsets --base light2d_hybrid_acdc_s3 --starts R,TL2 --data images --out out --jobs 2",
    "evaluate": "evaluate masks reader images --out out --jobs 2",
}
COMMAND = """
import runpy
import cmrseg
print("ready", flush=True)
runpy.run_module("cmrseg", run_name="__main__", alter_sys=True)
"""
LONG = """
import sys
from cmrseg.cli.console import complain
from cmrseg.cli.interrupt import Interrupts
from cmrseg.parallel import Threads, map_studies
{before}
def work():
    try:
        {work}
    except BaseException:
        interrupts.stopped()
if __name__ == "__main__":  # workers read this file, too
    with Interrupts(lambda: complain("stopped")) as interrupts:
        print("ready", flush=True)
        work()
"""
WORK = {
    "a long call of a library": ("import ctypes", "ctypes.CDLL(None).sleep(60)"),
    "one who swallows it": (
        "import time",
        "while True:\n            try: time.sleep(60)\n            except BaseException: pass",
    ),
    "one who swallows it in a destructor": (
        "import time\nclass Slow:\n    def __del__(self): time.sleep(60)",
        "Slow(); time.sleep(60)",
    ),
    "one who makes another error of it": (
        "import time",
        "try: time.sleep(60)\n        except BaseException: raise ImportError('half') from None",
    ),
    "a thread in a library": (
        "import ctypes",
        "with Threads(2, 'a nap') as t: list(t.map(ctypes.CDLL(None).sleep, [60] * 4))",
    ),
    "worker processes": ("import time", "list(map_studies(time.sleep, [60] * 4, jobs=2))"),
}


@pytest.fixture(autouse=True, scope="module")
def listens():
    """These tests and what they start hear Ctrl-C, although a shell may have them in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def stopped(process, whole_group=True):
    """Seconds to the end after Ctrl-C, and what was said; nobody of the group is left."""
    begun = time.monotonic()
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    seconds = time.monotonic() - begun
    deadline = (
        time.monotonic() + 20
    )  # the process that removes semaphores sees a moment later that it is alone
    while still_there(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not still_there(process.pid)
    return seconds, complaint


def still_there(group):
    """Whether a process group has members."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def started(call, folder):
    return subprocess.Popen(
        call, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.slow  # an interpreter each
@pytest.mark.parametrize("whole_group", [True, False])
@pytest.mark.parametrize("what", WORK)
def test_nothing_outlasts_ctrl_c(tmp_path, what, whole_group):
    before, work = WORK[what]
    (tmp_path / "long.py").write_text(LONG.format(before=before, work=work))
    process = started([sys.executable, "long.py"], tmp_path)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    seconds, complaint = stopped(process, whole_group)
    assert (process.returncode, complaint) == (130, "error: stopped\n")
    assert seconds < SOON_S


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set and DICOM files that take a while."""
    folder = tmp_path_factory.mktemp("interrupted")
    write_studies(folder / "images", SCANNERS["A"], 6, DemoSize(n_frames=8), seed=1)
    shutil.copytree(folder / "images", folder / "reader")
    datasets = dicom_datasets(make_study(PhantomSpec(n_frames=8), SCANNERS["A"], 1).cine)
    write_datasets(datasets, folder / "dicom", np.random.default_rng(0))
    return folder


@pytest.mark.slow  # runs the command
@pytest.mark.parametrize("seconds", [0.2, 2, 6])
@pytest.mark.parametrize("what", COMMANDS)
def test_ctrl_c_ends_every_command(folder, tmp_path, what, seconds):
    words = COMMANDS[what].replace(" out", f" {tmp_path / 'out'}").split()
    process = started([sys.executable, "-c", COMMAND, *words], folder)
    assert process.stdout.readline() == "ready\n"  # Python itself listens from here on
    try:
        process.wait(seconds)
        took, complaint = 0.0, process.communicate()[1]
    except subprocess.TimeoutExpired:
        took, complaint = stopped(process)
    if process.returncode == 0:
        assert "error:" not in complaint
        pytest.skip("it was faster")
    assert process.returncode == 130, complaint
    assert complaint.startswith("error: stopped")
    assert complaint.count("\n") == 1
    assert took < SOON_S


LOADING = {  # what a library can make of Ctrl-C
    "as it is": "{press}",
    "within exec": "exec('{press}')",
    "another error": """
try:
    {press}
except BaseException:
    raise ImportError("pd_datetime.c could not import module pandas")
""",
    "swallowed": """
try:
    {press}
except BaseException:
    pass
""",
}


@pytest.mark.slow  # an interpreter
@pytest.mark.parametrize("what", LOADING)
def test_ctrl_c_while_a_library_is_loaded(tmp_path, what):
    press = "import os, signal; os.kill(os.getpid(), signal.SIGINT); sum(range(1000))"
    (tmp_path / "typer.py").write_text(LOADING[what].format(press=press))
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ended = subprocess.run(
        [sys.executable, "-m", "cmrseg"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (130, "error: stopped\n")


def test_ctrl_c_is_as_before_afterwards():
    from cmrseg.cli.interrupt import Interrupts

    def press():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    with Interrupts(lambda: None), pytest.raises(KeyboardInterrupt):
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1


def test_a_command_in_the_background_of_a_shell_goes_on():
    from cmrseg.cli.interrupt import Interrupts

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts(lambda: pytest.fail("stopped")) as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
        assert not interrupts.heard
    finally:
        signal.signal(signal.SIGINT, before)
