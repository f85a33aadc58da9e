"""Pictures of one segmented cine: a mosaic of the slices at chosen frames, and the beating heart.

Slices stand from base to apex, cropped around the heart; contours have the colours of all reports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image, ImageDraw
from scipy import ndimage

from cmrseg.cine import Cine
from cmrseg.io.atomic import atomic_path
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.orientation import base_first
from cmrseg.report.figures import COLOURS, CROP_MARGIN, blank_figure, draw_contours

_PANEL = 1.25  # inches
_MOST_COLUMNS = 6
_CAPTION = 0.16  # height of the caption of a slice over its width
_FOOT = 18  # pixels below the slices of the animation, for the number of the frame
_UNKNOWN_MS = 50  # how long a frame is shown whose time is unknown


@dataclass(frozen=True)
class _Format:
    """How one kind of animated picture is kept below some 2 MB."""

    width: int
    grey_step: int
    options: Mapping[str, object]


_FORMATS = {
    ".webp": _Format(720, 1, {"quality": 70, "method": 0}),
    ".gif": _Format(480, 8, {"optimize": False}),
}
_GREYS = 253  # grey levels, from black to white; the palette ends with the structures
_PALETTE = np.concatenate(
    [
        np.repeat(np.linspace(0, 255, _GREYS)[:, None], 3, axis=1),
        [np.multiply(to_rgb(COLOURS[structure]), 255) for structure in STRUCTURES],
    ]
).astype(np.uint8)
_REGIONS = {Label.MYO: (Label.LV, Label.MYO), Label.RV: (Label.RV,), Label.LV: (Label.LV,)}


@dataclass(frozen=True)
class _Layout:
    """Which part of which slice stands where in the mosaic."""

    order: Sequence[int]
    box: tuple[slice, slice]
    columns: int
    pixel_ratio: float

    @property
    def rows(self) -> int:
        """Rows of slices."""
        return math.ceil(len(self.order) / self.columns)

    @property
    def ratio(self) -> float:
        """Height over width of a slice as it is shown."""
        width, height = (side.stop - side.start for side in self.box)
        return height / width * self.pixel_ratio

    def name(self, place: int) -> str:
        """Caption of a slice."""
        end = {0: "base, ", len(self.order) - 1: "apex, "}.get(place, "") if len(self.order) > 1 else ""
        return f"{end}slice {self.order[place]}"


def overlay_figure(image: Cine, mask: Cine, *, frames: Sequence[int]) -> Figure:
    """All slices from base to apex at some frames, with the contours of LV, MYO and RV.

    Parameters
    ----------
    image, mask
        Intensities and `Label` ids on one grid, ``(x, y, z, t)``.
    frames
        Positions on the time axis; of two the first is end-diastole and the second end-systole.

    Returns
    -------
    Figure with one block of panels per frame; slices bear their number in the array, counted from 0.

    Raises
    ------
    ValueError
        If the grids differ, or there is no frame or one outside the cine.
    """
    _check(image, mask, frames)
    layout = _layout(mask, columns=min(_MOST_COLUMNS, mask.array.shape[2]))
    height = layout.rows * _PANEL * (layout.ratio + _CAPTION) + 0.3
    figure = blank_figure(max(_PANEL * layout.columns, 2.5), len(frames) * height + 0.3)
    axes = figure.subplots(len(frames), squeeze=False).ravel()
    names = ("ED, ", "ES, ") if len(frames) == 2 else ("",) * len(frames)
    greys = _greys(image.array, layout)
    for ax, frame, name in zip(axes, frames, names, strict=True):
        ax.set_title(f"{name}{_frame_name(image, frame)}", fontsize=10, fontweight="bold")
        _draw_slices(ax, greys[..., frame], mask.array[(*layout.box, slice(None), frame)], layout)
    handles = [Line2D([], [], color=COLOURS[s], label=s.name) for s in STRUCTURES]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def write_animation(image: Cine, mask: Cine, path: Path) -> Path:
    """The slices over the cardiac cycle with their contours, as a picture that plays for ever.

    Parameters
    ----------
    image, mask
        Intensities and `Label` ids on one grid, ``(x, y, z, t)``.
    path
        File to write, ``.webp`` or, coarser, ``.gif``.

    Returns
    -------
    The path. The heart beats at its own pace where the times of the frames are known.

    Raises
    ------
    ValueError
        If the grids differ or the suffix is another one.
    """
    _check(image, mask, range(mask.array.shape[3]))
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"path must end in {' or '.join(_FORMATS)}, got {path}")
    kind = _FORMATS[suffix]
    pictures = _pictures(image, mask, kind)
    if suffix == ".webp":
        pictures = [picture.convert("RGB") for picture in pictures]
    how: dict[str, Any] = {"loop": 0, "duration": _durations_ms(image), **kind.options}
    with atomic_path(path) as temporary:
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], **how)
    return path


def _check(image: Cine, mask: Cine, frames: Sequence[int]) -> None:
    """Complain about grids and frames that do not fit."""
    if image.array.shape != mask.array.shape:
        raise ValueError(
            f"image and mask must be on one grid, got {image.array.shape} and {mask.array.shape}"
        )
    count = mask.array.shape[3]
    if not len(frames) or not all(0 <= frame < count for frame in frames):
        raise ValueError(f"frames must name frames from 0 to {count - 1}, got {list(frames)}")


def _layout(mask: Cine, *, columns: int) -> _Layout:
    """Slices from base to apex, cropped to what the mask holds in any frame and a margin."""
    order = range(mask.array.shape[2])
    sides = mask.array.shape[:2]
    found = ndimage.find_objects((mask.array > 0).any(axis=(2, 3)).astype(np.uint8))
    box = found[0] if found else tuple(slice(0, side) for side in sides)
    x, y = (
        slice(max(0, s.start - CROP_MARGIN), min(n, s.stop + CROP_MARGIN))
        for s, n in zip(box, sides, strict=True)
    )
    dx, dy = mask.spacing[:2]
    ratio = dy / dx if math.isfinite(dx) and math.isfinite(dy) else 1.0
    return _Layout(order if base_first(mask) else order[::-1], (x, y), columns, ratio)


def _window(pixels: np.ndarray) -> tuple[float, float]:
    """Intensities that are shown black and white."""
    low, high = np.percentile(pixels, (1, 99))
    return float(low), float(max(high, low + 1e-6))


def _frame_name(image: Cine, frame: int) -> str:
    """Number and, where it is known, time of a frame."""
    time = f", {image.frame_times_ms[frame]:.0f} ms" if image.frame_times_ms else ""
    return f"frame {frame}{time}"


def _draw_slices(ax: Axes, greys: np.ndarray, labels: np.ndarray, layout: _Layout) -> None:
    """The slices ``(x, y, z)`` of one frame with captions above them."""
    ax.set_axis_off()
    caption = round(_CAPTION * greys.shape[0] / layout.pixel_ratio)
    above = ((1, 1), (caption, 0), (0, 0))
    pixels = _mosaic(np.pad(greys, above, constant_values=255)[..., None], layout, fill=255)[0]
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=_GREYS - 1, aspect=layout.pixel_ratio)
    draw_contours(ax, _mosaic(np.pad(labels, above)[..., None], layout)[0].T)
    for place in range(len(layout.order)):
        row, column = divmod(place, layout.columns)
        x, y = (column + 0.5) * (greys.shape[0] + 2), row * (greys.shape[1] + caption) + caption / 2
        ax.text(x, y, layout.name(place), fontsize=7, ha="center", va="center")


def _pictures(image: Cine, mask: Cine, kind: _Format) -> list[Image.Image]:
    """Every frame of the animation, with the palette."""
    layout = _layout(mask, columns=math.ceil(math.sqrt(mask.array.shape[2])))
    tile = kind.width / layout.columns
    size = (kind.width, round(tile * layout.ratio * layout.rows))
    greys = _mosaic(_greys(image.array, layout), layout)
    labels = _mosaic(mask.array[layout.box], layout)
    pictures = []
    for frame, (grey, label) in enumerate(zip(greys, labels, strict=True)):
        picture = Image.new("P", (kind.width, size[1] + _FOOT))
        picture.putpalette(_PALETTE.tobytes())
        picture.paste(Image.fromarray(_outlined(grey, label, size, grey_step=kind.grey_step)))
        draw = ImageDraw.Draw(picture)
        draw.text((4, size[1] + 3), _frame_name(image, frame), fill=_GREYS - 1)
        for place in range(len(layout.order)):
            row, column = divmod(place, layout.columns)
            draw.text((column * tile + 4, row * tile * layout.ratio + 2), layout.name(place), fill=_GREYS - 1)
        pictures.append(picture)
    return pictures


def _greys(array: np.ndarray, layout: _Layout) -> UInt8[np.ndarray, "x y z t"]:
    """The cropped cine as grey levels, every slice with a window of its own."""
    cropped = array[layout.box].astype(np.float32)
    low, high = np.array([_window(cropped[:, :, z]) for z in range(cropped.shape[2])], np.float32).T[
        ..., None
    ]
    return (np.clip((cropped - low) / (high - low), 0, 1) * (_GREYS - 1)).astype(np.uint8)


def _mosaic(
    array: UInt8[np.ndarray, "x y z t"], layout: _Layout, *, fill: int = 0
) -> UInt8[np.ndarray, "t h w"]:
    """All slices of every frame side by side, y down."""
    width, height, n_slices, n_frames = array.shape
    tiles = np.full((n_frames, layout.rows * layout.columns, height, width), fill, array.dtype)
    tiles[:, :n_slices] = array.transpose(3, 2, 1, 0)[:, layout.order]
    rows = tiles.reshape(n_frames, layout.rows, layout.columns, height, width).swapaxes(2, 3)
    return rows.reshape(n_frames, layout.rows * height, layout.columns * width)


def _outlined(
    grey: UInt8[np.ndarray, "h w"], label: UInt8[np.ndarray, "h w"], size: tuple[int, int], *, grey_step: int
) -> UInt8[np.ndarray, "height width"]:
    """One mosaic in its final size, as indices into the palette, with the outlines of the structures."""
    picture = np.array(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))
    picture -= picture % grey_step
    for structure, region in _REGIONS.items():
        inside = np.zeros(256, np.uint8)
        inside[list(region)] = 255
        larger = Image.fromarray(inside[label]).resize(size, Image.Resampling.BILINEAR)
        picture[_outline(np.asarray(larger) > 127)] = _GREYS + STRUCTURES.index(structure)
    return picture


def _outline(inside: np.ndarray) -> np.ndarray:
    """Pixels on both sides of the border of a region."""
    border = np.zeros_like(inside)
    across, down = inside[:, 1:] != inside[:, :-1], inside[1:] != inside[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    return border


def _durations_ms(image: Cine) -> int | list[int]:
    """How long every frame is shown; the last one as long as most."""
    steps = np.diff(image.frame_times_ms)
    if not steps.size or not (steps > 0).all():
        return _UNKNOWN_MS
    return [max(1, round(step)) for step in (*steps, np.median(steps))]
