"""Counts and Dice scores of masks that can be counted by hand."""

import numpy as np
import pytest

from cmrseg.labels import Label
from cmrseg.metrics.overlap import (
    confusion_counts,
    dice,
    image_counts,
    label_dice,
    mean_image_dice,
    predicted_pixels,
    true_pixels,
    volume_dice,
)


def squares():
    """Truth: 4 x 4 LV; prediction: the same square moved by one row, its last row called MYO."""
    truth = np.zeros((10, 10, 1), np.uint8)
    truth[2:6, 2:6] = Label.LV
    pred = np.zeros_like(truth)
    pred[3:6, 2:6] = Label.LV
    pred[6, 2:6] = Label.MYO
    return pred, truth


def test_rows_are_predicted_and_columns_are_true():
    counts = confusion_counts(*squares())
    assert counts[Label.LV, Label.LV] == 12
    assert counts[Label.BACKGROUND, Label.LV] == 4
    assert counts[Label.MYO, Label.BACKGROUND] == 4
    assert counts.sum() == 100


def test_pixel_totals_come_from_the_table():
    counts = confusion_counts(*squares())
    assert predicted_pixels(counts).tolist() == [84, 12, 4, 0]
    assert true_pixels(counts).tolist() == [84, 16, 0, 0]


def test_dice_is_twice_the_overlap_over_the_sum():
    lv, myo, rv = dice(confusion_counts(*squares()))
    assert lv == pytest.approx(2 * 12 / 28)
    assert myo == 0  # predicted only
    assert rv == 1  # absent from both


def test_volume_dice_weighs_pixels_and_image_dice_weighs_images():
    truth = np.zeros((4, 4, 2), np.uint8)
    truth[:2, :, 0] = Label.LV  # 8 pixels, all found
    truth[0, :2, 1] = Label.LV  # 2 pixels, none found
    pred = truth.copy()
    pred[..., 1] = 0
    counts = image_counts(pred, truth)
    assert volume_dice(counts)[0] == pytest.approx(16 / 18)
    assert mean_image_dice(counts)[0] == pytest.approx(0.5)


def test_dice_takes_any_number_of_tables():
    counts = np.stack([np.diag([5, 4, 3, 2])] * 3)
    assert dice(counts).shape == (3, 3)
    assert (dice(counts) == 1).all()


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"\(2, 2, 1\).*\(2, 3, 1\)"):
        image_counts(np.zeros((2, 2, 1), np.uint8), np.zeros((2, 3, 1), np.uint8))


def test_an_unknown_label_is_named():
    with pytest.raises(ValueError, match="pred holds label ids 0 to 9"):
        confusion_counts(np.array([0, 9]), np.array([0, 1]))


def test_label_dice_takes_tables_of_any_size():
    counts = np.array([[[5, 0], [0, 0]], [[4, 1], [1, 2]]])
    assert label_dice(counts).tolist() == [[1, 1], [pytest.approx(0.8), pytest.approx(2 / 3)]]
