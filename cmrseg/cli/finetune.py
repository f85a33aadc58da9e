"""``cmrseg finetune``."""

from __future__ import annotations

from typing import Annotated

import typer

from cmrseg.cli.console import training_listener
from cmrseg.cli.train import BatchSize, Data, Epochs, Labels, Lr, Out, Resume, Seed, Subset, finish
from cmrseg.cli.zoo.get import ready


def finetune(
    base: Annotated[str, typer.Option(help="Model to start from: a name of the zoo or a model file.")],
    data: Data,
    out: Out,
    labels: Labels = None,
    augmentation: Annotated[
        str | None,
        typer.Option(help="s1, s2, s3 or s4; by default s4 for light nets, else the base model's."),
    ] = None,
    epochs: Epochs = None,
    lr: Lr = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    subset: Subset = None,
    resume: Resume = False,
) -> None:
    """Fine-tune a model to another scanner, sequence or set of labels."""
    from cmrseg.report.runs import finetune_and_report
    from cmrseg.training.config import RunOptions

    options = RunOptions(
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        seed=seed,
        labels=labels,
        subset=subset,
        augmentation=augmentation,
    )
    ready(base)
    with training_listener() as listener:
        run = finetune_and_report(base, data, out, options=options, resume=resume, listener=listener)
    finish(run)
