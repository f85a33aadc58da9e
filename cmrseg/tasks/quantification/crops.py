"""Four predefined parts of an image, whose answers are averaged."""

from __future__ import annotations

from cmrseg.preprocess import DIVISOR, Box

FIELD_RATIO = 300 / 224  # the centre of an image that the parts cover, over the size of a part


def field_of(crop_px: int) -> int:
    """Side of the centre of an image that the parts cover, in pixels."""
    return round(crop_px * FIELD_RATIO)


def crop_of(side: int) -> int:
    """Side of a part of images that are stored for training, as large as the parts need them."""
    return int(side / FIELD_RATIO / DIVISOR) * DIVISOR


def four_crops(shape: tuple[int, int], crop_px: int) -> tuple[Box, ...]:
    """The corners of the centre of an image.

    Parameters
    ----------
    shape
        Rows and columns of the image, at least `field_of` each.
    crop_px
        Height and width of a part.

    Returns
    -------
    Rows and columns of every part.

    References
    ----------
    Gessert and Schlaefer, STACOM (2019), 2.2: from 4 predefined locations, to cover the 300 x 300 pixels.
    """
    field = field_of(crop_px)
    starts = [(side - field) // 2 for side in shape]
    rows, columns = (
        [slice(start, start + crop_px), slice(start + field - crop_px, start + field)] for start in starts
    )
    return tuple((row, column) for row in rows for column in columns)
