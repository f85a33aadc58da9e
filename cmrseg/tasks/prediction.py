"""A whole data set, study by study, before anything that answers, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, VolumeRef, load_whole_image
from cmrseg.io.atomic import write_table
from cmrseg.io.in_use import works_in
from cmrseg.parallel import Progress, Threads
from cmrseg.problems import DataError, Problem, left_out, problem_table

Study = tuple[VolumeRef, ...]  # volumes that share their files
Read = Callable[[], tuple[Cine, list[int]]]  # the images of a study, and the number of every frame
Answer = Callable[[Study, Cine], Any]  # from a study and its intensities to what the task says of it


@dataclass(frozen=True)
class Kept:
    """What a run has found.

    Attributes
    ----------
    tables
        By file name.
    shown
        The table that a person is shown, a row per study, and its title.
    what
        What was written, for people.
    notes
        What a user should know of it.
    """

    tables: Mapping[str, pd.DataFrame]
    shown: tuple[str, pd.DataFrame]
    what: str = "tables"
    notes: Sequence[str] = ()


class Keeper(Protocol):
    """Who writes answers down."""

    def keep(self, study: Study, read: Read, answer: Answer) -> None:
        """Take the next study: ask only what has to be asked, write what is written study by study."""

    def finish(self) -> Kept:
        """All that was found."""


@dataclass(frozen=True)
class PredictionRun:
    """What a prediction run wrote.

    Attributes
    ----------
    kept
        Its tables, and what is shown of them.
    problems
        Studies that failed, with the reason.
    notes
        What a user should know about the input.
    """

    kept: Kept
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def volumes(self) -> pd.DataFrame:
        """Volumes of every frame, where masks were made."""
        return self.kept.tables["volumes.csv"]

    @property
    def summary(self) -> pd.DataFrame:
        """A row per study, where masks were made."""
        return self.kept.tables["summary.csv"]


@works_in("out", "predict")
def ask_about_all(
    catalog: Catalog,
    out: Path,
    keeper: Keeper,
    answer: Answer,
    *,
    problems_file: str = "problems.tsv",
    progress: Progress | None = None,
) -> PredictionRun:
    """Ask anything that answers about every study of a data set, and keep what it says.

    Parameters
    ----------
    catalog
        Images.
    out
        Gets the tables.
    keeper
        Who writes the answers down.
    answer
        From a study and its intensities to an answer.
    problems_file
        Name of the table of what failed; only written when something did.
    progress
        Told after every study.

    Returns
    -------
    Tables and problems; where ``answer`` raises a `DataError`, that study is a problem, the others go on.
    """
    problems, studies = list(catalog.problems), catalog.studies()
    for number, (study, read) in enumerate(_read_ahead(studies), start=1):
        try:
            keeper.keep(study, read, answer)
        except DataError as error:
            problems.append(left_out(study[0].subject, study[0].image, error))
        if progress:
            progress(number, len(studies))
    kept = keeper.finish()
    run = PredictionRun(kept, problems, [*catalog.notes, *kept.notes])
    _write(run, out, problems_file)
    return run


def _read_ahead(studies: list[Study]) -> Iterator[tuple[Study, Read]]:
    """Studies with their images and frames; the next one is read while the caller works on this one."""
    with Threads(1, "the images of a study") as pool:
        reads = (pool.submit(load_whole_image, *study) for study in studies)
        ahead = list(islice(reads, 1))
        for study in studies:
            read = ahead.pop()
            ahead += islice(reads, 1)
            yield study, partial(pool.result, read)


def _write(run: PredictionRun, out: Path, problems_file: str) -> None:
    """Write the tables of a run."""
    for name, table in run.kept.tables.items():
        write_table(table, out / name)
    if run.problems:
        write_table(problem_table(run.problems), out / problems_file)
    else:
        (out / problems_file).unlink(missing_ok=True)  # of an earlier run
