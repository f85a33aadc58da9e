import numpy as np
import pytest
from scipy.signal import savgol_filter

from cmrseg.metrics.cycle import MIN_FRAMES, smooth_cycle
from cmrseg.metrics.volumes import cardiac_function


def beat(n: int, *, phase: float = 0.0) -> np.ndarray:
    """A cycle between 60 and 160 ml that starts at end-diastole."""
    return 110 + 50 * np.cos(2 * np.pi * (np.arange(n) / n - phase))


@pytest.mark.parametrize("n", [20, 25, 30, 50])
def test_a_clean_cycle_keeps_its_volumes_and_frames(n):
    curve = beat(n)
    smooth = smooth_cycle(curve)
    assert abs(smooth - curve).max() < 2.5  # ml, of a stroke volume of 100 ml
    assert curve[smooth.argmax()] == pytest.approx(curve.max())
    assert curve[smooth.argmin()] == pytest.approx(curve.min())


def test_one_bad_frame_chooses_neither_end_diastole_nor_end_systole():
    curve = beat(20)
    curve[5] = 40.0  # a lost slice
    function = cardiac_function(curve, 1.0)
    assert curve.argmin() == 5
    assert (function.ed_index, function.es_index) == (0, 10)
    assert (function.edv_ml, function.esv_ml) == (160.0, 60.0)  # the volumes are those of the masks


@pytest.mark.parametrize("n", [10, 20, 31, 50])
@pytest.mark.parametrize(("part", "mode"), [(1.0, "wrap"), (0.6, "interp")])
def test_it_is_scipys_filter(n, part, mode):
    curve = beat(round(n / part))[:n] + np.random.default_rng(n).normal(0, 1, n)
    window = {10: 5, 20: 5, 31: 7, 50: 9}[n]
    assert smooth_cycle(curve) == pytest.approx(savgol_filter(curve, window, 2, mode=mode))


@pytest.mark.parametrize("shift", [3, 11])
def test_a_closed_cycle_may_start_anywhere(shift):
    rng = np.random.default_rng(0)
    curve = beat(24) + rng.normal(0, 3, 24)
    assert smooth_cycle(np.roll(curve, shift)) == pytest.approx(np.roll(smooth_cycle(curve), shift))


def test_a_cine_that_stops_before_the_next_beat_is_not_bent_towards_its_start():
    curve = beat(25)[:17]  # ends in mid-diastole, far below end-diastole
    assert smooth_cycle(curve)[0] == pytest.approx(160, abs=1)
    assert smooth_cycle(curve)[-1] == pytest.approx(curve[-1], abs=2)


@pytest.mark.parametrize("curve", [[100.0, 50.0], list(range(MIN_FRAMES - 1)), [np.nan] * 20])
def test_short_and_unknown_curves_stay_as_they_are(curve):
    assert smooth_cycle(np.array(curve)) == pytest.approx(np.array(curve, float), nan_ok=True)
