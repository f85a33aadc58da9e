"""A data set out of a record of Zenodo: every file verified, archives unpacked, its source written down."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cmrseg.curation.source import is_archive, unpack
from cmrseg.io.atomic import scratch_folder, write_text
from cmrseg.io.in_use import works_in
from cmrseg.io.settings import read_json
from cmrseg.problems import DataError
from cmrseg.zoo.fetch import FetchOptions
from cmrseg.zoo.record_files import fetch_file, open_record
from cmrseg.zoo.zenodo import Record, RecordFile, RecordName

SOURCE = "zenodo_record.json"
_OTHER = "with --out"


@dataclass(frozen=True)
class RecordData:
    """What came of a record: its files as they are, and the folders of its archives."""

    record: Record
    paths: tuple[Path, ...]


@works_in("out", "data get")
def fetch_data(
    name: RecordName, out: Path, *, unpacked: bool = True, options: FetchOptions | None = None
) -> RecordData:
    """Fetch the files of a record; a broken download goes on, and what is there already is kept.

    Parameters
    ----------
    name
        The record, or one file of it.
    out
        Folder for the files and for ``zenodo_record.json`` (DOI, title, licence, checksums).
    unpacked
        Unpack .zip and .tar archives into folders of their names, and delete them then.
    options
        Who is told.

    Raises
    ------
    DataError
        If the record cannot be read, a file is not what it says, an archive is damaged or hostile, the disk
        is too small, or ``out`` holds another record.
    """
    options = options or FetchOptions()
    record = open_record(name, options, out)
    files = (record.file(name.file),) if name.file else record.files
    if not files:
        raise DataError(f"record {record.doi} holds no files that everybody may have; ask its authors")
    told = _told(out, record)
    missing = [file for file in files if not _is_unpacked(file, out, told)]
    _check_space(missing, out)
    for file in missing:
        path = fetch_file(file, out, options, other=_OTHER)
        told[file.name] = list(file.checksum or ())
        unpacks = unpacked and is_archive(path)
        if unpacks and _folder(file, out).exists():
            raise DataError(f"{_folder(file, out)} is already there; move it away to unpack {path}")
        _write(record, told, out)
        if unpacks:
            _unpack(path, _folder(file, out))
    paths = (_folder(file, out) if _is_unpacked(file, out, told) else out / file.name for file in files)
    return RecordData(record, tuple(paths))


def _folder(file: RecordFile, out: Path) -> Path:
    """Where an archive is unpacked."""
    stem = file.name.removesuffix(Path(file.name).suffix)
    return out / (stem.removesuffix(".tar") or f"{file.name}_unpacked")


def _is_unpacked(file: RecordFile, out: Path, told: dict[str, list[str]]) -> bool:
    """Whether the folder of an archive is there, from this very archive."""
    known = told.get(file.name) == list(file.checksum or ())
    return known and is_archive(Path(file.name)) and _folder(file, out).is_dir()


def _told(out: Path, record: Record) -> dict[str, list[str]]:
    """Checksums of what an earlier run brought into the folder."""
    path, remedy = out / SOURCE, "delete it and run the command again"
    if not path.exists():
        return {}
    told = read_json(path, remedy)
    if told.get("doi") != record.doi:
        raise DataError(f"{out} holds {told.get('doi')}, not {record.doi}; name another --out")
    checksums = told.get("checksums")
    return dict(checksums) if isinstance(checksums, dict) else {}


def _write(record: Record, told: dict[str, list[str]], out: Path) -> None:
    """Say where the data came from."""
    values = {key: value for key, value in asdict(record).items() if key != "files"}
    write_text(json.dumps({**values, "checksums": told}, indent=2, ensure_ascii=False) + "\n", out / SOURCE)


def _check_space(files: Sequence[RecordFile], out: Path) -> None:
    """Refuse to begin what the disk cannot hold."""
    needed = 0
    for file in files:
        parts = (out / file.name, out / f"{file.name}.part")
        there = max((path.stat().st_size for path in parts if path.exists()), default=0)
        needed += max(file.size - there, 0)
    free = shutil.disk_usage(out).free
    if free < needed:
        raise DataError(
            f"{out} has {free / 1e6:.0f} MB free and {needed / 1e6:.0f} MB are needed, and more to unpack "
            "archives; make room, or name another folder with --out"
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive whole or not at all; a folder of its own name within it is not repeated."""
    with scratch_folder(folder) as scratch:
        try:
            unpack(archive, scratch)
        except DataError as error:
            raise DataError(f"{archive}: {error}") from None
        inner = scratch / folder.name
        os.replace(inner if list(scratch.iterdir()) == [inner] and inner.is_dir() else scratch, folder)
    archive.unlink()
