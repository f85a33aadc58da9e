"""What a user sees: notes, tables, progress with an estimate."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from cmrseg import __version__

if TYPE_CHECKING:
    from cmrseg.training.log import Listener

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # escapes, turned writing
LONG_NAME = 32  # letters; longer names go on in the next line, numbers never do
epilogue = "Every command explains itself: cmrseg COMMAND --help"


def show_version(asked: bool) -> None:
    """Say which version this is, and stop."""
    if asked:
        out.print(f"cmrseg {__version__}", markup=False)
        raise typer.Exit


def complain(sentence: str) -> None:
    """Say what went wrong."""
    err.print("[bold red]error:[/] ", end="")
    err.print(plain(sentence), markup=False)


def note(sentence: str) -> None:
    """Say what a user should know."""
    out.print(f"· {plain(sentence)}", markup=False)


def names_of(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def plain(text: object) -> str:
    """Foreign text without what a terminal would obey: it stands in names of files and in headers."""
    return _CONTROL.sub("?", str(text))


def warn_of_problems(n: int, where: object) -> None:
    """Say that something was left out."""
    err.print("[yellow]warning:[/] ", end="")
    err.print(f"{n} problem(s), listed in {plain(where)}", markup=False)


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, digits: int = 3
) -> None:
    """A table with numbers to the right."""
    table = Table(title=Text(plain(title), style="bold"), title_justify="left")
    for i, name in enumerate(columns):
        numeric = bool(rows) and isinstance(rows[0][i], float | int)
        short = max((len(str(row[i])) for row in rows), default=0) <= LONG_NAME
        justify: Literal["right", "left"] = "right" if numeric else "left"
        whole = numeric or (i == 0 and short)
        head = Text(plain(name))
        table.add_column(head, justify=justify, overflow="fold", no_wrap=whole, min_width=len(name))
    for row in rows:
        table.add_row(*(Text(plain(_cell(value, digits))) for value in row))
    out.print(table)


def _cell(value: object, digits: int) -> str:
    """Floats with some figures after the point, unknown as a dash."""
    if isinstance(value, float):
        return "–" if value != value else f"{value:.{digits}f}"
    return str(value)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar with an estimate; yields a function of done and total."""
    with _progress() as bar:
        task = bar.add_task(plain(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def progress_steps() -> Iterator[Callable[[str, int, int], None]]:
    """A bar that starts again for every step; yields a function of the step, done and total."""
    with _progress() as bar:
        task = bar.add_task("", total=None)
        step = ""

        def tell(what: str, done: int, total: int) -> None:
            nonlocal step
            if what != step:
                bar.reset(task)
                step = what
            bar.update(task, description=plain(what), completed=done, total=total)

        yield tell


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def _scores(row: Mapping[str, Any]) -> str:
    """Scores of an epoch in the order of the history, where they stand between the loss and the costs."""
    names = list(row)
    scores = names[names.index("valid_loss") + 1 : names.index("seconds")]
    said = " ".join(f"{name.removeprefix('dice_')} {_cell(row[name], 3)}" for name in scores)
    return f"Dice {said}" if any(name.startswith("dice_") for name in scores) else said


@contextmanager
def training_listener() -> Iterator[Listener]:
    """Listener of a training run: notes, a bar over all images, a line per epoch.

    On a terminal every epoch replaces the last in the bar; elsewhere (a log file) it is a line.
    """
    from cmrseg.training.log import Listener

    with _progress() as bar:
        task = bar.add_task("reading images", total=None)

        def start(images_per_epoch: int, epochs: int, done: int) -> None:
            bar.reset(task, total=images_per_epoch * epochs, completed=images_per_epoch * done)
            bar.update(task, description="training")

        def epoch(row: dict) -> None:
            loss = f"loss {row['train_loss']:.3f}/{row['valid_loss']:.3f}"
            line = f"epoch {row['epoch']}: {_scores(row)}, {loss}"
            bar.update(task, description=line)
            if bar.disable:
                out.print(f"{line}, {row['seconds']:.0f} s", markup=False)

        yield Listener(
            note=note,
            read=lambda done, total: bar.update(task, completed=done, total=total),
            start=start,
            batch=lambda images: bar.advance(task, images),
            epoch=epoch,
        )
