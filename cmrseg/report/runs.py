"""Training runs with a report that shows what they are worth on the validation subjects."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from cmrseg.analysis.domain import measure_domain, write_domain
from cmrseg.evaluation import Evaluation, evaluate_masks
from cmrseg.predict import predict
from cmrseg.problems import DataError
from cmrseg.report.evaluation import compact_summary, pick_examples
from cmrseg.report.training import before_after_table, write_training_report
from cmrseg.training.config import RunOptions, TrainConfig, with_run_options
from cmrseg.training.fit import TrainingRun, finetune, train, transfer_config
from cmrseg.zoo.manifest import load_model

SCORES = ("dice", "hd95", "ef_error", "ef_abs_error")


def train_and_report(config: TrainConfig, data: Path, out: Path, **settings: Any) -> TrainingRun:
    """`cmrseg.training.fit.train` with the same parameters, then ``report.html``."""
    run = train(config, data, out, **settings)
    remember_domain(run)
    evaluation = evaluate_model(run, run.model_file, out / "validation")
    table = compact_summary(evaluation.summary, SCORES)
    write_training_report(out, examples=pick_examples(evaluation), tables={"Validation subjects": table})
    return run


def finetune_and_report(
    base: str | Path, data: Path, out: Path, *, options: RunOptions | None = None, **settings: Any
) -> TrainingRun:
    """`cmrseg.training.fit.finetune`, then ``report.html`` with the scores before and after.

    Parameters
    ----------
    base, data, out
        As for `finetune`.
    options
        What differs from the transfer schedule of the base model's architecture.
    settings
        Further parameters of `finetune`.
    """
    options = options or RunOptions()
    config = transfer_config(load_model(base), data, augmentation=options.augmentation)
    config = with_run_options(config, options)
    run = finetune(base, data, out, config=config, **settings)
    remember_domain(run)
    before = evaluate_model(run, base, out / "validation_base")
    after = evaluate_model(run, run.model_file, out / "validation")
    table = before_after(before, after)
    write_training_report(
        out, examples=pick_examples(after), tables={"Validation subjects, before and after": table}
    )
    return run


def remember_domain(run: TrainingRun) -> None:
    """Write beside the model what its training images were like, so that `predict` can tell another study.

    Nothing is written where no mask shows LV and myocardium.
    """
    images = run.catalog.select(["train"])
    subjects = images.table["subject"].nunique()
    with suppress(DataError):
        write_domain(measure_domain(images, data=f"its {subjects} training subjects"), run.model_file)


def evaluate_model(run: TrainingRun, model: str | Path, out: Path, *, split: str = "val") -> Evaluation:
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
    catalog = run.catalog.select([split])
    predict(catalog, out, model=model)
    return evaluate_masks(out, catalog)


def before_after(before: Evaluation, after: Evaluation) -> pd.DataFrame:
    """The main scores of two evaluations of the same subjects, side by side."""
    table = before_after_table(before.summary, after.summary)
    return table[table["metric"].isin(SCORES)].reset_index(drop=True)
