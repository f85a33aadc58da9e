"""The LVQuan challenges as a data set: a cine of one slice, its mask, and one table of indices.

Notes
-----
In which unit the indices are is nowhere written in the files of LVQuan19. The masks tell it: areas are those
of their pixels, or these times the area of a pixel; dimensions are about as long as the diameter of a circle
of the area of the cavity, in pixels or mm. All subjects together decide, since pixels of about 1 mm tell
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.curation import kinds
from cmrseg.curation.examination import FAILED, RECORDS, Study
from cmrseg.curation.pictures import RESULT, Picture, save_pictures
from cmrseg.curation.run import CurationRun
from cmrseg.io.atomic import write_table
from cmrseg.io.images import save_image
from cmrseg.io.in_use import works_in
from cmrseg.io.lvquan import Quantified, lvquan_files, read_lvquan
from cmrseg.io.truth_file import TRUTH, is_own_truth, save_truth
from cmrseg.labels import Label
from cmrseg.metrics.indices import AREA_COLUMNS, DIMENSIONS, INDICES, THICKNESSES
from cmrseg.parallel import StepProgress
from cmrseg.problems import DataError, Problem, problem_table

INDEX_TABLE = "indices.csv"
UNEQUAL = "areas of table and mask"
_COLUMNS = {"areas": AREA_COLUMNS, "dims": tuple(DIMENSIONS), "rwt": tuple(THICKNESSES)}
_OF_UNIT = {"areas": {"areas"}, "dims": {"dims", "rwt"}}
_POWER = {"areas": 2, "dims": 1}  # of the side of a pixel in its unit of mm or mm2
_TOLERANCE = {"areas": 0.1, "dims": 0.2}  # a cavity is not round
_UNEQUAL = 0.2


@dataclass(frozen=True)
class Measured:
    """What decides about units, of one subject, and what is written once they are known."""

    subject: str
    pixel_mm: float
    in_pixels: bool
    targets: Mapping[str, np.ndarray]
    phase: np.ndarray | None
    ratios: Mapping[str, float]  # of areas and dims to those of the mask in pixels


@works_in("target", "curate")
def curate_lvquan(source: Path, target: Path, *, progress: StepProgress | None = None) -> CurationRun:
    """Turn files of LVQuan18 or LVQuan19 into ``<subject>/sa.nii.gz``, ``truth.nii.gz`` and ``indices.csv``.

    Parameters
    ----------
    source
        ``cardiac-dig.mat``, a ``patientN.mat``, or a folder of these.
    target
        Folder to write into.
    progress
        Called with what is done, how much of it is done, and how much there is.

    Returns
    -------
    Tables of the subjects and of what was wrong. Indices are in mm and mm2; a subject without some has a cine
    and no row in ``indices.csv``.

    Raises
    ------
    DataError
        If there is no file, or the unit of the indices cannot be told.
    """
    files, studies, problems, measured = lvquan_files(source), [], [], []
    if not files:
        raise DataError(f"{source} holds no patientN.mat and no cardiac-dig.mat; name the folder that does")
    for number, path in enumerate(files, start=1):
        for found in _subjects(path):
            if isinstance(found, Quantified):
                study, told, numbers = _written(found, target)
                measured += [numbers] if numbers.targets else []
            else:
                study, told = Study(found[0], FAILED, reason=str(found[1]), problems=1), []
                problems.append(Problem(found[0], kinds.FAILED, "left out", path.name, str(found[1])))
            studies.append(study)
            problems += told
        if progress:
            progress("reading LVQuan", number, len(files))
    named = {name for each in measured for name in each.targets}
    units = {what: _unit(what, measured, source) for what in _POWER if named & _OF_UNIT[what]}
    problems += [problem for each in measured for problem in _unequal(each, units)]
    if measured:
        table = pd.concat([_indices(each, units) for each in measured], ignore_index=True)
        write_table(table, target / INDEX_TABLE)
    return _run(studies, problems, target, _notes(studies, measured, units))


def _subjects(path: Path) -> Iterator[Quantified | tuple[str, DataError]]:
    """The subjects of a file; a file that cannot be read is one that failed."""
    try:
        yield from read_lvquan(path)
    except DataError as error:
        yield (
            path.stem.lower(),
            DataError(str(error).replace(str(path), "the file")),
        )  # folders may be private


def _written(found: Quantified, target: Path) -> tuple[Study, list[Problem], Measured]:
    """Write the image and the mask of a subject."""
    folder, mm = target / found.subject, found.pixel_mm
    folder.mkdir(parents=True, exist_ok=True)
    image = Cine(found.images[:, :, None, :], (mm, mm, float("nan")))
    save_image(image, folder / "sa.nii.gz")
    problems, mask = [], _mask(found)
    if mask is not None and (folder / TRUTH).exists() and not is_own_truth(folder / TRUTH):
        told = f"the {TRUTH} that is there is somebody's and is kept; move it to have it made anew"
        problems.append(Problem(found.subject, "mask", "kept", TRUTH, told))
    elif mask is not None:
        drawn = np.flatnonzero(mask.any(axis=(0, 1)))
        known = {(int(t), 0): (Label.LV, Label.MYO) for t in drawn}
        save_truth(image.with_array(mask[:, :, None, :]), folder, known, told={"format": "LVQuan"})
    save_pictures([_picture(found, mask)], target / RECORDS / f"{found.subject}.npz")
    x, y, frames = found.images.shape
    study = Study(found.subject, "ok", x, y, 1, frames, mm, mm, subject=found.subject, problems=len(problems))
    numbers = Measured(
        found.subject, mm, found.in_pixels, found.targets, found.phase, _ratios(found.targets, mask)
    )
    return study, problems, numbers


def _mask(found: Quantified) -> np.ndarray | None:
    """`Label` ids ``(x, y, t)``: the cavity, and what lies within the epicardium around it."""
    if found.endo is None or found.epi is None:
        return None
    return np.where(found.endo, Label.LV, np.where(found.epi, Label.MYO, 0)).astype(np.uint8)


def _ratios(targets: Mapping[str, np.ndarray], mask: np.ndarray | None) -> dict[str, float]:
    """Areas, and the mean dimension, over those of the mask in pixels: medians over the frames."""
    if mask is None or not mask.any():
        return {}
    pixels = np.array([(mask == label).sum(axis=(0, 1)) for label in (Label.LV, Label.MYO)], float).T
    known = (pixels > 0).all(axis=1)
    across = 2 * np.sqrt(pixels[known, 0] / np.pi)
    of_mask = {"areas": pixels[known], "dims": across}
    of_table = {what: values[known] for what, values in targets.items()}
    of_table |= {"dims": of_table["dims"].mean(axis=1)} if "dims" in of_table else {}
    ratios = {what: of_table[what] / of_mask[what] for what in of_mask if what in of_table}
    finite = {what: values[np.isfinite(values)] for what, values in ratios.items()}
    return {what: float(np.median(values)) for what, values in finite.items() if values.size}


def _unit(what: str, measured: Sequence[Measured], source: Path) -> str:
    """Whether areas, or lengths, are in pixels or mm."""
    name, square = {"areas": ("areas", "2"), "dims": ("dimensions", "")}[what]
    judged = [each for each in measured if what in each.ratios]
    ratios = np.array([each.ratios[what] for each in judged])
    factors = {"pixels": np.ones(len(judged))}
    if not all(each.in_pixels for each in measured):
        factors["mm" + square] = np.array([each.pixel_mm ** _POWER[what] for each in judged])
    elif not judged:
        return "pixels"
    if not judged:
        raise DataError(
            f"nothing tells whether the {name} of {source} are in pixels or mm{square}: no subject has them "
            "and masks (endo and epi)"
        )
    errors = {unit: float(np.median(np.abs(ratios / factor - 1))) for unit, factor in factors.items()}
    unit = min(errors, key=lambda each: errors[each])
    if not errors[unit] <= _TOLERANCE[what]:
        raise DataError(
            f"the {name} of {source} are not in {' or '.join(factors)}: they are {np.median(ratios):.3g} "
            f"times those of the masks in pixels; no {INDEX_TABLE} is written"
        )
    return unit


def _indices(each: Measured, units: Mapping[str, str]) -> pd.DataFrame:
    """Rows of the table, in mm and mm2."""
    columns: dict[str, object] = {}
    for what, values in each.targets.items():
        length = "areas" if what == "areas" else "dims"
        factor = each.pixel_mm ** _POWER[length] if units[length] == "pixels" else 1.0
        columns |= dict(zip(_COLUMNS[what], np.round(values.T * factor, 3), strict=True))
    frames = len(next(iter(each.targets.values())))
    told = {"subject": each.subject, "frame": range(frames), "slice": 0}
    phase = {} if each.phase is None else {"phase": np.where(each.phase == 1, "systole", "diastole")}
    return pd.DataFrame({**told, **phase, **{name: columns[name] for name in INDICES if name in columns}})


def _unequal(each: Measured, units: Mapping[str, str]) -> list[Problem]:
    """A subject whose table tells other areas than its masks."""
    if "areas" not in each.ratios:
        return []
    off = each.ratios["areas"] / (1 if units["areas"] == "pixels" else each.pixel_mm**2) - 1
    told = f"its areas are {off:+.0%} beside those of its masks"
    return [Problem(each.subject, UNEQUAL, "kept", "", told)] * (abs(off) > _UNEQUAL)


def _picture(found: Quantified, mask: np.ndarray | None) -> Picture:
    """The first frame, the contours of the mask in white."""
    frame = found.images[..., 0].T.astype(np.float32)
    low, high = np.percentile(frame, (0, 99))
    grey = (np.clip((frame - low) / max(high - low, 1e-6), 0, 1) * 200).astype(np.uint8)
    if mask is not None:
        labels = mask[..., 0].T
        edge = np.zeros(labels.shape, bool)
        edge[1:] |= labels[1:] != labels[:-1]
        edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
        grey[edge] = 255
    x, y, frames = found.images.shape
    told = f"{x} x {y}, {frames} phases"
    return Picture(found.subject, RESULT, told, np.empty((0, 0), np.uint8), grey)


def _notes(studies: Sequence[Study], measured: Sequence[Measured], units: Mapping[str, str]) -> list[str]:
    """What a user should know."""
    if not measured:
        return [f"{len(studies)} subject(s), none of them with indices"]
    names = {"areas": "areas", "dims": "lengths"}
    told = ", ".join(f"{names[what]} in {unit}" for what, unit in units.items())
    how = "divided by the side of the crop" if measured[0].in_pixels else "as the masks tell"
    return [
        f"{len(studies)} subject(s), {len(measured)} with indices in {INDEX_TABLE} (mm, mm2); the files have "
        f"{told}, {how}"
    ]


def _run(studies: list[Study], problems: list[Problem], target: Path, notes: list[str]) -> CurationRun:
    """Write the tables of the run."""
    table = pd.DataFrame([vars(study) for study in studies])
    table = table.astype(dict.fromkeys(("x", "y", "slices", "phases"), "Int64"))
    counts = pd.Series([problem.study for problem in problems], dtype=str).value_counts()
    table["problems"] = table["study"].map(counts).fillna(0).astype(int)
    found = problem_table(problems).assign(published_kind="")
    write_table(table, target / "studies.tsv")
    write_table(found, target / "problems.tsv")
    return CurationRun(table, found, pd.DataFrame(), notes, unreadable=0)
