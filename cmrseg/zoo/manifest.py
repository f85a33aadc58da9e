"""The models by name: one JSON file in the package says where each is and what it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmrseg.io.checksum import sha256_of
from cmrseg.labels import near_matches
from cmrseg.problems import DataError
from cmrseg.zoo.model_file import Model, read_model

FOLDER = Path(__file__).parent
DEFAULT_MODEL = "light2d_hybrid_acdc_s3"


@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    Attributes
    ----------
    name
        Its recipe name.
    file, sha256, bytes
        The weights.
    architecture, labels, preprocessing, recipe
        As in the model file.
    trained_on, licence, citation
        Data, licence of the weights, and whom to cite.
    dice
        Mean volume Dice by structure, of the first evaluation in the card.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    architecture: str
    labels: tuple[str, ...]
    trained_on: str
    licence: str
    citation: str
    preprocessing: dict[str, Any]
    recipe: str
    dice: dict[str, float]

    @property
    def path(self) -> Path:
        """The embedded file."""
        return FOLDER / "embedded" / self.file


def read_manifest(folder: Path = FOLDER) -> dict[str, Entry]:
    """All models by name."""
    path = folder / "manifest.json"
    if not path.exists():
        return {}
    entries = json.loads(path.read_text(encoding="utf-8"))["models"]
    return {e["name"]: Entry(**{**e, "labels": tuple(e["labels"])}) for e in entries}


def get_entry(name: str) -> Entry:
    """One model by name.

    Raises
    ------
    DataError
        If there is none; near matches are named.
    """
    entries = read_manifest()
    if name not in entries:
        raise DataError(
            f"unknown model '{name}'; {near_matches(name, sorted(entries))} (or give a .safetensors file)"
        )
    return entries[name]


def load_model(name_or_path: str | Path = DEFAULT_MODEL) -> Model:
    """A model of the zoo by name, or from a file.

    Parameters
    ----------
    name_or_path
        Name in the manifest, path of a ``.safetensors`` file, or folder of a training run.

    Returns
    -------
    Model in evaluation mode, ``float32``.

    Raises
    ------
    DataError
        If there is no such model or file, its checksum is wrong, or it cannot be read.
    """
    return read_model(model_path(name_or_path))


def model_path(name_or_path: str | Path = DEFAULT_MODEL) -> Path:
    """The file of a model; that of the zoo is compared with its checksum.

    Parameters
    ----------
    name_or_path
        As for `load_model`.

    Raises
    ------
    DataError
        If there is no such model or file, or its checksum is wrong.
    """
    name, path = str(name_or_path), Path(name_or_path)
    is_file = path.suffix == ".safetensors" or path.exists()
    if not is_file or name in read_manifest():
        entry = get_entry(name)
        verify(entry)
        return entry.path
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.exists():
        raise DataError(f"model file {path} does not exist; check the path")
    return path


def read_card(name: str) -> str:
    """The card of a model, Markdown.

    Raises
    ------
    DataError
        If there is no such model.
    """
    return (FOLDER / "embedded" / f"{get_entry(name).name}.md").read_text(encoding="utf-8")


def verify(entry: Entry) -> None:
    """Compare the embedded file with its checksum.

    Raises
    ------
    DataError
        If the file is missing or has been changed.
    """
    if not entry.path.exists():
        raise DataError(
            f"the weights of {entry.name} are missing from this installation; install cmrseg again"
        )
    found = sha256_of([entry.path])
    if found != entry.sha256:
        raise DataError(
            f"the weights of {entry.name} are damaged: sha256 {found}, expected {entry.sha256}; install again"
        )
