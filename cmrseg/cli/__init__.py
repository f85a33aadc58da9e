"""The `cmrseg` command; every module here is one command that makes one library call."""

from __future__ import annotations

import errno
import gc
import os
import sys

import typer

from cmrseg.cli import confidence, curate, demo, evaluate, finetune, label, predict, study, train, zoo
from cmrseg.cli.console import complain, epilogue

app = typer.Typer(
    help="Transfer learning and a pretrained model zoo for short-axis cardiac cine MRI. Research use only.",
    epilog=epilogue,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("curate")(curate.curate)
app.command("label")(label.label)
app.command("confidence")(confidence.confidence)
app.command("train")(train.train)
app.command("finetune")(finetune.finetune)
app.command("predict")(predict.predict)
app.add_typer(study.app, name="study")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(zoo.app, name="zoo")


_RARELY = (100_000, 50, 50)
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
    gc.set_threshold(*_RARELY)  # looking for cycles would cost a second of a ten-second command
    try:
        app()
    except (KeyboardInterrupt, SystemExit) as stop:  # typer turns Ctrl-C into exit code 130
        if isinstance(stop, SystemExit) and stop.code != 130:
            raise
        complain(
            "stopped; the same command goes on (label, train, finetune, predict of images: with --resume)"
        )
        sys.exit(130)
    except (ValueError, OSError) as error:
        if os.environ.get("CMRSEG_DEBUG"):
            raise
        complain(_sentence(error))
        sys.exit(2)
    finally:
        gc.freeze()  # what is left need not be searched for cycles on the way out


def _sentence(error: Exception) -> str:
    """What happened, where, and what to do."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        what = error.filename or "the results"
        return f"no space left on the disk while writing {what}; free some and run the command again"
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        where = error.filename or "the output folder"
        return f"{where} cannot be opened or written; check the path and its permissions"
    return str(error)
