"""A cine's grid, and fitting slices to a size."""

import numpy as np
import pytest

from cmrseg.cine import Cine, fit

SIZES = [(4, 4), (4, 7), (7, 4), (5, 5), (5, 8), (8, 5), (1, 6)]


@pytest.mark.parametrize("array", [np.zeros((2, 2)), np.zeros((2, 2, 2))], ids=["2D", "3D"])
def test_a_cine_has_four_axes(array):
    with pytest.raises(ValueError, match="4 axes"):
        Cine(array, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_spacing_is_positive(bad):
    with pytest.raises(ValueError, match="spacing must be positive"):
        Cine(np.zeros((1, 1, 1, 1)), (1.0, 1.0, bad))


@pytest.mark.parametrize(("dz", "known"), [(8.0, True), (np.nan, False)])
def test_unknown_spacing_is_told(dz, known):
    assert Cine(np.zeros((1, 1, 1, 1)), (1.4, 1.4, dz)).has_spacing is known


def test_another_array_keeps_the_grid():
    cine = Cine(np.zeros((2, 3, 1, 1)), (1.4, 1.5, 8.0), np.diag([1.4, 1.5, 8, 1]), (0.0,))
    other = cine.with_array(np.ones((2, 3, 1, 1)))
    assert (other.spacing, other.frame_times_ms) == (cine.spacing, cine.frame_times_ms)
    assert other.affine is cine.affine


def test_an_array_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="does not fit the grid"):
        Cine(np.zeros((2, 3, 1, 1)), (1.0, 1.0, 1.0)).with_array(np.zeros((3, 2, 1, 1)))


@pytest.mark.parametrize("old", SIZES)
@pytest.mark.parametrize("new", SIZES)
def test_fitting_back_restores_all_but_what_was_cropped(old, new):
    array = 1 + np.arange(2 * old[0] * old[1]).reshape(2, *old)
    back = fit(fit(array, new), old, fill=-1)
    kept = back != -1
    assert kept.sum() == 2 * min(old[0], new[0]) * min(old[1], new[1])
    np.testing.assert_array_equal(back[kept], array[kept])


def test_padding_is_even_with_the_odd_pixel_at_the_end():
    np.testing.assert_array_equal(fit(np.ones((1, 2)), (1, 5), fill=7), [[7, 1, 1, 7, 7]])


def test_cropping_keeps_the_centre():
    np.testing.assert_array_equal(fit(np.arange(7)[None], (1, 3)), [[2, 3, 4]])


def test_the_type_is_kept():
    assert fit(np.zeros((3, 3), np.uint8), (4, 4)).dtype == np.uint8
