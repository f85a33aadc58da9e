"""MATLAB files (``.mat``, version 5 to 7): some of their variables, after a look at what they unpack to.

Notes
-----
A damaged or hostile file ends in one sentence: how much it unpacks to and how deep it is nested are looked at
before SciPy reads it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from cmrseg.problems import DataError, first_line

MAX_BYTES = 1 << 30  # unpacked; images of 256 x 256 pixels, 14 slices and 30 phases have 110 MB
_MOST_ELEMENTS = 2_000_000
_MOST_LEVELS = 16  # cells within structures within a structure have about eight
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NEWER = "is a MATLAB 7.3 file, which is not read; save it in MATLAB with save(..., '-v7')"


def read_mat(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Variables of a MATLAB file.

    Parameters
    ----------
    path
        File.
    names
        Of the variables to read; all by default.

    Returns
    -------
    Those that the file holds.

    Raises
    ------
    DataError
        If it cannot be read, is of MATLAB 7.3, or unpacks to more than 1 GB.
    """
    from scipy.io import loadmat

    try:
        told = loadmat(BytesIO(_unpacked(path)), variable_names=names, chars_as_strings=True)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or 'no MATLAB 5 file'})") from None
    # Damaged or hostile bytes make a parser fail with whatever comes to hand.
    except Exception as error:
        raise DataError(f"{path} is damaged ({first_line(error)}); export it again") from None
    return {name: value for name, value in told.items() if isinstance(value, np.ndarray)}


def _unpacked(path: Path) -> bytes:
    """The file without compression, after a look at its size and depth: small ones may unpack to anything."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
        if head.startswith(b"MATLAB 7.3") or head.startswith(b"\x89HDF"):
            raise DataError(f"{path} {_NEWER}")
        if len(head) < _HEADER or head[126:128] not in (b"IM", b"MI"):
            raise DataError(f"{path} is no MATLAB 5 file; save it in MATLAB with save(..., '-v7')")
        order = "<" if head[126:128] == b"IM" else ">"
        parts, total = [head], 0
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            part = _limited(
                file.read(min(size, MAX_BYTES + 1)), path, MAX_BYTES - total, packed=kind == _COMPRESSED
            )
            part = part if kind == _COMPRESSED else tag + part
            total += len(part)
            parts.append(part)
    content = b"".join(parts)
    _check_depth(content, order, path)
    return content


def _limited(data: bytes, path: Path, most: int, *, packed: bool) -> bytes:
    """An element, unpacked where it is packed, if there is room for it."""
    found = zlib.decompressobj().decompress(data, most + 1) if packed else data
    if len(found) > most:
        raise DataError(f"{path} unpacks to more than {MAX_BYTES >> 20} MB; refused")
    return found


def _check_depth(content: bytes, order: str, path: Path) -> None:
    """Matrices lie in each other no deeper than a parser that calls itself can follow."""
    at, read = _HEADER, struct.Struct(f"{order}II").unpack_from
    ends: list[int] = []
    for _ in range(_MOST_ELEMENTS):
        while ends and at >= ends[-1]:
            ends.pop()
        if at + 8 > len(content):
            return
        kind, size = read(content, at)
        if kind >> 16:  # a small element holds its data in the place of its size
            at += 8
        elif kind == _MATRIX and size:
            at += 8
            ends.append(at + size)
            if len(ends) > _MOST_LEVELS:
                break
        else:
            at += 8 + size + (-size % 8)
    raise DataError(f"{path} is nested or divided as no file of measurements is; refused")
