"""Which predicted masks belong to the true volumes of a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cmrseg.data.catalog import VolumeRef, prediction_path, read_catalog
from cmrseg.labels import get_scheme
from cmrseg.problems import DataError, Problem

NOT_EVALUATED = "not evaluated"

Pair = tuple[VolumeRef, VolumeRef]


def find_predictions(
    refs: list[VolumeRef], predicted: Path, root: Path | None, scheme: str | None
) -> tuple[list[Pair], list[Problem]]:
    """Every true volume with the predicted one that belongs to it.

    Parameters
    ----------
    refs
        True volumes with masks.
    predicted
        Folder that `cmrseg predict` wrote, a copy of the tree of true masks, or a data set of any
        known layout with the same subjects and frames (a second reader).
    root
        Folder of the true data set, None if it is not known; tells where a copied tree begins.
    scheme
        Label scheme of the predicted masks; by default that of cmrseg for what it wrote, that of the
        truth for a copied tree, and what the layout tells for a data set.

    Returns
    -------
    Pairs of the true volume and a volume whose ``masks`` are the predicted ones, and one problem per
    true volume without a prediction.

    Raises
    ------
    DataError
        If no prediction belongs to any of the volumes.
    ValueError
        If there is no such label scheme.
    """
    if scheme is not None:
        get_scheme(scheme)
    found = [_written_for(ref, predicted, root, scheme) for ref in refs]
    if not all(found):
        reader = _second_reader(predicted, scheme)
        found = [
            other or _beside(ref, reader.get((ref.subject, ref.frame)))
            for ref, other in zip(refs, found, strict=True)
        ]
    pairs = [(ref, other) for ref, other in zip(refs, found, strict=True) if other]
    if not pairs:
        expected = prediction_path(predicted, refs[0].subject, refs[0].image)
        raise DataError(f"{predicted} holds no prediction for any subject; expected files such as {expected}")
    return pairs, [_missing(ref, predicted) for ref, other in zip(refs, found, strict=True) if not other]


def _written_for(ref: VolumeRef, predicted: Path, root: Path | None, scheme: str | None) -> VolumeRef | None:
    """Prediction as cmrseg names it, or as the true masks are named, with or without their folders."""
    written = _written_paths(ref, predicted)
    if all(path.is_file() for path in written):
        return replace(ref, masks=written, labels=scheme or "cmrseg")
    folders = [f for f in reversed(ref.masks[0].parents) if root is not None and f.is_relative_to(root)]
    for base in folders or [ref.masks[0].parent]:
        copied = tuple(predicted / mask.relative_to(base) for mask in ref.masks if mask.is_relative_to(base))
        if len(copied) == len(ref.masks) and all(path.is_file() for path in copied):
            return replace(ref, masks=copied, labels=scheme or ref.labels)
    return None


def _written_paths(ref: VolumeRef, predicted: Path) -> tuple[Path, ...]:
    """Where `cmrseg predict` puts the masks of a volume."""
    alone = len(set(ref.images)) == 1
    return tuple(prediction_path(predicted, ref.subject, image, alone=alone) for image in ref.images)


def _second_reader(predicted: Path, scheme: str | None) -> dict[tuple[str, int], VolumeRef]:
    """Volumes of another data set with masks, none if its layout is unknown."""
    try:
        volumes = read_catalog(predicted, labels=scheme).with_masks().volumes()
    except DataError:
        return {}
    return {(v.subject, v.frame): v for v in volumes}


def _beside(ref: VolumeRef, other: VolumeRef | None) -> VolumeRef | None:
    """The volume of another reader on the images of the truth, where both have as many files."""
    if other is None or len(other.masks) != len(ref.images) or not other.has_masks:
        return other
    return replace(other, images=ref.images)


def _missing(ref: VolumeRef, predicted: Path) -> Problem:
    """The row of a volume without prediction."""
    absent = [path for path in _written_paths(ref, predicted) if not path.is_file()]
    info = f"{absent[0]} does not exist" if absent else ""
    if len(set(absent)) > 1:
        info += f", nor do {len(set(absent)) - 1} more"
    return Problem(ref.subject, "prediction missing", NOT_EVALUATED, ref.image.name, info)
