"""Pixels of DICOM images whose headers have been read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes, RLELossless

from cmrseg.io.dicom import DicomImage
from cmrseg.io.dicom_header import quiet_pydicom, reason
from cmrseg.problems import DataError

# pydicom would take python-gdcm where it is installed, which a flipped bit can crash together with Python.
_DECODERS = {
    RLELossless: "pydicom",
    **dict.fromkeys((*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes), "pylibjpeg"),
}


def read_pixels(images: Sequence[DicomImage]) -> Iterator[np.ndarray | DataError]:
    """Intensities of some planes, in their order; an unreadable one gives its error instead.

    Returns
    -------
    Iterator over arrays of shape ``(rows, columns)``: stored integers, ``float32`` where the header rescales.
    """
    decoded: dict[Path, np.ndarray | DataError] = {}
    for image in images:
        is_native = image.pixels.offset >= 0
        try:
            yield _rescaled(_read_native(image) if is_native else _decoded_frame(image, decoded), image)
        except DataError as error:
            yield error


def _read_native(image: DicomImage) -> np.ndarray:
    """Stored values of an uncompressed plane."""
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
    """Stored values of a compressed plane; only the file that was decoded last is kept."""
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
            plugin = _DECODERS.get(dataset.file_meta.TransferSyntaxUID, "")
            pixels = pydicom.pixels.pixel_array(dataset, decoding_plugin=plugin)
    # Decoders are foreign code that reads damaged bytes; every failure means the same here.
    except Exception as error:
        return DataError(f"the compressed pixels cannot be decoded ({reason(error)})")
    return pixels[None] if pixels.ndim == 2 else pixels


def _rescaled(stored: np.ndarray, image: DicomImage) -> np.ndarray:
    """Stored values as intensities."""
    if image.slope == 1 and image.intercept == 0:
        return stored
    scaled = stored.astype(np.float32) * np.float32(image.slope) + np.float32(image.intercept)
    if not np.isfinite(scaled).all():
        raise DataError("the rescaled pixels are not finite")
    return scaled
