"""The models by name: one JSON file in the package says where each is and what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmrseg.io.checksum import sha256_of
from cmrseg.io.home import home
from cmrseg.io.settings import read_json, told_of
from cmrseg.labels import near_matches
from cmrseg.problems import DataError
from cmrseg.zoo.cache import checksum
from cmrseg.zoo.entry import FOLDER, Entry, cached_path
from cmrseg.zoo.fetch import FetchOptions, fetch
from cmrseg.zoo.model_file import Model, read_model
from cmrseg.zoo.published_learner import fetch_learner
from cmrseg.zoo.regional import FILE as REGIONAL
from cmrseg.zoo.regional import is_regional, resolve_regional
from cmrseg.zoo.resolved import ModelName, ResolvedModel
from cmrseg.zoo.schema import check_entry

DEFAULT_MODEL = "light2d_hybrid_multi_s3"


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
    remedy = "it is damaged: install cmrseg again"
    values = read_json(path, remedy)
    with told_of(path, remedy):
        entries = [read_entry(entry, str(path)) for entry in values["models"]]
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


def imported_models() -> dict[str, Path]:
    """Files of the models that `cmrseg zoo import` brought and that are not of the zoo, by name."""
    files = sorted((home() / "models").glob("*/*.safetensors"))
    named = {path.stem: path for path in files if path.stem == path.parent.name}
    named |= {path.parent.name: path for path in sorted((home() / "models").glob(f"*/{REGIONAL}"))}
    zoo = read_manifest()
    return {name: path for name, path in named.items() if name not in zoo}


def get_entry(name: str) -> Entry:
    """One model by name.

    Raises
    ------
    DataError
        If there is none; near matches are named.
    """
    entries = read_manifest()
    if name not in entries:
        known = sorted({*entries, *imported_models()})
        raise DataError(f"unknown model '{name}'; {near_matches(name, known)} (or give a .safetensors file)")
    return entries[name]


def resolve(model: ModelName = DEFAULT_MODEL, *, options: FetchOptions | None = None) -> ResolvedModel:
    """What a name stands for; a model that is resolved stays as it is, so that whoever takes one may ask.

    Parameters
    ----------
    model
        As for `load_model`, or what this function gave before.
    options
        As for `load_model`.

    Raises
    ------
    DataError
        As `load_model`, but the tensors are not looked at.
    """
    if isinstance(model, ResolvedModel):
        return model
    path, sha256 = _found(model, options)
    if is_regional(path):
        return resolve_regional(path, lambda name: _member_of_zoo(name, options), name=str(model))
    return ResolvedModel.of_file(path, name=str(model), sha256=sha256)


def load_model(name_or_path: ModelName = DEFAULT_MODEL, *, options: FetchOptions | None = None) -> Model:
    """A model of the zoo by name, or from a file.

    Parameters
    ----------
    name_or_path
        Name in the manifest or of an imported model, path of a ``.safetensors`` file or of a regional model
        (``.json``), folder of a training run, or a resolved model.
    options
        How a model is fetched that is not here yet.

    Returns
    -------
    Model in evaluation mode, ``float32``.

    Raises
    ------
    DataError
        If there is no such model or file, it cannot be fetched, its checksum is wrong, or it cannot be read.

    Examples
    --------
    >>> import cmrseg
    >>> cmrseg.load_model().spec.labels
    ('BACKGROUND', 'LV', 'MYO', 'RV')
    """
    if not is_regional(path := model_path(name_or_path, options=options)):
        return read_model(path)
    return resolve(name_or_path, options=options).load()


def model_path(name_or_path: ModelName = DEFAULT_MODEL, *, options: FetchOptions | None = None) -> Path:
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
    if isinstance(name_or_path, ResolvedModel):
        return name_or_path.path
    return _found(name_or_path, options)[0]


def _found(name_or_path: str | Path, options: FetchOptions | None) -> tuple[Path, str]:
    """The file of a model, and its checksum where that was computed on the way."""
    name, path = str(name_or_path), Path(name_or_path)
    is_file = path.suffix == ".safetensors" or is_regional(path) or path.exists()
    if not is_file and (imported := imported_models().get(name)) is not None:
        return imported, ""
    if not is_file or name in read_manifest():
        return _file_of(get_entry(name), options)
    if path.is_dir():
        folder, path = path, path / "model.safetensors"
        path = path if path.exists() or not (folder / REGIONAL).exists() else folder / REGIONAL
    if not path.exists():
        raise DataError(f"model file {path} does not exist; check the path")
    return path, ""


def _member_of_zoo(name: str, options: FetchOptions | None) -> tuple[Path, str]:
    """The file of a member of a regional model that is named and does not lie beside it."""
    if (imported := imported_models().get(name)) is not None:
        return imported, ""
    return _file_of(get_entry(name), options)


def _file_of(entry: Entry, options: FetchOptions | None) -> tuple[Path, str]:
    """The verified file of a model that can be used as it is, and the checksum that it was compared with."""
    if entry.where == "embedded":
        verify(entry)
        return entry.path, entry.sha256 or ""
    if entry.format == "monai":
        file = cached_path(entry)
        get = "" if file.exists() else f"`cmrseg zoo get {entry.name}`, then "
        raise DataError(
            f"{entry.name} is the network of a MONAI bundle, a teacher: {get}put {file} into the bundle's "
            "models/ and use `cmrseg label --teacher monai:FOLDER`"
        )
    path, (algorithm, value) = bring(entry, options), checksum(entry) or ("", "")
    return path, value if algorithm == "sha256" and path == cached_path(entry) else ""


def bring(entry: Entry, options: FetchOptions | None = None) -> Path:
    """The file of a published model in the cache: fetched where it is missing, a pickle made a model file.

    Parameters
    ----------
    entry
        Of a model that is not embedded.
    options
        As for `load_model`.

    Raises
    ------
    DataError
        If it cannot be fetched, its checksum is wrong, or a pickle holds no learner of ours.
    """
    return fetch_learner(entry, options) if entry.format == "fastai" else fetch(entry, options)


def read_card(name: str) -> str:
    """The card of a model, Markdown; of a model without one what the manifest says.

    Raises
    ------
    DataError
        If there is no such model.
    """
    entry = get_entry(name)
    card = entry.path.with_name(f"{entry.name}.md")
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
