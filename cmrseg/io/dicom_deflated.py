"""Deflated DICOM files (a rare transfer syntax): a small one may unpack to all memory there is."""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

from cmrseg.problems import DataError

MOST_BYTES = 1 << 30  # a multi-frame cine of 512 x 512 pixels, 40 frames and 20 slices has 400 MB
_SYNTAX = b"1.2.840.10008.1.2.1.99"
_PREAMBLE, _GROUP_LENGTH = 132, b"\x02\x00\x00\x00UL\x04\x00"
_CHUNK = 1 << 20
_MOST_RATIO = 1032  # of deflate


def check_deflated(file: BinaryIO) -> None:
    """Check that a file unpacks to what one file may hold, by unpacking it piece by piece; it is rewound.

    Raises
    ------
    DataError
        If it does not.
    """
    file.seek(0)
    start = file.read(1024)
    if _SYNTAX in start and os.fstat(file.fileno()).st_size * _MOST_RATIO > MOST_BYTES:
        file.seek(_data_begins(start))
        if _unpacks_to_more(file):
            raise DataError(f"the file unpacks to more than {MOST_BYTES >> 20} MB, which no image here does")
    file.seek(0)


def _data_begins(start: bytes) -> int:
    """Where the deflated part lies: behind the group of elements whose length the first of them tells."""
    length = start[_PREAMBLE + 8 : _PREAMBLE + 12]
    if start[_PREAMBLE : _PREAMBLE + 8] != _GROUP_LENGTH or len(length) < 4:
        raise DataError("the file is deflated and does not tell where its data begin; export it again")
    return _PREAMBLE + 12 + int.from_bytes(length, "little")


def _unpacks_to_more(file: BinaryIO) -> bool:
    """Whether more comes out of the rest of a file than one may hold; damaged files are left to others."""
    unpacker, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        while size <= MOST_BYTES and not unpacker.eof:
            packed = unpacker.unconsumed_tail or file.read(_CHUNK)
            if not packed:
                return False
            size += len(unpacker.decompress(packed, _CHUNK))
    except zlib.error:
        return False
    return size > MOST_BYTES
