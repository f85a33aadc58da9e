"""Whether the grey values of an image tell apart what a mask tells apart."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from scipy.stats import mannwhitneyu

from cmrseg.labels import Label

# At least 0.61 in 132 subjects of ACDC, M&Ms and Sunnybrook, 0.03 in the displaced masks of SC-N-06. Of
# volumes of ACDC and M&Ms with the contours of another patient about nine of ten lie below 0.5.
MIN_CONTRAST = 0.5
_MIN_PIXELS = 30  # of either tissue, to compare their grey values


def blood_contrast(truth: UInt8[np.ndarray, "x y z"], image: Float[np.ndarray, "x y z"]) -> float:
    """How well the grey values tell LV from myocardium, as a mask has them.

    Parameters
    ----------
    truth
        `Label` ids, shape ``(x, y, z)``.
    image
        Intensities of the same shape.

    Returns
    -------
    ``|2 AUC - 1|`` of the median AUC of the slices: 1 where all pixels of one tissue are brighter, 0 where
    both are alike; nan where no slice shows both in varying grey values.

    References
    ----------
    AUC as the statistic of Mann and Whitney: Hanley and McNeil, Radiology 143:29 (1982),
    doi:10.1148/radiology.143.1.7063747.
    """
    contrasts = []
    for z in range(truth.shape[2]):
        blood, muscle = (image[..., z][truth[..., z] == label] for label in (Label.LV, Label.MYO))
        if min(len(blood), len(muscle)) >= _MIN_PIXELS and np.ptp(np.concatenate([blood, muscle])) > 0:
            auc = mannwhitneyu(blood, muscle, method="asymptotic").statistic / (len(blood) * len(muscle))
            contrasts.append(2 * auc - 1)
    return float(abs(np.median(contrasts))) if contrasts else np.nan
