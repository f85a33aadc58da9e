"""How many calls of a command never end, beside a busy second process.

    python benchmarks/hang.py 80                 # predict --fast of a synthetic DICOM examination
    python benchmarks/hang.py 20 finetune        # one epoch of a synthetic data set
    python benchmarks/hang.py 80 threads         # only the first question of several threads to OpenVINO

Before a network was asked once in the main thread, about one of twenty calls waited for ever.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from cmrseg.io.atomic import write_table
from cmrseg.io.images import save_image, save_mask
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.phantom.dicom import dicom_datasets, write_datasets
from cmrseg.zoo.manifest import DEFAULT_MODEL

COMMAND = (sys.executable, "-m", "cmrseg")
ASK = """
import numpy
from cmrseg.parallel import Threads
from cmrseg.predict import open_network
network = open_network("{model}")
assert "OpenVINO" in network.runtime, network.runtime
images = numpy.zeros((2, network.spec.preprocessing.channels, 64, 64), numpy.float32)
with Threads(max(2, network.workers), "the network") as threads:
    list(threads.map(network.outputs, [images] * 4))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("what", nargs="?", choices=("predict", "finetune", "threads"), default="predict")
    parser.add_argument("--limit", type=float, default=120, help="seconds after which a call counts as hung")
    given = parser.parse_args()
    # OMP_NUM_THREADS=1 would leave one thread, and one thread cannot wait for another.
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with TemporaryDirectory() as folder, busy_process():
        ends: Counter[str] = Counter()
        seconds = []
        for number in range(given.count):
            call = call_of(given.what, Path(folder), number)
            begun = time.monotonic()
            ends[ended(call, env, given.limit)] += 1
            seconds.append(time.monotonic() - begun)
            told = ", ".join(f"{n} {how}" for how, n in sorted(ends.items()))
            print(f"{given.what} {number + 1} of {given.count}: {told}; {seconds[-1]:.1f} s", flush=True)
    print(f"hung: {ends['hung']} of {given.count}; {told}; median {np.median(seconds):.1f} s")


def call_of(what: str, folder: Path, number: int) -> list[str]:
    """The command line of one call."""
    if what == "threads":
        return [sys.executable, "-c", ASK.format(model=DEFAULT_MODEL)]
    out = folder / f"out{number}"
    if what == "predict":
        return [*COMMAND, "predict", "--fast", str(examination(folder / "dicom")), str(out)]
    options = ("--base", DEFAULT_MODEL, "--epochs", "1", "--batch-size", "8", "--out", str(out))
    return [*COMMAND, "finetune", *options, "--data", str(data_set(folder / "data"))]


def ended(call: list[str], env: dict[str, str], limit_s: float) -> str:
    """How a call ended; one that did not is ended."""
    try:
        done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return "hung"
    if done.returncode not in (0, 1):  # 1: a study has no numbers
        print(done.stderr[-500:], file=sys.stderr)
    return f"with code {done.returncode}"


def examination(folder: Path) -> Path:
    """A synthetic examination of few phases."""
    if not folder.exists():
        study = make_study(PhantomSpec(n_frames=6), SCANNERS["A"], 1)
        write_datasets(dicom_datasets(study.cine), folder, np.random.default_rng(0))
    return folder


def data_set(folder: Path) -> Path:
    """Two slices of six synthetic subjects: what is trained hardly takes time."""
    rows = []
    for number, split in enumerate(() if folder.exists() else ("train", "val", "test") * 2):
        study = make_study(PhantomSpec(n_frames=2), SCANNERS["A"], number)
        image, mask = (replace(cine, array=cine.array[:, :, 3:5]) for cine in (study.cine, study.mask))
        paths = {"image": save_image(image, folder / f"s{number}" / "sa.nii.gz")}
        paths["mask"] = save_mask(mask, folder / f"s{number}" / "truth.nii.gz")
        told = {name: str(path.relative_to(folder)) for name, path in paths.items()}
        rows += [{"subject": f"s{number}", "frame": frame, "split": split, **told} for frame in (0, 1)]
    if rows:
        table = pd.DataFrame(rows)
        write_table(table.drop(columns="split"), folder / "catalog.csv")
        write_table(table[["subject", "split"]].drop_duplicates(), folder / "splits.csv")
    return folder


@contextmanager
def busy_process() -> Iterator[None]:
    """A process that takes what the processor gives."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            yield
        finally:
            busy.kill()


if __name__ == "__main__":
    main()
