"""The part of every slice that holds the heart."""

import numpy as np
import pytest

from cmrseg.tasks.segmentation.heart_box import MARGIN_MM, NEAR_MM, slice_boxes, wide_enough

FIELD = (256, 288)


def heart(*squares, slices=5):
    """A square of 20 x 20 pixels per (slice, row, column)."""
    found = np.zeros((slices, *FIELD), bool)
    for z, row, column in squares:
        found[z, row : row + 20, column : column + 20] = True
    return found


@pytest.mark.parametrize("pixel_mm", [(1.0, 1.0), (1.25, 0.8), (2.0, 3.0)])
@pytest.mark.parametrize("corner", [(100, 130), (0, 0), (236, 268), (97, 31)])
def test_a_box_lies_on_multiples_of_32_and_leaves_the_margin(pixel_mm, corner):
    boxes = slice_boxes(heart(*((z, *corner) for z in range(5))), pixel_mm)
    for side, first, mm, size in zip(boxes[0], corner, pixel_mm, FIELD, strict=True):
        assert side.start % 32 == side.stop % 32 == 0
        assert side.start == 0 or (first - side.start) * mm >= MARGIN_MM
        assert side.stop == size or (side.stop - first - 20) * mm >= MARGIN_MM
        assert 0 <= side.start < side.stop <= size


def test_a_box_holds_the_heart_of_the_slices_above_and_below():
    boxes = slice_boxes(
        heart((0, 40, 40), (1, 100, 100), (2, 100, 100), (3, 100, 100), (4, 100, 100)), (1, 1)
    )
    assert boxes[0] == boxes[1] == (slice(0, 160), slice(0, 160))
    assert boxes[2] == boxes[4] == (slice(64, 160), slice(64, 160))


def test_slices_beyond_the_heart_have_the_box_of_the_nearest():
    boxes = slice_boxes(heart((3, 100, 100)), (1, 1))
    assert boxes == [(slice(64, 160), slice(64, 160))] * 5


def test_a_piece_far_away_makes_the_box_larger_and_nothing_else():
    assert slice_boxes(heart((2, 100, 100), (2, 0, 268)), (1, 1))[2] == (slice(0, 160), slice(64, 288))


BOX = (slice(64, 160), slice(96, 192))


def found(rows, columns):
    """Something that was found in a part of `BOX`."""
    mask = np.zeros((96, 96), bool)
    mask[rows, columns] = True
    return mask


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ((slice(15, 81), slice(15, 81)), BOX),
        ((slice(14, 50), slice(40, 50)), (slice(32, 160), BOX[1])),
        ((slice(40, 82), slice(40, 50)), (slice(64, 192), BOX[1])),
        ((slice(40, 50), slice(2, 50)), (BOX[0], slice(64, 192))),
        ((slice(40, 50), slice(40, 96)), (BOX[0], slice(96, 224))),
    ],
    ids=["inside", "up", "down", "left", "right"],
)
def test_a_box_is_widened_where_the_heart_comes_near_its_edge(where, expected):
    assert NEAR_MM == 15
    assert wide_enough(BOX, found(*where), FIELD, (1, 1)) == expected


def test_the_edge_of_the_field_is_no_reason_to_widen():
    box = (slice(0, 96), slice(192, 288))
    assert wide_enough(box, found(slice(0, 50), slice(50, 96)), FIELD, (1, 1)) == box


def test_where_nothing_is_found_a_box_stays():
    assert wide_enough(BOX, np.zeros((96, 96), bool), FIELD, (1, 1)) == BOX
