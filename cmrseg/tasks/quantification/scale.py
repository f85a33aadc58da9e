"""Between indices in mm and mm2 and the numbers from 0 to about 1 that a network gives.

Notes
-----
"We scale all regression targets to a range of 0-1" (Gessert and Schlaefer). The ranges here are fixed, one
for a group: what a model answers means the same whatever subjects it was trained on, the groups weigh alike
in the mean squared error, and what is larger than the range is no harder to tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmrseg.metrics.index_errors import GROUPS, PHASE

RANGES = {
    "areas": 5000.0,
    "dimensions": 90.0,
    "thicknesses": 25.0,
}  # mm2, mm, mm
PHASE_WEIGHT = 0.05  # of the cross entropy of the phase beside the squared error of the indices
MASK_WEIGHT = 0.1  # of that of the mask
COLUMNS = {  # of the history, by group
    "areas": "mae_areas_mm2",
    "dimensions": "mae_dimensions_mm",
    "thicknesses": "mae_thicknesses_mm",
    PHASE: "phase_error_percent",
}
_POWERS = {"areas": 2, "dimensions": 1, "thicknesses": 1}
_GROUP = {name: group for group, names in GROUPS.items() for name in names}


def ranges(labels: Sequence[str]) -> np.ndarray:
    """What 1 means in mm or mm2 (1 of the phase), ``float32`` ``(k,)``."""
    return np.array([1.0 if name == PHASE else RANGES[_GROUP[name]] for name in labels], np.float32)


def powers(labels: Sequence[str]) -> np.ndarray:
    """How every number grows with the length: 2 areas, 1 lengths, 0 the phase, ``float32`` ``(k,)``."""
    return np.array([0 if name == PHASE else _POWERS[_GROUP[name]] for name in labels], np.float32)
