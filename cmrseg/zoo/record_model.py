"""A model out of a record of Zenodo that the manifest does not name."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from cmrseg.io.home import home
from cmrseg.problems import DataError
from cmrseg.zoo.archive import import_archive, import_file
from cmrseg.zoo.fetch import FetchOptions
from cmrseg.zoo.record_files import fetch_file, open_record
from cmrseg.zoo.zenodo import Record, RecordFile, RecordName

_KINDS = (".safetensors", ".zip", ".pkl")  # in this order where a record has several
_OTHER = "in CMRSEG_HOME"


def fetch_record_model(name: RecordName, options: FetchOptions | None = None) -> tuple[Path, ...]:
    """Fetch a model from a record, verified by the record's checksum, and put it where models of a name lie.

    Parameters
    ----------
    name
        The record, with the file where it holds several models: a model file, an archive of
        `cmrseg zoo export`, or a learner of fastai, of which nothing is run.
    options
        Who is told.

    Returns
    -------
    The model files, ``<CMRSEG_HOME>/models/<name>/<name>.safetensors``.

    Raises
    ------
    DataError
        If the record or its file cannot be had, or holds no model.
    """
    options = options or FetchOptions()
    record = open_record(name, options, _folder(name.doi))
    folder = _folder(record.doi)
    file = _model_of(record, name.file)
    path = fetch_file(file, folder, options, other=_OTHER)
    if path.suffix == ".pkl":
        return (_import_learner(path, record, options),)
    if path.suffix == ".zip":
        return import_archive(path)
    for beside in record.files:
        if beside.name in ("card.md", f"{path.stem}_domain.json"):
            fetch_file(beside, folder, options, other=_OTHER)
    return (import_file(path),)


def _folder(doi: str) -> Path:
    """Where files of a record lie."""
    return home() / "records" / doi.replace("/", "_")


def _model_of(record: Record, named: str | None) -> RecordFile:
    """The file that holds the model."""
    if named is not None:
        file = record.file(named)
        if not file.name.endswith(_KINDS):
            raise DataError(f"{file.name} is no model; models are {', '.join(_KINDS)}")
        return file
    for kind in _KINDS:
        found = [file for file in record.files if file.name.endswith(kind)]
        if len(found) == 1:
            return found[0]
        if found:
            break
    held = ", ".join(file.name for file in record.files) or "no files"
    raise DataError(f"record {record.doi} holds not one model but {held}; name it as {record.doi}/FILE")


def _import_learner(path: Path, record: Record, options: FetchOptions) -> Path:
    """The model file of a learner, under the name that its network and settings give it."""
    from cmrseg.zoo.imported import ImportOptions, import_learner  # torch's layers, for one kind of file

    with TemporaryDirectory() as folder:
        try:
            imported = import_learner(
                path, Path(folder) / "m.safetensors", ImportOptions(licence=record.licence)
            )
        except DataError as error:
            more = f"`cmrseg zoo import {path}` has options for what it does not say"
            raise DataError(f"{error} ({more})") from None
        for sentence in imported.notes:
            options.note(sentence)
        return import_file(imported.path)
