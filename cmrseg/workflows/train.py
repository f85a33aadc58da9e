"""What `cmrseg train` and `cmrseg finetune` do: a run, and what it is worth on subjects it never saw."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog, read_catalog
from cmrseg.evaluation import Evaluation, evaluate_masks
from cmrseg.evaluation.masks_report import compact_summary, pick_examples
from cmrseg.evaluation.numbers import evaluate_numbers
from cmrseg.evaluation.region_classes import region_counts
from cmrseg.evaluation.verdict import Change, Verdict, compare, verdict
from cmrseg.io.atomic import atomic_path, write_table
from cmrseg.io.in_use import works_in
from cmrseg.metrics.classes import class_table
from cmrseg.metrics.registry import RUN, shown_in
from cmrseg.predict import predict
from cmrseg.report.write import write
from cmrseg.tasks import get_task
from cmrseg.tasks.region import RegionTask
from cmrseg.training import fit
from cmrseg.training.config import TrainConfig, transfer_config
from cmrseg.training.fit import TrainingRun
from cmrseg.training.log import Listener
from cmrseg.training.options import TrainOptions
from cmrseg.training.report import before_after_table, training_report
from cmrseg.zoo.manifest import resolve
from cmrseg.zoo.model_file import read_spec
from cmrseg.zoo.resolved import ModelName, ResolvedModel

BASE_FILE = "base.safetensors"


@works_in("out", "train")
def train(
    config: TrainConfig,
    data: Path | Sequence[Path],
    out: Path,
    *,
    resume: bool = False,
    listener: Listener | None = None,
    confidence: Path | None = None,
) -> TrainingRun:
    """`cmrseg.training.fit.train` with the same parameters, then ``report.html``."""
    run = fit.train(config, data, out, resume=resume, listener=listener, confidence=confidence)
    if gives_numbers(config):
        return _told_of_numbers(run)
    evaluation = evaluate_model(run, run.model_file, out / "validation")
    table = compact_summary(evaluation.summary, shown_in(RUN))
    tables = {"Validation subjects": table}
    write(training_report(out, examples=pick_examples(evaluation), tables=tables), out)
    return run


@works_in("out", "finetune")
def finetune(  # noqa: PLR0913 - what a person may say
    base: ModelName,
    data: Path | Sequence[Path],
    out: Path,
    *,
    options: TrainOptions | None = None,
    also_on: Path | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> TrainingRun:
    """`cmrseg.training.fit.finetune`, then ``report.html`` with the scores before and after and a verdict.

    Parameters
    ----------
    base, data, out, resume
        As for `cmrseg.training.fit.finetune`. The base is kept beside the new model, as ``base.safetensors``.
    options
        What differs from the transfer schedule of the base model's architecture.
    also_on
        A data set with masks such as the base was made for, to see what was forgotten.
    listener
        Told how it goes, and the verdict.

    Examples
    --------
    >>> import cmrseg
    >>> data = cmrseg.synthetic_data(subjects=4)
    >>> options = cmrseg.TrainOptions(epochs=1)
    >>> run = cmrseg.finetune("light2d_hybrid_acdc_s3", data, data.parent / "tuned", options=options)
    >>> run.model_file.exists()
    True
    """
    listener = listener or Listener()
    base = resolve(base)
    config = transfer_config(base.spec, data, options)
    run = fit.finetune(base, data, out, config=config, resume=resume, listener=listener)
    with atomic_path(out / BASE_FILE) as temporary:
        shutil.copyfile(base.path, temporary)
    if gives_numbers(config):
        return _told_of_numbers(run)
    before = evaluate_model(run, base, out / "validation_base")
    tuned = resolve(run.model_file)
    after = evaluate_model(run, tuned, out / "validation")
    found = _verdict(run, (base, tuned), compare(before, after, on="validation"), also_on)
    write_table(found.table, out / "verdict.csv")
    listener.note(found.text)
    tables = {"Validation subjects, before and after": before_after(before, after)}
    told = training_report(out, examples=pick_examples(after), tables=tables, verdict=found.text)
    write(told, out)
    return run


def gives_numbers(config: TrainConfig) -> bool:
    """Whether the network answers numbers of images, of which there are no masks to compare."""
    return get_task(config.recipe.network.task).gives == "numbers"


def _told_of_numbers(run: TrainingRun) -> TrainingRun:
    """The report of a run with what its answers of the validation subjects are worth."""
    spec, catalog, out = read_spec(run.model_file), run.catalog.select(["val"]), run.out / "validation"
    predict(catalog, out, model=run.model_file)
    if spec.task == RegionTask.name:
        counts, problems = region_counts(out, catalog)
        table = class_table(counts, spec.labels)
    else:
        metrics, problems = evaluate_numbers(out, catalog, get_task(spec.task), spec.labels)
        table = metrics.groupby("structure", sort=False)["value"].agg(["mean", "std", "count"]).reset_index()
        table.columns = ["number", "mean absolute error", "sd over volumes", "volumes"]
    write(training_report(run.out, examples=(), tables={"Validation subjects": table}), run.out)
    return replace(run, problems=(*run.problems, *problems))


def _verdict(
    run: TrainingRun, models: tuple[ResolvedModel, ResolvedModel], validation: Change, also_on: Path | None
) -> Verdict:
    """Which model to use, base or tuned, by the test subjects where there are some."""
    base, tuned = models
    change, has_test = validation, "test" in set(run.catalog.table["split"])
    if has_test:
        change = compare(
            evaluate_model(run, base, run.out / "test_base", split="test"),
            evaluate_model(run, tuned, run.out / "test", split="test"),
            on="test",
        )
    elsewhere = None
    if also_on is not None:
        catalog = read_catalog(also_on).with_masks()
        scores = (
            _evaluate(catalog, model, run.out / folder)
            for model, folder in ((base, "elsewhere_base"), (tuned, "elsewhere"))
        )
        elsewhere = compare(*scores, on=also_on.resolve().name)
    return verdict(change, str(base), chose_the_epoch=not has_test, elsewhere=elsewhere)


def evaluate_model(run: TrainingRun, model: ModelName, out: Path, *, split: str = "val") -> Evaluation:
    """Predict one split of a run's data with a model, and compare with the masks.

    Parameters
    ----------
    run
        Knows the data and its splits.
    model
        Name or file.
    out
        Folder for the predicted masks.
    split
        Which subjects.
    """
    return _evaluate(run.catalog.select([split]), model, out)


def _evaluate(catalog: Catalog, model: ModelName, out: Path) -> Evaluation:
    """Scores of a model on the images of a catalog."""
    predict(catalog, out, model=model)
    return evaluate_masks(out, catalog)


def before_after(before: Evaluation, after: Evaluation) -> pd.DataFrame:
    """The main scores of two evaluations of the same subjects, side by side."""
    table = before_after_table(before.summary, after.summary)
    return table[table["metric"].isin(shown_in(RUN))].reset_index(drop=True)
