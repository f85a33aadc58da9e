"""What the commands write, recorded: to see that a change of the code changes none of it.

    python -m tests.behaviour record before.json       # runs the chain (minutes) and records every file
    python -m tests.behaviour record after.json        # after the change, on the same machine
    python -m tests.behaviour compare before.json after.json
    python -m tests.behaviour portable after.json tests/behaviour.json     # a change that was wanted

Weights, masks and tables are compared byte for byte where they hold neither times nor versions. Between
machines floating-point numbers differ: ``test_behaviour.py`` compares names, columns, counts and means.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nibabel as nib
import numpy as np
import pandas as pd

TOML = """\
arguments = {widths = [6, 12]}
batch_size = 4
[preprocessing]
pixel_mm = 3.0
size = 64
[[schedule]]
epochs = 2
lr = 4e-3
"""
BASE = "light2d_hybrid_toy_s3"
OTHER = "light2d_CE_toy_s1"
COMMANDS = f"""\
train {BASE} --data A --out base --config toy.toml
curate dicom curated
predict dicom examined --model base/model.safetensors --report
label A --teacher base/model.safetensors --out labelled --fast
confidence labelled/summary.csv truth.csv --out sets --thresholds 20,60
finetune --base base/model.safetensors --data B --out tuned --epochs 2
predict B masks --model tuned/model.safetensors
evaluate masks masks B --out scores
evaluate readers B masks --out readers
evaluate robustness A --out robust --model base/model.safetensors --subjects 1
study subsets --data B --base base/model.safetensors --subjects 1 --kinds subjects --seeds 1 --epochs 2
study search --data A --from {BASE} --step recipe={OTHER} --config toy.toml --random --by dice --out search
zoo export base/model.safetensors --out models.zip
"""
_SKIPPED_SUFFIXES = {".html", ".png", ".webp", ".svg", ".zip", ".lock", ".toml"}
_SKIPPED_COLUMNS = {"seconds", "memory_mb", "time"}  # of a training
_DIGITS = 4


def run_chain(folder: Path) -> None:
    """Make small studies in a folder and give the commands there, in one process."""
    from typer.testing import CliRunner

    from cmrseg.cli import app

    _make_studies(folder)
    settings = {"CMRSEG_SALT": "behaviour", "CMRSEG_HOME": str(folder / ".home")}  # the salt of pseudonyms
    with patch.dict(os.environ, settings), chdir(folder):
        for line in COMMANDS.splitlines():
            result = CliRunner().invoke(app, line.split(), catch_exceptions=False)
            if result.exit_code:
                raise RuntimeError(f"cmrseg {line}: exit code {result.exit_code}\n{result.output}")


def _make_studies(folder: Path) -> None:
    """Two synthetic data sets, an examination as DICOM, true volumes, and settings of a small network."""
    from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
    from cmrseg.phantom.dicom import dicom_datasets, write_datasets
    from cmrseg.workflows.demo import DemoSize, write_studies

    size = DemoSize(n_frames=4)
    for number, (name, scanner) in enumerate((("A", "A"), ("B", "7T")), start=1):
        write_studies(folder / name, SCANNERS[scanner], 6, size, seed=number)
    study = make_study(PhantomSpec(n_slices=8, n_frames=6, slice_spacing_mm=14.0), SCANNERS["A"], 5)
    write_datasets(dicom_datasets(study.cine), folder / "dicom", np.random.default_rng(0))
    rows = [(f"A{i + 1:02d}", 150.0 + i, 60.0 + i) for i in range(6)]
    pd.DataFrame(rows, columns=["study", "EDV_ml", "ESV_ml"]).to_csv(folder / "truth.csv", index=False)
    (folder / "toy.toml").write_text(TOML)


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file that the chain wrote: what must be the same on one machine, and what on any."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and _is_told(path, folder))
    return {path.relative_to(folder).as_posix(): _of_file(path) for path in files}


def _is_told(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix not in _SKIPPED_SUFFIXES


def _of_file(path: Path) -> dict[str, Any]:
    if path.suffix in (".csv", ".tsv"):
        return _of_table(path)
    if path.name.endswith(".nii.gz"):
        image = nib.load(path)
        array = np.asarray(image.dataobj)
        return _told(array.tobytes() + image.affine.tobytes(), shape=list(array.shape), mean=array.mean())
    if path.suffix == ".safetensors":
        return _of_model(path)
    return {}  # JSON, DICOM and workspaces hold versions, times and new UIDs: that they are there is told


def _of_table(path: Path) -> dict[str, Any]:
    table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    kept = table[[name for name in table if name not in _SKIPPED_COLUMNS]]
    means = {name: kept[name].mean() for name in kept.select_dtypes("number")}
    return _told(kept.to_csv(index=False).encode(), columns=list(table), rows=len(table), **means)


def _of_model(path: Path) -> dict[str, Any]:
    from cmrseg.zoo.model_file import read_model

    state = read_model(path).net.state_dict()
    content = b"".join(tensor.numpy().tobytes() for _, tensor in sorted(state.items()))
    sizes = {key: tensor.float().abs().mean().item() for key, tensor in state.items() if tensor.ndim > 1}
    return _told(content, tensors=len(state), **sizes)


def _told(content: bytes, **facts: Any) -> dict[str, Any]:
    plain = {k: float(v) if isinstance(v, float | np.floating) else v for k, v in facts.items()}
    return {"sha256": hashlib.sha256(content).hexdigest(), **plain}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Files that are missing, new or not the same byte for byte."""
    gone = [f"{name} is missing" for name in before.keys() - after.keys()]
    new = [f"{name} is new" for name in after.keys() - before.keys()]
    other = [f"{name} differs" for name in before.keys() & after.keys() if before[name] != after[name]]
    return sorted(gone + new + other)


def portable(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is nearly the same on any machine: names, columns, counts and means, all but the checksums."""
    return {name: {k: _short(v) for k, v in facts.items() if k != "sha256"} for name, facts in found.items()}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return None if np.isnan(value) else float(f"{value:.{_DIGITS}g}")
    return value


def record() -> dict[str, dict[str, Any]]:
    """Run the chain in a new folder and describe what it wrote."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run_chain(Path(folder))
        return describe(Path(folder))


def main(words: list[str]) -> int:
    """The command line of this module."""
    if words[:1] == ["record"] and len(words) == 2:
        Path(words[1]).write_text(json.dumps(record(), indent=1))
        return 0
    if words[:1] == ["compare"] and len(words) == 3:
        found = differences(*(json.loads(Path(word).read_text()) for word in words[1:]))
        print("\n".join(found) or "no difference")
        return bool(found)
    if words[:1] == ["portable"] and len(words) == 3:
        found = portable(json.loads(Path(words[1]).read_text()))
        Path(words[2]).write_text(json.dumps(found, indent=1) + "\n")
        return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
