"""Contours as the mask of a study, and beside it which images they tell something about: ``truth.json``.

A mask alone cannot say that a structure of an image is unknown: its pixels are background. The table counts
only as long as the mask is the one that it was written with; a mask that a person has changed speaks for
itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from cmrseg.cine import Cine
from cmrseg.io.atomic import atomic_path, write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.io.images import save_mask
from cmrseg.io.settings import read_json
from cmrseg.labels import Label

TRUTH = "truth.nii.gz"
RECORD = "truth.json"
_KEPT = 2  # checksums: of the mask, and of the one that it replaces
Images = Mapping[tuple[int, int], Collection[Label]]


def save_truth(mask: Cine, folder: Path, images: Images, *, told: Mapping[str, object]) -> Path:
    """Write a mask, and which structures are known in which of its images.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.
    folder
        Of the study; gets ``truth.nii.gz`` and ``truth.json``.
    images
        Frame and slice of every image that may be used, with the structures that were looked for in it.
    told
        What else a person should know of the contours.

    Returns
    -------
    The mask.
    """
    path = folder / TRUTH
    rows = [[t, z, [label.name for label in sorted(known)]] for (t, z), known in sorted(images.items())]
    with atomic_path(path) as temporary:
        save_mask(mask, temporary)
        found = sha256_of([temporary])
        sums = [found, *(s for s in _record(folder)[0] if s != found)][:_KEPT]
        # Noted first: a process that is killed now leaves the mask from before, which is still known.
        write_text(json.dumps({"sha256": sums, **told, "images": rows}) + "\n", folder / RECORD)
    return path


def is_own_truth(path: Path) -> bool:
    """Whether a mask is one of `save_truth` that nobody has changed since."""
    return path.is_file() and sha256_of([path]) in _record(path.parent)[0]


def known_images(path: Path) -> dict[tuple[int, int], tuple[str, ...]] | None:
    """Which images of a mask may be used.

    Parameters
    ----------
    path
        A mask.

    Returns
    -------
    Frame and slice of the images, with the names of the structures that are known in each; None where the
    mask alone tells it, as it does when it is not of `save_truth`.
    """
    own = path.name == TRUTH and (path.parent / RECORD).is_file() and is_own_truth(path)
    return _record(path.parent)[1] if own else None


def _record(folder: Path) -> tuple[list[str], dict[tuple[int, int], tuple[str, ...]]]:
    """Checksums and images of a record; nothing where there is no readable one."""
    try:
        told = read_json(folder / RECORD, "")
        images = {
            (int(t), int(z)): tuple(Label[name].name for name in names)
            for t, z, names in told["images"]
            if t >= 0 <= z
        }
        return [str(s) for s in told["sha256"]], images
    except (ValueError, KeyError, TypeError, OSError):
        return [], {}
