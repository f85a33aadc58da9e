"""Pixels that two readers and a model drew on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.catalog import VolumeRef, load_volume_mask, read_catalog
from cmrseg.data.predictions import NOT_EVALUATED, find_predictions
from cmrseg.labels import STRUCTURES
from cmrseg.metrics.volumes import voxel_volume
from cmrseg.parallel import map_studies
from cmrseg.problems import DataError, Problem, existing_folder

READERS = ("A", "B")
RATERS = (*READERS, "model")
PAIRS = {"A vs B": ("A", "B"), "A vs model": ("A", "model"), "B vs model": ("B", "model")}
IMAGE = ["subject", "frame", "slice"]
COUNT_COLUMNS = (*IMAGE, "phase", "split", "structure", "voxel_ml", *RATERS, *PAIRS)
Spacing = tuple[float, float, float]
_Volumes = tuple[VolumeRef | None, ...]


@dataclass(frozen=True)
class ReaderCounts:
    """What every rater drew, counted per image.

    Attributes
    ----------
    table
        One row per image and structure, `COUNT_COLUMNS`: pixels of A, B and model, and for every pair of
        `PAIRS` the pixels that both drew; ``nan`` where a rater or a pair is not known. ``voxel_ml`` is
        ``nan`` where the spacing is unknown.
    problems
        What could not be compared, with the reason.
    notes
        What a reader of the numbers should know, one sentence each.
    """

    table: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def count_masks(
    raters: Mapping[str, Path],
    *,
    labels: Mapping[str, str] | None = None,
    splits: Sequence[str] = (),
    spacing: Spacing | None = None,
    jobs: int = 1,
) -> ReaderCounts:
    """Count what every rater drew in masks of the same images.

    Parameters
    ----------
    raters
        ``A``: a data set with masks, see `cmrseg.data.catalog.read_catalog`. ``B`` and, where there is one,
        ``model``: what `cmrseg.data.predictions.find_predictions` takes for predictions.
    labels
        Label schemes of raters whose layout does not tell.
    splits
        Compare these splits only.
    spacing
        ``(dx, dy, dz)`` in mm, for volumes whose own is unknown.
    jobs
        Number of processes.

    Returns
    -------
    Counts. Frames of a cine in which a reader drew nothing were not contoured and are left out.

    Raises
    ------
    DataError
        If a folder cannot be read, A has no masks, or no mask of another rater belongs to them.
    """
    labels = labels or {}
    others = {rater: existing_folder(path, rater) for rater, path in raters.items() if rater != "A"}
    catalog = read_catalog(raters["A"], labels=labels.get("A")).select(splits)
    refs = catalog.with_masks().volumes()
    if not refs:
        raise DataError(f"no masks in {catalog.root}; A must be a data set with images and masks")
    found, problems, parts, empty = {}, list(catalog.problems), [], 0
    for rater, folder in others.items():
        pairs, missing = find_predictions(refs, folder, catalog.root, labels.get(rater))
        found[rater] = {(ours.subject, ours.frame): theirs for ours, theirs in pairs}
        problems += [replace(each, problem=f"masks of {rater} missing") for each in missing]
    done = map_studies(_count_study, _studies(refs, found), what="the comparison of a study", jobs=jobs)
    for tables, wrong, left_out in done:
        parts, problems, empty = [*parts, *tables], [*problems, *wrong], empty + left_out
    if not parts:
        reason = f"{problems[-1].study}: {problems[-1].extra_info}" if problems else "a reader drew nothing"
        raise DataError(f"no masks can be compared: {reason}")
    table = pd.concat(parts, ignore_index=True)
    if spacing:
        table["voxel_ml"] = table["voxel_ml"].fillna(voxel_volume(spacing))
    notes = [f"{empty} frame(s) of cines that a reader did not contour were left out"] * bool(empty)
    return comparable(table, problems, [*catalog.notes, *notes])


def _studies(
    refs: list[VolumeRef], found: Mapping[str, Mapping[tuple[str, int], VolumeRef]]
) -> list[tuple[_Volumes, dict[str, _Volumes]]]:
    """Volumes of A that share a file, with those of the other raters."""
    groups = [tuple(group) for _, group in groupby(refs, key=lambda ref: (ref.subject, ref.masks))]
    others = [
        {rater: tuple(known.get((r.subject, r.frame)) for r in group) for rater, known in found.items()}
        for group in groups
    ]
    return list(zip(groups, others, strict=True))


def _count_study(
    study: tuple[_Volumes, dict[str, _Volumes]],
) -> tuple[list[pd.DataFrame], list[Problem], int]:
    """Counts of volumes that share a file, what was wrong, and how many frames a reader did not contour."""
    refs, others = study
    masks: list[dict[str, np.ndarray]] = [{} for _ in refs]
    problems = []
    for rater, volumes in {"A": refs, **others}.items():
        try:
            for t, mask in _load(volumes).items():
                _check_grid(rater, volumes[t], mask, (refs[t], masks[t].get("A", mask)))
                masks[t][rater] = mask
        except (DataError, ValueError) as error:
            info = str(error)
            problems.append(Problem(refs[0].subject, "unreadable", NOT_EVALUATED, refs[0].image.name, info))
            if rater == "A":
                break
    compared = [(ref, drawn) for ref, drawn in zip(refs, masks, strict=True) if len(drawn) > 1]
    kept = [each for each in compared if len(refs) == 1 or _contoured(each[1])]
    return [_count_volume(*each) for each in kept], problems, len(compared) - len(kept)


def _load(volumes: _Volumes) -> dict[int, np.ndarray]:
    """Masks of shape ``(x, y, z)`` by the positions of the volumes that are there."""
    known = {t: volume for t, volume in enumerate(volumes) if volume}
    array = load_volume_mask(*known.values()).array if known else np.empty(0)
    return {t: array[..., i] for i, t in enumerate(known)}


def _check_grid(rater: str, theirs: VolumeRef, mask: np.ndarray, ours: tuple[VolumeRef, np.ndarray]) -> None:
    """A mask shows the slices of A's on one grid."""
    ref, expected = ours
    if mask.shape != expected.shape or theirs.slices != ref.slices:
        shapes = [" x ".join(map(str, each.shape)) for each in (mask, expected)]
        raise DataError(
            f"{theirs.masks[0]} of {rater} ({shapes[0]}) is not on the grid and slices of A ({shapes[1]})"
        )


def _contoured(drawn: Mapping[str, np.ndarray]) -> bool:
    """Whether every reader of a frame drew something in it."""
    return all(drawn[reader].any() for reader in READERS if reader in drawn)


def _count_volume(ref: VolumeRef, masks: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Counts of one volume."""
    parts = []
    for label in STRUCTURES:
        drawn = {rater: mask == label for rater, mask in masks.items()}
        pixels = {rater: inside.sum(axis=(0, 1)) for rater, inside in drawn.items()}
        common = {
            pair: (drawn[first] & drawn[second]).sum(axis=(0, 1))
            for pair, (first, second) in PAIRS.items()
            if first in drawn and second in drawn
        }
        columns = {"slice": ref.slices, "structure": label.name, **pixels, **common}
        parts.append(pd.DataFrame(columns))
    table = pd.concat(parts).assign(subject=ref.subject, frame=ref.frame, phase=ref.phase, split=ref.split)
    return table.assign(voxel_ml=voxel_volume(ref.spacing)).reindex(columns=list(COUNT_COLUMNS))


def comparable(table: pd.DataFrame, problems: list[Problem], notes: list[str]) -> ReaderCounts:
    """Counts of the structures of every subject that both readers contoured; a note tells of the others.

    Raises
    ------
    DataError
        If there is none.
    """
    pixels = table.groupby(["subject", "structure"])[list(READERS)]
    drawn = (pixels.transform("sum") > 0) | (pixels.transform("count") == 0)  # who is absent excludes nothing
    alone = table[drawn["A"] != drawn["B"]].groupby("structure")["subject"].nunique()
    for name, count in alone.items():
        notes = [
            *notes,
            f"{name} is contoured by one reader only in {count} subject(s) and not compared there",
        ]
    kept = table[drawn["A"] & drawn["B"]].sort_values(["subject", "frame", "structure", "slice"])
    if kept.empty:
        raise DataError("the readers have no contoured structure in common; check the label schemes")
    return ReaderCounts(kept.reset_index(drop=True), problems, notes)
