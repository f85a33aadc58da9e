"""What a person has decided of an examination: ``review.json`` beside its mask.

The mask itself says what was drawn. That ED and ES are other phases than the volumes tell, and which phases
somebody has looked at, it cannot say. The phases count only as long as the mask is the one that was reviewed.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from cmrseg.io.atomic import write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.io.settings import read_json, record

RECORD = "review.json"


@dataclass(frozen=True)
class Review:
    """What was decided.

    Attributes
    ----------
    sha256
        Of the mask, and before that of the reviewed one that it replaced.
    ed, es
        Frames that a person has marked as end-diastole and end-systole; None where nobody has.
    frames
        Frames whose mask is a person's: those that were corrected, and those that ED and ES were measured on.
    slices
        Number of slices of the mask.
    structures
        Names of the structures that were looked for.
    """

    sha256: tuple[str, ...] = ()
    ed: int | None = None
    es: int | None = None
    frames: tuple[int, ...] = ()
    slices: int = 0
    structures: tuple[str, ...] = ()

    def ends(self, measured: tuple[int, int], frames: int) -> tuple[int, int]:
        """ED and ES: as marked, and as measured where nobody has marked them.

        Parameters
        ----------
        measured
            ED and ES by the volumes.
        frames
            Number of frames; marks of a longer cine do not count.
        """
        marks = (mark if mark is not None and 0 <= mark < frames else None for mark in (self.ed, self.es))
        ed, es = (measured[i] if mark is None else mark for i, mark in enumerate(marks))
        return ed, es

    @property
    def is_marked(self) -> bool:
        """Whether a person has chosen ED or ES."""
        return self.ed is not None or self.es is not None

    @property
    def images(self) -> dict[tuple[int, int], tuple[str, ...]]:
        """Frame and slice of every image that is a person's, with the structures that were looked for."""
        return {(frame, place): self.structures for frame in self.frames for place in range(self.slices)}


def read_review(folder: Path) -> Review | None:
    """What was decided of the examination in a folder; None where there is no readable record."""
    try:
        return record(Review, read_json(folder / RECORD, ""))
    except ValueError:
        return None


def write_review(review: Review, folder: Path) -> Path:
    """Write what was decided; before the mask takes its name: a killed process leaves both in step."""
    return write_text(json.dumps(asdict(review)) + "\n", folder / RECORD)


def reviewed_images(mask: Path | None) -> dict[tuple[int, int], tuple[str, ...]] | None:
    """Images of a mask that are a person's; None where it is not the mask of a review."""
    review = read_review(mask.parent) if mask else None
    known: Collection[str] = review.sha256 if review else ()
    return review.images if mask and review and sha256_of([mask]) in known else None
