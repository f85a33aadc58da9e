"""What is told of a model on distorted images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from cmrseg.data.catalog import Catalog
from cmrseg.data.distortions import Distortion
from cmrseg.evaluation.robustness import (
    Robustness,
    load_contoured,
)
from cmrseg.evaluation.robustness_card import robustness_sentences
from cmrseg.evaluation.robustness_figures import distortion_figure, robustness_figure
from cmrseg.predict import Options, segmenter
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report, problem_section
from cmrseg.zoo.model_file import Model

_METHOD = (
    "Dice is the mean over subjects, of each subject's volumes; the band is the 10th to 90th percentile of "
    "the subjects. Turned and zoomed images keep their whole field; the mask is brought back and compared "
    "with the untouched truth. The dotted line is the Dice that the truth itself keeps on that way. Masks "
    "are made in one pass, without averaging over flips."
)


def robustness_report(result: Robustness, section: Section, provenance: Mapping[str, object]) -> Report:
    """What is told of a sweep; its tables are written while it runs."""
    problems = problem_section(result.problems, [p.study for p in result.problems], what="subject")
    return Report(
        f"Robustness of {provenance['model']}",
        [section, problems],
        provenance,
        " ".join(robustness_sentences(result.summary)),
        problems=result.problems,
    )


def robustness_section(
    summary: pd.DataFrame, catalog: Catalog, model: Model, distortions: Sequence[Distortion]
) -> Section:
    """The part of a report on robustness."""
    segment = segmenter(model, Options(flips=False))
    pictures = [
        Picture(robustness_figure(summary), "Dice on distorted images; the line is untouched.", "robustness"),
        Picture(
            distortion_figure(load_contoured(catalog.studies()[0]), segment, distortions),
            "The slice with the largest LV of one subject, cropped around the heart, with the contours of "
            "truth and prediction; a zoom therefore shows as coarser or finer pixels.",
            "distortions",
        ),
    ]
    table = summary.drop(columns=["low", "high"]).rename(columns={"ef_abs_error": "abs EF error (points)"})
    tables = [Table(table, "Mean over subjects (with the band: robustness_summary.csv)")]
    return Section("Robustness", [_METHOD, *robustness_sentences(summary)], tables, pictures)
