"""`cmrseg predict --jobs 2` beside two serial halves, and what a large cohort costs.

    python benchmarks/cohort.py --examinations 200

Makes DICOM examinations of phantoms and runs, as commands of their own: all of them with two processes, and
two halves with one process each, both at the same time, which is what one would do by hand on two cores.
Efficiency is the time of the halves by that of the command. The tables must be the same.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.curation.privacy import SALT_VARIABLE
from cmrseg.phantom import SCANNERS, make_study, random_spec
from cmrseg.phantom.dicom import MAX_INTENSITY, Identity, dicom_datasets, write_datasets

TABLES = ("cohort.csv", "volumes.csv", "summary.csv")
COHORT = 50_000  # examinations of UK Biobank


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examinations", type=int, default=200, help="an even number")
    parser.add_argument("--phases", type=int, default=25)
    parser.add_argument("--scratch", type=Path, help="folder with room for 20 MB an examination")
    given = parser.parse_args()
    os.environ.setdefault(SALT_VARIABLE, "benchmark")
    with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
        scratch = Path(folder)
        for number in range(given.examinations):
            half = scratch / "dicom" / ("first" if number < given.examinations / 2 else "second")
            write_examination(half / f"{number:05}", number, given.phases)
        measure(scratch, given.examinations)


def write_examination(folder: Path, number: int, phases: int) -> None:
    """DICOM files of one person."""
    rng = np.random.default_rng(number)
    cine = make_study(random_spec(rng, n_frames=phases), SCANNERS["A"], number).cine
    grey = cine.with_array(np.clip(cine.array, 0, MAX_INTENSITY))
    datasets = dicom_datasets(grey, seed=number, identity=Identity(patient_id=f"phantom {number}"))
    write_datasets(datasets, folder, rng)


def measure(scratch: Path, count: int) -> None:
    """Both ways, once to warm up the converted model and once for the clock."""
    dicom = scratch / "dicom"
    wait_for([predict(next((dicom / "first").iterdir()), scratch / "warm")])
    halves = timed([predict(dicom / half, scratch / half) for half in ("first", "second")])
    both = timed([predict(dicom, scratch / "all", "--jobs", "2")])
    same = all(of_halves(scratch, name) == rows_of([scratch / "all" / name]) for name in TABLES)
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{count} examinations: two serial halves {halves:.1f} s, --jobs 2 {both:.1f} s")
    print(f"efficiency {halves / both:.2f}; tables {'equal' if same else 'DIFFER'}")
    core_s = 2 * both / count
    print(f"an examination: {core_s:.1f} core-seconds; the largest process {peak_mb:.0f} MB")
    print(f"{COHORT:,} examinations: {core_s * COHORT / 3600:.0f} core-hours of a machine like this one")
    if not same:
        raise SystemExit(1)


def predict(source: Path, out: Path, *options: str) -> list[str]:
    """The command."""
    return [sys.executable, "-m", "cmrseg", "predict", str(source), str(out), *options]


def timed(commands: Sequence[list[str]]) -> float:
    """Seconds until the last of some commands, begun together, has ended."""
    begun = time.perf_counter()
    wait_for(commands)
    return time.perf_counter() - begun


def wait_for(commands: Sequence[list[str]]) -> None:
    """Run commands side by side on their parts of the cores."""
    cores = len(os.sched_getaffinity(0)) if len(commands) == 1 else 1
    told = {**os.environ, "OMP_NUM_THREADS": str(cores)}
    running = [subprocess.Popen(command, env=told, stdout=subprocess.DEVNULL) for command in commands]
    if any([process.wait() for process in running]):
        raise SystemExit("a command has failed; its words are above")


def of_halves(scratch: Path, name: str) -> str:
    """The rows that two halves wrote."""
    return rows_of([scratch / half / name for half in ("first", "second")])


def rows_of(paths: Sequence[Path]) -> str:
    """Rows of tables, by study."""
    rows = pd.concat([pd.read_csv(path, dtype=str) for path in paths])
    return rows.sort_values("study", kind="stable").to_csv(index=False)


if __name__ == "__main__":
    main()
