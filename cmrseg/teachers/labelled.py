"""Which masks `cmrseg label` wrote, so that no other one is deleted or taken for a teacher's: labelled.tsv.

A mask has a row without a checksum before it is written and one with it afterwards. So a run that is killed
in between leaves no mask that nobody wrote: it is made again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cmrseg.io.atomic import write_text
from cmrseg.io.checksum import sha256_of

LABELLED = "labelled.tsv"
_HEADER = "mask\tsha256\tsource_sha256\n"
_ROW = re.compile(r"([^\t]+)\t([0-9a-f]{64}|)\t([0-9a-f]{64}|)")


@dataclass(frozen=True)
class LabelledMask:
    """A mask that was written.

    Attributes
    ----------
    sha256
        Of the file; empty while it is being written.
    source
        SHA-256 of what it was made from, where that differs from study to study.
    """

    sha256: str
    source: str = ""


def read_labelled(out: Path) -> dict[Path, LabelledMask]:
    """Masks that earlier runs wrote; a last row that a killed run left half is none."""
    path = out / LABELLED
    if not path.exists():
        return {}
    masks = {}
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[1:]:
        row = _ROW.fullmatch(line)
        if row and _lies_inside(row[1]):
            masks[out / row[1]] = LabelledMask(row[2], row[3])
    return masks


def write_labelled(masks: Mapping[Path, LabelledMask], out: Path) -> None:
    """Write the whole table."""
    write_text(_HEADER + "".join(_line(path, mask, out) for path, mask in masks.items()), out / LABELLED)


def append_labelled(path: Path, mask: LabelledMask, out: Path) -> None:
    """Add a row to the table, which must be there; the last row of a mask counts."""
    with (out / LABELLED).open("a", encoding="utf-8", newline="\n") as file:
        file.write(_line(path, mask, out))


def is_as_written(path: Path, masks: Mapping[Path, LabelledMask]) -> bool:
    """Whether a mask is one of those and nobody has changed it since."""
    mask = masks.get(path)
    return mask is not None and (not mask.sha256 or mask.sha256 == sha256_of([path]))


def _line(path: Path, mask: LabelledMask, out: Path) -> str:
    """A row of the table."""
    return f"{path.relative_to(out).as_posix()}\t{mask.sha256}\t{mask.source}\n"


def _lies_inside(name: str) -> bool:
    """Whether a relative path leads nowhere else."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
