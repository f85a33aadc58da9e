"""``cmrseg study regions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import names_of, note, show_table, training_listener, warn_of_problems
from cmrseg.cli.out_folder import out_folder
from cmrseg.cli.train import DataSets
from cmrseg.cli.training_options import takes_training_options
from cmrseg.cli.zoo.get import ready
from cmrseg.training.options import TrainOptions


@takes_training_options(
    "file", "labels", "random", "epochs", "lr", "batch_size", "augmentation", "seed", "weights", "structures",
)  # fmt: skip
def regions(
    data: DataSets,
    options: TrainOptions,
    base: Annotated[
        str, typer.Option(help="Model that all segmenters start from: a name of the zoo or a file.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study; what is there is kept; in runs/ by default.")
    ] = None,
    classifiers: Annotated[
        str,
        typer.Option(
            help="Networks that tell the region: alex, dn121, mnv2, r18, shuf, sq11, v11, each with :random "
            "(no ImageNet weights) or :weighted (rare regions count more) after it where wanted."
        ),
    ] = "r18",
    imagenet: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE", help="ImageNet weights of a classifier (torchvision keys); may be repeated."
        ),
    ] = None,
    classifier_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of the classifiers, by default theirs.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Studies with seeds 0, 1, ...; the report tells their mean and spread.")
    ] = 1,
    split: Annotated[str, typer.Option(help="Subjects of these splits are scored.")] = "val,test",
) -> None:
    """Make a regional model, and see what it gains at base and apex (Mariscal-Harana et al. 2023).

    Trains a baseline, region-aware sampling, a segmenter for every region and classifiers of the regions. A
    stopped study goes on when the same command is given again.
    """
    from cmrseg.evaluation.regions_report import gains_in_paper
    from cmrseg.experiments.regions import ClassifierPlan, RegionSetup
    from cmrseg.experiments.regions_report import headline, table_two
    from cmrseg.workflows.experiments import regions as run

    setup = RegionSetup(
        base=ready(base),
        classifiers=tuple(ClassifierPlan.parse(name) for name in names_of(classifiers)),
        imagenet=dict(map(_named_file, imagenet or ())),
        options=options,
        classifier_epochs=classifier_epochs,
        splits=names_of(split),
    )
    out = out_folder(out, "regions", data[0], resume=True)  # the same command goes on
    with training_listener() as listener:
        studies = run(data, out, setup, seeds=tuple(range(seeds)), listener=listener)
    found = studies[0]
    for title, shown in (
        ("classifiers (%)", table_two(found.classifiers)),
        ("gain (points)", gains_in_paper(found.evaluation.table3)),
    ):
        show_table(title, list(shown.columns), shown.values.tolist())
    note(headline(found))
    note(f"regional model: {found.regional}")
    note(f"report: {out / 'report.html'}")
    if any(study.problems for study in studies):
        warn_of_problems(sum(len(study.problems) for study in studies), out / "problems.tsv")
        raise typer.Exit(1)


def _named_file(text: str) -> tuple[str, Path]:
    """A name and a file."""
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise ValueError(f"--imagenet takes NAME=FILE, such as r18=resnet18.pth, got '{text}'")
    return name, Path(file)
