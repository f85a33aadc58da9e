"""Curation of DICOM examinations against the floor: pydicom reading headers and pixels of the same files."""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import pydicom
from pydicom.uid import JPEG2000Lossless, RLELossless, generate_uid

from cmrseg.cine import Cine
from cmrseg.curation import examination, run
from cmrseg.curation.privacy import SALT_VARIABLE
from cmrseg.curation.report import curation_report
from cmrseg.curation.run import CurationRun, Options, curate
from cmrseg.phantom import SCANNERS, make_study, random_spec
from cmrseg.phantom.dicom import MAX_INTENSITY, compress, dicom_datasets, write_datasets
from cmrseg.report.write import write

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 7
STEPS = {  # public function: what its time is spent on
    (run, "open_source"): "listing",
    (run, "scan_files"): "headers",
    (examination, "find_slices"): "choice",
    (examination, "select_short_axis"): "choice",
    (examination, "remove_tilted"): "choice",
    (examination, "split_repeats"): "choice",
    (examination, "load_frames"): "pixels",
    (examination, "repair"): "repairs",
    (examination, "to_cine"): "stacking",
    (examination, "save_image"): "NIfTI",
    (examination, "save_pictures"): "pictures",
    (examination, "write_text"): "records",
    (run, "write_table"): "tables",
}
SIEMENS_SIZE, SIEMENS_SLICES, SIEMENS_PHASES = (192, 256), 12, 30  # columns and rows
SIEMENS_PIXEL_MM = (1.4, 1.4)
MEMORY_SHARES = (0.1, 0.5, 1.0)  # of the examinations


@dataclass
class Seconds:
    """Times of both sides over the rounds, of the report, and of our steps in every round."""

    floor: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    report: list[float] = field(default_factory=list)
    steps: list[dict[str, float]] = field(default_factory=list)


def main() -> None:
    arguments = _arguments()
    os.environ.setdefault(SALT_VARIABLE, "benchmark")
    warnings.simplefilter("ignore")  # of pydicom, for the UIDs of the Sunnybrook data
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        scratch = Path(folder)
        if arguments.data.is_dir():
            _compare("real, uncompressed", arguments.data, scratch, arguments.rounds)
        else:
            print(f"no real images at {arguments.data}")
        if arguments.layouts:
            for name, source in _layouts(scratch):
                _compare(name, source, scratch, arguments.rounds)
        if arguments.exams:
            _scale(arguments.data, scratch, arguments.exams)


def _arguments() -> argparse.Namespace:
    """What to measure."""
    data = Path(os.environ.get("CMRSEG_TEST_DATA") or ROOT.parent / "shared" / "data") / "sunnybrook_dicom"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=data, help="folder of DICOM files")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--layouts", action="store_true", help="also synthetic examinations, compressed too")
    parser.add_argument("--exams", type=int, default=0, help="memory and two processes on N copies")
    parser.add_argument("--scratch", type=Path, help="folder with room for 30 MB per copy")
    return parser.parse_args()


def _compare(name: str, source: Path, scratch: Path, rounds: int) -> None:
    """Both sides in turn on the same files, after one round to warm up."""
    files = _dicom_files(source)
    found = _one_round(source, files, scratch, Seconds())
    seconds = Seconds()
    for _ in range(rounds):
        _one_round(source, files, scratch, seconds)
    exams = len(set(found.series["study"]))
    floor, ours = median(seconds.floor), median(seconds.ours)
    ratios = [b / a for a, b in zip(seconds.floor, seconds.ours, strict=True)]
    print(f"{name}: {exams} examination(s), {len(files)} DICOM files, {_sizes(found)}; per exam:")
    print(f"  pydicom {_each(floor, exams)}, fastest {_each(min(seconds.floor), exams)}")
    print(f"  curate  {_each(ours, exams)}, fastest {_each(min(seconds.ours), exams)}")
    print(f"  ratio {ours / floor:.2f}, rounds {min(ratios):.2f} to {max(ratios):.2f}")
    print(f"  of which {_told(seconds, exams)}")
    print(f"  report  {1000 * median(seconds.report):.0f} ms per run")


def _one_round(source: Path, files: Sequence[Path], scratch: Path, seconds: Seconds) -> CurationRun:
    """The floor, ours, and the report of ours."""
    seconds.floor.append(_timed(lambda: _read_all(files))[0])
    with tempfile.TemporaryDirectory(dir=scratch) as target, _timers() as steps:
        spent, found = _timed(lambda: curate(source, Path(target)))
        seconds.ours.append(spent)
        seconds.report.append(_timed(lambda: _write_report(found, Path(target)))[0])
    rest = {"rest": spent - sum(steps.values())}
    seconds.steps.append(steps | rest)
    return found


def _read_all(files: Sequence[Path]) -> None:
    """The floor: every header and every pixel, none of them kept."""
    for path in files:
        pydicom.dcmread(path).pixel_array  # noqa: B018


def _write_report(found, target: Path) -> None:
    write(curation_report(found, target, Options()), target)


def _timed(work: Callable):
    """Seconds of some work, and what it gave."""
    started = time.perf_counter()
    done = work()
    return time.perf_counter() - started, done


@contextmanager
def _timers() -> Iterator[dict[str, float]]:
    """Seconds spent in the public functions of curation, by step."""
    spent: defaultdict[str, float] = defaultdict(float)
    with ExitStack() as stack:
        for (module, name), step in STEPS.items():
            stack.enter_context(patch.object(module, name, _with_timer(getattr(module, name), step, spent)))
        yield spent


def _with_timer(function: Callable, step: str, spent: dict[str, float]) -> Callable:
    """A function that adds its time to a step; of a context manager, the time until it is entered."""

    def timed(*args, **kwargs):
        seconds, done = _timed(lambda: function(*args, **kwargs))
        spent[step] += seconds
        return _entered(done, step, spent) if step == "listing" else done

    return timed


@contextmanager
def _entered(manager, step: str, spent: dict[str, float]) -> Iterator:
    """A context manager whose way in is timed."""
    seconds, value = _timed(manager.__enter__)
    spent[step] += seconds
    try:
        yield value
    finally:
        manager.__exit__(None, None, None)


def _dicom_files(source: Path) -> list[Path]:
    """Files that pydicom reads; what is no DICOM file costs only us."""
    return [path for path in sorted(source.rglob("*")) if path.is_file() and pydicom.misc.is_dicom(path)]


def _sizes(found: CurationRun) -> str:
    """What came out."""
    shapes = found.studies[["x", "y", "slices", "phases"]].drop_duplicates().itertuples(index=False)
    return " and ".join(" x ".join(map(str, shape)) for shape in shapes)


def _each(seconds: float, exams: int) -> str:
    return f"{1000 * seconds / exams:.0f} ms"


def _told(seconds: Seconds, exams: int) -> str:
    """Our steps, the longest first."""
    names = dict.fromkeys(name for steps in seconds.steps for name in steps)
    medians = {name: median(steps.get(name, 0.0) for steps in seconds.steps) for name in names}
    ordered = sorted(medians.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {1000 * value / exams:.1f} ms" for name, value in ordered)


def _layouts(scratch: Path) -> Iterator[tuple[str, Path]]:
    """The same synthetic examination the way scanners file it, plain and compressed."""
    cine = _cine()
    for style, syntax in (
        ("siemens", None),
        ("enhanced", None),
        ("siemens", RLELossless),
        ("siemens", JPEG2000Lossless),
    ):
        datasets = dicom_datasets(cine, style=style)
        if syntax:
            datasets = [compress(dataset, syntax) for dataset in datasets]
        name = f"{style}, {syntax.name if syntax else 'uncompressed'}"
        folder = scratch / name
        write_datasets(datasets, folder, np.random.default_rng(0))
        yield name, folder


def _cine() -> Cine:
    """A synthetic cine of the size that a Siemens scanner writes."""
    spec = replace(random_spec(np.random.default_rng(0), n_frames=SIEMENS_PHASES), n_slices=SIEMENS_SLICES)
    scanner = replace(SCANNERS["A"], matrix=SIEMENS_SIZE, spacing_mm=SIEMENS_PIXEL_MM)
    cine = make_study(spec, scanner, 0).cine
    return cine.with_array(np.clip(cine.array, 0, MAX_INTENSITY))


def _scale(data: Path, scratch: Path, exams: int) -> None:
    """Peak memory while the source grows, and one process against two on all of it."""
    source, made, peaks = scratch / "copies", 0, {}
    for share in MEMORY_SHARES:
        wanted = max(1, round(share * exams))
        _copy(data, source, range(made, wanted))
        made = wanted
        seconds, peaks[wanted] = _in_child(source, scratch / f"target{wanted}", 1)
        print(f"{wanted} examinations: peak memory {peaks[wanted]:.0f} MB, {_each(seconds, wanted)} per exam")
    slope = np.polyfit(list(peaks), list(peaks.values()), 1)[0] if len(peaks) > 1 else np.nan
    print(f"memory grows by {slope:.2f} MB per examination")
    alone, pair = (_in_child(source, scratch / f"jobs{jobs}", jobs)[0] for jobs in (1, 2))
    print(f"per exam: jobs=1 {_each(alone, exams)}, jobs=2 {_each(pair, exams)}, speed-up {alone / pair:.2f}")


def _copy(data: Path, source: Path, numbers: range) -> None:
    """The studies below a folder as further examinations, each of a new patient."""
    studies = defaultdict(list)
    for path in _dicom_files(data):
        studies[str(pydicom.dcmread(path, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)].append(path)
    kinds = [studies[uid] for uid in sorted(studies)]
    for number in numbers:
        folder = source / f"{number:04}"
        folder.mkdir(parents=True)
        for n, path in enumerate(kinds[number % len(kinds)]):
            _renamed(pydicom.dcmread(path), number).save_as(folder / f"{n:05}.dcm")


def _renamed(dataset: pydicom.Dataset, number: int) -> pydicom.Dataset:
    """An image as one of another examination."""
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, generate_uid(entropy_srcs=[str(dataset[keyword].value), str(number)]))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID = f"copy {number}"
    return dataset


def _in_child(source: Path, target: Path, jobs: int) -> tuple[float, float]:
    """Seconds and peak memory (MB) of a curation in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_curated, source, target, jobs).result()


def _curated(source: Path, target: Path, jobs: int) -> tuple[float, float]:
    """Curate, in this process."""
    seconds, found = _timed(lambda: curate(source, target, options=Options(jobs=jobs)))
    if found.failed:
        raise RuntimeError(f"{found.failed} of {len(found.studies)} studies have failed")
    return seconds, _peak_mb()


def _peak_mb() -> float:
    """Largest resident memory of this process; Linux lets ``getrusage`` inherit that of the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
