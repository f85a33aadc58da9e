"""Base, middle and apex of a stack: where most of the error of an EF sits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

BASE, MIDDLE, APEX, OUTSIDE = "base", "middle", "apex", "non-cardiac"
REGIONS = (BASE, MIDDLE, APEX)
END_SHARE = 0.2  # of the slices that show a heart, at either end


def slice_positions(areas: Int[np.ndarray, " z"]) -> Float[np.ndarray, " z"]:
    """Where the centre of every slice lies in the heart.

    Which end is the base is found: the heart is larger there.

    Parameters
    ----------
    areas
        Pixels of all structures in every slice of one frame, in the order of the stack.

    Returns
    -------
    0 at the upper face of the basal slice to 1 at the lower face of the apical one, counted over the slices
    that show a heart; nan for the others.
    """
    positions = np.full(len(areas), np.nan)
    shown = np.flatnonzero(areas)
    centres = (np.arange(len(shown)) + 0.5) / max(len(shown), 1)
    base_is_last = (areas[shown] * (centres - 0.5)).sum() > 0
    positions[shown] = centres[::-1] if base_is_last else centres
    return positions


def slice_regions(areas: Int[np.ndarray, " z"]) -> list[str]:
    """Region of every slice of one frame: 20 % of the heart are base, 60 % middle, 20 % apex.

    A slice belongs to the region that its centre lies in: of 3 to 7 slices one is base and one apex, of 8 to
    12 two and two; one or two are middle. Rounding the shares to whole slices would give other numbers.

    Parameters
    ----------
    areas
        As for `slice_positions`; of the truth.

    References
    ----------
    Mariscal-Harana et al., "Improved AI-based segmentation of apical and basal slices from clinical cine
    CMR" (2023), section 3.
    """
    return [
        OUTSIDE if np.isnan(at) else BASE if at < END_SHARE else APEX if at > 1 - END_SHARE else MIDDLE
        for at in slice_positions(areas)
    ]
