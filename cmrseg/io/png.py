"""Bytes of PNG files: checksums that are compared, and grey values."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from cmrseg.io.grid import UNKNOWN_SPACING, Grid
from cmrseg.problems import DataError, first_line

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_PIXELS = 2**24  # 4096 x 4096
_CHANNELS = {2: 3, 4: 2, 6: 4}  # by the type of colours, elsewhere one
_DAMAGED = (
    UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, struct.error,
    zlib.error, LookupError, TypeError, ArithmeticError, MemoryError,
)  # fmt: skip


def read_png_grid(path: Path) -> Grid:
    """The grid of a file; its header alone is read."""
    with path.open("rb") as file:
        start = file.read(33)
    if len(start) < 33 or not start.startswith(_SIGNATURE) or start[12:16] != b"IHDR":
        raise DataError(f"{path} is no readable PNG file (it has no header); export it again")
    width, height = struct.unpack(">II", start[16:24])
    if not 0 < width * height <= _MOST_PIXELS:
        raise DataError(
            f"{path} claims {width} x {height} pixels, which is no image of a heart; export it again"
        )
    return Grid((width, height, 1, 1), UNKNOWN_SPACING, np.eye(4))


def read_png(path: Path, *, is_mask: bool) -> tuple[Grid, np.ndarray]:
    """The grid of a file and its grey values, or the ids of a mask, ``(x, y, 1, 1)``.

    Raises
    ------
    DataError
        If the file is damaged, truncated, no PNG, or in colours.
    """
    grid = read_png_grid(path)
    _check_sums(path)
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            pixels = _grey(image, path, is_mask=is_mask)
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"{path} is truncated or damaged ({first_line(error)}); copy it again") from None
    return grid, pixels.T[:, :, None, None]


def _check_sums(path: Path) -> None:
    """Every chunk has the checksum behind it, and there are as many pixels as the header tells.

    Pillow compares only some of the checksums and fills up what is missing.
    """
    data, position, unpack = memoryview(path.read_bytes()), len(_SIGNATURE), zlib.decompressobj()
    missing = _bytes_of_pixels(data)
    while position + 12 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind, end = bytes(data[position + 4 : position + 8]), position + 12 + length
        if end > len(data) or _sum(data[position + 4 : end - 4]) != bytes(data[end - 4 : end]):
            break
        if kind == b"IEND" and missing in (0, None):
            return
        if kind == b"IDAT" and missing is not None:
            missing -= _length(unpack, data[position + 8 : end - 4], missing, path)
        position = end
    raise DataError(f"{path} is truncated or damaged (a checksum or a size is wrong); copy it again")


def _sum(chunk: memoryview) -> bytes:
    """The checksum of a chunk, as it is stored."""
    return struct.pack(">I", zlib.crc32(chunk))


def _length(unpack: Any, packed: memoryview, missing: int, path: Path) -> int:
    """How many bytes some packed ones give, at most one more than are missing."""
    try:
        return len(unpack.decompress(packed, missing + 1))
    except zlib.error as error:
        raise DataError(f"{path} is truncated or damaged ({error}); copy it again") from None


def _bytes_of_pixels(data: memoryview) -> int | None:
    """How many bytes the rows and their filters take; None where they are interlaced."""
    width, height, bits, colours, *_, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    return None if interlaced else height * (1 + (width * bits * _CHANNELS.get(colours, 1) + 7) // 8)


def _grey(image: Image.Image, path: Path, *, is_mask: bool) -> np.ndarray:
    """Grey values, or the ids of a mask: the indices of a palette, not its colours."""
    if image.mode in ("P", "PA") and not is_mask:
        image = image.convert("L")
    pixels = np.atleast_3d(np.asarray(image))
    colours = pixels[..., : 3 if image.mode in ("RGB", "RGBA") else 1]
    if (colours != colours[..., :1]).any():
        raise DataError(
            f"{path} is a colour image; grey values or label ids are needed, save it as 8-bit grey"
        )
    return colours[..., 0]
