"""Outlines of masks against closed forms, and back to the same mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from cmrseg.io.dicom_planes import Plane
from cmrseg.io.outlines import (
    Outline,
    cine_to_source,
    inverse,
    label_map,
    moved,
    outline,
    outlines,
    polygon_area,
    rasterise,
)
from cmrseg.labels import Label

SIZE = (64, 48)
X, Y = np.ogrid[: SIZE[0], : SIZE[1]]


def ellipse(a, b, centre=(30.0, 22.0)):
    return ((X - centre[0]) / a) ** 2 + ((Y - centre[1]) / b) ** 2 <= 1


def heart(lv=8.0, wall=4.0):
    """LV in a ring, RV beside it."""
    labels = np.zeros(SIZE, np.uint8)
    labels[ellipse(lv + wall, lv + wall)] = Label.MYO
    labels[ellipse(lv, lv)] = Label.LV
    labels[48:54, 15:30] = Label.RV
    return labels


def plane(corner=(0, 0, 0), row=(1, 0, 0), column=(0, 1, 0), spacing=(1.0, 1.0), size=(48, 64)):
    return Plane(*(np.array(v, float) for v in (corner, row, column)), spacing, size)


def test_the_outline_of_one_pixel_is_a_diamond_around_its_centre():
    mask = np.zeros((5, 4), bool)
    mask[3, 1] = True
    assert {tuple(point) for point in outline(mask)} == {(2.5, 1), (3.5, 1), (3, 0.5), (3, 1.5)}


@pytest.mark.parametrize(("a", "b"), [(3, 3), (12.3, 8.6), (20, 15)])
def test_the_outline_has_the_area_of_the_mask_less_half_a_pixel(a, b):
    mask = ellipse(a, b)
    assert polygon_area(outline(mask)) == pytest.approx(mask.sum() - 0.5)
    assert polygon_area(outline(mask)) == pytest.approx(np.pi * a * b, rel=0.04)


def test_the_outline_has_the_centroid_of_the_mask():
    mask = ellipse(12, 8, centre=(30.4, 21.7))
    x, y = outline(mask).T
    step = x * np.roll(y, -1) - np.roll(x, -1) * y
    centroid = [(np.sum((v + np.roll(v, -1)) * step) / np.sum(step) / 3) for v in (x, y)]
    np.testing.assert_allclose(centroid, ndimage.center_of_mass(mask), atol=0.01)


def test_no_point_is_there_twice():
    points = outline(ellipse(12, 8))
    assert len(np.unique(points, axis=0)) == len(points) > 50


def test_an_empty_mask_has_no_outline():
    assert outline(np.zeros(SIZE, bool)).shape == (0, 2)


def test_the_largest_piece_is_outlined_and_its_holes_are_filled():
    mask = ellipse(10, 10)
    wanted = mask.copy()
    mask[29:32, 21:24] = False
    mask[0:3, 0:3] = True
    np.testing.assert_array_equal(rasterise(outline(mask), SIZE), wanted)


@given(seed=st.integers(0, 2**32 - 1))
def test_any_piece_without_holes_comes_back_exactly(seed):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(24, 20)), 1.5)
    pieces, n = ndimage.label(
        noise > 0, np.ones((3, 3))
    )  # borders of the image and pixels that touch at a corner
    mask = ndimage.binary_fill_holes(
        pieces == 1 + np.bincount(pieces.ravel())[1:].argmax() if n else pieces > 0
    )
    written = np.round(outline(mask), 2)  # as in a text file
    np.testing.assert_array_equal(rasterise(written, mask.shape), mask)


def test_labels_come_back_exactly():
    labels = heart()
    assert set(outlines(labels)) == set(Outline)
    np.testing.assert_array_equal(label_map(outlines(labels), SIZE), labels)


def test_the_epicardium_goes_around_cavity_and_muscle():
    found = outlines(heart(lv=8, wall=4))
    assert polygon_area(found[Outline.EPICARDIUM]) == pytest.approx(np.pi * 12**2, rel=0.03)
    assert polygon_area(found[Outline.ENDOCARDIUM]) == pytest.approx(np.pi * 8**2, rel=0.03)


def test_an_open_ring_at_the_base_comes_back_exactly():
    labels = heart()
    labels[(labels == Label.MYO) & (X > 30) & (abs(Y - 22) < 4)] = Label.BACKGROUND
    np.testing.assert_array_equal(label_map(outlines(labels), SIZE), labels)


def test_without_muscle_there_is_no_epicardium():
    labels = np.where(heart() == Label.MYO, 0, heart())
    assert set(outlines(labels)) == {Outline.ENDOCARDIUM, Outline.RV}


def test_the_epicardium_stays_with_the_cavity_and_not_with_muscle_that_lies_apart():
    labels = np.zeros(SIZE, np.uint8)
    labels[5:8, 5:8], labels[4, 5:8] = Label.LV, Label.MYO
    labels[30:60, 20:40] = Label.MYO
    assert outlines(labels)[Outline.EPICARDIUM].max() < 9


def test_the_pixels_in_a_contour_through_their_centres_are_its_area():
    square = np.array([(10, 10), (20, 10), (20, 20), (10, 20)], float)
    assert rasterise(square, SIZE).sum() == polygon_area(square) == 100


def test_a_contour_outside_of_the_image_has_no_pixels():
    assert not rasterise(np.array([(70.0, 5), (80, 5), (75, 9)]), SIZE).any()


def test_a_slice_that_curation_left_alone_keeps_its_pixels():
    source = plane(corner=(0.4, -0.3, 7))  # an affine tells the place of a stack, not of every slice
    np.testing.assert_array_equal(cine_to_source(plane(), source), np.eye(2, 3))


def test_contours_of_a_cropped_and_scaled_slice_go_back_to_the_pixels_of_the_source():
    cine = plane(corner=(20, 10, 0), spacing=(2.0, 2.0), size=(20, 20))
    source = plane(spacing=(1.0, 0.5), size=(200, 100))
    np.testing.assert_allclose(moved([(0, 0), (3, 1)], cine_to_source(cine, source)), [(20, 20), (26, 24)])


def test_contours_of_a_turned_slice_go_back_to_the_pixels_of_the_source():
    cine = plane(corner=(47, 0, 0), row=(0, 1, 0), column=(-1, 0, 0), size=(48, 64))
    source = plane(size=(64, 48))
    np.testing.assert_allclose(moved([(0, 0), (2, 5)], cine_to_source(cine, source)), [(47, 0), (42, 2)])


def test_there_and_back_is_the_same_place():
    matrix = cine_to_source(plane((3, 4, 0), (0, 1, 0), (-1, 0, 0), (1.5, 1.2)), plane(size=(9, 9)))
    points = np.array([(1.5, 2.25), (7, 3)])
    np.testing.assert_allclose(moved(moved(points, matrix), inverse(matrix)), points)
