"""The files of `cmrseg evaluate contours`: tables, contours as masks, and one report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import VolumeRef
from cmrseg.data.predictions import Pair
from cmrseg.evaluation.contour_studies import ContouredStudy, ContourOptions
from cmrseg.evaluation.contours import ALL_SLICES, ContourEvaluation, evaluate_contours
from cmrseg.io.atomic import write_table
from cmrseg.io.images import save_mask
from cmrseg.labels import STRUCTURES
from cmrseg.report.evaluation import evaluation_sections, write_page, write_tables
from cmrseg.report.html import Section, Table

TRUTH = "truth.nii.gz"
CATALOG_COLUMNS = ("subject", "frame", "slice", "image", "mask", "labels")


def evaluate_contours_to(
    predicted: Path, contours: Path, out: Path, *, options: ContourOptions | None = None
) -> ContourEvaluation:
    """Evaluate predicted masks against contours and write all files of the evaluation.

    Parameters
    ----------
    predicted, contours, options
        See `cmrseg.evaluation.contours.evaluate_contours`.
    out
        Folder for ``metrics.csv``, ``summary.csv``, ``measurements.csv``, ``contours.csv`` (one row per image
        and structure), ``problems.tsv`` (only if there are any), ``figures/*.png`` and ``report.html``; and a
        data set of the contoured images: ``<study>/truth.nii.gz`` and ``catalog.csv``.

    Returns
    -------
    What was found.

    Raises
    ------
    DataError
        As `cmrseg.evaluation.contours.evaluate_contours`.
    """
    options = options or ContourOptions()
    provenance = {"predicted": predicted, "contours": contours, "options": asdict(options)}
    result = evaluate_contours(predicted, contours, options)
    for study in result.studies:
        save_mask(study.truth, out / study.name / TRUTH)
    write_table(result.contours, out / "contours.csv")
    rows = [row for study in result.studies for row in _catalog_rows(study, out)]
    if rows:
        write_table(pd.DataFrame(rows, columns=list(CATALOG_COLUMNS)), out / "catalog.csv")
    pairs = [pair for study in result.studies for pair in _pairs(study, predicted, out, result)]
    _write_report(result, pairs, out, provenance)
    return result


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


def _write_report(
    result: ContourEvaluation, pairs: list[Pair], out: Path, provenance: dict[str, object]
) -> None:
    """Tables of the evaluation, and the report."""
    evaluation, studies = result.evaluation, len(result.studies)
    names = ("metrics", "summary", "measurements")
    write_tables({f"{name}.csv": getattr(evaluation, name) for name in names}, evaluation.problems, out)
    shown = replace(
        evaluation,
        images=evaluation.images[evaluation.images["subject"].isin([truth.subject for truth, _ in pairs])],
        measurements=evaluation.measurements[: None if studies > 1 else 0],  # one study shows no agreement
        pairs=pairs,
    )
    lead = Section(
        "Volumes and function", [_SAME_IMAGES], [Table(volume_table(result), "By contours and by masks")]
    )
    summary = f"{studies} study(s), {len(evaluation.images)} contoured images."
    title = "Evaluation of predicted masks against contours"
    sections = [lead, *evaluation_sections(shown)]
    write_page(title, sections, out, provenance=provenance, summary=summary)


def _catalog_rows(study: ContouredStudy, out: Path) -> Iterator[tuple]:
    """Images in which everything is contoured that is contoured in any image of the study."""
    if study.cine is None:
        return
    by_label = {label: {(t, z) for t in study.frames for z in study.slices(label, t)} for label in STRUCTURES}
    labels = {label: images for label, images in by_label.items() if images}
    scheme = ",".join(f"{label.name}={int(label)}" for label in labels)
    image = os.path.relpath(study.cine, out)
    for t, z in sorted(set.intersection(*labels.values())):
        yield study.name, t, z, image, f"{study.name}/{TRUTH}", scheme


def _pairs(study: ContouredStudy, predicted: Path, out: Path, result: ContourEvaluation) -> Iterator[Pair]:
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
