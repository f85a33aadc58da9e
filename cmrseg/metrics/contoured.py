"""Which structures a reader contoured: one that no slice of a heart shows was not looked for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool

from cmrseg.labels import Label

FEWEST_SLICES = 3  # of a volume, from which on it tells itself what was contoured


def contoured_structures(
    shown: Bool[np.ndarray, "z labels"], otherwise: Iterable[Label] = ()
) -> tuple[Label, ...]:
    """Structures that were contoured in one volume.

    Every heart has an LV, a myocardium and an RV, so one that is absent from all slices of a stack was left
    out by the reader, as the epicardium often is at end-systole. Where the myocardium is contoured the cavity
    was looked for, too: it may be empty at end-systole.

    Parameters
    ----------
    shown
        Which `Label` every slice of the volume holds.
    otherwise
        What counts for fewer than `FEWEST_SLICES` slices with a contour: each may miss a structure.

    Returns
    -------
    Structures in the order of their ids.
    """
    shown = shown[:, 1:]
    if shown.any(axis=1).sum() < FEWEST_SLICES:
        return tuple(otherwise)
    present = {Label(int(number)) for number in 1 + np.flatnonzero(shown.any(axis=0))}
    return tuple(sorted(present | ({Label.LV} if Label.MYO in present else set())))
