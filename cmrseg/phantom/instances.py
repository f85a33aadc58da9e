"""Edits of DICOM instances that keep the header true to the pixels; nothing changes what it is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds
from scipy.ndimage import affine_transform

_PARALLEL = 0.999  # cosine between normals
_PAUSE_S = 10.0  # before something is acquired again


@dataclass(frozen=True)
class Stack:
    """Instances by position: groups along the normal, in every group the phases in order; lengths in mm."""

    groups: tuple[tuple[Dataset, ...], ...]
    positions: np.ndarray
    normal: np.ndarray
    spacing: float
    upward: float  # whether slice locations grow along the normal


def set_elements(dataset: Dataset, elements: Mapping[str, object]) -> None:
    """Set elements by keyword; the old ones are replaced, never changed, since copies may share them."""
    for keyword, value in elements.items():
        dataset.add_new(tag_for_keyword(keyword), dictionary_VR(keyword), value)


def decimals(*numbers: float) -> list[str]:
    """Numbers as decimal strings (DS) of at most 16 characters."""
    return [format_number_as_ds(round(float(n), 12)) for n in numbers]


def clock(seconds: float) -> str:
    """Seconds after midnight as a DICOM time (TM) with microseconds."""
    whole, micro = divmod(round(seconds * 1e6), 1_000_000)
    minutes, second = divmod(whole % 86_400, 60)
    return f"{minutes // 60:02d}{minutes % 60:02d}{second:02d}.{micro:06d}"


def seconds_of(time: str) -> float:
    """Seconds after midnight of a DICOM time (TM)."""
    text = str(time).ljust(6, "0")
    return int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])


def new_uid(*parts: object) -> str:
    """A UID that follows from its parts."""
    return generate_uid(entropy_srcs=["|".join(map(str, parts))])


def find_stack(datasets: Sequence[Dataset]) -> Stack:
    """Positions of most instances' planes; what is not parallel to them is left out."""
    normals = np.array([np.cross(*directions(d)) for d in datasets])
    normal = normals[((normals @ normals.T) > _PARALLEL).sum(axis=1).argmax()]
    groups: dict[tuple[float, str], list[Dataset]] = {}
    for dataset, n in zip(datasets, normals, strict=True):
        if n @ normal > _PARALLEL:
            along = round(float(_numbers(dataset.ImagePositionPatient) @ normal), 3)
            groups.setdefault((along, dataset.SeriesInstanceUID), []).append(dataset)
    keys = sorted(groups)
    ordered = [tuple(sorted(groups[k], key=lambda d: int(d.get("InstanceNumber") or 0))) for k in keys]
    positions = np.array([k[0] for k in keys])
    gaps = Counter(float(g) for g in np.diff(positions).round(2) if g > 1)
    ends = [float(g[0].get("SliceLocation") or 0) for g in (ordered[0], ordered[-1])]
    upward = -1.0 if ends[1] < ends[0] else 1.0
    return Stack(tuple(ordered), positions, normal, gaps.most_common(1)[0][0] if gaps else 0.0, upward)


def _numbers(values: Sequence[object]) -> np.ndarray:
    """Decimal strings as numbers."""
    return np.array([float(v) for v in values])


def directions(dataset: Dataset) -> np.ndarray:
    """Unit vectors along a row and along a column, shape ``(2, 3)``."""
    axes = _numbers(dataset.ImageOrientationPatient).reshape(2, 3)
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)


def grid_size(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Spacing (mm) and number of rows and columns."""
    return _numbers(dataset.PixelSpacing), np.array([int(dataset.Rows), int(dataset.Columns)])


def _corner(row: np.ndarray, column: np.ndarray, spacing: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """From the first pixel to the centre of the image (mm)."""
    down, across = spacing * (shape - 1) / 2
    return across * row + down * column


def plane_elements(
    dataset: Dataset, row: np.ndarray, column: np.ndarray, spacing: np.ndarray, shape: np.ndarray
) -> dict[str, object]:
    """Header of another plane or grid with the same centre."""
    centre = _numbers(dataset.ImagePositionPatient) + _corner(*directions(dataset), *grid_size(dataset))
    return {
        "ImagePositionPatient": decimals(*(centre - _corner(row, column, spacing, shape))),
        "ImageOrientationPatient": decimals(*row, *column),
        "PixelSpacing": decimals(*spacing),
    }


def regrid(
    dataset: Dataset, row: np.ndarray, column: np.ndarray, spacing: np.ndarray, shape: np.ndarray
) -> Dataset:
    """The image on another grid in the same plane about the same centre, bilinear; 0 outside."""
    old_spacing, old_shape = grid_size(dataset)
    old = directions(dataset)[::-1] / old_spacing[:, None]  # mm to (row, column)
    matrix = old @ (np.stack([column, row], axis=1) * spacing)
    offset = (old_shape - 1) / 2 - matrix @ ((shape - 1) / 2)
    image = pixel_array(dataset, raw=True).astype(float)
    pixels = affine_transform(image, matrix, offset, tuple(shape), order=1, mode="grid-constant")
    return changed(dataset, plane_elements(dataset, row, column, spacing, shape), pixels)


def changed(dataset: Dataset, elements: Mapping[str, object], pixels: np.ndarray | None = None) -> Dataset:
    """Copy with other header elements and other stored values ``(h, w)``."""
    out = deepcopy(dataset)
    set_elements(out, elements)
    if pixels is not None:
        stored = np.rint(pixels).astype("<i2" if out.PixelRepresentation else "<u2")
        rows, columns = stored.shape
        for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue"):
            out.pop(keyword, None)
        set_elements(out, {"Rows": rows, "Columns": columns, "PixelData": stored.tobytes()})
        out["PixelData"].VR = "OW"
        out.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return out


def inverted(dataset: Dataset) -> np.ndarray:
    """Stored values that nobody takes for the image."""
    image = pixel_array(dataset, raw=True).astype(int)
    return image.max() - image


def rescale(dataset: Dataset, factor: int, offset: int) -> Dataset:
    """Other stored values with the same real ones."""
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    elements = {
        "RescaleSlope": decimals(slope / factor),
        "RescaleIntercept": decimals(intercept - slope / factor * offset),
        "BitsStored": 16,
        "HighBit": 15,
    }
    return changed(dataset, elements, pixel_array(dataset, raw=True).astype(int) * factor + offset)


def moved(dataset: Dataset, stack: Stack, shift_mm: float) -> dict[str, object]:
    """Header of the slice moved along the normal."""
    position = _numbers(dataset.ImagePositionPatient) + shift_mm * stack.normal
    elements = {"ImagePositionPatient": decimals(*position)}
    if "SliceLocation" in dataset:
        elements["SliceLocation"] = decimals(float(dataset.SliceLocation) + stack.upward * shift_mm)
    return elements


def swapped(datasets: Sequence[Dataset], old: Sequence[Dataset], new: Iterable[Dataset]) -> list[Dataset]:
    """All instances, some of them exchanged."""
    exchange = {id(o): n for o, n in zip(old, new, strict=True)}
    return [exchange.get(id(d), d) for d in datasets]


def acquired_again(
    group: Sequence[Dataset],
    datasets: Sequence[Dataset],
    rng: np.random.Generator,
    *,
    own_series: bool = False,
) -> list[Dataset]:
    """Copies acquired after all others; in the one series of the study, or else in later series."""
    delay = max(map(_acquired, datasets)) - min(map(_acquired, group)) + _PAUSE_S
    key = int(rng.integers(2**62))
    own_series = own_series or len({d.SeriesInstanceUID for d in datasets}) > 1
    later = (
        max(_number(d, "SeriesNumber") for d in datasets) + 1 - min(_number(d, "SeriesNumber") for d in group)
    )
    last = max(_number(d, "InstanceNumber") for d in datasets)
    out = []
    for i, dataset in enumerate(group):
        ids = {"SOPInstanceUID": new_uid(key, i), "InstanceNumber": last + 1 + i}
        if own_series:
            ids |= {
                "SeriesInstanceUID": new_uid(key, dataset.SeriesInstanceUID),
                "SeriesNumber": _number(dataset, "SeriesNumber") + later,
                "InstanceNumber": _number(dataset, "InstanceNumber") or i + 1,
            }
        out.append(changed(dataset, ids | _delayed(dataset, delay)))
        out[-1].file_meta.MediaStorageSOPInstanceUID = ids["SOPInstanceUID"]
    return out


def _number(dataset: Dataset, keyword: str) -> int:
    """A whole number of the header, 0 where it is missing."""
    return int(dataset.get(keyword) or 0)


def _delayed(dataset: Dataset, delay_s: float) -> dict[str, object]:
    """Times of day of a later acquisition."""
    times = [k for k in ("SeriesTime", "AcquisitionTime", "ContentTime") if dataset.get(k)]
    return {k: clock(seconds_of(dataset[k].value) + delay_s) for k in times}


def _acquired(dataset: Dataset) -> float:
    """Seconds after midnight."""
    return seconds_of(dataset.get("AcquisitionTime") or dataset.get("ContentTime") or "000000")
