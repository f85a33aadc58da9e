"""What every teacher is: a function from a study to its mask, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cmrseg.cine import Cine
from cmrseg.data.catalog import VolumeRef

Study = tuple[VolumeRef, ...]  # volumes that share their files


@dataclass(frozen=True)
class Teacher:
    """Source of pseudo-labels.

    Attributes
    ----------
    kind
        ``model``, ``precomputed`` or ``monai``.
    name
        As the user named it.
    sha256
        Of the weights, or of the masks.
    labels
        Label scheme of what the teacher gives, before it is translated to `Label` ids.
    structures
        Names of the structures that it knows.
    segment
        From a study and its intensities ``(x, y, z, t)`` to a mask on the same grid, in `Label` ids; raises
        `DataError` where it has none for this study.
    files
        Masks that it reads, so that none is overwritten.
    source
        SHA-256 of what the mask of a study is made from, where every study has its own; else empty.
    notes
        What a user should know, one sentence each.
    """

    kind: str
    name: str
    sha256: str
    labels: str
    structures: tuple[str, ...]
    segment: Callable[[Study, Cine], Cine]
    files: tuple[Path, ...] = ()
    source: Callable[[Study], str] = lambda study: ""
    notes: tuple[str, ...] = ()
