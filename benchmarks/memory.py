"""Peak memory of long commands over epochs, examinations, runs: flat if the last needs as much as the second.

    python benchmarks/memory.py                       # all commands, about twenty minutes on two cores
    python benchmarks/memory.py train curate --units 20

Each is the command itself on synthetic data; its memory, with that of its children, is read from /proc
(Linux) fifty times a second, and belongs to the unit that is being worked at. All examinations show the same
heart, because a larger one needs more memory by itself.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cmrseg.io.images import save_image
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.phantom.dicom import Identity, dicom_datasets, write_datasets
from cmrseg.workflows.demo import DemoSize, write_studies
from cmrseg.zoo.manifest import DEFAULT_MODEL

EVERY_S, FLAT_PERCENT = 0.02, 2.0
MB = 1024**2


@dataclass(frozen=True)
class Measured:
    """A command, the data that it needs for a number of units, and how many units its folder shows as done.

    ``data`` makes the folder; ``done`` is told the output folder and what was printed.
    """

    unit: str
    command: str
    data: Callable[[Path, int], object]
    done: Callable[[Path, str], int]


def images(folder: Path, n: int) -> None:
    """One cine under many names."""
    cine = make_study(PhantomSpec(n_frames=12), SCANNERS["A"], 1).cine
    for i in range(n):
        save_image(cine, folder / f"p{i:04d}" / "sa.nii.gz")


def training_images(folder: Path, n: int) -> None:
    """A data set of fixed size, with masks."""
    write_studies(folder, SCANNERS["A"], 6, DemoSize(n_frames=2), seed=1)


def examinations(folder: Path, n: int) -> None:
    """One examination under many identities: what grows is not the data."""
    cine = make_study(PhantomSpec(n_frames=12), SCANNERS["A"], 1).cine
    for i in range(n):
        datasets = dicom_datasets(cine, identity=Identity(patient_id=f"P{i:04d}"), seed=i)
        write_datasets(datasets, folder / f"p{i:04d}", np.random.default_rng(i))


def found(pattern: str, out: Path, said: str) -> int:
    """Files that a unit ends with."""
    return sum(1 for _ in out.glob(pattern))


def epochs(out: Path, said: str) -> int:
    """Lines of epochs."""
    return len(re.findall(r"^epoch \d+:", said, re.MULTILINE))


LIGHT = f"--base {DEFAULT_MODEL} --data {{data}} --out {{out}} --batch-size 4"
COMMANDS: Mapping[str, Measured] = {
    "train": Measured(
        "epoch",
        "train light2d_hybrid_data_s3 --data {data} --out {out} --batch-size 4 --epochs {n}",
        training_images,
        epochs,
    ),
    "finetune": Measured("epoch", f"finetune {LIGHT} --epochs {{n}}", training_images, epochs),
    "curate": Measured(
        "examination", "curate {data} {out}", examinations, partial(found, ".curation/*.json")
    ),
    "curate, 2 processes": Measured(
        "examination", "curate {data} {out} --jobs 2", examinations, partial(found, ".curation/*.json")
    ),
    "predict of DICOM": Measured(
        "examination", "predict {data} {out} --fast", examinations, partial(found, "*/report.html")
    ),
    "predict of images": Measured(
        "examination", "predict {data} {out} --fast", images, partial(found, "*/*.nii.gz")
    ),
    "study": Measured(
        "run",
        f"study subsets {LIGHT} --starts R,TL2 --kinds subjects --subjects 2,1 --seeds {{seeds}} --epochs 1",
        training_images,
        partial(found, "runs/*/scores.csv"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(COMMANDS)}")
    parser.add_argument("--units", type=int, default=12, help="epochs, examinations or runs")
    given = parser.parse_args()
    print("command | unit | peak MB of each | last minus second")
    for name in given.commands or COMMANDS:
        peaks = measured(COMMANDS[name], given.units)
        growth = 100 * (peaks[-1] / peaks[1] - 1)
        verdict = "flat" if growth < FLAT_PERCENT else "GROWS"
        told = " ".join(f"{peak:.0f}" for peak in peaks)
        print(f"{name} | {COMMANDS[name].unit} | {told} | {growth:+.1f} % {verdict}", flush=True)


def measured(what: Measured, units: int) -> list[float]:
    """Peak memory in MB of every unit of a command."""
    with TemporaryDirectory() as place:
        data, out, log = (Path(place) / name for name in ("data", "out", "log"))
        what.data(data, units)
        words = what.command.format(data=data, out=out, n=units, seeds=-(-units // 6))
        peaks = [0.0] * (units + 1)
        call = [sys.executable, "-m", "cmrseg", *words.split()]
        with log.open("w") as said, subprocess.Popen(call, stdout=said, stderr=said) as process:
            try:
                while process.poll() is None:
                    number = min(what.done(out, log.read_text()), units)
                    peaks[number] = max(peaks[number], tree_mb(process.pid))
                    time.sleep(EVERY_S)
            finally:
                process.kill()
        if process.returncode not in (0, 1) or not all(peaks[:units]):
            raise SystemExit(f"{words} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    return peaks[:units]  # what comes after the last unit are tables and a report


def tree_mb(pid: int) -> float:
    """Resident memory of a process and its children."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0.0  # it has ended
    return pages * 4096 / MB + sum(tree_mb(int(child)) for child in children)


if __name__ == "__main__":
    main()
