"""NIfTI files: headers that are checked, pixels that are read to the last byte, and what is written.

Notes
-----
The axes of a file are remembered in ``Cine.axes``; whoever joins files sets it to None. A header is read
unchecked, because nibabel mends what must be told. Files keep the numbers of the header of their image and
none of its texts.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from isal import igzip, igzip_lib
from nibabel.arrayproxy import ArrayProxy
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from nibabel.wrapstruct import WrapStructError

from cmrseg.cine import Cine, FileAxes
from cmrseg.io.axes import AXES_NEEDED, contradicted
from cmrseg.io.grid import MM_PER_UNIT, Grid, nifti_grid
from cmrseg.problems import DataError, first_line

DAMAGED = (
    HeaderDataError, HeaderTypeError, WrapStructError, igzip_lib.IsalError, OSError, EOFError, zlib.error,
    struct.error,
    ValueError, ArithmeticError, LookupError, TypeError, MemoryError,
)  # fmt: skip
_MOST_VOXELS = 2**29  # 512 x 512 x 20 x 100
_SUSPICIOUS_BYTES, _MOST_RATIO, _DEFLATE_RATIO = 2**28, 200, 1033
_MOST_PADDING = 511  # bytes behind the pixels: some programs fill blocks
_HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}


def read_nifti_grid(path: Path, like: FileAxes | None = None) -> Grid:
    """The grid of a file, from its header; its pixels are read only where this does not tell the axes.

    A file with the header of another one, as a mask may have that of its image, has the axes ``like`` it.
    """
    return _grid(path, _stamp(path)) if like is None else _read_grid(path, like)


def read_nifti(path: Path, dtype: type | None, like: FileAxes | None = None) -> tuple[Grid, np.ndarray]:
    """The grid of a file and its pixels ``(x, y, z, t)``; ``dtype`` None keeps the stored type.

    Raises
    ------
    DataError
        If the file is damaged, truncated, no NIfTI, or contradicts itself.
    """
    grid = read_nifti_grid(path, like)
    array = _pixels(path, grid.axes.header, dtype)
    if dtype is not None and contradicted(array, grid.axes.order):
        raise DataError(
            f"{path}: from frame to frame more changes than from slice to slice, so that its axes of slices "
            f"and frames seem to be exchanged; {AXES_NEEDED}"
        )
    return grid, grid.axes.to_cine(array)


def write_nifti(cine: Cine, array: np.ndarray, path: Path) -> None:
    """Write pixels on the grid of a cine, in the order of the file that it comes from.

    Equal images give equal bytes, and ISA-L compresses five times faster than zlib.
    """
    image = _nifti(cine, array) if cine.axes is None else _like_file(cine, cine.axes, array)
    with path.open("wb") as file:
        if path.suffix != ".gz":
            image.to_stream(file)
            return
        with igzip.IGzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed:
            image.to_stream(packed)


def _stamp(path: Path) -> tuple[int, int]:
    """Changes when a file is replaced."""
    told = path.stat()
    return told.st_size, told.st_mtime_ns


@lru_cache(maxsize=1024)
def _grid(path: Path, stamp: tuple[int, int]) -> Grid:
    """`read_nifti_grid` of a file as it is now."""
    return _read_grid(path, None)


def _read_grid(path: Path, like: FileAxes | None) -> Grid:
    """`read_nifti_grid` without memory."""
    try:
        header = _read_header(path)
        _check_header(header, path)
        return nifti_grid(header, str(path), lambda: _pixels(path, header, None), like=like)
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(f"{path} is no readable NIfTI file ({first_line(error)}); export it again") from None


def _read_header(path: Path) -> Any:
    """The header as it is stored: nibabel would mend what must be told."""
    with _opened(path) as stream:
        start = stream.read(max(_HEADERS))
    kind = next((k for k in _HEADERS.values() if k.may_contain_header(start)), None)
    if kind is None or len(start) < kind.sizeof_hdr:
        raise ValueError("it has no NIfTI header")
    return kind(start[: kind.sizeof_hdr], check=False)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked."""
    with igzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
        yield stream


def _check_header(header: Any, path: Path) -> None:
    """Sizes before memory is taken for them, and what nibabel would take as it is."""
    kind, shape = header.get_data_dtype(), [int(n) for n in header["dim"][1 : 1 + int(header["dim"][0])]]
    if kind.fields:
        raise DataError(
            f"{path} is a colour image; grey values or label ids are needed, save it as 8-bit grey"
        )
    if kind.kind not in "iuf":
        raise ValueError(f"its pixels are no numbers: data type {int(header['datatype'])}")
    if int(header["sizeof_hdr"]) not in _HEADERS or not 1 <= len(shape) <= 7 or min(shape) < 1:
        raise ValueError(f"its header tells {len(shape)} dimensions of {' x '.join(map(str, shape))}")
    if int(header["bitpix"]) != 8 * kind.itemsize:
        raise ValueError(f"its header tells {int(header['bitpix'])} bits for pixels of the type {kind}")
    offset = float(header["vox_offset"])
    if not header.sizeof_hdr + 4 <= offset < 2**31 or offset != int(offset):
        raise ValueError(f"its pixels would begin at byte {offset:g}")
    header.get_slope_inter()
    _check_size(math.prod(shape), int(offset), kind.itemsize, path)


def _check_size(voxels: int, offset: int, itemsize: int, path: Path) -> None:
    """A file can hold what its header claims."""
    size, stored = offset + voxels * itemsize, path.stat().st_size
    is_packed = path.name.lower().endswith(".gz")
    is_bomb = is_packed and size > _SUSPICIOUS_BYTES and size > _MOST_RATIO * stored
    if voxels > _MOST_VOXELS or is_bomb or size > stored * (_DEFLATE_RATIO if is_packed else 1):
        raise DataError(
            f"{path} is truncated or damaged (its header claims {size} bytes, the file has {stored}); "
            "copy it again"
        )


def _pixels(path: Path, header: Any, dtype: type | None) -> np.ndarray:
    """The array of a file; a packed one is read to its end, where the checksum is."""
    try:
        with _opened(path) as stream:
            proxy = ArrayProxy(stream, header, mmap="c" if path.suffix.lower() == ".nii" else False)
            array = np.asarray(proxy, dtype=dtype)
            stream.seek(proxy.offset + math.prod(proxy.shape) * proxy.dtype.itemsize)
            behind = _length(stream)
    except DAMAGED as error:
        raise DataError(f"{path} is truncated or damaged ({first_line(error)}); copy it again") from None
    if behind > _MOST_PADDING:
        raise DataError(f"{path} is damaged: it holds more bytes than its header tells; copy it again")
    return array


def _length(stream: BinaryIO) -> int:
    """How many bytes a stream still has; of an endless one, more than can be right."""
    length = 0
    while part := stream.read(2**20):
        length += len(part)
        if length > _SUSPICIOUS_BYTES:
            break
    return length


def _like_file(cine: Cine, axes: FileAxes, array: np.ndarray) -> nib.Nifti1Image:
    """An image with the header of the file that a cine came from, but for the kind of its pixels."""
    header = nib.Nifti1Header.from_header(axes.header, check=False)
    turned = axes.to_file(array)
    header.set_data_dtype(array.dtype)
    header.set_data_shape(turned.shape)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = header["vox_offset"] = 0
    for name in set(_texts(header)) - {"magic"}:
        header[name] = b""  # anything of a patient can stand there
    for axis, told, stored in zip(axes.order[:3], cine.spacing, axes.spacing or cine.spacing, strict=True):
        if axis >= 0 and np.isfinite(told) and not np.isclose(told, stored, rtol=1e-5):
            _set_length(header, axis, told, stored)  # a table beside the data knows better
    return nib.Nifti1Image(turned, None, header=header)


def _texts(header: nib.Nifti1Header) -> list[str]:
    """Names of the fields of a header that hold text."""
    return [name for name, (kind, *_) in header.structarr.dtype.fields.items() if kind.kind == "S"]


def _set_length(header: nib.Nifti1Header, axis: int, told: float, stored: float) -> None:
    """Another distance of pixels along an axis of a file."""
    header["pixdim"][axis + 1] = told / MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)
    if np.isfinite(stored):
        for row in ("srow_x", "srow_y", "srow_z"):
            header[row][axis] *= told / stored


def _nifti(cine: Cine, array: np.ndarray) -> nib.Nifti1Image:
    """NIfTI image with spacing in mm and time in seconds."""
    frames = array.shape[3]
    is_2d = array.shape[2] == 1 and np.isfinite(cine.spacing[:2]).all() and not cine.has_spacing
    axes = 4 if frames > 1 else 2 if is_2d else 3  # in 3D, other programs would invent the distance of slices
    image = nib.Nifti1Image(array.reshape(array.shape[:axes]), cine.affine)
    spacing = np.nan_to_num(cine.spacing, nan=1.0) if cine.has_spacing or is_2d else (1.0, 1.0, 1.0)
    times = cine.frame_times_ms
    step_s = (times[-1] - times[0]) / (len(times) - 1) / 1000 if len(times) > 1 else 1.0
    image.header.set_zooms((*spacing, step_s)[:axes])
    image.header.set_xyzt_units("mm", "sec" if len(times) > 1 else "unknown")
    return image
