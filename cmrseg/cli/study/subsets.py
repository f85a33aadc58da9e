"""``cmrseg study subsets``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import names_of, note, show_table, training_listener, warn_of_problems
from cmrseg.cli.out_folder import out_folder
from cmrseg.cli.predict import AsPublished
from cmrseg.cli.train import Data
from cmrseg.cli.training_options import takes_training_options
from cmrseg.cli.zoo.get import ready
from cmrseg.training.options import TrainOptions

if TYPE_CHECKING:
    from cmrseg.experiments.transfer import ExperimentPlan
    from cmrseg.experiments.transfer_report import TransferAnswer


@takes_training_options("augmentation", "epochs", "lr", "batch_size", "labels", "weights", "structures")
def subsets(
    data: Data,
    options: TrainOptions,
    base: Annotated[
        str, typer.Option(help="Model that was trained on another cine set: a name of the zoo or a file.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the study; runs that are there are kept; in runs/ by default."),
    ] = None,
    starts: Annotated[
        str, typer.Option(help="R (random), TL (ImageNet), TL2 (the base model); all that can be had.")
    ] = "",
    imagenet: Annotated[
        Path | None, typer.Option(help="File of ImageNet weights (torchvision keys) for TL.")
    ] = None,
    subjects: Annotated[
        str, typer.Option(help="Numbers of training subjects below all: 7,3,1; halved down to 1 by default.")
    ] = "",
    kinds: Annotated[
        str,
        typer.Option(help="Subsets: whole subjects, as many images at random, esed (ED and ES images only)."),
    ] = "subjects,random,esed",
    table: Annotated[
        Path | None, typer.Option("--subsets", help="Table of subsets to use instead of drawing them.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Runs of every start and subset; each draws its own subjects.")
    ] = 2,
    reader: Annotated[
        Path | None, typer.Option("--second-reader", help="Another reader's masks of the test subjects.")
    ] = None,
    within: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Dice below the full set that is good enough.")
    ] = 0.01,
    plan: Annotated[
        bool, typer.Option("--plan", help="Draw the subsets and say what would be trained.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Runs beside each other.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask scheduler, tcp://...")] = None,
    as_published: AsPublished = False,
) -> None:
    """Find out what transfer gains and how many subjects to contour.

    Trains every start on every subset, as in Ankenbrand et al. 2021. --epochs are those of the full set;
    smaller sets get more, so that all runs see as many images. A stopped study goes on when the same command
    is given again.
    """
    from cmrseg.experiments.transfer import plan_study
    from cmrseg.experiments.transfer_plan import TransferSetup
    from cmrseg.workflows.experiments import subsets as run

    setup = TransferSetup(
        base=ready(base),
        starts=names_of(starts) or None,
        imagenet=imagenet,
        sizes=_numbers(subjects),
        kinds=names_of(kinds),
        subsets=table,
        seeds=tuple(range(seeds)),
        options=options,
        reader=reader,
        within=within,
        as_published=as_published,
    )
    out = out_folder(out, "subsets", data, resume=True)  # the same command goes on, also from --plan
    if plan:
        with training_listener() as listener:
            found = plan_study(data, out, setup=setup, listener=listener)
        _show_plan(found, out)
        return
    with training_listener() as listener:
        report = run(data, out, setup=setup, jobs=jobs, scheduler=scheduler, listener=listener)
    _show_answer(report, out)


def _show_plan(plan: ExperimentPlan, out: Path) -> None:
    """The runs of a study."""
    columns = ["run", "subjects", "images", "epochs", "images to see"]
    rows = [
        (run.name, run.subjects, run.images, sum(s.epochs for s in run.config.schedule), run.images_to_see)
        for run in plan.runs
    ]
    show_table(f"{len(rows)} runs, scored on {plan.test.table['subject'].nunique()} subjects", columns, rows)
    for problem in plan.problems:
        note(f"{problem.study}: {problem.problem}, {problem.resolution}")
    note(f"subsets: {out / 'subsets.tsv'}; nothing was trained")


def _show_answer(report: TransferAnswer, out: Path) -> None:
    """What a study found."""
    from cmrseg.experiments.transfer_report import dice_table

    shown = dice_table(report.table)
    show_table("Dice of the test subjects, per volume", list(shown), shown.values.tolist())
    if report.table["dice_image"].notna().any():
        shown = dice_table(report.table, per_image=True)
        show_table("the same per 2D image (as published)", list(shown), shown.values.tolist())
    note(report.answer.text)
    note(f"report: {out / 'report.html'}")
    if report.study.problems:
        warn_of_problems(len(report.study.problems), out / "problems.tsv")
        raise typer.Exit(1)


def _numbers(text: str) -> tuple[int, ...] | None:
    """Whole numbers between commas, None for nothing."""
    try:
        return tuple(int(name) for name in names_of(text)) or None
    except ValueError:
        raise ValueError(f"--subjects takes whole numbers such as 7,3,1, got '{text}'") from None
