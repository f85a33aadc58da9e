"""What is told of predicted masks against contours."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import VolumeRef
from cmrseg.data.predictions import Pair
from cmrseg.evaluation.contour_studies import ContouredExamination
from cmrseg.evaluation.contours import ALL_SLICES, ContourEvaluation
from cmrseg.evaluation.masks_report import evaluation_sections
from cmrseg.labels import STRUCTURES
from cmrseg.report.html import Section, Table
from cmrseg.report.write import Report

TRUTH = "truth.nii.gz"
CATALOG_COLUMNS = ("subject", "frame", "slice", "image", "mask", "labels")


_SAME_IMAGES = (
    "Only images with contours count: 'predicted' is measured in the same slices and frames. 'predicted, all "
    "slices' also has the slices that nobody contoured."
)


def volume_table(result: ContourEvaluation) -> pd.DataFrame:
    """Volumes, EF and mass by the contours and by the masks, for people.

    Parameters
    ----------
    result
        An evaluation.

    Returns
    -------
    Columns study, measurement, unit, contours, predicted, and predicted in all slices.
    """
    m = result.evaluation.measurements
    return pd.DataFrame(
        {
            "study": m["subject"],
            "measurement": m["structure"] + " " + m["measure"],
            "unit": m["unit"],
            "contours": m["true"],
            "predicted": m["predicted"],
            "predicted, all slices": m[ALL_SLICES],
        }
    )


def contours_report(
    result: ContourEvaluation, predicted: Path, out: Path, provenance: Mapping[str, object]
) -> Report:
    """What is told of masks against contours, whose own masks lie in ``out``."""
    evaluation, studies = result.evaluation, len(result.studies)
    pairs = [pair for study in result.studies for pair in _pairs(study, predicted, out, result)]
    shown = replace(
        evaluation,
        images=evaluation.images[evaluation.images["subject"].isin([truth.subject for truth, _ in pairs])],
        measurements=evaluation.measurements[: None if studies > 1 else 0],  # one study shows no agreement
        pairs=pairs,
    )
    volumes = Table(volume_table(result), "By contours and by masks")
    names = ("metrics", "summary", "measurements")
    rows = [row for study in result.studies for row in _catalog_rows(study, out)]
    catalog = {"catalog.csv": pd.DataFrame(rows, columns=list(CATALOG_COLUMNS))} if rows else {}
    return Report(
        "Evaluation of predicted masks against contours",
        [Section("Volumes and function", [_SAME_IMAGES], [volumes]), *evaluation_sections(shown)],
        provenance,
        f"{studies} study(s), {len(evaluation.images)} contoured images.",
        tables={
            "contours.csv": result.contours,
            **catalog,
            **{f"{name}.csv": getattr(evaluation, name) for name in names},
        },
        problems=evaluation.problems,
    )


def _catalog_rows(study: ContouredExamination, out: Path) -> Iterator[tuple]:
    """Images in which everything is contoured that is contoured in any image of the study."""
    if study.cine is None:
        return
    by_label = {label: {(t, z) for t in study.frames for z in study.slices(label, t)} for label in STRUCTURES}
    labels = {label: images for label, images in by_label.items() if images}
    scheme = ",".join(f"{label.name}={int(label)}" for label in labels)
    image = os.path.relpath(study.cine, out)
    for t, z in sorted(set.intersection(*labels.values())):
        yield study.name, t, z, image, f"{study.name}/{TRUTH}", scheme


def _pairs(
    study: ContouredExamination, predicted: Path, out: Path, result: ContourEvaluation
) -> Iterator[Pair]:
    """Contoured and predicted volumes, for the examples of the report."""
    if study.cine is None:
        return
    images = result.evaluation.images
    for t, rows in images[images["subject"] == study.name].groupby("frame"):
        slices = tuple(sorted(int(z) for z in rows["slice"]))
        truth = VolumeRef(
            subject=study.name,
            frame=int(t),
            phase=rows["phase"].iloc[0],
            split="",
            labels="cmrseg",
            spacing=study.truth.spacing,
            slices=slices,
            images=(study.cine,) * len(slices),
            masks=(out / study.name / TRUTH,) * len(slices),
        )
        yield truth, replace(truth, masks=(predicted / study.name / "seg.nii.gz",) * len(slices))
