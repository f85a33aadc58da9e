"""``cmrseg evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, show_table, warn_of_problems

app = typer.Typer(help="Compare predictions with the truth.", no_args_is_help=True)
_SHOWN = ("dice", "dice_image", "hd95", "assd", "volume_error", "ef_error", "ef_abs_error", "mass_error")


@app.callback()
def evaluate() -> None:
    """Compare predictions with the truth."""


@app.command()
def masks(
    predicted: Annotated[
        Path, typer.Argument(help="Folder that `cmrseg predict` wrote, or another reader's masks.")
    ],
    truth: Annotated[Path, typer.Argument(help="Data set with masks.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.csv, summary.csv, figures and report.html.")],
    labels: Annotated[
        str | None, typer.Option(help="Label scheme of the truth, where the layout does not tell.")
    ] = None,
    predicted_labels: Annotated[
        str | None, typer.Option(help="Label scheme of the predictions, where they are not cmrseg's.")
    ] = None,
    split: Annotated[str, typer.Option(help="Only these splits, such as val,test.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Dice, Hausdorff distance, volumes, EF and mass of masks against masks."""
    from cmrseg.report.evaluation import evaluate_to

    splits = tuple(s for s in split.split(",") if s)
    result = evaluate_to(
        predicted, truth, out, labels=labels, predicted_labels=predicted_labels, splits=splits, jobs=jobs
    )
    for sentence in result.notes:
        note(sentence)
    overall = result.summary[(result.summary["group"] == "all") & result.summary["metric"].isin(_SHOWN)]
    columns = ["structure", "metric", "mean", "sd", "median", "n", "unit"]
    show_table("all volumes", columns, overall[columns].values.tolist())
    note(f"report: {out / 'report.html'}")
    if result.problems:
        warn_of_problems(len(result.problems), out / "problems.tsv")
        raise typer.Exit(1)
