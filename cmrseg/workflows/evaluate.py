"""What `cmrseg evaluate` does: evaluate, then write what was found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cmrseg.contours.truth_check import check_truth
from cmrseg.data.catalog import read_catalog
from cmrseg.data.tables import as_numbers, need_columns, read_published
from cmrseg.evaluation import Evaluation, evaluate_masks
from cmrseg.evaluation.compared_masks import MaskComparison
from cmrseg.evaluation.compared_masks import compare_masks as compare_with_truth
from cmrseg.evaluation.compared_masks_report import comparison_report
from cmrseg.evaluation.confusion import ConfusionEvaluation, evaluate_confusion
from cmrseg.evaluation.confusion_report import confusion_report
from cmrseg.evaluation.contour_studies import ContourOptions
from cmrseg.evaluation.contours import ContourEvaluation, evaluate_contours
from cmrseg.evaluation.contours_report import TRUTH, contours_report
from cmrseg.evaluation.ef import EfEvaluation, evaluate_ef
from cmrseg.evaluation.ef_report import ef_report
from cmrseg.evaluation.indices import IndexEvaluation, evaluate_indices
from cmrseg.evaluation.indices_report import indices_report
from cmrseg.evaluation.masks_report import masks_report
from cmrseg.evaluation.readers import ReaderEvaluation, ReaderOptions, evaluate_readers, read_counts
from cmrseg.evaluation.readers_report import readers_report
from cmrseg.evaluation.regions import RegionEvaluation, evaluate_regions
from cmrseg.evaluation.regions_report import regions_report
from cmrseg.evaluation.robustness import (
    SCORE_COLUMNS,
    Robustness,
    SweepOptions,
    chosen_distortions,
    measure_robustness,
    some_subjects,
)
from cmrseg.evaluation.robustness_card import card_block
from cmrseg.evaluation.robustness_report import robustness_report, robustness_section
from cmrseg.io.atomic import write_table, write_text
from cmrseg.io.images import save_mask
from cmrseg.io.in_use import works_in
from cmrseg.parallel import Progress
from cmrseg.predict import Options, predict
from cmrseg.problems import DataError, check_apart
from cmrseg.report.html import Section
from cmrseg.report.write import write
from cmrseg.tasks.quantification.truth import TABLE
from cmrseg.zoo.manifest import DEFAULT_MODEL, resolve
from cmrseg.zoo.resolved import ModelName, ResolvedModel


@works_in("out", "evaluate masks")
def masks(  # noqa: PLR0913 (all but the first three are options)
    predicted: Path,
    truth: Path,
    out: Path,
    *,
    labels: str | None = None,
    splits: Sequence[str] = (),
    predicted_labels: str | None = None,
    jobs: int = 1,
    robustness_of: ModelName | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate predicted masks, and if asked for the model that made them on distorted images.

    Parameters
    ----------
    predicted, truth, labels, splits, predicted_labels, jobs
        See `cmrseg.evaluation.evaluate_masks`.
    out
        Folder for ``metrics.csv``, ``summary.csv``, ``measurements.csv``, ``phases.csv``, ``clinical.csv``,
        ``problems.tsv`` (only if there are any), ``figures/*.png`` and ``report.html``; of a sweep also what
        `robustness` writes.
    robustness_of
        Name or file of a model to sweep distortions over.
    progress
        Told of the sweep.

    Returns
    -------
    What was found; a truth that looks displaced is told in the notes.

    Raises
    ------
    DataError
        As `cmrseg.evaluation.evaluate_masks`, or if ``out`` lies in the truth.
    """
    check_apart(out, truth)
    told: dict[str, Any] = {"labels": labels, "splits": splits, "predicted_labels": predicted_labels}
    found = evaluate_masks(predicted, truth, jobs=jobs, **told)
    provenance: dict[str, Any] = {"predicted": predicted, "truth": truth, **told}
    tail: list[Section] = []
    if robustness_of is None:
        found = replace(found, notes=[*found.notes, *_doubts(found, jobs)])
    else:
        options = SweepOptions(splits=tuple(splits), labels=labels)
        swept, section = _swept(truth, out, robustness_of, options, progress)
        new = [problem for problem in swept.problems if problem not in set(found.problems)]
        found = replace(found, problems=[*found.problems, *new])  # both list what the data itself lacks
        provenance, tail = {**provenance, "robustness of": robustness_of}, [section]
    write(masks_report(found, provenance=provenance, tail=tail), out)
    return found


@works_in("out", "evaluate masks")
def compare_masks(  # noqa: PLR0913 (all but the first three are options)
    truth: Path,
    methods: Mapping[str, Path],
    out: Path,
    *,
    labels: str | None = None,
    splits: Sequence[str] = (),
    predicted_labels: str | None = None,
    jobs: int = 1,
) -> MaskComparison:
    """Compare the masks of several methods on the same subjects, each with the first.

    Parameters
    ----------
    truth, methods, labels, splits, predicted_labels, jobs
        See `cmrseg.evaluation.compared_masks.compare_masks`.
    out
        Folder for ``differences.csv``, ``subjects.csv``, ``images.csv``, the tables of `masks` with a column
        ``method``, ``problems.tsv`` (only if there are any), ``figures/*.png`` and ``report.html``.

    Raises
    ------
    DataError
        As `cmrseg.evaluation.compared_masks.compare_masks`, or if ``out`` lies in the truth.
    """
    check_apart(out, truth)
    told: dict[str, Any] = {"labels": labels, "splits": splits, "predicted_labels": predicted_labels}
    found = compare_with_truth(truth, methods, jobs=jobs, **told)
    write(comparison_report(found, provenance={"truth": truth, "methods": methods, **told}), out)
    return found


def _doubts(found: Evaluation, jobs: int) -> list[str]:
    """Sentences on truths that look displaced."""
    return [
        f"look at the truth of {p.study}, {p.image}, which counts all the same: {p.extra_info}"
        for p in check_truth([truth for truth, _ in found.pairs], jobs=jobs)
    ]


@works_in("out", "evaluate robustness")
def robustness(
    data: Path,
    out: Path,
    *,
    model: ModelName = DEFAULT_MODEL,
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

    Raises
    ------
    DataError
        If nothing can be read, there is no such sweep, or a run to resume was made with other settings.
    """
    check_apart(out, data)
    options = options or SweepOptions()
    result, section = _swept(data, out, model, options, progress)
    write(robustness_report(result, section, {"model": model, "data": data, **asdict(options)}), out)
    return result


@works_in("out", "evaluate ef")
def ef(
    counts: Sequence[Path],
    truth: Path,
    out: Path,
    *,
    rotated: bool = False,
    dimensions: Path | None = None,
    sort: str = "mean",
) -> EfEvaluation:
    """Evaluate ejection fractions, see `cmrseg.evaluation.ef.evaluate_ef`, and write all files."""
    found = evaluate_ef(counts, truth, rotated=rotated, dimensions=dimensions, sort=sort)
    told = {"counts": _listed(counts), "truth": truth, "rotated": rotated, "dimensions": dimensions}
    write(ef_report(found, rotated=rotated, provenance=told), out)
    return found


@works_in("out", "evaluate confusion")
def confusion(tables: Sequence[Path], out: Path) -> ConfusionEvaluation:
    """Score confusion counts, see `cmrseg.evaluation.confusion.evaluate_confusion`, and write all files."""
    found = evaluate_confusion(tables)
    write(confusion_report(found, {"tables": _listed(tables)}), out)
    return found


@works_in("out", "evaluate readers")
def readers(
    first: Path,
    second: Path | None,
    out: Path,
    *,
    models: Sequence[Path] = (),
    options: ReaderOptions | None = None,
) -> ReaderEvaluation:
    """Compare two readers, and a model with each, see `cmrseg.evaluation.readers`, and write all files."""
    for reader in filter(None, (first, second)):
        check_apart(out, reader)
    options = options or ReaderOptions()
    found = evaluate_readers(read_counts(first, second, models, options))
    provenance = {
        "A": first if second else f"rows of {first}",
        "B": second or f"columns of {first}",
        "model": _listed(models) or None,
        **vars(options),
    }
    title = "Agreement of two readers and a model" if models else "Agreement of two readers"
    write(readers_report(found, title, provenance), out)
    return found


@works_in("out", "evaluate contours")
def contours(
    predicted: Path, contours: Path, out: Path, *, options: ContourOptions | None = None
) -> ContourEvaluation:
    """Evaluate masks against contours, see `cmrseg.evaluation.contours`, and write all files.

    Beside the tables that is a data set of the contoured images: ``<study>/truth.nii.gz``, ``catalog.csv``.
    """
    options = options or ContourOptions()
    result = evaluate_contours(predicted, contours, options)
    for study in result.studies:
        save_mask(study.truth, out / study.name / TRUTH)
    told = {"predicted": predicted, "contours": contours, "options": asdict(options)}
    write(contours_report(result, predicted, out, told), out)
    return result


@works_in("out", "evaluate regions")
def regions(
    truth: Path,
    methods: Mapping[str, Path],
    out: Path,
    *,
    labels: str | None = None,
    splits: Sequence[str] = (),
) -> RegionEvaluation:
    """Compare masks with the truth region by region, see `cmrseg.evaluation.regions`, and write all files."""
    found = evaluate_regions(truth, methods, labels=labels, splits=splits)
    names = {name: str(folder) for name, folder in methods.items()}
    told = {"truth": str(truth), "methods": names, "splits": ", ".join(splits)}
    write(regions_report(found, told), out)
    return found


@works_in("out", "evaluate indices")
def indices(  # noqa: PLR0913 (all but the first three are options)
    truth: Path,
    methods: Mapping[str, Path],
    out: Path,
    *,
    labels: str | None = None,
    splits: Sequence[str] = (),
    masks: bool = True,
    progress: Progress | None = None,
) -> IndexEvaluation:
    """Compare indices with the truth, see `cmrseg.evaluation.indices`, and write all files.

    Parameters
    ----------
    truth, methods, labels, splits
        See `cmrseg.evaluation.indices.evaluate_indices`.
    out
        Folder for the tables and the page.
    masks
        Where no method has masks, make those of the default model in ``out/masks`` and measure them too.
    progress
        Told of the masks.
    """
    if masks and all((folder / TABLE).is_file() for folder in methods.values()):
        catalog = read_catalog(truth, labels=labels, splits=splits)
        predict(catalog, out / "masks", options=Options(resume=True), progress=progress)
        methods = {**methods, f"masks of {DEFAULT_MODEL}": out / "masks"}
    found = evaluate_indices(truth, methods, labels=labels, splits=splits)
    names = {name: str(folder) for name, folder in methods.items()}
    write(indices_report(found, {"truth": str(truth), "methods": names, "splits": ", ".join(splits)}), out)
    return found


def _listed(paths: Sequence[Path]) -> str:
    """Paths in one line."""
    return ", ".join(map(str, paths))


def _swept(
    data: Path, out: Path, model: ModelName, options: SweepOptions, progress: Progress | None
) -> tuple[Robustness, Section]:
    """Scores, written while they are made, and the part of a report on them."""
    distortions, model = chosen_distortions(options.sweeps), resolve(model)
    loaded = model.load()
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
    return result, robustness_section(result.summary, example, loaded, distortions)


def _earlier(path: Path, data: Path, model: ResolvedModel, options: SweepOptions) -> pd.DataFrame | None:
    """Scores of a run that goes on; what a run was made of is written down beside them."""
    settings = {
        "model": model.sha256,
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
