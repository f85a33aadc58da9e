"""``cmrseg train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, training_listener, warn_of_problems

Data = Annotated[Path, typer.Option(help="Data set with masks; its layout is recognised.")]
Out = Annotated[Path, typer.Option(help="Folder of the run.")]
Labels = Annotated[
    str | None, typer.Option(help="Label scheme of the masks: acdc, mnms, cmr-seg-tl, or LV=1,MYO=2,RV=3.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Epochs in all, shared among the stages.")]
Lr = Annotated[float | None, typer.Option(help="Largest learning rate, of every stage.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Images per batch.")]
Seed = Annotated[int | None, typer.Option(help="Of weights, order, augmentation and random splits.")]
Subset = Annotated[
    str | None,
    typer.Option(metavar="FILE:NAME", help="Train on a subset of the training images: subsets.tsv:v3."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that is in --out.")]


def train(
    name: Annotated[
        str, typer.Argument(help="Recipe: architecture_loss_set_augmentation[_size], such as r34_CE_p5_s2.")
    ],
    data: Data,
    out: Out,
    config: Annotated[Path | None, typer.Option(help="train.toml with further settings.")] = None,
    labels: Labels = None,
    confidence: Annotated[
        Path | None,
        typer.Option(help="Folder of `cmrseg confidence`: train on the set that the recipe names (p5)."),
    ] = None,
    imagenet: Annotated[
        Path | None, typer.Option(help="File of ImageNet weights (torchvision keys).")
    ] = None,
    random: Annotated[
        bool, typer.Option("--random", help="Start from random instead of ImageNet weights.")
    ] = False,
    epochs: Epochs = None,
    lr: Lr = None,
    batch_size: BatchSize = None,
    neighbours: Annotated[
        int | None, typer.Option(help="Neighbouring slices given as channels (light2d; odd).")
    ] = None,
    seed: Seed = None,
    subset: Subset = None,
    resume: Resume = False,
) -> None:
    """Train a model from its recipe."""
    from cmrseg.report.runs import train_and_report
    from cmrseg.training.config import RunOptions, base_config, with_run_options

    start = "random" if random else str(imagenet) if imagenet else None
    options = RunOptions(
        epochs=epochs,
        lr=lr,
        neighbours=neighbours,
        batch_size=batch_size,
        seed=seed,
        start=start,
        labels=labels,
        subset=subset,
    )
    settings = with_run_options(base_config(name, file=config), options)
    with training_listener() as listener:
        run = train_and_report(settings, data, out, resume=resume, listener=listener, confidence=confidence)
    finish(run)


def finish(run: object) -> None:
    """Say what came out; problems make the exit code 1."""
    note(f"model: {run.model_file}")
    note(f"report: {run.out / 'report.html'}")
    if run.problems:
        warn_of_problems(len(run.problems), run.out / "problems.tsv")
        raise typer.Exit(1)
