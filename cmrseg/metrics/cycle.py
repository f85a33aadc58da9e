"""The volume curve over a cardiac cycle, smoothed, so that one bad frame chooses neither ED nor ES."""

from __future__ import annotations

import numpy as np

from cmrseg.arrays import Curve

MIN_FRAMES = 10  # below that a smoother would flatten systole
_SHARE_OF_CYCLE = 5  # the window is a fifth of the cycle
_ORDER = 2


def smooth_cycle(curve: Curve) -> Curve:
    """A volume curve without the noise of single frames.

    A second-order Savitzky-Golay filter over a fifth of the cycle (at least 5 frames), equal to that of
    SciPy, whose import takes half a second. The cycle closes on itself where the step from the last frame to
    the first is no larger than any other (retrospective gating); a prospectively gated cine, which stops
    before the next beat, is fitted at its ends instead.

    Parameters
    ----------
    curve
        Volumes or voxel counts at every frame, shape ``(t,)``.

    Returns
    -------
    Smoothed values, shape ``(t,)``; the curve itself if it has fewer than `MIN_FRAMES` frames or holds nan.

    References
    ----------
    Savitzky and Golay, Anal Chem 36:1627 (1964), doi:10.1021/ac60214a047.
    """
    curve = np.asarray(curve, float)
    if curve.size < MIN_FRAMES or not np.isfinite(curve).all():
        return curve
    window = max(5, 2 * round((curve.size / _SHARE_OF_CYCLE - 1) / 2) + 1)
    closes = abs(curve[0] - curve[-1]) <= abs(np.diff(curve)).max()
    half = window // 2
    powers = np.vander(np.arange(-half, half + 1), _ORDER + 1)
    fit = powers @ np.linalg.pinv(powers)  # values of a window to those of their parabola
    if closes:
        return np.convolve(np.pad(curve, half, mode="wrap"), fit[half], mode="valid")
    inside = np.convolve(curve, fit[half], mode="valid")
    return np.concatenate([fit[:half] @ curve[:window], inside, fit[-half:] @ curve[-window:]])
