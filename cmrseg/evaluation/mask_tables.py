"""What the masks of volumes score, as tables: per volume, per image, per subject."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

import numpy as np
import pandas as pd

from cmrseg.data.catalog import VolumeRef
from cmrseg.data.predictions import NOT_EVALUATED, Pair
from cmrseg.evaluation.summary import METRIC_COLUMNS, NO_EF_ERROR_POINTS, summarise
from cmrseg.labels import STRUCTURES, Label, structures_of
from cmrseg.metrics.contoured import contoured_structures
from cmrseg.metrics.overlap import (
    dice,
    image_counts,
    mean_image_dice,
    predicted_pixels,
    true_pixels,
    volume_dice,
)
from cmrseg.metrics.registry import METRICS, unit_of
from cmrseg.metrics.surface import SurfaceDistances, surface_distances
from cmrseg.metrics.volumes import ejection_fraction, myocardial_mass, voxel_volume
from cmrseg.problems import Problem

MEASUREMENT_COLUMNS = ("subject", "split", "structure", "measure", "true", "predicted", "unit")
IMAGE_COLUMNS = ("subject", "frame", "phase", "split", "slice", "dice")
NO_EF = "EF is not measured in {} subject(s) whose frames show different slices"


@dataclass(frozen=True)
class VolumeScores:
    """Confusion tables and surface distances of one volume.

    Attributes
    ----------
    ref
        The true volume; its phase may have been found from the volumes.
    counts
        Confusion tables of its images in pixels, shape ``(z, n_labels, n_labels)``.
    surfaces
        Distances in mm by structure.
    """

    ref: VolumeRef
    counts: np.ndarray
    surfaces: dict[Label, SurfaceDistances]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes
    ----------
    metrics
        ``metrics.csv``: one row per volume (or subject, ``frame`` empty), structure and metric.
    summary
        ``summary.csv``: mean, sd, median, iqr and n over the values that exist, per group
        (``all``, every split, every phase).
    problems
        What could not be evaluated, with the reason.
    measurements
        True and predicted EDV, ESV (ml), EF (percent) and mass (g) of every subject.
    images
        Mean Dice over the structures of every image that shows one.
    pairs
        True volume and the volume that refers to its predicted masks, for all that was evaluated.
    notes
        What a reader of the numbers should know, one sentence each.
    """

    metrics: pd.DataFrame
    summary: pd.DataFrame
    problems: list[Problem]
    measurements: pd.DataFrame
    images: pd.DataFrame
    pairs: list[Pair] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> tuple[str, ...]:
        """Subjects of which a volume could not be evaluated."""
        return tuple(sorted({p.study for p in self.problems if p.resolution == NOT_EVALUATED}))


def score_volume(ref: VolumeRef, truth: np.ndarray, pred: np.ndarray) -> VolumeScores:
    """Tables and distances of one volume."""
    surfaces = {s: surface_distances(pred == s, truth == s, ref.spacing) for s in structures_of([ref.labels])}
    return VolumeScores(ref, image_counts(pred, truth), surfaces)


def collect(
    scores: list[VolumeScores], problems: list[Problem], pairs: list[Pair], notes: list[str]
) -> Evaluation:
    """Tables of all volumes."""
    volume_rows, image_rows, measurements, subject_scores, scored_by_subject = [], [], [], [], []
    uneven = 0
    for _, group in groupby(scores, key=lambda s: s.ref.subject):
        subject = _with_phases(list(group))
        subject_scores += subject
        structures = _contoured(subject)
        scored_by_subject.append(structures)
        volume_rows += [row for s in subject for row in _volume_rows(s, _contoured_at(s, structures))]
        image_rows += [row for s in subject for row in _image_rows(s, _contoured_at(s, structures))]
        measurements += _measure(subject, structures)
        uneven += not _same_slices(subject)
    table = pd.DataFrame(measurements, columns=list(MEASUREMENT_COLUMNS))
    columns = [*METRIC_COLUMNS, "phase", "split"]
    values = pd.DataFrame(volume_rows + _error_rows(table), columns=columns).astype({"frame": "Int64"})
    scored = {(s.ref.subject, s.ref.frame) for s in subject_scores}
    return Evaluation(
        metrics=values[list(METRIC_COLUMNS)],
        summary=summarise(_grouped(values)),
        problems=problems,
        measurements=table,
        images=pd.DataFrame(image_rows, columns=list(IMAGE_COLUMNS)),
        pairs=[pair for pair in pairs if (pair[0].subject, pair[0].frame) in scored],
        notes=[*notes, *_left_out(scored_by_subject), *[NO_EF.format(uneven)] * bool(uneven)],
    )


def _left_out(scored: list[tuple[Label, ...]]) -> list[str]:
    """Which structures some subjects are not scored for, although others are."""
    counts = {label: sum(label in structures for structures in scored) for label in STRUCTURES}
    return [
        f"{label.name} is contoured in {count} of {len(scored)} subjects and scored in those only"
        for label, count in counts.items()
        if 0 < count < len(scored)
    ]


def _with_phases(scores: list[VolumeScores]) -> list[VolumeScores]:
    """End-diastole and end-systole by the true LV, where the data set names neither."""
    if len(scores) < 2 or any(s.ref.phase for s in scores) or not _same_slices(scores):
        return scores
    lv = [true_pixels(s.counts.sum(axis=0))[Label.LV] for s in scores]
    names = {int(np.argmin(lv)): "ES", int(np.argmax(lv)): "ED"}
    return [replace(s, ref=replace(s.ref, phase=names.get(i, ""))) for i, s in enumerate(scores)]


def _same_slices(scores: Iterable[VolumeScores]) -> bool:
    """Whether all frames show the same slices, so that their volumes can be compared."""
    return len({s.ref.slices for s in scores}) == 1


def _contoured(scores: list[VolumeScores]) -> tuple[Label, ...]:
    """Structures that the truth of a subject has at any frame."""
    pixels = np.sum([true_pixels(s.counts.sum(axis=0)) for s in scores], axis=0)
    known = structures_of({s.ref.labels for s in scores})
    return tuple(label for label in known if pixels[label]) or known


def _contoured_at(scores: VolumeScores, anywhere: Sequence[Label]) -> tuple[Label, ...]:
    """Structures that the truth of a volume has; ``anywhere`` holds those of its subject."""
    shown = contoured_structures(true_pixels(scores.counts) > 0, anywhere)
    known = structures_of([scores.ref.labels])
    return tuple(label for label in anywhere if label in shown and label in known)


def _volume_rows(scores: VolumeScores, structures: Iterable[Label]) -> list[tuple]:
    """Rows of one volume."""
    ref, total = scores.ref, scores.counts.sum(axis=0)
    per_volume = dict(zip(STRUCTURES, volume_dice(scores.counts), strict=True))
    per_image = dict(zip(STRUCTURES, mean_image_dice(scores.counts), strict=True))
    error_ml = (predicted_pixels(total) - true_pixels(total)) * voxel_volume(ref.spacing)
    rows = []
    for label in structures:
        surface = scores.surfaces[label]
        values = {"dice": per_volume[label], "dice_image": per_image[label], **surface._asdict()}
        values["volume_error"] = error_ml[label]
        rows += [_row(ref, ref.frame, label, metric, value) for metric, value in values.items()]
    return rows


def _row(ref: VolumeRef, frame: int, label: Label, metric: str, value: float) -> tuple:
    """One metric value with what it is grouped by."""
    return (ref.subject, frame, label.name, metric, float(value), unit_of(metric), ref.phase, ref.split)


def _measure(scores: list[VolumeScores], structures: Sequence[Label]) -> list[tuple]:
    """True and predicted volumes, EF and mass of one subject."""
    phases = {s.ref.phase: s for s in reversed(scores) if s.ref.phase}
    rows = [
        _measurement(phases[phase], label, measure)
        for label, phase, measure in _volume_measures(structures)
        if phase in phases and label in _contoured_at(phases[phase], structures)
    ]
    if {"ED", "ES"} <= set(phases) and _same_slices((phases["ED"], phases["ES"])):
        both = set(_contoured_at(phases["ED"], structures)) & set(_contoured_at(phases["ES"], structures))
        ventricles = [label for label in structures if label != Label.MYO and label in both]
        rows += [_ef_measurement(phases["ED"], phases["ES"], label) for label in ventricles]
    return rows


def _volume_measures(structures: Sequence[Label]) -> list[tuple[Label, str, str]]:
    """What is measured of every structure, and at which phase."""
    ventricles = [label for label in structures if label != Label.MYO]
    measures = [(label, phase, f"{phase}V") for label in ventricles for phase in ("ED", "ES")]
    return measures + [(Label.MYO, "ED", "mass")] * (Label.MYO in structures)


def _measurement(scores: VolumeScores, label: Label, measure: str) -> tuple:
    """True and predicted volume, or mass, of one structure."""
    ref, total = scores.ref, scores.counts.sum(axis=0)
    true, pred = (
        int(pixels[label]) * voxel_volume(ref.spacing)
        for pixels in (true_pixels(total), predicted_pixels(total))
    )
    if measure == "mass":
        return (
            ref.subject,
            ref.split,
            label.name,
            measure,
            myocardial_mass(true),
            myocardial_mass(pred),
            "g",
        )
    return (ref.subject, ref.split, label.name, measure, true, pred, "ml")


def _ef_measurement(ed: VolumeScores, es: VolumeScores, label: Label) -> tuple:
    """True and predicted ejection fraction, from pixel counts."""
    ef = partial(_count_ef, ed.counts.sum(axis=0), es.counts.sum(axis=0), label)
    return (ed.ref.subject, ed.ref.split, label.name, "EF", ef(true_pixels), ef(predicted_pixels), "%")


def _count_ef(
    ed: np.ndarray, es: np.ndarray, label: Label, pixels: Callable[[np.ndarray], np.ndarray]
) -> float:
    """Ejection fraction in percent from two confusion tables."""
    return ejection_fraction(float(pixels(ed)[label]), float(pixels(es)[label]))


def _error_rows(measurements: pd.DataFrame) -> list[tuple]:
    """Errors per subject, predicted minus true."""
    rows = []
    for m in measurements.itertuples():
        error = m.predicted - m.true
        if m.measure == "mass":
            rows.append(
                (m.subject, None, m.structure, "mass_error", error, unit_of("mass_error"), "", m.split)
            )
        elif m.measure == "EF":
            absolute = (
                NO_EF_ERROR_POINTS if math.isnan(m.predicted) and not math.isnan(m.true) else abs(error)
            )
            rows += [
                (m.subject, None, m.structure, metric, value, unit_of(metric), "", m.split)
                for metric, value in (("ef_error", error), ("ef_abs_error", absolute))
            ]
    return rows


def _grouped(values: pd.DataFrame) -> pd.DataFrame:
    """The values once per group that they belong to, in the order of the summary."""
    if values.empty:
        return values.assign(group="all")
    parts = [values.assign(group="all")]
    parts += [values[values["split"] == s].assign(group=s) for s in sorted(set(values["split"]) - {""})]
    parts += [values[values["phase"] == p].assign(group=p) for p in ("ED", "ES")]
    table = pd.concat([part for part in parts if not part.empty])
    order = {metric: i for i, metric in enumerate(METRICS)}
    table["order"] = table["metric"].map(order)
    table["row"] = table["group"].map({g: i for i, g in enumerate(table["group"].unique())})
    return table.sort_values(["row", "structure", "order"], kind="stable")


def _image_rows(scores: VolumeScores, structures: Sequence[Label]) -> list[tuple]:
    """Mean Dice of every image of a volume, over the structures that it shows in truth or prediction."""
    ref, rows = scores.ref, []
    shown = (true_pixels(scores.counts) + predicted_pixels(scores.counts))[:, 1:] > 0
    shown &= np.isin(STRUCTURES, structures)
    for z, values, present in zip(ref.slices, dice(scores.counts), shown, strict=True):
        if present.any():
            rows.append((ref.subject, ref.frame, ref.phase, ref.split, z, values[present].mean()))
    return rows
