"""Situations from public reports, damaged and hostile files: a right number or a sentence?

    python benchmarks/cases.py CASES [NAME ...]

CASES is a folder of archives with one examination each, and ``faults/`` with small damaged inputs. Each is
given to the real command, as a user would. Passed is what the table below allows: the numbers of the unspoilt
examination, or no number and one sentence; never a traceback, never a run without an end. Prints a row per
case with the peak memory of its processes, and how many passed.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

LIMIT_S = 300
MOST_MB = 4500
RIGHT = (172.9, 102.5, 40.7)  # EDV ml, ESV ml, EF %, of the unspoilt examination by `predict --fast`
OTHER = (259.5, 204.2, 21.3)  # of the second patient


@dataclass(frozen=True)
class Outcome:
    """What a command said and wrote."""

    code: int | None
    said: str
    seconds: float
    summary: pd.DataFrame
    out: Path

    @property
    def is_sound(self) -> bool:
        """It ended by itself and without a traceback."""
        return self.code is not None and "Traceback" not in self.said and self.code >= 0

    def numbers(self) -> list[tuple[float, ...]]:
        """EDV, ESV and EF of every examination that has any."""
        rows = self.summary.reindex(columns=["EDV_ml", "ESV_ml", "EF_percent"])
        return [tuple(row) for row in rows.dropna(how="all").itertuples(index=False, name=None)]

    def tells(self) -> bool:
        """No number, and a reason."""
        return self.code != 0 and not self.numbers() and len(self.said.strip()) > 0


def is_near(found: Sequence[float], right: Sequence[float], within: float = 0.01) -> bool:
    """Whether numbers agree; nan never does."""
    return all(abs(a - b) <= within * b + 0.2 for a, b in zip(found, right, strict=True))


def run(arguments: Sequence[str | Path], out: Path) -> Outcome:
    """One command in a process of its own, with a limit on time and address space."""
    start = time.monotonic()
    command = [sys.executable, "-m", "cmrseg", *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        code, said = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        code, said = None, f"no end within {LIMIT_S} s"
    table = out / "summary.csv"
    summary = pd.read_csv(table) if table.exists() else pd.DataFrame()
    return Outcome(code, said, time.monotonic() - start, summary, out)


def level(outcome: Outcome) -> str:
    """Level of the checks, where there is one examination."""
    table = outcome.out / "cohort.csv"
    levels = pd.read_csv(table)["level"].tolist() if table.exists() else []
    return levels[0] if len(levels) == 1 else ""


def right_or_told(outcome: Outcome) -> bool:
    """The numbers of the unspoilt examination, or none and a reason."""
    return outcome.tells() or (bool(n := outcome.numbers()) and all(is_near(each, RIGHT) for each in n))


def one_right(outcome: Outcome) -> bool:
    """One examination with the right numbers."""
    return len(outcome.numbers()) == 1 and is_near(outcome.numbers()[0], RIGHT)


def two_patients(outcome: Outcome) -> bool:
    """Both patients, each with their own numbers, or a sentence that stops."""
    found = sorted(outcome.numbers())
    return outcome.tells() or (len(found) == 2 and is_near(found[0], RIGHT) and is_near(found[1], OTHER))


def no_ef(outcome: Outcome) -> bool:
    """Red, and no EF."""
    return level(outcome) == "red" and not outcome.summary["EF_percent"].notna().any()


def first_beat(outcome: Outcome) -> bool:
    """The EF of the first beat, and a word on every slice; or red without EF."""
    if not outcome.numbers():
        return outcome.tells()
    problems = pd.read_csv(outcome.out / "problems.tsv", sep="\t")
    return no_ef(outcome) or (is_near(outcome.numbers()[0], RIGHT, within=0.05) and len(problems) >= 3)


def names_the_file(outcome: Outcome) -> bool:
    """A failure whose reason names a file."""
    return outcome.tells() and bool(re.search(r"\.dcm|file \d+|image \d+", outcome.said))


EXAMINATIONS = {
    "two_anon_siemens": two_patients,
    "ras_canonical": one_right,
    "pixdim_stale": right_or_told,
    "pixdim_one": one_right,
    "xa_shuffled_tpi": one_right,
    "missed_beats": first_beat,
    "realtime": no_ef,
    "nifti_per_slice": right_or_told,
    "xytz": right_or_told,
    "overlay_bits": one_right,
    "monochrome1": one_right,
    "studyuid_per_series": right_or_told,
    "studyuid_per_file": right_or_told,
    "seriesuid_per_file": one_right,
    "series_per_phase": one_right,
    "zips": right_or_told,
    "xa_no_orientation": names_the_file,
}


def examination(case: str, folder: Path, scratch: Path) -> tuple[bool, Outcome]:
    """Segment the examination of an archive."""
    source = scratch / "in"
    with tarfile.open(folder / f"{case}.tar.xz") as archive:
        archive.extractall(source, filter="data")
    outcome = run(["predict", "--fast", source, scratch / "out"], scratch / "out")
    return outcome.is_sound and EXAMINATIONS[case](outcome), outcome


def fault(case: str, folder: Path, scratch: Path) -> tuple[bool, Outcome]:
    """Give a damaged input to the command that reads it."""
    source, out = scratch / "in", scratch / "out"
    shutil.copytree(folder / "faults" / case, source)
    outcome = run(_command(case, source, out), out)
    return outcome.is_sound and _is_right(case, outcome), outcome


def _command(case: str, source: Path, out: Path) -> list[str | Path]:
    """What a user would type."""
    data = source / "in"
    if case.startswith("model_"):
        return ["predict", source / "a.nii.gz", out, "--model", source / "m.safetensors"]
    if case.startswith("dataset_json"):
        return ["train", "light2d_CE_x_s1", "--data", data, "--out", out, "--epochs", "1"]
    recipe = ["train", "light2d_CE_x_s1", "--data", source, "--out", out, "--config", source / "t.toml"]
    resumed = ["train", "light2d_hybrid_mnms3_s4", "--data", source, "--out", source / "run", "--resume"]
    special = {
        "confidence_bins": ["confidence", source / "vol.csv", source / "truth.csv", "--out", out],
        "config_json_run": resumed,
        "rules_series_range": ["curate", source, out, "--rules", source / "r.toml"],
        "train_toml_arguments": recipe,
        "train_toml_not_utf8": recipe,
        "openvino_deadlock": ["--help"],  # benchmarks/hang.py is its measurement
    }
    return special.get(case, ["predict", "--fast", data, out])


def _is_right(case: str, outcome: Outcome) -> bool:
    """One sentence (the other files go on), or a right result."""
    good = list(outcome.out.glob("good/*seg.nii.gz"))
    if case == "csv_injection":
        cells = outcome.summary["study"].astype(str)
        return outcome.code == 0 and len(cells) == 2 and not cells.str.match(r"[=+@\-]").any()
    if case == "confidence_bins":
        return outcome.code == 0 and (outcome.out / "sets.csv").exists()
    if case.startswith("nifti_") and case != "nifti_gz_crc":
        return outcome.code != 0 and len(good) == 1
    if case.startswith("png_"):
        return outcome.code != 0 and len(list(outcome.out.glob("*/*_seg.png"))) == 2
    if case in ("model_recipe_bad", "model_training_list", "model_licence_html", "openvino_deadlock"):
        return True  # a sentence or a mask; that the report escapes it is a test of its own
    return outcome.code != 0 and bool(outcome.said.strip())


def main() -> int:
    """Run the named cases, or all."""
    folder, chosen = Path(sys.argv[1]), set(sys.argv[2:])
    faults = {path.name: fault for path in sorted((folder / "faults").iterdir())}
    cases = dict.fromkeys(EXAMINATIONS, examination) | faults
    passed, tried = 0, 0
    for case, attempt in cases.items():
        if chosen and case not in chosen:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["CMRSEG_HOME"] = str(Path(tempfile.gettempdir()) / "cmrseg-cases-home")
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            fine, outcome = attempt(case, folder, Path(scratch))
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        told = "; ".join("/".join(f"{v:.1f}" for v in n) for n in outcome.numbers())
        last = (outcome.said.strip().splitlines() or [""])[-1][:110]
        fine &= peak < MOST_MB or peak <= before / 1024
        tried, passed = tried + 1, passed + fine
        print(
            f"{'ok  ' if fine else 'FAIL'} {case:32} {outcome.seconds:5.1f} s {peak:6.0f} MB  {told or last}"
        )
    print(f"{passed} of {tried} passed")
    return 0 if passed == tried else 1


if __name__ == "__main__":
    sys.exit(main())
