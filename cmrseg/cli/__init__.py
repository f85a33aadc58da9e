"""The `cmrseg` command; every module here is one command that makes one library call."""

from __future__ import annotations

import errno
import os
import warnings
from typing import Annotated

import typer

from cmrseg.cli import (
    compare,
    confidence,
    curate,
    data,
    demo,
    evaluate,
    finetune,
    label,
    predict,
    review,
    study,
    train,
    zoo,
)
from cmrseg.cli.console import complain, epilogue, err, show_version
from cmrseg.cli.interrupt import CODE, Interrupts, leave

app = typer.Typer(
    help="Transfer learning and a pretrained model zoo for short-axis cardiac cine MRI. Research use only.",
    epilog=epilogue,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _about(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=show_version, is_eager=True),
    ] = False,
) -> None:
    """Transfer learning and a pretrained model zoo for short-axis cardiac cine MRI. Research use only."""


app.command("demo")(demo.demo)
app.command("curate")(curate.curate)
app.command("label")(label.label)
app.command("confidence")(confidence.confidence)
app.command("train")(train.train)
app.command("finetune")(finetune.finetune)
app.command("predict")(predict.predict)
app.command("review")(review.review)
app.command("compare")(compare.compare)
app.add_typer(study.app, name="study")
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(zoo.app, name="zoo")


_NOT_WRITABLE = (
    errno.ENOENT,
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
)


def main() -> None:
    """Run the command; what a user can mend is one sentence, ``CMRSEG_DEBUG=1`` shows the traceback."""
    # Their warnings quote what headers say of patients; threads can undo the silence of a single call.
    warnings.filterwarnings("ignore", module="pydicom|highdicom")
    with Interrupts(_say_stopped) as interrupts:
        try:
            app()
        except BaseException as error:
            # Typer turns Ctrl-C into exit code 130; what it interrupted may have failed in another way.
            if interrupts.heard or isinstance(error, KeyboardInterrupt) or _code(error) == CODE:
                interrupts.stopped()
            if not isinstance(error, ValueError | OSError) or os.environ.get("CMRSEG_DEBUG"):
                raise
            complain(_sentence(error))
            leave(2)


def _say_stopped() -> None:
    """What a user should know who pressed Ctrl-C."""
    err.show_cursor()  # the progress bar hides it
    complain("stopped; the same command goes on (label, train, finetune, predict of images: with --resume)")


def _code(error: BaseException) -> object:
    """Exit code of who leaves by one."""
    return error.code if isinstance(error, SystemExit) else None


def _sentence(error: Exception) -> str:
    """What happened, where, and what to do."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        what = error.filename or "the results"
        return f"no space left on the disk while writing {what}; free some and run the command again"
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        where = error.filename or "the output folder"
        return f"{where} cannot be opened or written; check the path and its permissions"
    return str(error)
