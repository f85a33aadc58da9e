"""One model of the zoo: what the manifest says of it, and where its file lies on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmrseg.io.home import home

FOLDER = Path(__file__).parent


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
        ``cmrseg``, ``fastai`` (a pickle, imported when it is fetched) or ``monai`` (part of a bundle).
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
        return "cached" if usable_path(self).exists() else "remote"

    @property
    def size(self) -> str:
        """Of the file, for a sentence or table."""
        return "unknown size" if self.bytes is None else f"{self.bytes / 1e6:.1f} MB"


def cached_path(entry: Entry) -> Path:
    """Where the file of a model lies once it is fetched; the names are the manifest's, not a server's."""
    return home() / "models" / entry.name / entry.file


def usable_path(entry: Entry) -> Path:
    """Where the file lies that is loaded: of a published learner the model file that was made of it."""
    path = cached_path(entry)
    return path.with_suffix(".safetensors") if entry.format == "fastai" else path
