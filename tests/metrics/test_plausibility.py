"""Disks, rings and cosines whose pieces, holes, openings and deviations are known."""

import numpy as np
import pytest
from scipy.signal import find_peaks

from cmrseg.labels import Label
from cmrseg.metrics.cycle import smooth_cycle
from cmrseg.metrics.plausibility import (
    count_minima,
    curve_deviation,
    exposed_share,
    gaps,
    heart_box,
    noise_level,
    pieces,
    shows_several_beats,
    systole_delays,
    tissue_contrast,
    variation,
)


def square(width=10, size=30):
    """One image with an LV of ``width`` x ``width`` pixels inside a ring of 3 pixels."""
    mask = np.zeros((size, size, 1, 1), np.uint8)
    first = (size - width) // 2
    mask[first - 3 : first + width + 3, first - 3 : first + width + 3] = Label.MYO
    mask[first : first + width, first : first + width] = Label.LV
    return mask


def cosine(frames=20, *, beats=1):
    """Volumes between 60 and 140."""
    return 100 + 40 * np.cos(2 * np.pi * beats * np.arange(frames) / frames)


def test_box_holds_the_heart_and_its_margin():
    assert heart_box(square()) == (slice(5, 25), slice(5, 25))


def test_box_of_an_empty_mask_is_the_whole_image():
    assert heart_box(np.zeros((7, 9, 1, 1), np.uint8)) == (slice(None), slice(None))


def test_a_square_is_one_piece_without_holes():
    found = pieces(square() == Label.LV)
    assert (found.pixels, found.count, found.loose, found.holes) == (100, 1, 0, 0)


def test_pixels_outside_the_largest_piece_are_loose():
    mask = square() == Label.LV
    mask[0, :4] = mask[20:22, 28:] = True
    found = pieces(mask)
    assert (found.count, found.loose, found.fault) == (3, 8, 8)


def test_pieces_that_touch_at_a_corner_are_one():
    mask = np.zeros((6, 6, 1, 1), bool)
    mask[0:2, 0:2] = mask[2:4, 2:4] = True
    assert pieces(mask).count == 1


def test_holes_are_what_cannot_reach_the_border():
    mask = square() == Label.LV
    mask[12:14, 12:15] = False  # inside
    mask[10:12, 18] = False  # a notch
    assert pieces(mask).holes == 6


def test_a_hole_at_the_border_of_the_image_is_none():
    mask = np.ones((5, 5, 1, 1), bool)
    mask[0, 2] = False
    assert pieces(mask).holes == 0


def test_closed_ring_exposes_nothing():
    assert exposed_share(square()) == 0


def test_ring_that_lacks_one_side_exposes_a_quarter():
    mask = square()
    mask[7:10] = Label.BACKGROUND
    assert exposed_share(mask) == pytest.approx(0.25)


def test_rv_at_the_lv_counts_as_open():
    mask = square()
    mask[7:10, 10:15] = Label.RV
    assert exposed_share(mask) == pytest.approx(5 / 40)


def test_lv_at_the_border_of_the_image_is_open_there():
    assert exposed_share(square()[10:]) == pytest.approx(0.25)


def test_exposure_without_lv_is_unknown():
    assert np.isnan(exposed_share(np.zeros((5, 5, 1, 1), np.uint8)))


def test_gap_is_between_slices_of_the_same_frame():
    areas = np.array([[0, 5], [3, 0], [0, 0], [4, 6], [0, 0]])
    assert gaps(areas).tolist() == [[0, 0], [0, 1], [1, 1], [0, 0], [0, 0]]


def test_smooth_curve_deviates_little_and_a_bad_frame_stands_out():
    curve = cosine()
    assert abs(curve_deviation(curve)).max() < 1.5
    curve[7] += 28  # a fifth of EDV
    deviation = curve_deviation(curve)
    assert abs(deviation).argmax() == 7
    assert 10 < deviation[7] < 20


def test_empty_curve_deviates_nowhere():
    assert curve_deviation(np.zeros(20)).tolist() == [0] * 20


@pytest.mark.parametrize("beats", [1, 2])
def test_every_beat_has_a_minimum(beats):
    assert count_minima(cosine(30, beats=beats)) == beats


def test_minimum_at_the_first_frame_counts_once():
    assert count_minima(-cosine() + 200) == 1


def test_small_waves_are_no_minima():
    frames = np.arange(30)
    assert count_minima(cosine(30) + 2 * np.cos(2 * np.pi * 4 * frames / 30)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_minima_are_those_of_scipy(seed):
    curve = np.random.default_rng(seed).uniform(50, 150, 25)
    smooth = smooth_cycle(curve)
    found, _ = find_peaks(-np.tile(smooth, 3), prominence=0.1 * np.ptp(smooth))
    assert count_minima(curve) == np.count_nonzero((found >= 25) & (found < 50))


def test_constant_curve_has_no_minimum():
    assert count_minima(np.full(20, 5.0)) == 0


def test_variation_is_sd_over_mean():
    assert variation(np.array([90.0, 110.0])) == pytest.approx(10)


def test_variation_around_nothing_is_unknown():
    assert np.isnan(variation(np.zeros(3)))


def test_contrast_is_relative_to_blood():
    mask = square()
    image = np.where(mask == Label.LV, 200.0, np.where(mask == Label.MYO, 50.0, 7.0))
    assert tissue_contrast(image, mask) == pytest.approx(0.75)


def test_contrast_without_myocardium_is_unknown():
    mask = np.where(square() == Label.LV, np.uint8(Label.LV), np.uint8(0))
    assert np.isnan(tissue_contrast(np.ones(mask.shape), mask))


def test_noise_is_found_on_a_slope():
    slope = np.add.outer(np.arange(200.0), 3 * np.arange(200.0))[:, :, None, None]
    noise = np.random.default_rng(0).normal(0, 5, slope.shape)
    inside = np.zeros(slope.shape, bool)
    inside[5:-5, 5:-5] = True
    assert noise_level(slope, inside) == pytest.approx(0, abs=1e-3)
    assert noise_level(slope + noise, inside) == pytest.approx(5, rel=0.02)


def test_noise_nowhere_is_unknown():
    assert np.isnan(noise_level(np.ones((4, 4, 1, 1)), np.zeros((4, 4, 1, 1), bool)))


def areas(beats, *, frames=24, shifts=(0, 5, 11, 3, 8, 14), depth=0.3, noise=0.0):
    """Pixels of the LV in slices that start at different times, with systole in a third of every beat."""
    share = (np.arange(frames) * beats / frames + np.array(shifts)[:, None] / frames) % 1
    curve = 1000 * (1 - depth * np.where(share < 0.6, np.sin(np.pi * share / 0.6) ** 2, 0))
    return np.rint(curve * (1 + noise * np.random.default_rng(0).normal(size=curve.shape))).astype(int)


@pytest.mark.parametrize(
    ("beats", "expected"), [(1, False), (1.15, False), (2, True), (2.4, True), (3, True)]
)
def test_slices_that_do_not_beat_together_still_show_how_often_they_beat(beats, expected):
    assert shows_several_beats(areas(beats)) is expected


def test_a_weak_heart_and_much_noise_are_no_further_beats():
    for seed in range(20):
        curve = areas(1, depth=0.05, noise=0.03, shifts=np.full(8, seed))
        assert not shows_several_beats(curve)


def test_a_heart_that_does_not_move_has_no_beats():
    assert not shows_several_beats(np.full((5, 20), 100))
    assert not shows_several_beats(np.zeros((5, 20), int))
    assert not shows_several_beats(np.zeros((0, 20), int))
    assert not shows_several_beats(areas(2, frames=8))


def test_delays_of_systole_are_shares_of_the_cycle_around_which_time_is_a_circle():
    delays = systole_delays(areas(1, shifts=(0, 0, 0, 23, 6, 12)))
    np.testing.assert_allclose(delays, np.array([0, 0, 0, 1, 6, 12]) / 24)


def test_slices_that_hardly_move_or_are_small_tell_no_systole():
    assert systole_delays(areas(1, depth=0.1)).size == 0
    assert systole_delays(np.zeros((4, 20), int)).size == 0
    assert systole_delays(np.concatenate([areas(1), areas(1) // 3])).size == 6
