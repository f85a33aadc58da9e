"""The table in which a user names images and masks: catalog.csv."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from cmrseg.data.image_file import ALL, ImageFile
from cmrseg.data.names import case_name
from cmrseg.io.images import stem
from cmrseg.io.tables import read_table
from cmrseg.problems import DataError

_MOST = 1e6


def read_catalog_csv(root: Path) -> Iterator[ImageFile]:
    """Files of cmrseg's own table; paths are relative to it, only `subject` and `image` are required.

    Raises
    ------
    DataError
        If a column or cell is missing, a number counts nothing, or ED and ES cannot be told apart.
    """
    path = root / "catalog.csv"
    texts = dict.fromkeys(("subject", "image", "phase", "split", "mask", "labels"), str)
    table = read_table(path, {**texts, **dict.fromkeys(("frame", "slice", "dx", "dy", "dz"), float)})
    missing = {"subject", "image"} - set(table.columns)
    if missing:
        raise DataError(f"{path} lacks the column {', '.join(sorted(missing))}; see README, Data")
    if table[["subject", "image"]].isna().any(axis=None):
        raise DataError(f"{path} has a row without subject or image; fill it in or delete it")
    _check_numbers(table, path)
    empty = {"mask": "", "phase": "", "split": "", "labels": "cmrseg", "frame": ALL, "slice": ALL}
    files = [_catalog_file(row, root) for row in table.fillna(empty).itertuples()]
    yield from _frames_told_apart(files, path)


def _catalog_file(row: Any, root: Path) -> ImageFile:
    """The file of one row, its empty cells filled."""
    mask = getattr(row, "mask", "")
    spacing = tuple(float(getattr(row, name, float("nan"))) for name in ("dx", "dy", "dz"))
    return ImageFile(
        subject=row.subject,
        image=root / row.image,
        mask=root / mask if mask else None,
        labels=getattr(row, "labels", "cmrseg"),
        frame=int(getattr(row, "frame", ALL)),
        phase=getattr(row, "phase", ""),
        slice=int(getattr(row, "slice", ALL)),
        split=getattr(row, "split", ""),
        spacing=spacing,  # type: ignore[arg-type]
    )


def _check_numbers(table: pd.DataFrame, path: Path) -> None:
    """Frames and slices are counts, distances are positive."""
    for name in ("frame", "slice", "dx", "dy", "dz"):
        values = table[name].dropna() if name in table else pd.Series(dtype=float)
        is_count = name in ("frame", "slice")
        right = (values % 1 == 0) & values.between(0, _MOST) if is_count else values < _MOST
        for row, value in values[~right].items():
            what = "a whole number from 0" if is_count else "a length in mm"
            raise DataError(f"{path}, line {row + 2}: {name} is {value:g}, not {what}; correct it")


def _frames_told_apart(files: list[ImageFile], path: Path) -> Iterator[ImageFile]:
    """Rows without a frame whose subject has several images of a slice: frames by the names of the files."""
    images: dict[tuple[str, int, str], set[Path]] = {}
    for file in files:
        if file.frame == ALL:
            images.setdefault((file.subject, file.slice, file.phase), set()).add(file.image)
    mixed = {subject for (subject, *_), found in images.items() if len(found) > 1}
    phases: dict[str, set[str]] = {subject: set() for subject, *_ in images}
    for subject, _, phase in images:
        phases[subject].add(phase)
    for file in files:
        if file.frame != ALL or (file.subject not in mixed and len(phases[file.subject]) == 1):
            yield file
        else:
            yield _named_frame(file, path)


def _named_frame(file: ImageFile, path: Path) -> ImageFile:
    """A file with the frame and phase that its row or its name tells."""
    frame, phase = case_name(stem(file.image))[1:]
    name = "/".join(file.image.parts[len(path.parent.parts) :])
    if match := re.search(r"(?<![a-z])(ED|ES)(?![a-z])", name, re.IGNORECASE):
        phase = match[1].upper()
    phase = file.phase or phase
    number = {"ED": 0, "ES": 1}.get(phase) if frame is None else frame
    if number is None:
        raise DataError(
            f"{path}: subject {file.subject} has several images of one slice and no frame; add the "
            "column frame, so that end-diastole and end-systole are told apart"
        )
    return replace(file, frame=number, phase=phase)
