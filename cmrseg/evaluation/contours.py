"""Predicted masks against contours that people drew on some images of a cine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.evaluation.contour_studies import ContouredExamination, ContourOptions, read_studies
from cmrseg.evaluation.mask_tables import IMAGE_COLUMNS, MEASUREMENT_COLUMNS, Evaluation
from cmrseg.evaluation.summary import METRIC_COLUMNS, NO_EF_ERROR_POINTS, summarise
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.overlap import dice, image_counts, mean_image_dice, volume_dice
from cmrseg.metrics.registry import unit_of
from cmrseg.metrics.surface import surface_distances
from cmrseg.metrics.volumes import ejection_fraction, myocardial_mass, voxel_volume
from cmrseg.problems import Problem

CONTOUR_COLUMNS = (
    "subject", "frame", "phase", "slice", "file", "structure", "dice", "true_pixels", "predicted_pixels",
    "right_px", "down_px",
)  # fmt: skip
ALL_SLICES = "predicted_all_slices"
_FULL_STACK = 0.5  # of the most contoured frame; a frame with fewer slices is neither ED nor ES
_OFF_CENTRE_PX = 0.5

Phases = Mapping[str, int]  # ED and ES -> frame


@dataclass(frozen=True)
class ContourEvaluation:
    """What an evaluation against contours found.

    Attributes
    ----------
    evaluation
        Tables as those of masks; ``measurements`` also has what all slices of the prediction give.
    contours
        `CONTOUR_COLUMNS`: one row per contoured image and structure. ``right_px`` and ``down_px`` tell where
        the centroid of the contour lies, seen from that of the prediction.
    studies
        The studies, with the contours as masks.
    """

    evaluation: Evaluation
    contours: pd.DataFrame
    studies: list[ContouredExamination]


def evaluate_contours(
    predicted: Path, contours: Path, options: ContourOptions | None = None
) -> ContourEvaluation:
    """Compare predicted masks with contours.

    End-diastole and end-systole are the contoured frames of the largest and the smallest LV. Only contoured
    images count, except in the column of all slices. An epicardium that does not lie around its endocardium
    is a problem and left out; its endocardium stays.

    Parameters
    ----------
    predicted
        Folder with ``<study>/seg.nii.gz``, as `cmrseg predict` writes it.
    contours
        One study: a folder of text files, or an XML workspace of cvi42. Several studies: a folder with a
        folder or workspace of the name of each.
    options
        Which contours belong to which study.

    Returns
    -------
    Tables, problems and the contours as masks.

    Raises
    ------
    DataError
        If there are no predictions or contours, or none of them belong together.
    """
    studies, problems = read_studies(predicted, contours, options or ContourOptions())
    phases = [_phases(study) for study in studies]
    pairs = list(zip(studies, phases, strict=True))
    rows = [row for pair in pairs for row in _image_rows(*pair)]
    table = pd.DataFrame(rows, columns=list(CONTOUR_COLUMNS))
    return ContourEvaluation(_evaluation(pairs, table, problems), table, studies)


def _evaluation(
    pairs: Sequence[tuple[ContouredExamination, Phases]], contours: pd.DataFrame, problems: list[Problem]
) -> Evaluation:
    """The tables that every evaluation of masks has."""
    measured = [row for pair in pairs for row in _measurements(*pair)]
    measurements = pd.DataFrame(measured, columns=[*MEASUREMENT_COLUMNS, ALL_SLICES])
    scores = [row for pair in pairs for row in _scores(*pair)]
    columns = [*METRIC_COLUMNS, "phase"]
    metrics = pd.DataFrame([*scores, *_errors(measurements)], columns=columns).astype({"frame": "Int64"})
    groups = {"all": metrics, **{phase: metrics[metrics["phase"] == phase] for phase in ("ED", "ES")}}
    images = contours.groupby(["subject", "frame", "phase", "slice"], sort=False)["dice"].mean()
    return Evaluation(
        metrics=metrics[list(METRIC_COLUMNS)],
        summary=summarise(pd.concat([t.assign(group=name) for name, t in groups.items() if len(t)])),
        problems=problems,
        measurements=measurements,
        images=images.reset_index().assign(split="")[list(IMAGE_COLUMNS)],
        notes=[note for study, _ in pairs for note in _offset_note(contours, study.name)],
    )


def _phases(study: ContouredExamination) -> Phases:
    """End-diastole and end-systole among the contoured frames, none where there is only one."""
    slices = {t: len(study.slices(Label.LV, t)) for t in study.frames}
    full = [t for t, n in slices.items() if n and n >= _FULL_STACK * max(slices.values())]
    sizes = [_pixels(study.truth, Label.LV, t) for t in full]
    return {"ED": full[np.argmax(sizes)], "ES": full[np.argmin(sizes)]} if len(full) > 1 else {}


def _phase_of(t: int, phases: Phases) -> str:
    """ED, ES or nothing."""
    return next((phase for phase, frame in phases.items() if frame == t), "")


def _pixels(mask: Cine, label: Label, t: int, slices: Sequence[int] | slice = slice(None)) -> int:
    """Voxels of a structure in some slices of a frame."""
    return int(np.count_nonzero(mask.array[:, :, slices, t] == label))


def _scores(study: ContouredExamination, phases: Phases) -> Iterator[tuple]:
    """Rows of every frame and structure, over the images in which it is contoured."""
    spacing = study.truth.spacing
    for place, label in enumerate(STRUCTURES):
        for t in study.frames:
            if not (slices := study.slices(label, t)):
                continue
            pred, true = (mask.array[:, :, slices, t] for mask in (study.predicted, study.truth))
            counts = image_counts(pred, true)
            pred, true = pred == label, true == label
            values = {
                "dice": volume_dice(counts)[place],
                "dice_image": mean_image_dice(counts)[place],
                **surface_distances(pred, true, spacing)._asdict(),
                "volume_error": (np.count_nonzero(pred) - np.count_nonzero(true)) * voxel_volume(spacing),
            }
            for name, value in values.items():
                yield study.name, t, label.name, name, float(value), unit_of(name), _phase_of(t, phases)


def _measurements(study: ContouredExamination, phases: Phases) -> Iterator[tuple]:
    """Volumes, EF and mass by the contours, the same slices of the prediction, and all of its slices."""
    ml = voxel_volume(study.truth.spacing)
    for label in (Label.LV, Label.RV):
        volumes = {p: _three_ways(study, label, t) * ml for p, t in phases.items() if study.slices(label, t)}
        for phase, volume in volumes.items():
            yield _measurement(study, label, f"{phase}V", "ml", volume)
        if len(volumes) == 2:
            ef = [ejection_fraction(*pair) for pair in zip(volumes["ED"], volumes["ES"], strict=True)]
            yield _measurement(study, label, "EF", "%", ef)
    if "ED" in phases and study.slices(Label.MYO, phases["ED"]):
        volume = _three_ways(study, Label.MYO, phases["ED"]) * ml
        yield _measurement(study, Label.MYO, "mass", "g", myocardial_mass(volume))


def _three_ways(study: ContouredExamination, label: Label, t: int) -> np.ndarray:
    """Voxels in the contours, in the same slices of the prediction, and in all of its slices."""
    same = (_pixels(mask, label, t, study.slices(label, t)) for mask in (study.truth, study.predicted))
    return np.array([*same, _pixels(study.predicted, label, t)], float)


def _measurement(
    study: ContouredExamination, label: Label, measure: str, unit: str, values: Sequence[float]
) -> tuple:
    """One row of the measurements."""
    true, predicted, all_slices = map(float, values)
    return study.name, "", label.name, measure, true, predicted, unit, all_slices


def _errors(measurements: pd.DataFrame) -> Iterator[tuple]:
    """Errors per subject, predicted minus true, in the same images."""
    for m in measurements.itertuples():
        error = m.predicted - m.true
        absolute = NO_EF_ERROR_POINTS if np.isnan(m.predicted) else abs(error)
        told = {"mass": {"mass_error": error}, "EF": {"ef_error": error, "ef_abs_error": absolute}}
        for name, value in told.get(m.measure, {}).items():
            yield m.subject, None, m.structure, name, value, unit_of(name), ""


def _image_rows(study: ContouredExamination, phases: Phases) -> Iterator[tuple]:
    """One row per contoured image and structure."""
    for place, label in enumerate(STRUCTURES):
        for d in (d for t in study.frames for d in study.images(label, t)):
            z, t = d.image.z, d.image.t
            true, pred = (mask.array[:, :, z, t] for mask in (study.truth, study.predicted))
            score = dice(image_counts(pred[..., None], true[..., None]))[0, place]
            yield (
                *(study.name, t, _phase_of(t, phases), z, d.image.file, label.name, float(score)),
                *(np.count_nonzero(mask == label) for mask in (true, pred)),
                *(_centre(true == label) - _centre(pred == label)),
            )


def _centre(mask: np.ndarray) -> np.ndarray:
    """Centroid ``(x, y)`` in pixels, nan for an empty mask."""
    inside = np.argwhere(mask)
    return inside.mean(axis=0) if len(inside) else np.full(2, np.nan)


def _offset_note(contours: pd.DataFrame, study: str) -> list[str]:
    """Whether the endocardial contours lie beside what was predicted, which Dice does not tell."""
    lv = contours[(contours["subject"] == study) & (contours["structure"] == Label.LV.name)]
    x, y = lv[["right_px", "down_px"]].median()
    if not np.hypot(x, y) > _OFF_CENTRE_PX:
        return []
    sides = f"{abs(x):.1f} pixels {'right' if x > 0 else 'left'}", f"{abs(y):.1f} {'down' if y > 0 else 'up'}"
    hint = "; if they count pixels from 1, use --first-pixel 1" if min(x, y) > _OFF_CENTRE_PX else ""
    return [
        f"endocardial contours of {study} lie {' and '.join(sides)} of the predicted ones "
        f"(median of {len(lv)} images){hint}"
    ]
