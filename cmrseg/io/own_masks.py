"""Which masks cmrseg wrote: ``masks.json`` in their folder, so that nobody's work is overwritten or deleted.

The checksum of a mask is noted before the mask takes its name: a process that is killed in between leaves
the mask from before, whose checksum is still noted. It lies in the folder of the mask, so that folders may be
renamed and copied.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cmrseg.cine import Cine
from cmrseg.io.atomic import atomic_path, write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.io.images import save_mask, stem
from cmrseg.io.settings import read_json, record

RECORD = "masks.json"
_KEPT = 2  # checksums of a mask: its own, and that of the one it replaces

Origin = Literal["none", "ours", "changed", "unknown"]


@dataclass(frozen=True)
class OwnMask:
    """A mask that was written.

    Attributes
    ----------
    sha256
        Of the file, and before that of the one that it replaced.
    source
        What it was made from, where that differs from mask to mask or run to run.
    """

    sha256: tuple[str, ...]
    source: str = ""


def save_own_mask(mask: Cine, path: Path, *, source: str = "") -> Path:
    """Write a mask as `cmrseg.io.images.save_mask` does, and note that it is ours."""
    with atomic_path(path) as temporary:
        save_mask(mask, temporary)
        found = sha256_of([temporary])
        own = read_own_masks(path.parent)
        before = own[path.name].sha256 if path.name in own else ()
        checksums = (found, *(c for c in before if c != found))[:_KEPT]
        _write({**own, path.name: OwnMask(checksums, source)}, path.parent)
    return path


def copy_own(path: Path, to: Path) -> Path:
    """Copy a mask beside itself; the copy of one of ours is ours, too."""
    own = read_own_masks(path.parent)
    if origin(path) == "ours":
        _write({**own, to.name: OwnMask((sha256_of([path]),), own[path.name].source)}, path.parent)
    with atomic_path(to) as temporary:
        shutil.copyfile(path, temporary)
    return to


def read_own_masks(folder: Path) -> dict[str, OwnMask]:
    """Names of the masks of a folder that cmrseg wrote; none where there is no readable record."""
    try:
        told = read_json(folder / RECORD, "")
        return {name: record(OwnMask, row) for name, row in told.items() if name == Path(name).name}
    except ValueError:
        return {}


def own_masks_below(out: Path) -> list[Path]:
    """All masks that cmrseg wrote into the folders of a folder, also those that are gone or were changed."""
    return [
        path.parent / name for path in sorted(out.glob(f"*/{RECORD}")) for name in read_own_masks(path.parent)
    ]


def origin(path: Path) -> Origin:
    """Whose a mask is: ``changed`` is one of ours that somebody has edited since."""
    if not path.exists():
        return "none"
    own = read_own_masks(path.parent).get(path.name)
    if own is None:
        return "unknown"
    return "ours" if sha256_of([path]) in own.sha256 else "changed"


def source_of(path: Path) -> str:
    """What a mask of ours was made from."""
    own = read_own_masks(path.parent).get(path.name)
    return own.source if own else ""


def delete_own(paths: Iterable[Path]) -> None:
    """Delete masks of ours; those that somebody has changed stay."""
    for path in paths:
        if origin(path) not in ("changed", "unknown"):
            path.unlink(missing_ok=True)
            own = read_own_masks(path.parent)
            if own.pop(path.name, None):
                _write(own, path.parent)


def put_aside(path: Path) -> Path | None:
    """Give a file of unknown origin another name, so that it is not overwritten; None where there is none."""
    if not path.exists():
        return None
    name, number = stem(path), 1
    while (aside := path.with_name(f"{name}_before_{number}{path.name[len(name) :]}")).exists():
        number += 1
    return path.rename(aside)


def _write(own: dict[str, OwnMask], folder: Path) -> None:
    """Write the record of a folder, or remove an empty one."""
    if own:
        text = json.dumps({name: asdict(mask) for name, mask in own.items()}, indent=1)
        write_text(text + "\n", folder / RECORD)
    else:
        (folder / RECORD).unlink(missing_ok=True)
