"""A cine and its mask as small as a page can carry them: cropped JPEG strips, and one packed mask."""

from __future__ import annotations

import zlib
from base64 import b64encode
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cmrseg.cine import Cine
from cmrseg.metrics.orientation import base_first

MARGIN = 0.3  # of the heart's extent, on every side
MIN_MARGIN_PX = 16
BLOCK_PX = 8  # of JPEG: the slices of a strip must not share one
MAX_PIXELS = 16e6  # of all images together; larger studies are shown coarser, about 3 MB
QUALITY = 90
PERCENTILES = (1.0, 99.5, 99.95)  # what is shown black and white at first, and the brightest that is kept


def cine_sprites(image: Cine, mask: Cine, *, whole: bool = False) -> dict[str, object]:
    """What a viewer needs of a study's images, ready for JSON.

    Parameters
    ----------
    image, mask
        Intensities and `Label` ids on one grid, ``(x, y, z, t)``.
    whole
        The whole image instead of the region around the heart, for who draws.

    Returns
    -------
    ``strips``: one grey JPEG per phase (base64), slices from base to apex below each other, each of
    ``width`` x ``height`` pixels; ``mask``: ids in the order phase, slice, row, column, deflated (base64), of
    ``mask_width`` x ``mask_height``; ``aspect``: width over height in mm; ``z``: slices of the file in the
    order shown; ``low`` and ``high``: intensities of grey 0 and 255; ``window``: the two greys that are shown
    black and white at first.
    """
    everything = (slice(0, mask.array.shape[0]), slice(0, mask.array.shape[1]))
    box = everything if whole else heart_region(mask.array)
    order = slice(None, None, 1 if base_first(mask) else -1)
    pixels = np.asarray(image.array)[box][:, :, order].transpose(3, 2, 1, 0)
    labels = np.asarray(mask.array, np.uint8)[box][:, :, order].transpose(3, 2, 1, 0)
    width, height = _size(pixels.shape)
    black, white, high = (float(v) for v in np.percentile(pixels[::3], PERCENTILES))
    low = float(pixels.min())
    scale = 255 / (high - low) if high > low else 0.0
    strips = [
        _strip(np.clip((p - low) * scale + 0.5, 0, 255).astype(np.uint8), (width, height)) for p in pixels
    ]
    dx, dy = image.spacing[:2] if np.isfinite(image.spacing[:2]).all() else (1.0, 1.0)
    _, _, rows, columns = pixels.shape
    return {
        "width": width, "height": height, "aspect": columns * dx / (rows * dy),
        "mask_width": columns, "mask_height": rows,
        "z": list(range(image.array.shape[2]))[order], "low": low, "high": high,
        "window": [(black - low) * scale, (white - low) * scale],
        "strips": strips, "mask": _base64(zlib.compress(labels.tobytes(), 4)),
    }  # fmt: skip


def heart_region(labels: UInt8[np.ndarray, "x y z t"]) -> tuple[slice, slice]:
    """Columns and rows around all masks with a margin, the whole image where they are empty."""
    found = np.any(labels, axis=(2, 3))
    if not found.any():
        return slice(0, found.shape[0]), slice(0, found.shape[1])
    x, y = (_span(np.flatnonzero(found.any(axis=1 - axis)), found.shape[axis]) for axis in (0, 1))
    return x, y


def _span(where: np.ndarray, size: int) -> slice:
    """Extent of the positions with its margin, in whole blocks where the image is large enough."""
    extent = int(where[-1] - where[0]) + 1
    margin = max(MIN_MARGIN_PX, round(MARGIN * extent))
    wanted = min(size, -(-(extent + 2 * margin) // BLOCK_PX) * BLOCK_PX)
    start = min(max(0, int(where[0]) - (wanted - extent) // 2), size - wanted)
    return slice(start, start + wanted)


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height of a stored image, so that all together stay below `MAX_PIXELS`."""
    scale = min(1.0, (MAX_PIXELS / np.prod(shape, dtype=float)) ** 0.5)
    if scale == 1:
        return shape[3], shape[2]
    width, height = (max(BLOCK_PX, int(n * scale) // BLOCK_PX * BLOCK_PX) for n in (shape[3], shape[2]))
    return width, height


def _strip(slices: UInt8[np.ndarray, "z y x"], size: tuple[int, int]) -> str:
    """All slices of a phase below each other as JPEG in base64."""
    if size != slices.shape[:0:-1]:
        slices = np.stack([np.asarray(Image.fromarray(s).resize(size, Image.Resampling.BOX)) for s in slices])
    buffer = BytesIO()
    Image.fromarray(slices.reshape(-1, size[0])).save(buffer, "JPEG", quality=QUALITY)
    return _base64(buffer.getvalue())


def _base64(data: bytes) -> str:
    """Bytes as text."""
    return b64encode(data).decode("ascii")
