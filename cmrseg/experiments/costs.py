"""What a model costs: parameters, file, time and memory of one stack and of its training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from cmrseg.data.catalog import Catalog, load_volume_image
from cmrseg.experiments.keys import finish, is_scored, sha256
from cmrseg.io.atomic import write_text
from cmrseg.io.settings import read_json
from cmrseg.io.tables import read_table
from cmrseg.problems import DataError
from cmrseg.zoo.resolved import ResolvedModel

COST_COLUMNS = (
    "model", "architecture", "loss", "parameters", "file_MB", "examination_seconds", "examination_memory_MB",
    "training_seconds", "training_memory_MB", "images_seen",
)  # fmt: skip
COST_FILE = "cost.json"
_LIMIT_S = 3600.0
Stack = tuple[tuple[int, int, int], tuple[float, float, float]]  # pixels and mm


def usual_stack(catalog: Catalog) -> Stack:
    """Pixels ``(x, y, z)`` and spacing (mm) of the stack of median size: of it, costs are measured."""
    stacks = []
    for ref in catalog.volumes():
        image = load_volume_image(ref)
        stacks.append((image.array.shape[:3], image.spacing))
    shape, spacing = sorted(stacks, key=lambda stack: int(np.prod(stack[0])))[len(stacks) // 2]
    x, y, z = (1.0 if np.isnan(length) else float(length) for length in spacing)
    return shape, (x, y, z)


def cost_of(model: ResolvedModel, stack: Stack, folder: Path) -> dict[str, object]:
    """A row of the table of costs, without names.

    Parameters
    ----------
    model
        What is measured.
    stack
        From `usual_stack`.
    folder
        Keeps what was measured of the same model and stack.

    Returns
    -------
    Time and memory of one stack (one phase of one examination) in a process of its own, from its intensities
    to its mask: the fastest of three, and the most. Those of the training are in the history beside the
    model; nan where there is none.

    Raises
    ------
    DataError
        If the process fails.
    """
    key, path = sha256(model.sha256, repr(stack)), folder / COST_FILE
    if not (path.exists() and is_scored(folder, key)):
        write_text(json.dumps(_measured(model, stack)), path)
        finish(folder, key)
    parts = tuple(model.members.values()) or (model,)
    return {
        "architecture": model.spec.architecture,
        "parameters": sum(p.numel() for part in parts for p in part.load().net.parameters()),
        "file_MB": sum(part.path.stat().st_size for part in parts) / 1e6,
        **read_json(path, "delete it, it is measured again"),
        **_of_training(model),
    }


def _measured(model: ResolvedModel, stack: Stack) -> dict[str, float]:
    """Time and memory of one stack, in a process of its own."""
    given = json.dumps({"model": str(model.path), "shape": stack[0], "spacing": stack[1]})
    call = [sys.executable, "-m", "cmrseg.experiments.one_examination", given]
    done = subprocess.run(call, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        raise DataError(f"the costs of {model} could not be measured: {done.stderr.strip()[-200:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _of_training(model: ResolvedModel) -> dict[str, float]:
    """What a training took, by the history beside the model."""
    path = model.path.with_name("history.csv")
    if not path.exists():
        return dict.fromkeys(("training_seconds", "training_memory_MB", "images_seen"), float("nan"))
    history = read_table(path)
    memory = history["memory_mb"].max() if "memory_mb" in history else float("nan")
    return {
        "training_seconds": float(history["seconds"].sum()),
        "training_memory_MB": float(memory),
        "images_seen": float(history["images_seen"].max()),
    }
