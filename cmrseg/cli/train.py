"""``cmrseg train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import note, training_listener, warn_of_problems
from cmrseg.cli.out_folder import run_folder
from cmrseg.cli.training_options import takes_training_options
from cmrseg.training.options import TrainOptions

if TYPE_CHECKING:
    from cmrseg.training.fit import TrainingRun

Data = Annotated[Path, typer.Option(help="Data set with masks; its layout is recognised.")]
DataSets = Annotated[
    list[Path],
    typer.Option(help="Data set with masks, may be given several times; layouts are recognised."),
]
Out = Annotated[Path | None, typer.Option(help="Folder of the run; a new one in runs/ by default.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with the run that is in --out, or with the newest of its name in runs/."
    ),
]


@takes_training_options(
    "file", "labels", "imagenet", "random", "epochs", "lr", "batch_size", "neighbours", "neighbours_in",
    "seed", "subset", "weights", "structures", "shares", "region_sampling", "region", "class_weights",
    "checkpointing",
)  # fmt: skip
def train(
    name: Annotated[
        str, typer.Argument(help="Recipe: architecture_loss_set_augmentation[_size], such as r34_CE_p5_s2.")
    ],
    data: DataSets,
    options: TrainOptions,
    out: Out = None,
    confidence: Annotated[
        Path | None,
        typer.Option(help="Folder of `cmrseg confidence`: train on the set that the recipe names (p5)."),
    ] = None,
    resume: Resume = False,
) -> None:
    """Train a model from its recipe."""
    from cmrseg.training.config import train_config
    from cmrseg.workflows.train import train as run_training

    config = train_config(name, options)
    with run_folder(out, str(config.recipe), resume=resume) as folder, training_listener() as listener:
        run = run_training(config, data, folder, resume=resume, listener=listener, confidence=confidence)
    finish(run)


def finish(run: TrainingRun) -> None:
    """Say what came out; problems make the exit code 1."""
    note(f"model: {run.model_file}")
    note(f"report: {run.out / 'report.html'}")
    if run.problems:
        warn_of_problems(len(run.problems), run.out / "problems.tsv")
        raise typer.Exit(1)
