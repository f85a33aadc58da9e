"""What becomes of the answers of a network to a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.catalog import VolumeRef
from cmrseg.problems import Problem

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
