"""What the folder of a study remembers of its mask, so that a run goes on and no corrected mask is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from cmrseg.cine import Cine
from cmrseg.io.atomic import write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.io.images import load_mask, stem
from cmrseg.problems import DataError, Problem

RESULT = "result.json"
CINE, MASK, REPORT = "sa.nii.gz", "seg.nii.gz", "report.html"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class StudyResult:
    """What was made of one study.

    Attributes
    ----------
    digest
        Changes when the images, the model or the settings change.
    mask_sha256
        Checksum of the mask as it was written.
    corrected
        Whether a person has changed that mask since.
    cohort, volumes
        Rows of the tables; empty until the study is finished.
    problems
        What could not be measured or written.
    """

    digest: str
    mask_sha256: str
    corrected: bool = False
    cohort: Row | None = None
    volumes: Sequence[Row] = ()
    problems: Sequence[Problem] = ()


def write_result(result: StudyResult, folder: Path) -> Path:
    """Write the result of a study into its folder."""
    return write_text(json.dumps(asdict(result)), folder / RESULT)


def read_result(folder: Path) -> StudyResult | None:
    """The result of an earlier run; None where there is no readable one."""
    try:
        told = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        told["problems"] = tuple(Problem(**row) for row in told["problems"])
        # Another version may tell more; its result still says whether the mask was corrected.
        return StudyResult(**{f.name: told[f.name] for f in fields(StudyResult) if f.name in told})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_finished(result: StudyResult | None, folder: Path, digest: str) -> bool:
    """Whether an earlier run has made just that, and nobody has touched the mask since."""
    if result is None or result.digest != digest or result.cohort is None:
        return False
    return (folder / REPORT).exists() and not is_corrected(result, folder) and (folder / MASK).exists()


def is_corrected(result: StudyResult | None, folder: Path) -> bool:
    """Whether a person has changed the mask that a run had written."""
    mask = folder / MASK
    return result is not None and mask.exists() and sha256_of([mask]) != result.mask_sha256


def put_aside(path: Path) -> Path | None:
    """Give a file of unknown origin another name, so that it is not overwritten; None where there is none."""
    if not path.exists():
        return None
    name, number = stem(path), 1
    while (aside := path.with_name(f"{name}_before_{number}{path.name[len(name) :]}")).exists():
        number += 1
    return path.rename(aside)


def read_corrected(folder: Path, image: Cine) -> Cine:
    """The mask that a person has changed.

    Parameters
    ----------
    folder
        Of the study.
    image
        Its cine, ``(x, y, z, t)``.

    Returns
    -------
    `Label` ids on the grid of the cine.

    Raises
    ------
    DataError
        If the mask cannot be read, holds other values, or lies elsewhere than the cine.
    """
    path = folder / MASK
    try:
        mask = load_mask(path, "cmrseg")
    except DataError as error:
        what = str(error).partition("; ")[0]
        raise DataError(
            f"{what}; repair it (0, 1 LV, 2 MYO, 3 RV), or delete it to have it made again"
        ) from None
    if mask.array.shape != image.array.shape or not _same_place(mask, image):
        raise DataError(
            f"{path} was changed and is on another grid than {CINE}; save it with all frames and the "
            "geometry of the cine, or delete it to have it made again"
        )
    return image.with_array(mask.array)


def _same_place(mask: Cine, image: Cine) -> bool:
    """Whether the corners lie within half a voxel: editors round, and some turn or lose the axes."""
    last = np.array(image.array.shape[:3]) - 1
    corners = np.c_[np.array(list(np.ndindex(2, 2, 2))) * last, np.ones(8)]
    distance = np.linalg.norm(corners @ (mask.affine - image.affine).T, axis=1)
    return bool((distance < np.linalg.norm(image.affine[:3, :3], axis=0).min() / 2).all())
