"""Which slices are base and apex at every frame, how sure that is, and what the doubt does to EDV and EF.

How sure a slice is comes from the classifier of a regional model: the probability that it shows a heart at
all. Without one it is the Dice of the flips of the image for the LV of the slice, taken as a probability; in
a slice where the mask shows no LV, the share of the flips that do.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmrseg.cine import Cine
from cmrseg.labels import Label
from cmrseg.metrics.orientation import base_first
from cmrseg.metrics.regions import OUTSIDE
from cmrseg.metrics.volumes import ejection_fraction, voxel_volume

END_COLUMNS = ("frame", "end", "slice", "sure_percent", "beyond", "beyond_percent")
INTERVAL_COLUMNS = ("quantity", "value", "low", "high", "unit")
OUTER = (0.025, 0.975)  # of the distribution of a quantity
Distribution = tuple[np.ndarray, np.ndarray]  # values and their probabilities
Sure = Float[np.ndarray, "z t"]


def sure_of_slices(
    mask: Cine, *, agreement: pd.DataFrame | None = None, regions: pd.DataFrame | None = None
) -> Sure | None:
    """How sure it is that a slice shows the heart, 0 to 1, ``(z, t)``; None where nothing tells.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.
    agreement
        Of the flips, see `cmrseg.tasks.segmentation.from_network.Segmentation`; used where there are no
        regions.
    regions
        From the classifier of a regional model, see `cmrseg.tasks.segmentation.by_region.REGION_COLUMNS`.
    """
    sure = np.zeros(mask.array.shape[2:])
    if regions is not None and len(regions):
        sure[regions["slice"], regions["frame"]] = 1 - regions[OUTSIDE]
        return sure
    if agreement is None or agreement.empty:
        return None
    lv = agreement[agreement["structure"] == Label.LV.name].dropna(subset="dice")
    sure[lv["slice"], lv["frame"]] = lv["dice"]
    without = ~(mask.array == Label.LV).any(axis=(0, 1)) & (sure > 0)
    sure[without] = 1 - sure[without]  # there the flips that find no LV agree with the mask
    return sure


def end_table(mask: Cine, sure: Sure | None) -> pd.DataFrame:
    """The most basal and the most apical slice with LV at every frame.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.
    sure
        From `sure_of_slices`.

    Returns
    -------
    `END_COLUMNS`: how sure it is that the slice shows the heart, the slice beyond it (missing where the stack
    ends), and how sure it is that this one shows it too.
    """
    rows = []
    for frame in range(mask.array.shape[3]):
        for end, slice_, beyond in _ends(mask, frame):
            there, further = (_percent(sure, z, frame) for z in (slice_, beyond))
            rows.append((frame, end, slice_, there, beyond, further))
    table = pd.DataFrame(rows, columns=list(END_COLUMNS))
    return table.astype({"beyond": "Int64"})


def interval_table(mask: Cine, sure: Sure | None, frames: tuple[int, int]) -> pd.DataFrame:
    """EDV, ESV and EF of the LV with the 95 % interval that comes from the doubt about its end slices.

    At either end the heart stops before the end slice, after it, or after the slice beyond, which then holds
    as much as the end slice. The ends, and end-diastole and end-systole, are taken to be independent.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.
    sure
        From `sure_of_slices`.
    frames
        Positions of end-diastole and end-systole.

    Returns
    -------
    `INTERVAL_COLUMNS`; volumes are nan where the spacing is unknown. Without rows where nothing tells of the
    doubt, or fewer than three slices hold LV at end-diastole; of a single frame only EDV.
    """
    ml, (ed, es) = voxel_volume(mask.spacing), frames
    found = [] if sure is None else [_volumes(mask, sure, frame) for frame in dict.fromkeys((ed, es))]
    if not found or len(_slices(mask, ed)) < 3:
        return pd.DataFrame(columns=list(INTERVAL_COLUMNS))
    pixels = [float(np.count_nonzero(mask.array[..., frame] == Label.LV)) for frame in (ed, es)]
    rows = [("EDV", pixels[0] * ml, *(ml * limit for limit in _interval(*found[0])), "ml")]
    if len(found) > 1:
        rows.append(("ESV", pixels[1] * ml, *(ml * limit for limit in _interval(*found[1])), "ml"))
        rows.append(("EF", ejection_fraction(*pixels), *_interval(*_fractions(*found)), "%"))
    return pd.DataFrame(rows, columns=list(INTERVAL_COLUMNS))


def _percent(sure: Sure | None, slice_: int | None, frame: int) -> float:
    """How sure a slice is; nan where there is none, or nothing tells."""
    return math.nan if sure is None or slice_ is None else 100 * float(sure[slice_, frame])


def _slices(mask: Cine, frame: int) -> np.ndarray:
    """Slices with LV."""
    return np.flatnonzero((mask.array[..., frame] == Label.LV).any(axis=(0, 1)))


def _ends(mask: Cine, frame: int) -> list[tuple[str, int, int | None]]:
    """Name, slice and the slice beyond of both ends of a frame; nothing where it shows no LV."""
    slices, last = _slices(mask, frame), mask.array.shape[2] - 1
    if not len(slices):
        return []
    low, high = int(slices[0]), int(slices[-1])
    first, second = ("base", "apex") if base_first(mask) else ("apex", "base")
    ends = [(first, low, low - 1 if low else None), (second, high, high + 1 if high < last else None)]
    return sorted(ends, key=lambda each: each[0], reverse=True)  # the base first


def _volumes(mask: Cine, sure: Sure, frame: int) -> Distribution:
    """Pixels of LV that a frame may hold, and how probable each number is."""
    areas = np.count_nonzero(mask.array[..., frame] == Label.LV, axis=(0, 1))
    pixels, probable = np.array([float(areas.sum())]), np.ones(1)
    for _, slice_, beyond in _ends(mask, frame):
        inside = float(sure[slice_, frame])
        more = 0.0 if beyond is None else inside * float(sure[beyond, frame])
        changes = areas[slice_] * np.array([-1.0, 0.0, 1.0])
        pixels = np.add.outer(pixels, changes).ravel()
        probable = np.outer(probable, [1 - inside, inside - more, more]).ravel()
    return np.maximum(pixels, 0.0), probable


def _fractions(at_ed: Distribution, at_es: Distribution) -> Distribution:
    """EF of all pairs of volumes."""
    values = np.array([ejection_fraction(edv, esv) for edv in at_ed[0] for esv in at_es[0]])
    probable, known = np.outer(at_ed[1], at_es[1]).ravel(), np.isfinite(values)
    return values[known], probable[known]


def _interval(values: np.ndarray, probable: np.ndarray) -> tuple[float, float]:
    """Outer quantiles of a distribution."""
    order = np.argsort(values)
    below = np.cumsum(probable[order]) / probable.sum()
    places = np.searchsorted(below, np.array(OUTER) - 1e-12).clip(max=len(values) - 1)
    low, high = values[order][places]
    return float(low), float(high)
