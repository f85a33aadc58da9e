"""What is no part of the heart is removed: pictures of failure, drawn."""

import numpy as np
import pytest

from cmrseg.labels import Label
from cmrseg.tasks.segmentation.one_heart import largest_components, one_heart

SIZE, SLICES = 64, 6


def disk(x, y, radius):
    """Pixels around a point."""
    i, j = np.ogrid[:SIZE, :SIZE]
    return np.hypot(i - x, j - y) <= radius


def heart(*, slices=SLICES, frames=1, centre=(34, 32), rv=(18, 32), cavity=6):
    """Rings with an RV that touches them; the cavity is as wide in all slices and frames."""
    plane = np.zeros((SIZE, SIZE), np.uint8)
    plane[disk(*rv, 9)] = Label.RV
    plane[disk(*centre, 9)] = Label.MYO
    plane[disk(*centre, cavity)] = Label.LV
    return np.repeat(np.repeat(plane[:, :, None, None], slices, axis=2), frames, axis=3)


def assert_kept(mask, truth):
    np.testing.assert_array_equal(one_heart(mask), truth)


@pytest.mark.parametrize("frames", [1, 8])
@pytest.mark.parametrize("rv", [(18, 32), (50, 32), (34, 48), (34, 16)])  # also as in dextrocardia
def test_a_heart_stays_as_it_is(rv, frames):
    truth = heart(rv=rv, frames=frames)
    assert_kept(truth, truth)


def test_a_breast_is_no_cavity_however_large():
    truth = heart()
    mask = truth.copy()
    mask[disk(54, 54, 9)] = Label.LV  # larger than her cavity
    assert (mask == Label.LV).sum() > 3 * (truth == Label.LV).sum()
    assert_kept(mask, truth)
    assert not (largest_components(mask) == truth).all()  # which kept the breast


def test_a_ring_around_a_breast_is_a_smaller_heart():
    truth = heart()
    mask = truth.copy()
    mask[disk(54, 54, 8), :2] = Label.MYO
    mask[disk(54, 54, 6), :2] = Label.LV
    assert_kept(mask, truth)


def test_most_frames_know_where_the_heart_is():
    truth = heart(frames=8)
    mask = truth.copy()
    mask[..., 3] = 0  # this frame found the breast alone
    mask[disk(54, 54, 9), :, 3] = Label.MYO
    mask[disk(54, 54, 5), :, 3] = Label.LV
    assert_kept(mask, truth)


def test_a_heart_that_is_elsewhere_in_every_frame_is_judged_frame_by_frame():
    places = [(14, 14), (14, 48), (48, 14), (48, 48)]
    truth = np.concatenate([heart(centre=at, rv=(at[0], at[1] + 12)) for at in places], axis=3)
    assert_kept(truth, truth)


def test_a_cavity_of_three_pixels_at_end_systole_stays():
    mask = heart(frames=8)
    mask[disk(34, 32, 6), ..., 4] = Label.MYO
    mask[34, 31:34, 1, 4] = Label.LV
    assert_kept(mask, mask)


def test_a_cavity_belongs_to_the_wall_of_its_slice():
    truth = heart()
    mask = truth.copy()
    mask[disk(34, 46, 3) & (truth[..., 0, 0] == 0), 0] = Label.LV  # it lies over the next slice's wall
    mask[disk(34, 43, 2), 0] = 0
    found = one_heart(mask)
    assert (found[..., 0, 0] == Label.LV).sum() == (truth[..., 0, 0] == Label.LV).sum()


def test_the_rv_may_be_in_two_pieces_at_the_apex():
    mask = heart()
    for z in (4, 5):  # and no slice joins them with the others
        mask[mask[..., z, 0] == Label.RV, z] = 0
    for y in (26, 38):
        mask[disk(24, y, 3) & (mask[..., 5, 0] == 0), 5] = Label.RV
    assert_kept(mask, mask)


def test_an_rv_on_the_other_side_or_without_a_septum_goes():
    truth = heart()
    mask = truth.copy()
    mask[disk(46, 32, 3) & (truth[..., 0, 0] == 0), 2] = Label.RV  # lateral wall
    mask[disk(8, 8, 4), 3] = Label.RV  # chest wall
    assert_kept(mask, truth)


def test_the_largest_rv_does_not_count_where_it_touches_nothing():
    truth = heart(rv=(20, 32))
    mask = truth.copy()
    mask[disk(54, 54, 9)] = Label.RV
    mask[disk(54, 10, 9)] = Label.RV
    assert_kept(mask, truth)


def test_a_gap_of_the_mask_between_rv_and_septum_is_no_distance():
    mask = heart(rv=(14, 32))  # two pixels of background between them
    assert not (mask[24, 32] > 0).any()
    assert_kept(mask, mask)


@pytest.mark.parametrize("z", range(3))
def test_a_single_slice_is_a_heart_too(z):
    truth = heart(slices=1)
    mask = truth.copy()
    mask[disk(54, 54, 8 - z)] = Label.LV
    assert_kept(mask, truth)


def test_a_slice_that_breath_holds_have_moved_stays():
    mask = heart(slices=10)
    mask[:, :, 4] = np.roll(mask[:, :, 4], 20, axis=1)  # it touches none of its neighbours
    assert_kept(mask, mask)


def test_a_slice_that_one_frame_lacks_is_what_its_neighbours_agree_on():
    truth = heart(frames=8)
    mask = truth.copy()
    mask[..., 0, 5] = 0
    assert_kept(mask, truth)


def test_a_slice_that_only_one_frame_shows_is_none():
    truth = heart(frames=8)
    truth[:, :, 0] = 0
    mask = truth.copy()
    mask[disk(34, 32, 7), 0, 2] = Label.MYO
    assert_kept(mask, truth)


def test_a_base_that_leaves_the_slice_during_systole_stays():
    mask = heart(frames=8)
    mask[..., 0, 3:6] = 0
    assert_kept(mask, mask)


def test_two_contoured_frames_are_no_neighbours_in_time():
    mask = heart(frames=2)
    mask[..., 0, 1] = 0
    assert_kept(mask, mask)


def test_without_myocardium_the_largest_pieces_stay():
    mask = heart()
    mask[mask == Label.MYO] = 0
    mask[disk(54, 54, 3)] = Label.LV
    np.testing.assert_array_equal(one_heart(mask), largest_components(mask))
    assert (one_heart(mask) == Label.LV).any()


def test_an_empty_mask_stays_empty():
    assert not one_heart(np.zeros((8, 8, 3, 2), np.uint8)).any()
