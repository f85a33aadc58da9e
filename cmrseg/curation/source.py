"""The files of a source: a folder tree, or an archive that is unpacked without trusting its names."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile
from itertools import islice
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO

from cmrseg.problems import DataError, existing_folder

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_CHUNK = 1 << 20
_RESERVE = 256 << 20  # bytes that unpacking leaves free
_LOOK_AT = 5000  # files
SEGMENTATIONS = "dicom_seg"  # folder

File = tuple[Path, str]  # where it lies, and its name in the source


@contextmanager
def open_source(source: Path, scratch: Path) -> Iterator[list[File]]:
    """Files of a source in a fixed order.

    Parameters
    ----------
    source
        Folder, .zip, .tar or .tar.gz archive, or a single DICOM file.
    scratch
        Folder in which an archive is unpacked; removed afterwards.

    Raises
    ------
    DataError
        If the source is missing, empty or no archive.
    """
    if source.is_file() and is_dicom(source):
        yield [(source, source.name)]
    elif source.is_file():
        try:
            yield _unpacked(source, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    else:
        shutil.rmtree(scratch, ignore_errors=True)  # what a killed run had unpacked is raw data
        existing_folder(source, "source")
        yield _files_below(source)


def holds_dicom(source: Path) -> bool:
    """Whether a source is a DICOM file, an archive, or a folder with DICOM among its first 5000 files.

    Segmentations that this program wrote beside its results do not count.
    """
    if source.is_file():
        archive = source.name.lower().endswith((".zip", *_TAR_SUFFIXES))
        return archive or is_dicom(source)
    files = islice(_files_below(source), _LOOK_AT) if source.is_dir() else ()
    return any(SEGMENTATIONS not in path.parts and is_dicom(path) for path, _ in files)


def is_dicom(path: Path) -> bool:
    """Whether a file looks like DICOM, by its preamble or its name."""
    if path.suffix.lower() in (".dcm", ".ima"):
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _files_below(folder: Path) -> list[File]:
    """All visible files of a tree."""
    found, seen = [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and real not in seen)
        if real in seen:  # a link back into the tree
            continue
        seen.add(real)
        found += [Path(parent) / name for name in sorted(files) if not name.startswith(".")]
    return [(path, path.relative_to(folder).as_posix()) for path in found if path.is_file()]


def _unpacked(archive: Path, scratch: Path) -> list[File]:
    """Files of an archive under names of our own."""
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    scratch.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            return list(_unpack_zip(archive, scratch))
        if archive.name.lower().endswith(_TAR_SUFFIXES) and tarfile.is_tarfile(archive):
            return list(_unpack_tar(archive, scratch))
    except (
        zipfile.BadZipFile,
        BadGzipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        LZMAError,
        RuntimeError,
    ) as error:
        raise DataError(
            f"{archive} is damaged or encrypted ({type(error).__name__}); copy or unpack it again"
        ) from None
    raise DataError(
        f"{archive} is no folder and no .zip or .tar.gz archive; name the folder that holds the images, or "
        "copy the archive again if it was cut off"
    )


def _unpack_zip(archive: Path, scratch: Path) -> Iterator[File]:
    with zipfile.ZipFile(archive) as packed:
        for number, entry in enumerate(e for e in packed.infolist() if not e.is_dir()):
            with packed.open(entry) as member:
                yield _copied(member, scratch / f"{number:06}"), _relative(entry.filename)


def _unpack_tar(archive: Path, scratch: Path) -> Iterator[File]:
    with tarfile.open(archive) as packed:
        for number, entry in enumerate(e for e in packed if e.isfile()):
            member = packed.extractfile(entry)
            if member is not None:
                yield _copied(member, scratch / f"{number:06}"), _relative(entry.name)
        while packed.fileobj.read(_CHUNK):  # the checksum stands at the end
            pass


def _copied(member: BinaryIO, path: Path) -> Path:
    """A member written to disk, as long as the disk has room."""
    with path.open("wb") as file:
        while chunk := member.read(_CHUNK):
            if shutil.disk_usage(path.parent).free < _RESERVE:
                raise DataError(
                    f"the disk of {path.parent} is too small to unpack the archive; free some space"
                )
            file.write(chunk)
    return path


def _relative(name: str) -> str:
    """A member's name for logs."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
