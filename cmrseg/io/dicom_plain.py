"""The headers that nearly all scanners write, read several times faster than pydicom does.

That is: a preamble, written types, little endian, one image. Whatever else there is, pydicom reads.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

SYNTAXES = {
    uid.ExplicitVRLittleEndian,
    *uid.JPEGTransferSyntaxes,
    *uid.JPEGLSTransferSyntaxes,
    *uid.JPEG2000TransferSyntaxes,
    *uid.RLETransferSyntaxes,
}
TRANSFER_SYNTAX = 0x00020010
_PREAMBLE = 132  # bytes, the last four are DICM
_PIXELS = 0x7FE00008, 0x7FE00010  # first and last tag of pixel values
_DELIMITERS = 0xFFFE
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
_UNDEFINED_LENGTH = 0xFFFFFFFF
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # 32 bits of length
_HEAD, _LENGTH, _ITEM_HEAD = struct.Struct("<HH2sH"), struct.Struct("<I"), struct.Struct("<HHI")


def plain_elements(data: bytes, wanted: Collection[int]) -> tuple[dict[int, RawDataElement], int] | None:
    """Some elements of a plain header, and where the element of the pixels begins.

    Parameters
    ----------
    data
        The beginning of a file.
    wanted
        Tags of the elements to return, the transfer syntax among them.

    Returns
    -------
    Elements by tag as pydicom returns them; ``None`` if the header is not plain, or longer than ``data``.
    """
    if data[_PREAMBLE - 4 : _PREAMBLE] != b"DICM":
        return None
    found: dict[int, RawDataElement] = {}
    try:
        end = _walk(data, _PREAMBLE, found, wanted)
    except (struct.error, ValueError, RecursionError):
        return None
    syntax = found.get(TRANSFER_SYNTAX)
    is_plain = syntax is not None and syntax.value.rstrip(b"\0 ").decode("latin-1") in SYNTAXES
    return (found, end) if is_plain else None


def _walk(data: bytes, at: int, found: dict[int, RawDataElement], wanted: Collection[int]) -> int:
    """Collect elements until the pixels or the end of an item, and tell where that is."""
    while True:
        group, number, vr, length = _HEAD.unpack_from(data, at)
        tag = group << 16 | number
        if group == _DELIMITERS or _PIXELS[0] <= tag <= _PIXELS[1]:
            return at
        start = at + 8
        if vr not in _SHORT:
            (length,) = _LENGTH.unpack_from(data, start)
            start += 4
            if vr not in _LONG or (length == _UNDEFINED_LENGTH and vr != b"SQ"):
                raise ValueError(f"no plain element at {at}")
        if length == _UNDEFINED_LENGTH:
            at = _after_sequence(data, start)
            continue
        if tag in wanted:
            value = data[start : start + length]
            found[tag] = RawDataElement(BaseTag(tag), vr.decode(), length, value, start, False, True)
        at = start + length


def _after_sequence(data: bytes, at: int) -> int:
    """Where a sequence of undefined length ends."""
    while True:
        group, number, length = _ITEM_HEAD.unpack_from(data, at)
        at += 8
        if (group, number) == (_DELIMITERS, _SEQUENCE_END):
            return at
        if (group, number) != (_DELIMITERS, _ITEM):
            raise ValueError(f"no item at {at}")
        at = at + length if length != _UNDEFINED_LENGTH else _after_item(data, at)


def _after_item(data: bytes, at: int) -> int:
    """Where an item of undefined length ends."""
    end = _walk(data, at, {}, ())
    if _ITEM_HEAD.unpack_from(data, end)[:2] != (_DELIMITERS, _ITEM_END):
        raise ValueError(f"no end of an item at {end}")
    return end + 8
