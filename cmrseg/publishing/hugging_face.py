"""A model as the folder of a Hugging Face repository: card with its metadata, weights, licence."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmrseg.io.atomic import scratch_folder, write_text
from cmrseg.problems import DataError
from cmrseg.publishing.deposit_metadata import LICENCES
from cmrseg.zoo.describe import model_card
from cmrseg.zoo.domain import domain_path
from cmrseg.zoo.manifest import read_manifest, resolve
from cmrseg.zoo.regional import is_regional

WEIGHTS = "model.safetensors"
TAGS = ("medical", "cardiac", "mri", "cine", "short-axis", "image-segmentation")
DATA = {  # how cards name data sets -> what they are called here
    "ACDC": "acdc",
    "M&Ms": "mnms",
    "Sunnybrook": "sunnybrook-cardiac-data",
    "Kaggle DSB 2015": "kaggle-dsb-2015",
}
_THEIRS = {"cc-zero": "cc0-1.0"}  # licences that Hugging Face names unlike Zenodo
_TITLE = re.compile(r"<!-- results -->\s*### (.+)")
_USE = """\

## How to use it

```sh
cmrseg predict DICOM_OR_NIFTI OUT --model model.safetensors
```

`model.safetensors` holds the weights and, as JSON in its metadata, architecture, labels and preprocessing.
"""


def export_hugging_face(model: str, out: Path) -> Path:
    """Write a model as the folder of a Hugging Face repository.

    Parameters
    ----------
    model
        Name of the zoo or of an imported model, model file, or folder of a training run.
    out
        Folder to make.

    Returns
    -------
    The folder: ``README.md`` (YAML of licence, data, metrics, results, then the card), ``model.safetensors``,
    ``LICENSE``, and ``model_domain.json`` where the training images are described.

    Raises
    ------
    DataError
        If the folder is there, there is no such model, or it is one of several files.
    """
    if out.exists():
        raise DataError(f"{out} is there already; name a new folder for the repository")
    found = resolve(model)
    if is_regional(found.path):
        raise DataError(f"{model} is a regional model of several files; export its members")
    text, licence = model_card(model), found.spec.licence
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out) as folder:
        folder.mkdir()
        shutil.copyfile(found.path, folder / WEIGHTS)
        if (domain := domain_path(found.path)).exists():
            shutil.copyfile(domain, folder / "model_domain.json")
        write_text(f"{front_matter(model, text, licence)}\n{text.rstrip()}\n{_USE}", folder / "README.md")
        write_text(f"The weights are licensed {licence}.\n", folder / "LICENSE")
        os.replace(folder, out)
    return out


def front_matter(model: str, card: str, licence: str) -> str:
    """What Hugging Face reads of a model, between two lines of dashes.

    Parameters
    ----------
    model
        As for `export_hugging_face`.
    card
        Its Markdown; the first test set of its results names the data of the Dice.
    licence
        As cards name it; one that Hugging Face does not know is ``other`` with its name.

    Returns
    -------
    YAML whose values are JSON, which YAML takes as they are.
    """
    known = LICENCES.get(licence, "")
    told: dict[str, Any] = {"license": _THEIRS.get(known, known)}
    if not known:
        told = {"license": "other", "license_name": licence, "license_link": "LICENSE"}
    entry = read_manifest().get(model)
    trained_on = entry.trained_on if entry else ""
    told |= {
        "library_name": "cmrseg",
        "pipeline_tag": "image-segmentation",
        "tags": list(TAGS),
        "datasets": [name for said, name in DATA.items() if said in trained_on],
        "metrics": ["dice"],
    }
    if entry and entry.dice:
        told["model-index"] = [_results(entry.name, entry.dice, card)]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in told.items() if value]
    return "\n".join(["---", *lines, "---"])


def _results(name: str, dice: Mapping[str, float], card: str) -> dict[str, Any]:
    """Dice of every structure, of the first test set in the card."""
    title = found[1].strip() if (found := _TITLE.search(card)) else "see the card"
    slug = next((slug for said, slug in DATA.items() if said in title), "other")
    metrics = [{"type": "dice", "name": f"Dice {s}", "value": value} for s, value in dice.items()]
    result = {
        "task": {"type": "image-segmentation", "name": "Short-axis cine MRI"},
        "dataset": {"type": slug, "name": title},
        "metrics": metrics,
    }
    return {"name": name, "results": [result]}
