"""``cmrseg evaluate``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from cmrseg.cli.console import names_of, note, progress_bar, show_table, warn_of_problems
from cmrseg.cli.evaluate_contours import contours
from cmrseg.cli.evaluate_indices import indices
from cmrseg.cli.evaluate_regions import named_methods, regions
from cmrseg.cli.out_folder import out_folder
from cmrseg.cli.zoo.get import ready
from cmrseg.labels import STRUCTURES, structures_of
from cmrseg.metrics.registry import SCREEN, shown_in

ABSOLUTE = ("volume_abs_error", "mass_abs_error")  # of comparisons: the size of signed errors

app = typer.Typer(help="Compare predictions with the truth.", no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Compare predictions with the truth."""


app.command()(contours)
app.command()(indices)
app.command()(regions)


@app.command()
def masks(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="PREDICTED TRUTH | TRUTH A B...",
            help="Of two folders the predicted masks (of `cmrseg predict`, or another reader's) and then the "
            "data set with true masks. Of three or more the truth comes first, then the methods: each is "
            "compared with A.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for metrics.csv, summary.csv, figures and report.html; in runs/ by default."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Label scheme of the truth, where the layout does not tell; acdc:LV,MYO scores these only."
        ),
    ] = None,
    predicted_labels: Annotated[
        str | None, typer.Option(help="Label scheme of the predictions, where they are not cmrseg's.")
    ] = None,
    split: Annotated[str, typer.Option(help="Only these splits, such as val,test.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    robustness: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Also sweep distortions of the images over this model (zoo name or file); see "
            "`cmrseg evaluate robustness`.",
        ),
    ] = None,
) -> None:
    """Dice, Hausdorff distance, volumes, EF and mass of masks against masks; what another method changes."""
    from cmrseg.workflows import evaluate as workflow

    if len(folders) > 2:
        if robustness is not None:
            raise ValueError("--robustness sweeps one model; name one folder of its masks and the truth")
        told = {"labels": labels, "predicted_labels": predicted_labels, "splits": names_of(split)}
        return _compare(folders[0], folders[1:], out, jobs=jobs, **told)
    if len(folders) < 2:
        raise ValueError("name the predicted masks and the truth, or the truth and two or more methods")
    predicted, truth = folders
    swept = ready(robustness) if robustness is not None else None
    out = out_folder(out, "masks", predicted)
    with progress_bar("segmenting distorted images") as progress:
        result = workflow.masks(
            predicted,
            truth,
            out,
            labels=labels,
            predicted_labels=predicted_labels,
            splits=names_of(split),
            jobs=jobs,
            robustness_of=swept,
            progress=progress,
        )
    for sentence in result.notes:
        note(sentence)
    overall = result.summary[
        (result.summary["group"] == "all") & result.summary["metric"].isin(shown_in(SCREEN))
    ]
    columns = ["structure", "metric", "mean", "sd", "median", "n", "unit"]
    asked = structures_of([labels]) if labels else STRUCTURES
    unknown = [s.name for s in asked if s.name not in set(overall["structure"])]
    nobody = [[name, "dice", math.nan, math.nan, math.nan, 0, "1"] for name in unknown]
    show_table("all volumes", columns, [*overall[columns].values.tolist(), *nobody])
    _close([], result.problems, out)


def _compare(truth: Path, folders: list[Path], out: Path | None, **told: Any) -> None:
    """Compare two or more methods on the same subjects."""
    from cmrseg.evaluation.compared_masks_report import difference_table, verdicts
    from cmrseg.report.boxes import short_names
    from cmrseg.workflows.evaluate import compare_masks

    methods = named_methods(folders)
    out = out_folder(out, "compare", *folders)
    found = compare_masks(truth, methods, out, **told)
    for sentence in found.notes:
        note(sentence)
    names = short_names(list(methods))
    shown = found.differences[found.differences["metric"].isin([*shown_in(SCREEN), *ABSOLUTE])]
    for name, part in shown.groupby("method", sort=False):
        table = difference_table(part, names).drop(columns="better / worse")  # 80 letters are not many
        show_table(f"{name} against {found.baseline}", list(table.columns), table.values.tolist())
    _close(verdicts(found), found.problems, out)


@app.command()
def robustness(
    data: Annotated[Path, typer.Argument(help="Data set with masks.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for robustness.csv, robustness.md (for the card), figures and report.html; in "
            "runs/ by default."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name of the zoo or model file; the default model.")
    ] = None,
    split: Annotated[str, typer.Option(help="Only these splits, such as val,test.")] = "",
    sweeps: Annotated[
        str,
        typer.Option(help="Only these of rotation, zoom, contrast, bias_field, noise, ghosting, resolution."),
    ] = "",
    subjects: Annotated[
        int | None, typer.Option(min=1, help="At most so many, spread over the data.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Label scheme of the truth, where the layout does not tell.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the subjects that are done.")] = False,
) -> None:
    """Dice and EF of a model on turned, zoomed, noisy and otherwise distorted images."""
    from cmrseg.evaluation.robustness import SweepOptions
    from cmrseg.evaluation.robustness_card import robustness_sentences
    from cmrseg.workflows import evaluate as workflow
    from cmrseg.zoo.manifest import DEFAULT_MODEL

    options = SweepOptions(names_of(sweeps), subjects, names_of(split), labels, resume)
    swept = ready(model or DEFAULT_MODEL)
    out = out_folder(out, "robustness", data, resume=resume)
    with progress_bar("segmenting distorted images") as progress:
        result = workflow.robustness(data, out, model=swept, options=options, progress=progress)
    note(f"tables and a block for the model's card: {out / 'robustness.md'}")
    _close(robustness_sentences(result.summary), result.problems, out)


@app.command()
def ef(
    tables: Annotated[
        list[Path],
        typer.Argument(
            metavar="COUNTS... TRUTH",
            help="Per-image pixel counts of one or more methods (file, lv_pixels; .tsv or .csv, also .xz "
            "or .gz) or their volumes (summary.csv of `cmrseg predict`, ukbb_ventricular_volumes.csv), then "
            "the true volumes: Kaggle's train.csv, validate.csv or solution.csv, a summary.csv, or a folder "
            "of these.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for ef.csv, summary.csv, figures and report.html; in runs/ by default."),
    ] = None,
    rotated: Annotated[
        bool, typer.Option("--rotated", help="Only the originals that have a _rot90 version.")
    ] = False,
    dimensions: Annotated[
        Path | None, typer.Option(help="Table of spacings (patient_dimensions.tsv), for volumes in ml.")
    ] = None,
    sort: Annotated[str, typer.Option(help="Order of the methods: mean or median error.")] = "mean",
) -> None:
    """EF from per-image pixel counts, or from volumes, against true volumes."""
    from cmrseg.evaluation.ef_report import table_two
    from cmrseg.report.boxes import short_names
    from cmrseg.workflows import evaluate as workflow

    if len(tables) < 2:
        raise typer.BadParameter("tables of pixel counts or volumes and then the true volumes are needed")
    out = out_folder(out, "ef", tables[0])
    result = workflow.ef(tables[:-1], tables[-1], out, rotated=rotated, dimensions=dimensions, sort=sort)
    table = table_two(result)
    names = short_names(table["method"].tolist())
    rows = table.assign(method=table["method"].map(names)).values.tolist()
    show_table("absolute EF error in points", list(table.columns), rows, digits=2)
    _close(result.notes, result.problems, out)


@app.command()
def confusion(
    tables: Annotated[
        list[Path],
        typer.Argument(
            metavar="TABLE...",
            help="Per-image confusion counts of one or more methods (image, set, bg_bg, bg_lv, ...; the true "
            "name first).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for metrics.csv, subjects.csv, summary.csv, figures and report.html; in runs/ by "
            "default."
        ),
    ] = None,
) -> None:
    """Dice from tables of per-image confusion counts."""
    from cmrseg.evaluation.confusion_report import dice_table
    from cmrseg.workflows import evaluate as workflow

    out = out_folder(out, "confusion", tables[0])
    result = workflow.confusion(tables, out)
    table = dice_table(result).drop(columns="median")
    show_table("Dice per image", list(table.columns), table.values.tolist())
    _close([], result.problems, out)


@app.command()
def readers(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A|TABLE",
            help="Reader A: a data set with masks. Or one table of per-image confusion counts of both "
            "readers (bg_bg, bg_lv, ...; A in the rows).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the tables, figures and report.html; in runs/ by default."),
    ] = None,
    second: Annotated[
        Path | None,
        typer.Argument(metavar="[B]", help="Reader B: another data set, or a folder of masks of A's images."),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="Masks that a model predicted; or its table against reader A, against B, or (twice) each."
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Label scheme of A, where the layout does not tell.")
    ] = None,
    labels_b: Annotated[str | None, typer.Option(help="Label scheme of B, likewise.")] = None,
    labels_model: Annotated[str | None, typer.Option(help="Label scheme of the model, likewise.")] = None,
    split: Annotated[str, typer.Option(help="Only these splits, such as val,test.")] = "",
    spacing: Annotated[
        str,
        typer.Option(help="Pixel size and slice distance in mm, such as 1.25,1.25,6, if the data has none."),
    ] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Agreement of two readers, and of a model with each of them."""
    from cmrseg.evaluation.readers import ReaderOptions
    from cmrseg.evaluation.readers_report import (
        agreement_table,
        dice_table,
        few_warning,
        within_table,
    )
    from cmrseg.workflows import evaluate as workflow

    named = {"A": labels, "B": labels_b, "model": labels_model}
    options = ReaderOptions(
        labels={rater: scheme for rater, scheme in named.items() if scheme},
        splits=names_of(split),
        spacing=_spacing(spacing) if spacing else None,
        jobs=jobs,
    )
    out = out_folder(out, "readers", first)
    result = workflow.readers(first, second, out, models=model or [], options=options)
    table = dice_table(result).drop(columns=["volumes", "images"])
    show_table("Dice, mean ± sd", list(table.columns), table.values.tolist())
    short = {"cov_percent": "CoV %", "relative_percent": "rel. %"}
    table = result.agreement.assign(measurement=agreement_table(result)["measurement"]).rename(columns=short)
    columns = ["pair", "measurement", "bias", "lower", "upper", "icc", *short.values(), "n"]
    if len(table):
        show_table("agreement, second minus first", columns, table[columns].values.tolist(), digits=2)
    within = [
        f"{row.pair}: {row[3]} of {row.images} images differ by no more than 5 ml of LV"
        for row in within_table(result).itertuples()
    ]
    _close([*result.notes, *within, *few_warning(result), *result.verdicts], result.problems, out)


def _spacing(text: str) -> tuple[float, float, float]:
    """Three lengths in mm."""
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        x = y = z = 0.0
    if not (0 < x < float("inf") and 0 < y < float("inf") and 0 < z < float("inf")):
        raise typer.BadParameter(f"--spacing is three lengths in mm, such as 1.3,1.3,6, not '{text}'")
    return x, y, z


def _close(notes: list[str], problems: list, out: Path) -> None:
    """What a user should know, where the report is, and whether something was left out."""
    for sentence in notes:
        note(sentence)
    note(f"report: {out / 'report.html'}")
    if problems:
        warn_of_problems(len(problems), out / "problems.tsv")
        raise typer.Exit(1)
