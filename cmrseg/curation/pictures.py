"""Small pictures of slices before and after a repair, for the report."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmrseg.curation.slices import Slice
from cmrseg.io.atomic import atomic_path
from cmrseg.problems import Problem

RESULT = "result"
_PER_STUDY = 8


@dataclass(frozen=True)
class Picture:
    """One slice before and after (empty: it was removed) a repair, 8-bit, shape ``(rows, columns)``."""

    study: str
    kind: str
    told: str
    before: np.ndarray
    after: np.ndarray


Pictures = list[Picture]


def take_pictures(before: Sequence[Slice], after: Sequence[Slice], problems: Sequence[Problem]) -> Pictures:
    """Pictures of the slices that a repair removed or resampled, one per kind of problem."""
    by_image = {s.images[0].label: s for s in before}
    now = {s.images[0].label: s for s in after}
    taken: dict[str, Picture] = {}
    for problem in problems:
        if problem.image in by_image and problem.problem not in taken:
            old, new = by_image[problem.image], now.get(problem.image)
            resampled = new is None or (new.corner is not old.corner and new.frames is not old.frames)
            if resampled:
                after_it = np.empty((0, 0), np.uint8) if new is None else _grey(new)
                taken[problem.problem] = Picture(
                    "", problem.problem, problem.extra_info, _grey(old), after_it
                )
    return list(taken.values())


def picture_of(study: str, slices: Sequence[Slice]) -> Picture:
    """The middle slice of what came out."""
    middle = slices[len(slices) // 2]
    rows, columns = middle.size
    told = f"{columns} x {rows}, {len(slices)} slices, {len(middle.images)} phases"
    return Picture(study, RESULT, told, np.empty((0, 0), np.uint8), _grey(middle))


def save_pictures(pictures: Pictures, path: Path) -> None:
    """Keep the first pictures of a study."""
    arrays: dict[str, np.ndarray] = {}
    for number, picture in enumerate(pictures[:_PER_STUDY]):
        arrays[f"{number}_told"] = np.array([picture.study, picture.kind, picture.told])
        arrays[f"{number}_before"], arrays[f"{number}_after"] = picture.before, picture.after
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_pictures(path: Path) -> Pictures:
    """The pictures of a study; none where the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            count = sum(name.endswith("_told") for name in arrays)
            return [
                Picture(*map(str, arrays[f"{n}_told"]), arrays[f"{n}_before"], arrays[f"{n}_after"])
                for n in range(count)
            ]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return []


def _grey(s: Slice) -> np.ndarray:
    """The first frame in 8 bits, clipped at the 99th percentile."""
    frame = s.frames[0].astype(np.float32)
    low, high = np.percentile(frame, (0, 99))
    return (np.clip((frame - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
