"""Bad data: one clear sentence for a person, one row for the log."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

PROBLEM_COLUMNS = ("study", "problem", "resolution", "image", "extra_info")


class DataError(ValueError):
    """Data that cannot be used; the message says what, where and what to do."""


@dataclass(frozen=True)
class Problem:
    """One thing that was wrong with one study, and what was done about it."""

    study: str
    problem: str
    resolution: str
    image: str = ""
    extra_info: str = ""


def left_out(study: str, image: Path, error: DataError) -> Problem:
    """The problem of an image that cannot be used."""
    return Problem(study, "unreadable", "left out", image.name, str(error))


def problem_table(problems: list[Problem]) -> pd.DataFrame:
    """Problems as a table with the columns of ``problems.tsv``."""
    return pd.DataFrame([asdict(p) for p in problems], columns=list(PROBLEM_COLUMNS))


def read_problems(path: Path) -> list[Problem]:
    """The problems of a table that `problem_table` gave."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return [Problem(**row) for row in table.to_dict("records")]


def existing_folder(path: Path, what: str) -> Path:
    """The folder itself, if it is there and holds something.

    Raises
    ------
    DataError
        If it is missing, is a file or is empty.
    """
    if not path.exists():
        raise DataError(f"{what} folder {path} does not exist; check the path")
    if not path.is_dir():
        raise DataError(f"{what} {path} is a file; a folder is needed")
    if not any(path.iterdir()):
        raise DataError(f"{what} folder {path} is empty; nothing to read")
    return path
