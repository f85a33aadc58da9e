"""Files of a record of Zenodo: resumed, compared with the record's checksum, there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmrseg.io.lock import alone
from cmrseg.problems import DataError
from cmrseg.zoo.cache import difference
from cmrseg.zoo.download import download_checked
from cmrseg.zoo.fetch import FetchOptions, told_of_disk
from cmrseg.zoo.sources import is_offline
from cmrseg.zoo.zenodo import Record, RecordFile, RecordName, read_record


def open_record(name: RecordName, options: FetchOptions, where: Path) -> Record:
    """A record as Zenodo lists it, after one line of what it is.

    Parameters
    ----------
    name
        What the user named.
    options
        Who is told.
    where
        Folder for its files, for a machine without a network.

    Raises
    ------
    DataError
        If it cannot be read, or ``CMRSEG_OFFLINE`` is set.
    """
    if is_offline():
        what = f"{name.file} of https://doi.org/{name.doi}" if name.file else f"https://doi.org/{name.doi}"
        raise DataError(f"CMRSEG_OFFLINE is set; copy {what} to {where} from a machine with a network")
    record = read_record(name.doi)
    newest = "" if record.doi == name.doi else f", the newest version of {name.doi}"
    size = f"{len(record.files)} file(s), {sum(file.size for file in record.files) / 1e6:.1f} MB"
    options.note(f"doi:{record.doi}{newest}: {record.title}; {size}, licence {record.licence}")
    return record


def fetch_file(file: RecordFile, folder: Path, options: FetchOptions, *, other: str) -> Path:
    """One file of a record; a broken download goes on, and what is there already is compared only.

    Parameters
    ----------
    file, folder
        Which, and where to.
    options
        Who is told.
    other
        How a user names another folder, for a disk that is full.

    Returns
    -------
    ``folder / file.name``.

    Raises
    ------
    DataError
        If it cannot be had, or is not what the record says.
    """
    path = folder / file.name
    if file.checksum is None:
        raise DataError(f"the record names no checksum of {file.name}; if you trust it, use a browser")
    with told_of_disk(path, other):
        folder.mkdir(parents=True, exist_ok=True)
        with alone(path.with_name(f".{path.name}.lock")):
            if path.exists():
                if difference(path, file.checksum):
                    raise DataError(f"{path} is another file than that of the record; move it away")
                return path
            part = path.with_name(f"{path.name}.part")
            told: dict[str, Any] = {
                "size": file.size,
                "expected": file.checksum,
                "progress": options.progress,
            }
            if wrong := download_checked(file.url, part, **told):
                raise DataError(f"{file.name} is not what the record says and is deleted: {wrong}")
            part.replace(path)
    return path
