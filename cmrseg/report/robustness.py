"""The files of `cmrseg evaluate robustness`: tables, figures, a page and a block for the model's card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog, read_catalog
from cmrseg.data.distortions import Distortion
from cmrseg.data.tables import as_numbers, need_columns, read_published
from cmrseg.evaluation import Evaluation, evaluate_masks
from cmrseg.evaluation.robustness import (
    SCORE_COLUMNS,
    Progress,
    Robustness,
    chosen_distortions,
    load_contoured,
    measure_robustness,
    some_subjects,
)
from cmrseg.io.atomic import write_table, write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.predict import Options, segmenter
from cmrseg.problems import DataError
from cmrseg.report.evaluation import problem_section, write_evaluation, write_page, write_tables
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.robustness_card import card_block, robustness_sentences
from cmrseg.report.robustness_figures import distortion_figure, robustness_figure
from cmrseg.zoo.manifest import DEFAULT_MODEL, load_model, model_path
from cmrseg.zoo.model_file import Model

_METHOD = (
    "Dice is the mean over subjects, of each subject's volumes; the band is the 10th to 90th percentile of "
    "the subjects. Turned and zoomed images keep their whole field; the mask is brought back and compared "
    "with the untouched truth. The dotted line is the Dice that the truth itself keeps on that way. Masks "
    "are made in one pass, without averaging over flips."
)


@dataclass(frozen=True)
class SweepOptions:
    """What is swept.

    Attributes
    ----------
    sweeps
        Names of the distortions; all by default.
    subjects
        At most so many, evenly spread over the data set.
    splits
        Only these splits.
    labels
        Label scheme of the truth, where the layout does not tell.
    resume
        Keep the scores that are in the folder already.
    """

    sweeps: tuple[str, ...] = ()
    subjects: int | None = None
    splits: tuple[str, ...] = ()
    labels: str | None = None
    resume: bool = False


def evaluate_robustness_to(
    data: Path,
    out: Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    options: SweepOptions | None = None,
    progress: Progress | None = None,
) -> Robustness:
    """Sweep the distortions over a test set and write all files.

    Parameters
    ----------
    data
        Data set with masks.
    out
        Folder for ``robustness.csv``, ``robustness_summary.csv``, ``robustness.md`` (for the model's card),
        ``problems.tsv`` (only if there are any), ``figures/*.png`` and ``report.html``.
    model
        Name in the zoo, or model file.
    options
        What is swept.
    progress
        Told after every level.

    Returns
    -------
    Scores and problems.

    Raises
    ------
    DataError
        If nothing can be read, there is no such sweep, or a run to resume was made with other settings.
    """
    options = options or SweepOptions()
    result, section = _run(data, out, model, options, progress)
    sections = [section, problem_section(result.problems, [p.study for p in result.problems], what="subject")]
    provenance = {"model": model, "data": data, **asdict(options)}
    summary = " ".join(robustness_sentences(result.summary))
    write_tables({}, result.problems, out)
    write_page(f"Robustness of {model}", sections, out, provenance=provenance, summary=summary)
    return result


def evaluate_masks_with_robustness_to(  # noqa: PLR0913 (those of both evaluations)
    predicted: Path,
    truth: Path,
    out: Path,
    *,
    model: str | Path,
    options: SweepOptions | None = None,
    predicted_labels: str | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate predicted masks, and the model that made them on distorted images, in one report.

    Parameters
    ----------
    predicted, truth, predicted_labels, jobs
        See `cmrseg.evaluation.evaluate_masks`.
    out, model, options, progress
        See `evaluate_robustness_to`; its splits and labels hold for both.

    Returns
    -------
    The evaluation of the masks, with the problems of both.

    Raises
    ------
    DataError
        As both.
    """
    options = options or SweepOptions()
    shared = {"labels": options.labels, "splits": options.splits, "predicted_labels": predicted_labels}
    evaluation = evaluate_masks(predicted, truth, jobs=jobs, **shared)
    swept, section = _run(truth, out, model, options, progress)
    known = set(evaluation.problems)  # both list what the data set itself lacks
    new = [problem for problem in swept.problems if problem not in known]
    evaluation = replace(evaluation, problems=[*evaluation.problems, *new])
    provenance = {"predicted": predicted, "truth": truth, **shared, "robustness of": model}
    write_evaluation(evaluation, out, provenance=provenance, tail=[section])
    return evaluation


def _run(
    data: Path, out: Path, model: str | Path, options: SweepOptions, progress: Progress | None
) -> tuple[Robustness, Section]:
    """Scores, written while they are made, and the part of a report on them."""
    distortions, loaded = chosen_distortions(options.sweeps), load_model(model)
    catalog = read_catalog(data, labels=options.labels, splits=options.splits)
    catalog = some_subjects(catalog.with_masks(), options.subjects)
    path = out / "robustness.csv"
    result = measure_robustness(
        loaded,
        catalog,
        distortions=distortions,
        done=_earlier(path, data, model, options),
        save=lambda scores: write_table(scores, path),
        progress=progress,
    )
    if result.scores.empty:
        raise DataError(f"no subject of {data} could be read: {result.problems[0].extra_info}")
    write_table(result.summary, out / "robustness_summary.csv")
    write_text(card_block(result.summary), out / "robustness.md")
    readable = catalog.table["subject"].isin(result.scores["subject"])
    example = replace(catalog, table=catalog.table[readable])
    return result, _section(result.summary, example, loaded, distortions)


def _section(
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


def _earlier(path: Path, data: Path, model: str | Path, options: SweepOptions) -> pd.DataFrame | None:
    """Scores of a run that goes on; what a run was made of is written down beside them."""
    settings = {
        "model": sha256_of([model_path(model)]),
        "data": str(data.resolve()),
        "labels": options.labels,
    }
    text, key = json.dumps(settings, indent=2), path.with_suffix(".json")
    if options.resume and path.exists():
        if not key.exists() or key.read_text(encoding="utf-8") != text:
            raise DataError(
                f"{path} was made with another model, data set or label scheme; name another --out, or leave "
                "--resume out"
            )
        scores = read_published(path, text=("subject",))
        need_columns(scores, SCORE_COLUMNS, path)
        as_numbers(scores, ["dice", "ceiling"], path, key="subject")
        return scores
    write_text(text, key)
    path.unlink(missing_ok=True)
    return None
