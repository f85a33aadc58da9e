"""``cmrseg study subsets``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import note, show_table, training_listener, warn_of_problems
from cmrseg.cli.train import BatchSize, Data, Epochs, Labels, Lr
from cmrseg.cli.zoo.get import ready

if TYPE_CHECKING:
    from cmrseg.report.transfer import StudyReport
    from cmrseg.studies.transfer import StudyPlan


def subsets(
    data: Data,
    base: Annotated[
        str, typer.Option(help="Model that was trained on another cine set: a name of the zoo or a file.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the study; runs that are there are kept.")],
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
    augmentation: Annotated[
        str | None, typer.Option(help="s1, s2, s3 or s4; by default as `cmrseg finetune`.")
    ] = None,
    epochs: Epochs = None,
    lr: Lr = None,
    batch_size: BatchSize = None,
    labels: Labels = None,
) -> None:
    """Find out what transfer gains and how many subjects to contour.

    Trains every start on every subset, as in Ankenbrand et al. 2021. --epochs are those of the full set;
    smaller sets get more, so that all runs see as many images. A stopped study goes on when the same command
    is given again.
    """
    from cmrseg.report.transfer import study_and_report
    from cmrseg.studies.transfer import plan_study
    from cmrseg.studies.transfer_plan import TransferSetup
    from cmrseg.training.config import RunOptions

    setup = TransferSetup(
        base=ready(base),
        starts=_names(starts) or None,
        imagenet=imagenet,
        sizes=_numbers(subjects),
        kinds=_names(kinds),
        subsets=table,
        seeds=tuple(range(seeds)),
        options=RunOptions(
            epochs=epochs, lr=lr, batch_size=batch_size, labels=labels, augmentation=augmentation
        ),
        reader=reader,
    )
    with training_listener() as listener:
        given = {"setup": setup, "listener": listener}
        if plan:
            found = plan_study(data, out, **given)
        else:
            found = study_and_report(data, out, within=within, jobs=jobs, scheduler=scheduler, **given)
    if plan:
        _show_plan(found, out)
    else:
        _show_answer(found, out)


def _show_plan(plan: StudyPlan, out: Path) -> None:
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


def _show_answer(report: StudyReport, out: Path) -> None:
    """What a study found."""
    from cmrseg.report.transfer import dice_table

    shown = dice_table(report.table)
    show_table("Dice of the test subjects", list(shown), shown.values.tolist())
    note(report.answer.text)
    note(f"report: {out / 'report.html'}")
    if report.study.problems:
        warn_of_problems(len(report.study.problems), out / "problems.tsv")
        raise typer.Exit(1)


def _names(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[int, ...] | None:
    """Whole numbers between commas, None for nothing."""
    try:
        return tuple(int(name) for name in _names(text)) or None
    except ValueError:
        raise ValueError(f"--subjects takes whole numbers such as 7,3,1, got '{text}'") from None
