"""Writes that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Temporary path beside ``path`` that takes its name when the block ends without an error.

    The temporary name keeps the suffixes, because writers choose the format by them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.part.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process was writing in the folders of a folder."""
    for path in folder.glob("*/.*.part.*"):
        process = path.name[1:].split(".")[0]
        if process.isdigit() and not _is_running(int(process)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's, or the system cannot tell
        return True
    return True


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as UTF-8 text: commas, or tabs where the name ends in ``.tsv``."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return path


def write_text(text: str, path: Path) -> Path:
    """Write a text file, UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
