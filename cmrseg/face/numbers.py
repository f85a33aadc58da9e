"""From masks to numbers: volumes, function, indices, and how far two masks agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.labels import STRUCTURES
from cmrseg.problems import DataError


def volumes(mask: Cine) -> pd.DataFrame:
    """Volume of every structure at every frame.

    Parameters
    ----------
    mask
        `Label` ids ``(x, y, z, t)``.

    Returns
    -------
    Columns frame, time_ms, LV_ml, MYO_ml and RV_ml; ``nan`` where the spacing is unknown.

    Examples
    --------
    >>> import cmrseg
    >>> image, mask = cmrseg.synthetic_cine()
    >>> list(cmrseg.volumes(mask).columns)
    ['frame', 'time_ms', 'LV_ml', 'MYO_ml', 'RV_ml']
    """
    from cmrseg.metrics.volumes import volume_table

    return volume_table("", mask).drop(columns="study")


def summary(mask: Cine) -> dict[str, Any]:
    """Function of the left ventricle: volumes (ml), EF (%) and myocardial mass (g).

    Parameters
    ----------
    mask
        `Label` ids ``(x, y, z, t)``.

    Returns
    -------
    Values by the names of ``summary.csv``: EDV_ml, ESV_ml, SV_ml, EF_percent, MYO_mass_g, ED_frame, ES_frame.

    Examples
    --------
    >>> import cmrseg
    >>> image, mask = cmrseg.synthetic_cine()
    >>> found = cmrseg.summary(mask)
    >>> found["EDV_ml"] > found["ESV_ml"] > 0
    True
    """
    from cmrseg.metrics.volumes import summary_row

    return {name: value for name, value in summary_row("", mask).items() if name != "study"}


def ejection_fraction(mask: Cine) -> float:
    """Ejection fraction of the left ventricle in percent; ``nan`` where there is none.

    Parameters
    ----------
    mask
        `Label` ids ``(x, y, z, t)`` of one heart beat.

    Examples
    --------
    >>> import cmrseg
    >>> image, mask = cmrseg.synthetic_cine()
    >>> 30 < cmrseg.ejection_fraction(mask) < 80
    True
    """
    return float(summary(mask)["EF_percent"])


def indices(mask: Cine) -> pd.DataFrame:
    """The 11 LV indices of the middle slices: areas, diameters, regional wall thickness, phase.

    Parameters
    ----------
    mask
        `Label` ids ``(x, y, z, t)``.

    Returns
    -------
    One row per slice and frame, see `cmrseg.metrics.indices.lv_indices`.

    Examples
    --------
    >>> import cmrseg
    >>> image, mask = cmrseg.synthetic_cine()
    >>> "frame" in cmrseg.indices(mask)
    True
    """
    from cmrseg.metrics.indices import lv_indices

    found = summary(mask)
    if found["ED_frame"] is None:
        raise DataError("the mask shows no LV, so it has no ED and ES and no indices; look at it")
    return lv_indices(mask, ed_frame=int(found["ED_frame"]), es_frame=int(found["ES_frame"]))


def dice(predicted: Cine, truth: Cine) -> dict[str, float]:
    """Dice of every structure over a whole mask, 0 to 1; absent from both is 1.

    Parameters
    ----------
    predicted, truth
        `Label` ids on one grid.

    Raises
    ------
    ValueError
        If their shapes differ.

    Examples
    --------
    >>> import cmrseg
    >>> image, truth = cmrseg.synthetic_cine()
    >>> cmrseg.dice(truth, truth)
    {'LV': 1.0, 'MYO': 1.0, 'RV': 1.0}
    """
    from cmrseg.metrics import overlap

    scores = overlap.dice(overlap.confusion_counts(predicted.array, truth.array))
    return {label.name: float(score) for label, score in zip(STRUCTURES, scores, strict=True)}


def hausdorff(predicted: Cine, truth: Cine) -> dict[str, float]:
    """Hausdorff distance of every structure in mm, the largest over the frames.

    Parameters
    ----------
    predicted, truth
        `Label` ids on one grid.

    Returns
    -------
    ``nan`` where a structure is absent from one of the two in a frame, or the spacing is unknown.

    Examples
    --------
    >>> import cmrseg
    >>> image, truth = cmrseg.synthetic_cine()
    >>> cmrseg.hausdorff(truth, truth)
    {'LV': 0.0, 'MYO': 0.0, 'RV': 0.0}
    """
    from cmrseg.metrics.surface import surface_distances

    def largest(label: int) -> float:
        frames = range(truth.array.shape[3])
        pairs = ((predicted.array[..., t] == label, truth.array[..., t] == label) for t in frames)
        return float(np.max([surface_distances(a, b, truth.spacing).hd for a, b in pairs]))

    return {label.name: largest(label) for label in STRUCTURES}
