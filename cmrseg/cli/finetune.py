"""``cmrseg finetune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import training_listener
from cmrseg.cli.out_folder import run_folder
from cmrseg.cli.train import DataSets, Out, Resume, finish
from cmrseg.cli.training_options import takes_training_options
from cmrseg.cli.zoo.get import ready
from cmrseg.training.options import TrainOptions


@takes_training_options(
    "file", "labels", "augmentation", "architecture", "drop", "epochs", "lr", "batch_size", "seed", "subset",
    "weights", "structures", "shares", "region_sampling", "region", "class_weights",
    "checkpointing",
)  # fmt: skip
def finetune(
    base: Annotated[str, typer.Option(help="Model to start from: a name of the zoo or a model file.")],
    data: DataSets,
    options: TrainOptions,
    out: Out = None,
    also_on: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A data set such as the base was made for: the verdict tells what was forgotten.",
        ),
    ] = None,
    resume: Resume = False,
) -> None:
    """Fine-tune a model to another scanner, sequence or set of labels."""
    from cmrseg.workflows.train import finetune as run_training

    model = ready(base)
    with run_folder(out, Path(base), *data, resume=resume) as folder, training_listener() as listener:
        run = run_training(
            model, data, folder, options=options, also_on=also_on, resume=resume, listener=listener
        )
    finish(run)
