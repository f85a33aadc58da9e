"""Bad data: one clear sentence for a person, one row for the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

PROBLEM_COLUMNS = ("study", "problem", "resolution", "image", "extra_info")


class DataError(ValueError):
    """Data that cannot be used; the message says what, where and what to do.

    Examples
    --------
    >>> import cmrseg
    >>> try:
    ...     cmrseg.load_model("light2d_hybrid_acdc")
    ... except cmrseg.DataError as error:
    ...     print(str(error)[:43])
    unknown model 'light2d_hybrid_acdc'; did yo
    """


def first_line(error: BaseException, most: int = 120) -> str:
    """What an error of a library says, without its tail; its kind where it says nothing.

    Parameters
    ----------
    error
        Any.
    most
        Letters.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


@contextmanager
def order_of_arguments(order: str, read_the_other_way: Callable[[], object]) -> Iterator[None]:
    """Say of an error in a block that its arguments can be read the other way round, where that is so.

    Parameters
    ----------
    order
        What comes first, and what second.
    read_the_other_way
        Reads both arguments in the place of the other; raises a `DataError` where that cannot be.
    """
    try:
        yield
    except DataError as error:
        try:
            read_the_other_way()
        except DataError:
            raise error from None
        raise DataError(f"the arguments are swapped, {order} ({error})") from None


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


def check_apart(out: Path, data: Path, *, around: bool = False) -> None:
    """Refuse results that would lie among the images of a data set.

    Parameters
    ----------
    out
        Folder of the results.
    data
        Folder of the data set.
    around
        Refuse results around the data, too.

    Raises
    ------
    DataError
        If one lies in the other.
    """
    ours, theirs = out.resolve(), data.resolve()
    if ours.is_relative_to(theirs) or (around and theirs.is_relative_to(ours)):
        raise DataError(
            f"results in {out} would lie among the data in {data}, where they are taken for images; "
            "name a folder beside it with --out"
        )


def existing_folder(path: Path, what: str) -> Path:
    """The folder itself, if it is there and holds something; hidden files, such as our lock, are nothing.

    Raises
    ------
    DataError
        If it is missing, is a file or is empty.
    """
    if not path.exists():
        raise DataError(f"{what} folder {path} does not exist; check the path")
    if not path.is_dir():
        raise DataError(f"{what} {path} is a file; a folder is needed")
    if all(inside.name.startswith(".") for inside in path.iterdir()):
        raise DataError(f"{what} folder {path} is empty; nothing to read")
    return path
