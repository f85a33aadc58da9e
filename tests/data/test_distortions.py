"""Distortions of known outcome."""

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.data.distortions import DISTORTIONS, distort, distort_mask, restore_mask
from cmrseg.labels import Label
from cmrseg.metrics.overlap import confusion_counts, dice

ALL = pytest.mark.parametrize("distortion", DISTORTIONS.values(), ids=list(DISTORTIONS))
MOVES = pytest.mark.parametrize(
    "distortion", [d for d in DISTORTIONS.values() if d.move], ids=lambda d: d.name
)


def cine(array, spacing=(1.4, 1.4, 8.0)):
    return Cine(array.reshape(*array.shape, *[1] * (4 - array.ndim)), spacing)


def noise(*shape):
    return cine(np.random.default_rng(1).uniform(0, 200, shape))


def disc(nx=100, ny=80, *, centre=(60, 45), radius=15):
    x, y = np.ogrid[:nx, :ny]
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
    return cine((inside * Label.LV).astype(np.uint8))


@ALL
def test_levels_rise_and_hold_the_untouched_one(distortion):
    levels = list(distortion.levels)
    assert levels == sorted(set(levels))
    assert len(levels) <= 9
    image = noise(16, 12, 2, 3)
    assert distort(image, distortion, levels[levels.index(distortion.untouched)]) is image


@ALL
def test_the_same_level_gives_the_same_images_and_changes_them(distortion):
    image = noise(16, 12, 2, 3)
    one, two = (distort(image, distortion, distortion.levels[-1]).array for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape[2:] == (2, 3)
    assert one.shape != image.array.shape or np.abs(one - image.array).max() > 0.1


@ALL
def test_an_empty_image_stays_finite(distortion):
    image = cine(np.zeros((16, 12, 1, 1)))
    assert all(np.isfinite(distort(image, distortion, level).array).all() for level in distortion.levels)


@MOVES
def test_a_mask_comes_back_to_its_place(distortion):
    mask = disc()
    for level in distortion.levels:
        moved = distort_mask(mask, distortion, level)
        back = restore_mask(moved, distortion, level, mask)
        assert dice(confusion_counts(back.array, mask.array))[0] > 0.95
        assert back.spacing == mask.spacing


def test_a_quarter_turn_is_exact():
    image = noise(10, 7, 2, 3)
    turned = distort(image, DISTORTIONS["rotation"], 90).array
    np.testing.assert_allclose(turned, np.rot90(image.array, axes=(1, 0))[::-1, ::-1], atol=0.01)


def test_turning_happens_in_mm():
    bar = np.zeros((40, 41), np.uint8)
    bar[10:30, 20] = Label.LV  # 20 mm along x, 2 mm along y
    turned = distort_mask(cine(bar, (1.0, 2.0, 8.0)), DISTORTIONS["rotation"], 90).array[..., 0, 0]
    assert turned.shape == (82, 20)
    assert (turned.any(axis=1).sum(), turned.any(axis=0).sum()) == (2, 10)


def test_the_corner_of_a_turned_image_is_not_cut_off():
    mask = disc(centre=(10, 10), radius=8)
    moved = distort_mask(mask, DISTORTIONS["rotation"], 45)
    assert (moved.array > 0).sum() == pytest.approx((mask.array > 0).sum(), rel=0.03)


def test_zoom_multiplies_lengths():
    mask = disc()
    zoomed = distort_mask(mask, DISTORTIONS["zoom"], 1.7)
    assert zoomed.array.shape[:2] == (170, 136)
    assert (zoomed.array > 0).sum() == pytest.approx(1.7**2 * (mask.array > 0).sum(), rel=0.02)


def test_gamma_is_a_power():
    ramp = cine(np.linspace(0, 1000, 1001).reshape(7, 143))
    changed = distort(ramp, DISTORTIONS["contrast"], 2).array.ravel()
    assert changed[500] == pytest.approx(0.25, abs=0.001)
    assert (changed.min(), changed.max()) == (0, 1)


def test_the_gain_differs_by_the_ratio():
    changed = distort(cine(np.full((20, 30), 50.0)), DISTORTIONS["bias_field"], 3).array
    assert changed.max() / changed.min() == pytest.approx(3, rel=1e-5)


def test_air_gets_rayleigh_noise():
    image = np.zeros((200, 200))
    image[:20] = 400  # bright: SNR 1 / 0.2
    changed = distort(cine(image), DISTORTIONS["noise"], 20).array
    assert changed[20:].mean() == pytest.approx(0.2 * np.sqrt(np.pi / 2), rel=0.01)
    assert changed[:20].std() == pytest.approx(0.2, rel=0.05)


def test_a_point_has_two_ghosts():
    point = np.zeros((8, 16))
    point[3, 8] = 100
    changed = distort(cine(point), DISTORTIONS["ghosting"], 30).array[..., 0, 0]
    assert {tuple(place): round(float(changed[tuple(place)])) for place in np.argwhere(changed)} == {
        (3, 8): 100, (3, 4): 30, (3, 12): 30,
    }  # fmt: skip


def test_pixels_twice_as_large_lose_the_fine_stripes():
    x = np.arange(32)[:, None] * np.ones((1, 32))
    coarse, fine = (cine(100 + 50 * np.cos(2 * np.pi * f * x)) for f in (1 / 8, 3 / 8))
    d = DISTORTIONS["resolution"]
    np.testing.assert_allclose(distort(coarse, d, 2).array, coarse.array, atol=0.01)
    np.testing.assert_allclose(distort(fine, d, 2).array, 100, atol=0.01)
