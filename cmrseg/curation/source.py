"""The files of a source: a folder tree, or an archive that is unpacked without trusting its names."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import math
import os
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from gzip import BadGzipFile
from itertools import islice
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO

from cmrseg.problems import DataError, existing_folder

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_ARCHIVES = (".zip", *_TAR_SUFFIXES)
_CHUNK, _SMALL_CHUNK = 1 << 20, 1 << 12
_RESERVE = 256 << 20  # bytes that unpacking leaves free
_LOOK_AT = 5000  # files
_PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_ALWAYS = 256 << 20  # bytes that any archive may unpack to
_MOST_TIMES = 100  # its own size; images shrink to a half or a tenth
_MOST_MEMBERS = 500_000
_MOST_HEADER = 8 << 20  # bytes
_FIRST = 10  # files of an archive
SEGMENTATIONS = "dicom_seg"  # folder
_NO_NAME = re.compile(r"[:\x00-\x1f\x7f]")  # a drive of Windows, and what a terminal would obey

_PREAMBLE = 132  # bytes of a DICOM file before its first element

File = tuple[Path, str]  # where it lies, and its name in the source
Member = tuple[BinaryIO, str, int]  # of an archive: content, name, and how much of it to read at a time


@contextmanager
def open_source(source: Path, scratch: Path) -> Iterator[list[File]]:
    """Files of a source in a fixed order.

    Parameters
    ----------
    source
        Folder, .zip, .tar or .tar.gz archive, or a single DICOM file; archives of DICOM files in a folder are
        opened, and one that cannot be is among the files as it is.
    scratch
        Folder in which archives are unpacked; removed afterwards.

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
        try:
            yield list(_opened(_files_below(_checked(source)), scratch))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _checked(source: Path) -> Path:
    """A folder that is there and holds something; only a path that leads nowhere is repeated to the user."""
    if not source.is_dir():
        return existing_folder(source, "source")
    if not any(source.iterdir()):
        raise DataError("the folder of the source is empty; nothing to read")
    return source


def _unreadable(error: OSError) -> None:
    """A folder that cannot be listed may hold slices: nothing is left out in silence."""
    raise DataError(
        f"a folder of the source cannot be read ({error.strerror}); check its permissions"
    ) from None


def holds_dicom(source: Path) -> bool:
    """Whether a source is a DICOM file, an archive, or a folder with either among its first 5000 files.

    Segmentations that this program wrote beside its results do not count.
    """
    if source.is_file():
        return is_archive(source) or is_dicom(source)
    files = islice(_files_below(source), _LOOK_AT) if source.is_dir() else ()
    found = [path for path, _ in files if SEGMENTATIONS not in path.parts]
    return any(map(is_dicom, found)) or any(_packs_dicom(path) for path in found if is_archive(path))


def is_archive(path: Path) -> bool:
    """Whether a file is an archive by its name."""
    return path.name.lower().endswith(_ARCHIVES)


def archive_fault(path: Path) -> str:
    """Why an archive in a folder was not opened; empty where it holds no DICOM files."""
    try:
        if not _first_are_dicom(path):
            return ""
        with _opened_archive(path, None) as members:
            for file, _, chunk in members:
                while file.read(chunk):
                    pass
    except DataError as error:
        return str(error)
    return "the archive is whole but could not be unpacked; free some space on the disk or unpack it yourself"


def is_dicom(path: Path) -> bool:
    """Whether a file looks like DICOM, by its preamble or its name."""
    if _is_dicom_name(path.name):
        return True
    try:
        with path.open("rb") as file:
            return _is_dicom_start(file.read(_PREAMBLE))
    except OSError:
        return False


def _is_dicom_name(name: str) -> bool:
    return name.lower().endswith((".dcm", ".ima"))


def _is_dicom_start(content: bytes) -> bool:
    """Whether a file that begins so is DICOM."""
    return content[_PREAMBLE - 4 :] == b"DICM"


def _files_below(folder: Path) -> list[File]:
    """All visible files of a tree."""
    found, seen = [], set()
    for parent, folders, files in os.walk(folder, onerror=_unreadable, followlinks=True):
        real = os.path.realpath(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and real not in seen)
        if real in seen:  # a link back into the tree
            continue
        seen.add(real)
        found += [Path(parent) / name for name in sorted(files) if not name.startswith(".")]
    return [(path, path.relative_to(folder).as_posix()) for path in found if os.path.isfile(path)]


def _opened(files: list[File], scratch: Path) -> Iterator[File]:
    """Files, and instead of archives of DICOM files what they hold."""
    for number, (path, name) in enumerate(files):
        try:
            if is_archive(path) and _packs_dicom(path):
                members = _unpacked(path, scratch / f"{number:06}")
                yield from ((member, f"{name}/{told}") for member, told in members)
                continue
        except DataError:  # its reason is told where the file is read
            shutil.rmtree(scratch / f"{number:06}", ignore_errors=True)
        yield path, name


def _packs_dicom(archive: Path) -> bool:
    """Whether DICOM files are among the first of an archive that can be read."""
    try:
        return _first_are_dicom(archive)
    except DataError:
        return False


def _first_are_dicom(archive: Path) -> bool:
    """Whether DICOM files are among the first of an archive; nothing of it is written anywhere."""
    with _opened_archive(archive, None) as members:
        first = islice(members, _FIRST)
        return any(_is_dicom_name(name) or _is_dicom_start(file.read(_PREAMBLE)) for file, name, _ in first)


def _unpacked(archive: Path, scratch: Path) -> list[File]:
    """Files of an archive under names of our own."""
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    scratch.mkdir(parents=True)
    with _opened_archive(archive, scratch) as members:
        return [
            (_copied(file, scratch / f"{number:06}", chunk), _relative(name))
            for number, (file, name, chunk) in enumerate(members)
        ]


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of an archive below a folder under their own names, none of which leads out of it.

    Parameters
    ----------
    archive
        As for `open_source`.
    folder
        New; links and devices of a tar archive are left out.

    Raises
    ------
    DataError
        If it is damaged, unpacks to far more than its size or the disk holds, or two files have one name.
    """
    folder.mkdir(parents=True)
    with _opened_archive(archive, folder) as members:
        for file, name, chunk in members:
            path = folder / (_NO_NAME.sub("_", _relative(name)) or "_")
            with suppress(FileExistsError, NotADirectoryError):  # a file where a folder should be
                path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() or not path.parent.is_dir():
                raise DataError("the archive holds two files of one name; unpack it yourself")
            _copied(file, path, chunk)


@contextmanager
def _opened_archive(archive: Path, scratch: Path | None) -> Iterator[Iterator[Member]]:
    """The files of an archive, each to be read before the next; ``scratch`` is where they are unpacked."""
    try:
        allowance = _Allowance(archive, scratch)
        if zipfile.is_zipfile(archive):
            yield _zip_members(archive, allowance)
            return
        if archive.name.lower().endswith(_TAR_SUFFIXES):
            yield _tar_members(archive, allowance)
            return
    except DataError:
        raise
    except (zipfile.BadZipFile, BadGzipFile, tarfile.TarError, zlib.error, EOFError, LZMAError, OverflowError,
            RuntimeError, ValueError, struct.error) as error:  # fmt: skip
        raise _damaged(error) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a full disk others tell
            raise
        raise _damaged(error) from None  # it points to before its beginning
    raise DataError(
        "the source is no folder and no .zip or .tar.gz archive; name the folder that holds the images, or "
        "copy the archive again if it was damaged or cut off"
    )


def _damaged(error: Exception) -> DataError:
    """The complaint about an archive; the error itself may quote a name."""
    return DataError(f"the archive is damaged or encrypted ({type(error).__name__}); copy or unpack it again")


def _zip_members(archive: Path, allowance: _Allowance) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as packed:
        entries = [entry for entry in packed.infolist() if not entry.is_dir()]
        allowance.claim(sum(entry.file_size for entry in entries), members=len(entries))
        for entry in entries:
            # Others than deflate unpack what they are given whole, however much comes out of it.
            chunk = (
                _CHUNK if entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else _SMALL_CHUNK
            )
            with packed.open(entry) as member:
                yield member, entry.filename, chunk


def _tar_members(archive: Path, allowance: _Allowance) -> Iterator[Member]:
    with _unpacking(archive) as file, _opened_tar(_Counted(file, allowance)) as packed:
        for entry in packed:
            allowance.claim(entry.size, members=1)  # of a sparse file what it becomes
            member = packed.extractfile(entry) if entry.isfile() else None
            if member is not None:
                yield member, entry.name, _CHUNK
        while packed.fileobj.read(_CHUNK):  # the checksum stands at the end
            pass


def _opened_tar(file: _Counted) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="r:")  # type: ignore[call-overload]


def _unpacking(archive: Path) -> BinaryIO:
    """The bytes of a tar archive, whatever it is packed with."""
    with archive.open("rb") as file:
        begin = file.read(6)
    opened = next((opened for magic, opened in _PACKED.items() if begin.startswith(magic)), open)
    return opened(archive, "rb")  # type: ignore[operator]


class _Allowance:
    """How much an archive may unpack to, by its own size and by what the disk holds."""

    def __init__(self, archive: Path, scratch: Path | None) -> None:
        self._most = max(_ALWAYS, _MOST_TIMES * archive.stat().st_size)
        self._free = math.inf if scratch is None else shutil.disk_usage(scratch).free - _RESERVE
        self._claimed = self._members = 0

    def claim(self, size: int, *, members: int = 0) -> None:
        """Count what a header says that comes, before it is unpacked.

        Raises
        ------
        DataError
            If no archive of images holds as much, or the disk does not.
        """
        self._claimed += size
        self._members += members
        self.check(self._claimed)
        if self._members > _MOST_MEMBERS:
            raise DataError(f"the archive holds more than {_MOST_MEMBERS} files; unpack it yourself")
        if self._claimed > self._free:
            raise DataError(
                f"the disk is too small to unpack the archive to {self._claimed >> 20} MB; free some space"
            )

    def check(self, size: int) -> None:
        """Refuse more bytes than an archive of images unpacks to."""
        if size > self._most:
            raise DataError(
                f"the archive unpacks to more than {self._most >> 20} MB, far more than its size and than "
                "images do; unpack it yourself if you trust it"
            )


class _Counted(io.RawIOBase):
    """The bytes of an archive up to its allowance; none of its headers is read that asks for memory."""

    def __init__(self, file: BinaryIO, allowance: _Allowance) -> None:
        self._file, self._allowance = file, allowance

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_HEADER:
            raise tarfile.ReadError("a header of many megabytes")
        content = self._file.read(size)
        self._allowance.check(self._file.tell())
        return content

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            self._allowance.check(place)
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()


def _copied(member: BinaryIO, path: Path, size: int) -> Path:
    """A member written to disk, as long as the disk has room."""
    with path.open("wb") as file:
        while chunk := member.read(size):
            if shutil.disk_usage(path.parent).free < _RESERVE:
                raise DataError("the disk is too small to unpack the archive; free some space")
            file.write(chunk)
    return path


def _relative(name: str) -> str:
    """A member's name for logs."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
