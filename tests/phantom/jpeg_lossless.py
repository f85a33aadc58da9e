"""A minimal encoder of lossless JPEG (process 14, selection value 1), which no Python package has."""

from __future__ import annotations

import struct
from copy import deepcopy

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

_SYMBOLS = 17  # bit lengths 0 to 16 of a difference, each coded in 5 bits: no code is all ones


def encode(image: np.ndarray, precision: int) -> bytes:
    """Non-negative image of shape ``(h, w)`` as a JPEG stream of ``precision`` bits."""
    rows, columns = image.shape
    frame = struct.pack(">BHHBBBB", precision, rows, columns, 1, 1, 0x11, 0)
    table = bytes([0, *([0] * 4), _SYMBOLS, *([0] * 11), *range(_SYMBOLS)])
    scan = bytes([1, 1, 0, 1, 0, 0])  # one component, table 0, predictor 1
    segments = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
        for marker, body in ((0xC3, frame), (0xC4, table), (0xDA, scan))
    )
    return b"\xff\xd8" + segments + _entropy(_differences(image, precision)) + b"\xff\xd9"


def compressed(dataset: Dataset) -> Dataset:
    """Copy of a dataset in the transfer syntax JPEG Lossless SV1."""
    out = deepcopy(dataset)
    image = np.frombuffer(out.PixelData, "<u2").reshape(out.Rows, out.Columns)
    stream = encode(image & (2**out.BitsStored - 1), out.BitsStored)
    out.add_new("PixelData", "OB", encapsulate([stream + b"\x00" * (len(stream) % 2)]))
    out["PixelData"].is_undefined_length = True
    out.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    return out


def _differences(image: np.ndarray, precision: int) -> list[int]:
    """What the left neighbour does not predict (the upper one at the left edge), modulo 2^16."""
    values = image.astype(int)
    predicted = np.empty_like(values)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]
    predicted[0, 0] = 2 ** (precision - 1)
    return (((values - predicted + 2**15) % 2**16) - 2**15).ravel().tolist()


def _entropy(differences: list[int]) -> bytes:
    """Huffman codes with byte stuffing, padded with ones."""
    bits = []
    for difference in differences:
        length = abs(difference).bit_length()
        bits.append(f"{length:05b}")
        if 0 < length < 16:
            code = difference if difference > 0 else difference + 2**length - 1
            bits.append(f"{code:0{length}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    stream = int(text, 2).to_bytes(len(text) // 8, "big")
    return stream.replace(b"\xff", b"\xff\x00")
