"""Slices are on one pixel grid when their pixels coincide along the normal, and only then."""

from dataclasses import replace

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.io.dicom import read_headers
from cmrseg.io.dicom_planes import Plane, plane_of, planes_of
from cmrseg.phantom.dicom import dicom_datasets, write_datasets

PLANE = Plane(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (1.5, 2.0), (11, 21))


def moved(x: float = 0, y: float = 0, z: float = 0) -> Plane:
    return replace(PLANE, corner=np.array([x, y, z], float))


def test_corners_are_centres_of_pixels():
    np.testing.assert_allclose(PLANE.corners, [[0, 0, 0], [30, 0, 0], [0, 20, 0]])


@pytest.mark.parametrize("other", [moved(), moved(z=40), moved(x=0.6, y=-0.7)])
def test_less_than_a_millimetre_in_the_plane_is_the_same_grid(other):
    assert PLANE.has_grid_of(other)


@pytest.mark.parametrize(
    "other",
    [
        moved(x=1.1),
        replace(PLANE, size=(21, 11)),
        replace(PLANE, spacing=(1.6, 2.0)),
        replace(PLANE, row=PLANE.column, column=-PLANE.row),
        replace(PLANE, row=np.array([0.99, 0.14, 0]), column=np.array([-0.14, 0.99, 0])),
    ],
)
def test_shifted_scaled_or_turned_pixels_are_another_grid(other):
    assert not PLANE.has_grid_of(other)


def test_small_pixels_must_be_closer():
    small = replace(PLANE, spacing=(0.1, 0.1))
    assert not small.has_grid_of(replace(small, corner=np.array([0.15, 0, 0])))


def test_half_way_to_the_next_slice_begins_another():
    assert PLANE.is_slice_of(moved(x=50, z=3.9), gap_mm=8)
    assert not PLANE.is_slice_of(moved(z=-4.1), gap_mm=8)
    tilted = replace(PLANE, column=np.array([0, 0.96, 0.28]))  # the far corner is 5.6 mm above
    assert not PLANE.is_slice_of(tilted, gap_mm=8)


def test_affine_and_headers_tell_the_same_planes(tmp_path):
    affine = np.array([[-1.4, 0, 0, 9.5], [0, -1.28, 4.8, -3.25], [0, -0.96, -6.4, 70], [0, 0, 0, 1]])
    cine = Cine(np.zeros((12, 10, 3, 1)), (1.4, 1.6, 8.0), affine)
    paths = write_datasets(dicom_datasets(cine, style="ge"), tmp_path, np.random.default_rng(0))
    for told, path in zip(planes_of(cine), paths, strict=True):
        read = plane_of(read_headers(path)[0])
        np.testing.assert_allclose(told.corners, read.corners, atol=1e-6)
        assert told.size == read.size == (10, 12)
        assert told.spacing == pytest.approx(read.spacing)
