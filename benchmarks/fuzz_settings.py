"""Damaged and hostile settings, tables, model files, archives, workspaces: each a sentence or a result.

    python benchmarks/fuzz_settings.py --inputs 3000 --seed 0

Inputs are valid ones of which bytes were changed, cut or repeated, or of which a value was replaced by one
of another kind. Each is read in this process with a limit on time and memory. Prints how many were refused in
one sentence, how many were read, and the tracebacks, hangs and peak memory.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import random
import resource
import signal
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save

from cmrseg.curation.rules import load_rules
from cmrseg.curation.source import open_source
from cmrseg.data.layouts import list_images
from cmrseg.data.splits import apply_splits
from cmrseg.examination.result import read_result
from cmrseg.io.cvi42 import read_cvi42
from cmrseg.preprocess import Preprocessing
from cmrseg.teachers.confidence import confidence
from cmrseg.teachers.record import read_record
from cmrseg.training.config import read_config, train_config
from cmrseg.training.options import TrainOptions
from cmrseg.zoo.archive import export_models, import_archive
from cmrseg.zoo.domain import TrainingDomain, read_domain
from cmrseg.zoo.model_file import ModelSpec, build_net, read_model, save_model

NAME = "light2d_CE_x_s1"
SECONDS, BYTES = 10, 3 << 30  # of an input, and of all memory of the process beyond what it starts with
HOSTILE = (
    None, True, -1, 0, 10**11, 10**30, 1e-300, 1e308, float("nan"), float("inf"), "", "\x00", "\n", "=1",
    "../../x", "x" * 10_000, "<b>", [], {}, [[]] * 1000, {"": {}}, [None], {"a": 1}, "1..9999999999",
    "9" * 5000,
)  # fmt: skip
RULES = (
    'min_slices = 3\n[[measurements]]\nstudy = "1"\nseries = ["sax_1..sax_9", "a"]\n'
    '[[measurements]]\nstudy = "2"\nseries = ["b"]\n'
)
TOML = "batch_size = 4\nlicence = 'CC0'\n[arguments]\nwidths = [4, 8]\n[preprocessing]\nsize = 64\n"
Case = tuple[str, Callable[[Path, random.Random], None]]


class Hang(BaseException):
    """An input took longer than its limit; nothing catches it by accident."""


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes of which some were flipped, cut off, repeated or replaced."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 20))):
        if not data:
            break
        place, kind = rng.randrange(len(data)), rng.randrange(6)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = data[place : place + rng.randrange(200)] * rng.choice((1, 50))
        elif kind == 3:
            data[place : place + rng.randrange(9)] = rng.randbytes(rng.randrange(9))
        elif kind == 4:
            data[place:place] = rng.choice(
                (b"[", b"{", b'"', b",", b"\t", b"\xff", b"99999999999", b"-", b"\x00")
            )
        else:
            del data[place : place + rng.randrange(40)]
    return bytes(data)


def replaced(values: object, rng: random.Random) -> object:
    """Settings of which one value, at any depth, is another; or of which one is missing."""
    values = copy.deepcopy(values)
    places = list(_places(values))
    if not places:
        return rng.choice(HOSTILE)
    where, key = rng.choice(places)
    if rng.random() < 0.1 and isinstance(where, dict):
        del where[key]
    else:
        where[key] = rng.choice(HOSTILE)
    return values


def _places(values: object):
    for key in (
        list(values) if isinstance(values, dict) else range(len(values)) if isinstance(values, list) else ()
    ):
        yield values, key
        yield from _places(values[key])


def json_input(values: object, read: Callable[[Path], object], name: str) -> Case:
    """Settings in a JSON file."""

    def run(folder: Path, rng: random.Random) -> None:
        text = json.dumps(replaced(values, rng) if rng.random() < 0.7 else values)
        content = text.encode() if rng.random() < 0.6 else damaged(text.encode(), rng)
        (folder / name).write_bytes(content)
        read(folder / name)

    return name, run


def bytes_input(content: bytes, read: Callable[[Path], object], name: str) -> Case:
    """Any other file."""

    def run(folder: Path, rng: random.Random) -> None:
        (folder / name).write_bytes(damaged(content, rng))
        read(folder / name)

    return name, run


def model_input(spec: ModelSpec, state: dict[str, torch.Tensor]) -> Case:
    """A model whose description fits no longer."""

    def run(folder: Path, rng: random.Random) -> None:
        header = replaced(
            {"format_version": 1, "cmrseg_version": "0", **json.loads(json.dumps(asdict(spec)))}, rng
        )
        (folder / "m.safetensors").write_bytes(save(state, metadata={"cmrseg": json.dumps(header)}))
        read_model(folder / "m.safetensors")
        read_domain(folder / "m.safetensors")

    return "description of a model", run


def table_input(text: str, read: Callable[[Path], object], name: str) -> Case:
    """A table of which a cell is another, or bytes are."""

    def run(folder: Path, rng: random.Random) -> None:
        rows = [line.split(",") for line in text.splitlines()]
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = str(rng.choice(HOSTILE)).replace("\x00", "")
        content = "\n".join(map(",".join, rows)).encode()
        (folder / name).write_bytes(damaged(content, rng) if rng.random() < 0.4 else content)
        read(folder / name)

    return name, run


def archive_input(content: bytes, name: str) -> Case:
    """An archive of a source."""

    def read(path: Path) -> None:
        with open_source(path, path.parent / "scratch"):
            pass

    return bytes_input(content, read, name)


def cases(folder: Path) -> list[Case]:
    """All kinds of inputs, each from a valid one."""
    labels = ("BACKGROUND", "LV", "MYO", "RV")
    spec = ModelSpec(NAME, "light2d", labels, Preprocessing(size=32), NAME, arguments={"widths": [4, 8]})
    net = build_net(spec)
    model = save_model(spec, net.state_dict(), folder / "m.safetensors").read_bytes()
    export_models([folder / "m.safetensors"], folder / "a.zip")
    config = json.loads(train_config(NAME).to_json(data="x"))
    domain = asdict(TrainingDomain("x", 2, {"pixel_mm": (1.0, 2.0)}, (0.5,) * 19, (1.5,), ("S",)))
    labels_file = {"labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3}, "file_ending": ".nii.gz"}
    truth = "Id,Systole,Diastole\n1,72,180\n2,46,114\n3,67,167"
    volumes = "study,EDV_ml,ESV_ml,EF_percent\n1,180,75,58\n2,117,48,59\n3,172,70,59"
    (folder / "truth.csv").write_text(truth)
    subjects = pd.DataFrame({"subject": ["a", "b"], "split": ""})
    polygon = "".join(
        f"<List:item><Point:x>{x}</Point:x><Point:y>{y}</Point:y></List:item>" for x, y in CORNERS
    )

    def domain_of(path: Path) -> TrainingDomain | None:
        (path.parent / "m.safetensors").write_bytes(model)
        return read_domain(path.parent / "m.safetensors")

    return [
        model_input(replace(spec, training={"domain": domain}), net.state_dict()),
        bytes_input(model, read_model, "m.safetensors"),
        json_input(labels_file, lambda path: list_images(path.parent), "dataset.json"),
        json_input(config, read_config, "config.json"),
        json_input(domain, domain_of, "m_domain.json"),
        json_input({"kind": "model", "labels": [1]}, lambda path: read_record(path.parent), "teacher.json"),
        json_input(
            {"digest": "x", "mask_sha256": "y", "problems": []},
            lambda p: read_result(p.parent),
            "result.json",
        ),
        bytes_input(RULES.encode(), load_rules, "rules.toml"),
        bytes_input(TOML.encode(), lambda path: train_config(NAME, TrainOptions(path)), "train.toml"),
        table_input(
            "subject,image,frame\na,i.nii,1\nb,j.nii,2", lambda p: list_images(p.parent), "catalog.csv"
        ),
        table_input(
            "subject,split\na,train\nb,val", lambda p: apply_splits(subjects, p.parent), "splits.csv"
        ),
        table_input(volumes, lambda path: confidence(path, folder / "truth.csv"), "summary.csv"),
        archive_input(zipped(), "s.zip"),
        archive_input(tarred("w"), "s.tar"),
        archive_input(tarred("w:gz"), "s.tar.gz"),
        archive_input(tarred("w:xz"), "s.tar.xz"),
        bytes_input((folder / "a.zip").read_bytes(), lambda p: import_archive(p, p.parent / "home"), "a.zip"),
        bytes_input((WORKSPACE % polygon).encode(), read_cvi42, "w.cvi42wsx"),
    ]


CORNERS = ((4, 4), (40, 4), (40, 40), (4, 40))
WORKSPACE = """<?xml version="1.0"?>
<w xmlns:Hash="h" xmlns:List="l" xmlns:Point="p"><i Hash:key="ImageStates"><i Hash:key="1.2.3">
<i Hash:key="Contours"><i Hash:key="saendocardialContour">
<i Hash:key="Points">%s</i><i Hash:key="SubpixelResolution">4</i></i></i></i></i></w>
"""


def zipped() -> bytes:
    """A ZIP archive of noise and of zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.dcm", np.random.default_rng(0).bytes(3000))
        archive.writestr("a/2.dcm", bytes(3000))
    return file.getvalue()


def tarred(mode: str) -> bytes:
    """The same as a tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in (("a/1.dcm", np.random.default_rng(0).bytes(3000)), ("a/2.dcm", bytes(3000))):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def outcome(case: Case, seed: int) -> str:
    """What becomes of one input: read, sentence, nameless, hang, or the traceback."""
    name, run = case
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder), random.Random(seed))
    except ValueError as error:
        text = str(error)
        if type(error).__name__ != "DataError" or "\n" in text or len(text) > 1500:
            where = traceback.format_exc(limit=-3)
            return f"{name} (seed {seed}): {type(error).__name__}: {text[:200]}\n{where}"
        return "sentence"
    except Hang:
        return f"{name} (seed {seed}): HANG"
    except Exception as error:
        return f"{name} (seed {seed}): {type(error).__name__}\n{traceback.format_exc(limit=-3)}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read"


def main() -> None:
    """Read all inputs and say what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    def stop(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, stop)
    with tempfile.TemporaryDirectory() as folder:
        kinds = cases(Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, resource.RLIM_INFINITY))
        counts: dict[str, Counter[str]] = {name: Counter() for name, _ in kinds}
        failures, slowest = [], 0.0
        for number in range(options.inputs):
            case = kinds[number % len(kinds)]
            start = time.perf_counter()
            result = outcome(case, options.seed * 1_000_000 + number)
            slowest = max(slowest, time.perf_counter() - start)
            kind = result if result in ("read", "sentence") else "failure"
            counts[case[0]][kind] += 1
            failures += [result] * (kind == "failure")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(pd.DataFrame(counts).T.fillna(0).astype(int).to_string())
    print(*failures, sep="\n")
    hangs = sum(failure.endswith("HANG") for failure in failures)
    print(
        f"{options.inputs} inputs, {len(failures) - hangs} tracebacks, {hangs} hangs, "
        f"slowest {slowest:.1f} s, peak memory {peak >> 10} MB ({before >> 10} MB before the first input)"
    )


if __name__ == "__main__":
    main()
