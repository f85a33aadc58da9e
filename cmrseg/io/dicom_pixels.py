"""Pixels of DICOM images whose headers have been read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes, RLELossless

from cmrseg.io.dicom import DicomImage, PixelData
from cmrseg.io.dicom_header import quiet_pydicom, reason
from cmrseg.problems import DataError

# pydicom would take python-gdcm where it is installed, which a flipped bit can crash together with Python.
_DECODERS = {
    RLELossless: "pydicom",
    **dict.fromkeys((*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes), "pylibjpeg"),
}
_MOST_BYTES = 2 << 30  # of the pixels of a file


def read_pixels(images: Sequence[DicomImage]) -> Iterator[np.ndarray | DataError]:
    """Intensities of some planes, in their order; an unreadable one gives its error instead.

    Returns
    -------
    Iterator over arrays of shape ``(rows, columns)``: stored integers, ``float32`` where the header rescales.
    Large is bright whatever the file says, and no pixel is darker than what was measured.
    """
    decoded: dict[Path, np.ndarray | DataError] = {}
    for image in images:
        is_native = image.pixels.offset >= 0
        try:
            place = _read_native(image) if is_native else _decoded_frame(image, decoded)
            yield _rescaled(_grey_values(place, image.pixels), image)
        except DataError as error:
            yield error


def _read_native(image: DicomImage) -> np.ndarray:
    """Values of an uncompressed plane with all bits that lie beside them."""
    dtype = np.dtype(image.pixels.dtype)
    size = image.rows * image.columns * dtype.itemsize
    try:
        with image.path.open("rb") as file:
            file.seek(image.pixels.offset + image.frame * size)
            data = file.read(size)
    except OSError as error:
        raise DataError(f"the file cannot be read ({reason(error)})") from None
    if len(data) < size:
        raise DataError("the file is truncated")
    return np.frombuffer(data, dtype).reshape(image.rows, image.columns)


def _decoded_frame(image: DicomImage, decoded: dict[Path, np.ndarray | DataError]) -> np.ndarray:
    """The same of a compressed plane; only the file that was decoded last is kept."""
    if image.path not in decoded:
        decoded.clear()
        decoded[image.path] = _decode(image.path)
    frames = decoded[image.path]
    if isinstance(frames, DataError):
        raise frames
    if image.frame >= len(frames) or frames.shape[1:] != (image.rows, image.columns):
        raise DataError("the compressed pixels do not fit the header")
    return frames[image.frame]


def _decode(path: Path) -> np.ndarray | DataError:
    """All frames of a compressed file, shape ``(frame, rows, columns)``."""
    try:
        with quiet_pydicom():
            dataset = pydicom.dcmread(path, force=True)
            _check_claims(dataset)
            plugin = _DECODERS.get(dataset.file_meta.TransferSyntaxUID, "")
            pixels = pydicom.pixels.pixel_array(dataset, decoding_plugin=plugin, correct_unused_bits=False)
    # Decoders are foreign code that reads damaged bytes; every failure means the same here.
    except Exception as error:
        return DataError(f"the compressed pixels cannot be decoded ({reason(error)})")
    return pixels[None] if pixels.ndim == 2 else pixels


def _check_claims(dataset: pydicom.Dataset) -> None:
    """Refuse a header that asks for more memory than any file of one examination does."""
    values = dataset.Rows * dataset.Columns * int(dataset.get("NumberOfFrames") or 1)
    size = values * int(dataset.get("SamplesPerPixel") or 1) * dataset.BitsAllocated // 8
    if size > _MOST_BYTES:
        raise ValueError(f"the header claims {size >> 20} MB of pixels")


def _grey_values(place: np.ndarray, pixels: PixelData) -> np.ndarray:
    """Stored values without foreign bits, large ones bright, unmeasured ones as dark as the darkest."""
    stored = _own_bits(place, pixels)
    unmeasured = _unmeasured(stored, pixels)
    if pixels.inverted:
        highest = (1 << (pixels.bits or 8 * stored.dtype.itemsize)) - 1
        stored = (-1 if stored.dtype.kind == "i" else highest) - stored
    if unmeasured is None or unmeasured.all() or not unmeasured.any():
        return stored
    return np.where(unmeasured, stored[~unmeasured].min(), stored)


def _own_bits(place: np.ndarray, pixels: PixelData) -> np.ndarray:
    """The bits that are the value; the highest of them is the sign of signed ones."""
    width = 8 * place.dtype.itemsize
    if pixels.bits in (0, width):
        return place
    below = 0 if _are_lowest(place, pixels) else pixels.below
    return (place << max(width - pixels.bits - below, 0)) >> max(width - pixels.bits, 0)


def _are_lowest(place: np.ndarray, pixels: PixelData) -> bool:
    """Whether values lie in the lowest bits although HighBit says otherwise, as some software writes it."""
    lowest = (1 << pixels.below) - 1
    return pixels.below > 0 and not (place >> pixels.bits).any() and bool((place & lowest).any())


def _unmeasured(stored: np.ndarray, pixels: PixelData) -> np.ndarray | None:
    """Pixels of padding; None where it does no harm, as black does."""
    if pixels.padding is None or (pixels.padding == (0, 0) and not pixels.inverted):
        return None
    bits = pixels.bits or 8 * stored.dtype.itemsize
    whole, sign = 1 << bits, (1 << bits - 1 if stored.dtype.kind == "i" else 0)
    # Writers give the value as signed or unsigned, whatever the pixels are.
    low, high = ((value + sign) % whole - sign for value in pixels.padding)
    return (stored >= low) & (stored <= high)


def _rescaled(stored: np.ndarray, image: DicomImage) -> np.ndarray:
    """Stored values as intensities."""
    if image.slope == 1 and image.intercept == 0:
        return stored
    scaled = stored.astype(np.float32) * np.float32(image.slope) + np.float32(image.intercept)
    if not np.isfinite(scaled).all():
        raise DataError("the rescaled pixels are not finite")
    return scaled
