"""How much attention something wants, and the words and order in which it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Level = Literal["green", "amber", "red"]
# The worst first, each with the words that stand beside its symbol; ``none`` is a study without any check.
LEVELS: Mapping[Level | Literal["none"], str] = MappingProxyType(
    {"red": "Look before use", "amber": "Look at it", "green": "Nothing noticed", "none": "Not checked"}
)


@dataclass(frozen=True)
class Flag:
    """One check that needs no reference.

    Attributes
    ----------
    level
        ``green``: nothing noticed, ``amber``: look at it, ``red``: look before you use any number.
    check
        What was checked, a few words.
    reason
        What was found, one sentence with the numbers that led to the level.
    slice, frame
        Where it shows, counted from 0 in the file; None where it is not of one slice or frame.
    """

    level: Level
    check: str
    reason: str
    slice: int | None = None
    frame: int | None = None

    @property
    def place(self) -> str:
        """Where it shows, in words; empty where it is of no one place."""
        parts = (("slice", self.slice), ("frame", self.frame))
        return ", ".join(f"{name} {number}" for name, number in parts if number is not None)


def worst_first(flags: Sequence[Flag]) -> list[Flag]:
    """Checks by level, otherwise in their order."""
    return sorted(flags, key=lambda flag: list(LEVELS).index(flag.level))
