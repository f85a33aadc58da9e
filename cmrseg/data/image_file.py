"""One image file of a data set, as its layout names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cmrseg.io.images import UNKNOWN_SPACING

ALL = -1  # every frame, or every slice, of the file


@dataclass(frozen=True)
class ImageFile:
    """One image file of a data set, with its mask if there is one.

    ``labels`` is empty where the layout should tell the label scheme and does not; where ``spacing`` (mm)
    is not above 0, that of the file counts. ``contoured`` holds frame and slice of the images that the mask
    tells something about, with the structures that were looked for in each; None: all that the mask holds.
    """

    subject: str
    image: Path
    mask: Path | None = None
    labels: str = "cmrseg"
    frame: int = ALL
    phase: str = ""
    slice: int = ALL
    split: str = ""
    spacing: tuple[float, float, float] = UNKNOWN_SPACING
    contoured: Mapping[tuple[int, int], tuple[str, ...]] | None = None
