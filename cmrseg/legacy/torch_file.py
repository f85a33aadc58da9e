"""What ``torch.save`` wrote, read without running any of it: the zip format and the older stream.

Values are read in Python, because torch's own reader comes with its unpickler; only tensors
that are asked for are made, and only after their size and strides were checked against the storage.
"""

from __future__ import annotations

import io
import math
import mmap
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmrseg.legacy.records import Global, Persistent, Record, brief
from cmrseg.legacy.unpickler import Pickle, read_pickle
from cmrseg.legacy.zip_file import opened_zip
from cmrseg.problems import DataError

_ZIP_MAGIC = b"PK\x03\x04"
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_VERSION = 1001
_COUNT = struct.Struct("<q")
_MAX_DIMENSIONS = 8
_KEY = re.compile(r"[0-9]{1,20}")
_TYPES: Mapping[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
}


@dataclass(frozen=True)
class Storage:
    """A run of values of one type, outside the pickle."""

    key: str
    dtype: torch.dtype
    count: int

    @property
    def n_bytes(self) -> int:
        """Its length in the file."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class TensorView:
    """A tensor that is described but not made."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class TorchFile:
    """An open file of ``torch.save``."""

    path: Path
    content: Pickle
    read_storage: Callable[[Storage], bytes]

    def tensor(self, view: TensorView) -> Tensor:
        """Make one tensor, with memory of its own.

        Raises
        ------
        DataError
            If its values are missing or damaged.
        """
        data = self.read_storage(view.storage)
        if len(data) != view.storage.n_bytes:
            raise DataError(
                f"{self.path} is damaged: storage {view.storage.key} has {len(data)} bytes, "
                f"{view.storage.n_bytes} are needed; copy or fetch it again"
            )
        dtype = view.storage.dtype
        flat = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return flat.as_strided(view.size, view.stride, view.offset).clone(
            memory_format=torch.contiguous_format
        )


@contextmanager
def open_torch_file(path: Path) -> Iterator[TorchFile]:
    """Open what ``torch.save`` wrote; its pickle is read as inert records.

    Raises
    ------
    DataError
        If it is missing, is no such file, is damaged or is hostile.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist or is no file; check the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; copy or fetch it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:4] != _ZIP_MAGIC:
            yield _open_stream(path, content)
            return
        with opened_zip(path) as archive:
            yield _open_zip(path, archive)


def tensor_view(value: Any, where: object) -> TensorView | None:
    """The tensor that a record describes; None if it describes none.

    Raises
    ------
    DataError
        If it describes one that does not lie within its storage, or of a kind that is not read.
    """
    call, args = _rebuilding(value)
    if call is None:
        return None
    if call not in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        raise DataError(f"{where} is made by {brief(call)}; only plain tensors are read")
    storage, offset, size, stride = (*args, None, None, None, None)[:4]
    view = TensorView(_storage(storage, where), offset, size, stride)
    _check_extent(view, where)
    return view


def _rebuilding(value: Any) -> tuple[str | None, tuple]:
    """Innermost function that rebuilds a tensor, with its arguments; parameters and subclasses wrap it."""
    of, args = (value.of, value.args) if isinstance(value, Record) else (None, ())
    for _ in range(4):
        name = str(of) if isinstance(of, Global) else ""
        if name.startswith("torch._utils._rebuild_parameter") and args and isinstance(args[0], Record):
            of, args = args[0].of, args[0].args
        elif name.endswith("._rebuild_from_type_v2") or name.endswith("._rebuild_from_type"):
            of, args = (args[0], args[2]) if len(args) > 2 and isinstance(args[2], tuple) else (None, ())
        elif name.endswith("._fa_rebuild_tensor"):  # fastai 2.0 to 2.2
            of, args = Global("torch._utils", "_rebuild_tensor_v2"), args[1:]
    name = str(of) if isinstance(of, Global) else ""
    return (
        (name, args) if name.startswith(("torch._utils._rebuild", "torch._tensor._rebuild")) else (None, ())
    )


def _storage(value: Any, where: object) -> Storage:
    """The storage that a reference names."""
    key = value.key if isinstance(value, Persistent) else None
    if not isinstance(key, tuple) or len(key) not in (5, 6) or key[0] != "storage":
        raise DataError(f"{where} has values in a place that is no torch storage")
    _, kind, name, _, count, *view = key
    dtype = _TYPES.get(kind.name) if isinstance(kind, Global) and kind.module == "torch" else None
    if dtype is None:
        raise DataError(f"{where} has values of type {brief(kind)}; {', '.join(_TYPES)} are read")
    if any(part is not None for part in view):
        raise DataError(f"{where} is a view of another storage, which is not read")
    if not (isinstance(name, str) and _KEY.fullmatch(name)):
        raise DataError(f"{where} names the storage {brief(name)}; a number is expected")
    if not _is_count(count):
        raise DataError(f"{where} has a storage of {brief(count)} values")
    return Storage(name, dtype, count)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _check_extent(view: TensorView, where: object) -> None:
    """Refuse a tensor that reaches beyond its storage or repeats values without end."""
    size, stride = view.size, view.stride
    shaped = all(isinstance(s, tuple) and len(s) <= _MAX_DIMENSIONS for s in (size, stride))
    if not shaped or len(size) != len(stride) or not all(map(_is_count, (view.offset, *size, *stride))):
        raise DataError(f"{where} has no valid size, strides and offset")
    last = view.offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    values = math.prod(size)
    if values and (last >= view.storage.count or values > view.storage.count):
        raise DataError(
            f"{where} of size {size}, strides {stride} and offset {view.offset} "
            f"does not lie within its storage of {view.storage.count} values"
        )


def _open_zip(path: Path, archive: zipfile.ZipFile) -> TorchFile:
    """The format since torch 1.6. Members are read by exact name and never unpacked to the disk."""
    names = archive.namelist()
    pickles = [n for n in names if n.count("/") == 1 and n.endswith("/data.pkl")]
    if len(pickles) != 1 or len(set(names)) != len(names):
        raise DataError(f"{path} is an archive, but not one of torch.save")
    if any(
        i.compress_type != zipfile.ZIP_STORED or i.compress_size != i.file_size for i in archive.infolist()
    ):
        raise DataError(f"{path} has compressed members, which torch.save never writes; it was not read")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
        raise DataError(f"{path} was written on a big-endian machine, which is not read")

    def read(storage: Storage) -> bytes:
        name = f"{folder}data/{storage.key}"
        if name not in names:
            raise DataError(f"{path} is damaged: storage {storage.key} is missing; copy or fetch it again")
        if (size := archive.getinfo(name).file_size) != storage.n_bytes:
            raise DataError(
                f"{path} is damaged: storage {storage.key} has {size} bytes, {storage.n_bytes} are needed"
            )
        return archive.read(name)

    return TorchFile(path, read_pickle(io.BytesIO(archive.read(pickles[0])), path), read)


def _open_stream(path: Path, content: mmap.mmap) -> TorchFile:
    """The format before torch 1.6: five pickles, then every storage with its length."""
    magic = read_pickle(content, path).root
    if magic != _STREAM_MAGIC or read_pickle(content, path).root != _STREAM_VERSION:
        raise DataError(f"{path} was not written by torch.save; give the file of `Learner.export`")
    system = read_pickle(content, path).root
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise DataError(f"{path} was written on a big-endian machine, which is not read")
    main = read_pickle(content, path)
    places = _stream_places(path, content, main, read_pickle(content, path).root)

    def read(storage: Storage) -> bytes:
        start, count = places.get(storage.key, (0, -1))
        if count != storage.count:
            raise DataError(f"{path} is damaged: storage {storage.key} is missing or of another length")
        return content[start : start + storage.n_bytes]

    return TorchFile(path, main, read)


def _stream_places(path: Path, content: mmap.mmap, main: Pickle, keys: Any) -> dict[str, tuple[int, int]]:
    """Where each storage starts, and how many values it has."""
    references = [p for p in main.persistent if isinstance(p.key, tuple) and p.key[:1] == ("storage",)]
    storages = {s.key: s for s in (_storage(p, path) for p in references)}
    places, start = {}, content.tell()
    for key in keys if isinstance(keys, list) else ():
        head = content[start : start + _COUNT.size]
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or len(head) < _COUNT.size or _COUNT.unpack(head)[0] != storage.count:
            raise DataError(f"{path} is damaged: storage {brief(key)} is missing or of another length")
        places[key] = (start + _COUNT.size, storage.count)
        start += _COUNT.size + storage.n_bytes
    return places
