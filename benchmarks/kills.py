"""Kill commands at random moments, go on, and compare with an unbroken run; start two into one folder.

    python benchmarks/kills.py --kills 100 --pairs 12

Every command is a fork of this process, which has imported everything already: a kill hits the work and not
the imports. Files are compared byte for byte, but for what two unbroken runs do not agree on either (times).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LIMIT_S = 300.0
GRACE_S = 3.0
_IN_USE = "is in use by"


@dataclass(frozen=True)
class Command:
    """A command, and what is added to it when it goes on."""

    name: str
    arguments: tuple[str, ...]
    again: tuple[str, ...] = ()


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    told.add_argument("--kills", type=int, default=100)
    told.add_argument("--pairs", type=int, default=8)
    told.add_argument("--minutes", type=float, default=60.0, help="no further kills after that")
    told.add_argument("--seed", type=int, default=0)
    told.add_argument("--only", default="", help="names of commands, between commas")
    told = told.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wrong = _try_all(Path(folder), told)
    sys.exit(bool(wrong))


def _try_all(folder: Path, told: argparse.Namespace) -> list[str]:
    """Kill and pair all commands in turn; what went wrong."""
    out, rng = folder / "out", np.random.default_rng(told.seed)
    os.environ |= {"CMRSEG_HOME": str(folder / "home"), "CMRSEG_SALT": "of this benchmark"}
    commands = [
        c for c in _commands(folder, out) if c.name in (told.only.split(",") if told.only else [c.name])
    ]
    _import_all()
    whole = {c.name: _unbroken(c, out) for c in commands}
    kills, wrong, begun, number = Counter(), [], time.monotonic(), 0
    while sum(kills.values()) < told.kills and time.monotonic() - begun < told.minutes * 60:
        command = commands[number % len(commands)]
        number += 1
        done, told_wrong = _killed(command, out, whole[command.name], rng)
        kills[command.name] += done
        wrong += told_wrong
    for number in range(told.pairs):
        wrong += _pair(commands[number % len(commands)], out, whole, rng)
    print(f"kills tried {sum(kills.values())} ({dict(kills)}), pairs {told.pairs}, wrong {len(wrong)}")
    return wrong


def _commands(folder: Path, out: Path) -> list[Command]:
    """Commands on small synthetic examinations."""
    from cmrseg.phantom import SCANNERS
    from cmrseg.workflows.demo import DemoSize, write_studies

    archive = _archive(folder / "dicom", seed=1)
    _write_dicom(folder / "many" / "b", seed=2)
    _write_dicom(folder / "many" / "c", seed=3)
    data = write_studies(folder / "scanner", SCANNERS["A"], 6, DemoSize(n_frames=3), seed=1)
    shown = folder / "cines"
    for number in range(4):
        shutil.copytree(data / f"scanner{number + 1:02d}", shown / f"p{number}")
        (shown / f"p{number}" / "truth.nii.gz").unlink()
    base = ("--base", str(_base(folder / "base.safetensors")), "--epochs", "4", "--batch-size", "8")
    return [
        Command("predict DICOM", ("predict", str(archive), str(out), "--fast")),
        Command("curate", ("curate", str(folder / "many"), str(out), "--jobs", "2")),
        Command("predict", ("predict", str(shown), str(out), "--fast"), ("--resume",)),
        Command(
            "label",
            ("label", str(shown), "--teacher", "embedded", "--out", str(out), "--fast"),
            ("--resume",),
        ),
        Command(
            "finetune",
            ("finetune", *base, "--data", str(data), "--out", str(out)),
            ("--resume",),
        ),
    ]


def _base(path: Path) -> Path:
    """A small model without any knowledge."""
    import torch

    from cmrseg.models import get_architecture
    from cmrseg.preprocess import Preprocessing
    from cmrseg.zoo.model_file import ModelSpec, save_model

    torch.manual_seed(0)
    spec = ModelSpec(
        name="base",
        architecture="light2d",
        labels=("BACKGROUND", "LV", "MYO", "RV"),
        preprocessing=Preprocessing(pixel_mm=2.0, size=96),
        recipe="light2d_hybrid_x_s3",
        arguments={"widths": [8, 16]},
    )
    net = get_architecture("light2d").build(spec.preprocessing.channels, 4, **spec.arguments)
    return save_model(spec, net.state_dict(), path)


def _write_dicom(folder: Path, seed: int) -> Path:
    """A small examination."""
    from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
    from cmrseg.phantom.dicom import Identity, dicom_datasets, write_datasets

    spec = PhantomSpec(n_slices=7, n_frames=6, slice_spacing_mm=14.0)
    cine = make_study(spec, SCANNERS["A"], seed).cine
    grey = cine.with_array(np.clip(cine.array * 4000 / cine.array.max(), 0, 4095))
    write_datasets(
        dicom_datasets(grey, seed=seed, identity=Identity(patient_id=f"PID-{seed}")),
        folder,
        np.random.default_rng(seed),
    )
    return folder


def _archive(folder: Path, seed: int) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", _write_dicom(folder, seed)))


def _import_all() -> None:
    """Import what the commands import; no thread may run before a fork."""


def _start(command: Command, log: Path, *, again: bool) -> int:
    """Start a command in a process of its own group."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    from cmrseg.cli import main

    sys.argv = ["cmrseg", *command.arguments, *(command.again if again else ())]
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:
        os.write(2, repr(error).encode())
        code = 99
    os._exit(code)


def _ended(process: int, limit_s: float = LIMIT_S) -> int | None:
    """The exit code; None where it is still running at the limit."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def _has_survivors(group: int) -> bool:
    """Whether a worker of a killed process is still there after some seconds."""
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    return True


def _unbroken(command: Command, out: Path) -> tuple[Mapping[str, str], float]:
    """What two unbroken runs agree on, and how long one takes."""
    runs, seconds = [], 0.0
    for _ in range(3):  # the first one converts the model
        shutil.rmtree(out, ignore_errors=True)
        begun = time.monotonic()
        log = out.with_suffix(".log")
        code = _ended(_start(command, log, again=False))
        if code:
            sys.exit(f"{command.name} failed with {code}: {log.read_text()[-500:]}")
        seconds = time.monotonic() - begun
        runs.append(_content(out))
    first, second = runs[1:]
    vague = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    print(f"{command.name}: {seconds:.1f} s, {len(first)} files; unbroken runs differ in {vague or 'none'}")
    return {name: "any" if name in vague else value for name, value in first.items()}, seconds


def _content(out: Path) -> dict[str, str]:
    """Checksum of every file; the time and memory of an epoch are not compared."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        content = path.read_bytes()
        if path.name == "history.csv":
            rows = list(csv.DictReader(io.StringIO(content.decode())))
            content = repr(
                [{k: v for k, v in row.items() if k not in ("seconds", "memory_mb")} for row in rows]
            ).encode()
        found[str(path.relative_to(out))] = hashlib.sha256(content).hexdigest()
    return found


def _killed(
    command: Command, out: Path, whole: tuple[Mapping[str, str], float], rng: np.random.Generator
) -> tuple[int, list[str]]:
    """Kill a command once or more, let it end, and compare; kills that hit, and what went wrong."""
    shutil.rmtree(out, ignore_errors=True)
    log, again, hits = out.with_suffix(".log"), False, 0
    for _ in range(rng.choice([1, 1, 2, 3])):
        process = _start(command, log, again=again)
        time.sleep(rng.uniform(0, whole[1]))
        os.kill(process, signal.SIGKILL)  # its workers have to end by themselves
        hits += _ended(process) == -signal.SIGKILL
        if _has_survivors(process):
            os.killpg(process, signal.SIGKILL)
            return hits, _told(command, ["workers outlived their parent"], log)
        again = True
    code = _ended(process := _start(command, log, again=True))
    if code is None:
        os.kill(process, signal.SIGKILL)
        return hits, _told(command, ["never ended"], log)
    return hits, _told(
        command, [f"exit code {code}"] * bool(code) + _differences(_content(out), whole[0]), log
    )


def _differences(found: Mapping[str, str], whole: Mapping[str, str]) -> list[str]:
    """Files that are not as an unbroken run leaves them."""
    left = [f"{name} is left" for name in sorted(found.keys() - whole.keys())]
    missing = [f"{name} is missing" for name in sorted(whole.keys() - found.keys())]
    both = sorted(found.keys() & whole.keys())
    return [*left, *missing, *(f"{n} differs" for n in both if whole[n] not in ("any", found[n]))]


def _pair(
    command: Command,
    out: Path,
    whole: Mapping[str, tuple[Mapping[str, str], float]],
    rng: np.random.Generator,
) -> list[str]:
    """Start a command twice into one folder: one does the work, the other is told so."""
    shutil.rmtree(out, ignore_errors=True)
    logs = [out.with_suffix(f".{number}.log") for number in range(2)]
    first = _start(command, logs[0], again=False)
    time.sleep(rng.uniform(0, whole[command.name][1] / 4))
    if os.waitpid(first, os.WNOHANG)[0]:
        return []  # it was faster than ever, and they did not meet
    second = _start(command, logs[1], again=True)
    codes = [_ended(first), _ended(second)]
    wrong = _differences(_content(out), whole[command.name][0])
    if sorted(code != 0 for code in codes) != [False, True] or not any(
        _IN_USE in log.read_text() for log in logs
    ):
        wrong.append(f"exit codes {codes}: {[log.read_text()[-300:] for log in logs]}")
    return _told(command, wrong, logs[0], what="pair")


def _told(command: Command, wrong: list[str], log: Path, *, what: str = "kill") -> list[str]:
    """Say what went wrong."""
    if wrong:
        print(f"{what} of {command.name}: {'; '.join(wrong)}\n  {log.read_text()[-400:]}", flush=True)
    return [f"{command.name}: {'; '.join(wrong)}"] if wrong else []


if __name__ == "__main__":
    main()
