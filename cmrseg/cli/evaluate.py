"""``cmrseg evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, progress_bar, show_table, warn_of_problems
from cmrseg.cli.evaluate_contours import contours
from cmrseg.cli.zoo.get import ready

app = typer.Typer(help="Compare predictions with the truth.", no_args_is_help=True)
_SHOWN = ("dice", "dice_image", "hd95", "assd", "volume_error", "ef_error", "ef_abs_error", "mass_error")


@app.callback()
def evaluate() -> None:
    """Compare predictions with the truth."""


app.command()(contours)


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
    robustness: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Also sweep distortions of the images over this model (zoo name or file); see "
            "`cmrseg evaluate robustness`.",
        ),
    ] = None,
) -> None:
    """Dice, Hausdorff distance, volumes, EF and mass of masks against masks."""
    from cmrseg.report.evaluation import evaluate_to

    splits = _names(split)
    if robustness is None:
        result = evaluate_to(
            predicted, truth, out, labels=labels, predicted_labels=predicted_labels, splits=splits, jobs=jobs
        )
    else:
        from cmrseg.report.robustness import SweepOptions, evaluate_masks_with_robustness_to

        robustness = ready(robustness)
        with progress_bar("segmenting distorted images") as progress:
            result = evaluate_masks_with_robustness_to(
                predicted,
                truth,
                out,
                model=robustness,
                options=SweepOptions(splits=splits, labels=labels),
                predicted_labels=predicted_labels,
                jobs=jobs,
                progress=progress,
            )
    for sentence in result.notes:
        note(sentence)
    overall = result.summary[(result.summary["group"] == "all") & result.summary["metric"].isin(_SHOWN)]
    columns = ["structure", "metric", "mean", "sd", "median", "n", "unit"]
    show_table("all volumes", columns, overall[columns].values.tolist())
    _close([], result.problems, out)


@app.command()
def robustness(
    data: Annotated[Path, typer.Argument(help="Data set with masks.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for robustness.csv, robustness.md (for the card), figures and report.html."
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="Name of the zoo or model file; the embedded model by default.")
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
    from cmrseg.report.robustness import (
        DEFAULT_MODEL,
        SweepOptions,
        evaluate_robustness_to,
        robustness_sentences,
    )

    options = SweepOptions(_names(sweeps), subjects, _names(split), labels, resume)
    model = ready(model or DEFAULT_MODEL)
    with progress_bar("segmenting distorted images") as progress:
        result = evaluate_robustness_to(data, out, model=model, options=options, progress=progress)
    note(f"tables and a block for the model's card: {out / 'robustness.md'}")
    _close(robustness_sentences(result.summary), result.problems, out)


@app.command()
def ef(
    tables: Annotated[
        list[Path],
        typer.Argument(
            metavar="COUNTS... TRUTH",
            help="Per-image pixel counts of one or more methods (file, lv_pixels; .tsv or .csv, also .xz "
            "or .gz), then the true volumes: Kaggle's train.csv, validate.csv or solution.csv, a "
            "summary.csv, or a folder of these.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for ef.csv, summary.csv, figures and report.html.")],
    rotated: Annotated[
        bool, typer.Option("--rotated", help="Only the originals that have a _rot90 version.")
    ] = False,
    dimensions: Annotated[
        Path | None, typer.Option(help="Table of spacings (patient_dimensions.tsv), for volumes in ml.")
    ] = None,
    sort: Annotated[str, typer.Option(help="Order of the methods: mean or median error.")] = "mean",
) -> None:
    """EF from per-image pixel counts against true volumes."""
    from cmrseg.report.boxes import short_names
    from cmrseg.report.ef import evaluate_ef_to, table_two

    if len(tables) < 2:
        raise typer.BadParameter("tables of pixel counts and then the true volumes are needed")
    result = evaluate_ef_to(tables[:-1], tables[-1], out, rotated=rotated, dimensions=dimensions, sort=sort)
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
        Path, typer.Option(help="Folder for metrics.csv, subjects.csv, summary.csv, figures and report.html.")
    ],
) -> None:
    """Dice from tables of per-image confusion counts."""
    from cmrseg.report.confusion import dice_table, evaluate_confusion_to

    result = evaluate_confusion_to(tables, out)
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
    out: Annotated[Path, typer.Option(help="Folder for the tables, figures and report.html.")],
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
        typer.Option(help="Pixel size and slice distance in mm, such as 1.3,1.3,6, if the data has none."),
    ] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Agreement of two readers, and of a model with each of them."""
    from cmrseg.evaluation.readers import ReaderOptions
    from cmrseg.report.readers import (
        agreement_table,
        dice_table,
        evaluate_readers_to,
        few_warning,
        within_table,
    )

    named = {"A": labels, "B": labels_b, "model": labels_model}
    options = ReaderOptions(
        labels={rater: scheme for rater, scheme in named.items() if scheme},
        splits=_names(split),
        spacing=_spacing(spacing) if spacing else None,
        jobs=jobs,
    )
    result = evaluate_readers_to(first, second, out, models=model or [], options=options)
    table = dice_table(result).drop(columns=["volumes", "images"])
    show_table("Dice, mean ± sd", list(table.columns), table.values.tolist())
    table = result.agreement.assign(measurement=agreement_table(result)["measurement"])
    columns = ["pair", "measurement", "bias", "lower", "upper", "icc", "cov_percent", "n"]
    if len(table):
        show_table("agreement, second minus first", columns, table[columns].values.tolist(), digits=2)
    within = [
        f"{row.pair}: {row[3]} of {row.images} images differ by no more than 5 ml of LV"
        for row in within_table(result).itertuples()
    ]
    _close([*result.notes, *within, *few_warning(result), *result.verdicts], result.problems, out)


def _names(text: str) -> tuple[str, ...]:
    """The names of a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


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
