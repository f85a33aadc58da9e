"""The models by name: one JSON file in the package says where each is and what it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmrseg.io.checksum import sha256_of
from cmrseg.labels import near_matches
from cmrseg.problems import DataError
from cmrseg.zoo.cache import cached_path
from cmrseg.zoo.fetch import FetchOptions, fetch
from cmrseg.zoo.model_file import Model, read_model
from cmrseg.zoo.schema import check_entry

FOLDER = Path(__file__).parent
DEFAULT_MODEL = "light2d_hybrid_acdc_s3"
_CONVERT = {
    "fastai": "published as a pickle, which is never loaded as it is: {get}"
    "`cmrseg zoo import {file} --recipe {entry.recipe} --licence {entry.licence}` "
    "makes a model file of it without running its code; then this name works",
    "monai": "the network of a MONAI bundle, a teacher: {get}put {file} into the bundle's models/ and use "
    "`cmrseg label --teacher monai:FOLDER`",
}


@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    Attributes
    ----------
    name
        Its recipe name.
    file, sha256, bytes
        The weights; checksum and size are None where they are not known.
    architecture, labels, preprocessing, recipe
        As in the model file.
    trained_on, licence, citation
        Data, licence of the weights, and whom to cite.
    dice
        Mean volume Dice by structure, of the first evaluation in the card.
    url, doi
        Address of the file, or DOI of the Zenodo record that holds it; neither for an embedded model.
    md5
        Where the publisher gives no SHA-256, or none is known.
    format
        ``cmrseg``, or what must be converted first: ``fastai`` (pickle) or ``monai`` (bundle).
    """

    name: str
    file: str
    sha256: str | None
    bytes: int | None
    architecture: str
    labels: tuple[str, ...]
    trained_on: str
    licence: str
    citation: str
    preprocessing: dict[str, Any]
    recipe: str
    dice: dict[str, float]
    url: str | None = None
    doi: str | None = None
    md5: str | None = None
    format: str = "cmrseg"

    @property
    def path(self) -> Path:
        """The embedded file."""
        return FOLDER / "embedded" / self.file

    @property
    def where(self) -> str:
        """``embedded`` in this installation, ``cached`` after it was fetched, else ``remote``."""
        if self.path.exists() or not (self.url or self.doi):
            return "embedded"
        return "cached" if cached_path(self).exists() else "remote"

    @property
    def size(self) -> str:
        """Of the file, for a sentence or table."""
        return "unknown size" if self.bytes is None else f"{self.bytes / 1e6:.1f} MB"


def read_manifest(folder: Path = FOLDER) -> dict[str, Entry]:
    """All models by name.

    Raises
    ------
    DataError
        If the manifest is damaged.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return {}
    try:
        entries = [read_entry(e, str(path)) for e in json.loads(path.read_text(encoding="utf-8"))["models"]]
    except (KeyError, TypeError, json.JSONDecodeError):
        raise DataError(f"{path} is damaged; install cmrseg again") from None
    return {entry.name: entry for entry in entries}


def read_entry(values: dict[str, Any], where: str) -> Entry:
    """One entry of a manifest, of ours or of an archive or record that somebody else made.

    Parameters
    ----------
    values
        Its object in the JSON file.
    where
        The file, for messages.

    Raises
    ------
    DataError
        If a field is missing, unknown or of the wrong kind.
    """
    check_entry(values, where)
    return Entry(**{**values, "labels": tuple(values["labels"])})


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


def load_model(name_or_path: str | Path = DEFAULT_MODEL, *, options: FetchOptions | None = None) -> Model:
    """A model of the zoo by name, or from a file.

    Parameters
    ----------
    name_or_path
        Name in the manifest, path of a ``.safetensors`` file, or folder of a training run.
    options
        How a model is fetched that is not here yet.

    Returns
    -------
    Model in evaluation mode, ``float32``.

    Raises
    ------
    DataError
        If there is no such model or file, it cannot be fetched, its checksum is wrong, or it cannot be read.
    """
    return read_model(model_path(name_or_path, options=options))


def model_path(name_or_path: str | Path = DEFAULT_MODEL, *, options: FetchOptions | None = None) -> Path:
    """The file of a model; that of the zoo is fetched where it is missing, and compared with its checksum.

    Parameters
    ----------
    name_or_path, options
        As for `load_model`.

    Raises
    ------
    DataError
        If there is no such model or file, it cannot be fetched, or its checksum is wrong.
    """
    name, path = str(name_or_path), Path(name_or_path)
    is_file = path.suffix == ".safetensors" or path.exists()
    if not is_file or name in read_manifest():
        return _file_of(get_entry(name), options)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.exists():
        raise DataError(f"model file {path} does not exist; check the path")
    return path


def _file_of(entry: Entry, options: FetchOptions | None) -> Path:
    """The verified file of a model that can be used as it is."""
    if entry.where == "embedded":
        verify(entry)
        return entry.path
    if entry.format not in _CONVERT:
        return fetch(entry, options)
    file = cached_path(entry)
    converted = file.with_suffix(".safetensors")  # where `cmrseg zoo import` puts it
    if converted.exists():
        return converted
    get = "" if file.exists() else f"`cmrseg zoo get {entry.name}`, then "
    raise DataError(f"{entry.name} is {_CONVERT[entry.format].format(get=get, file=file, entry=entry)}")


def read_card(name: str) -> str:
    """The card of a model, Markdown; of a model without one what the manifest says.

    Raises
    ------
    DataError
        If there is no such model.
    """
    entry = get_entry(name)
    card = FOLDER / "embedded" / f"{entry.name}.md"
    return card.read_text(encoding="utf-8") if card.exists() else _facts(entry)


def _facts(entry: Entry) -> str:
    rows = {
        "labels": ", ".join(entry.labels),
        "trained on": entry.trained_on,
        "architecture": entry.architecture,
        "recipe": entry.recipe,
        "licence": entry.licence,
        "cite": entry.citation,
        "file": f"{entry.file}, {entry.size}, {entry.format}",
        "from": entry.url or f"doi:{entry.doi}",
        "sha256": entry.sha256 or "not known",
        "md5": entry.md5 or "not known",
    }
    return "\n".join([f"# {entry.name}", "", *(f"- **{key}**: {value}" for key, value in rows.items())])


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
