"""A mask is brought onto its image where that loses nothing; any other difference is told."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from cmrseg.io.images import load_mask
from cmrseg.problems import DataError

AFFINE = np.array([[0, -1.5, 0.2, 10], [1.5, 0, 0.1, -20], [0.1, 0.2, 8, 30], [0, 0, 0, 1.0]])
SHAPE = (12, 10, 4)


def labels():
    return np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.uint8)


def save(path, array, affine):
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def image(tmp_path):
    return save(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.float32), AFFINE)


def turned(axes, flips):
    """Labels with their axes exchanged and flipped, and the affine that says so."""
    orientation = np.array([[axis, flip] for axis, flip in zip(axes, flips, strict=True)], float)
    mask = nib.Nifti1Image(labels(), AFFINE).as_reoriented(orientation)
    return np.asarray(mask.dataobj), mask.affine


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_exchanged_and_flipped_axes_are_undone(tmp_path, image, axes):
    for number, flips in enumerate(product((-1, 1), repeat=3)):
        mask = save(tmp_path / f"{number}.nii.gz", *turned(axes, flips))
        np.testing.assert_array_equal(load_mask(mask, "cmrseg", image=image).array[..., 0], labels())


def test_rounding_of_a_header_is_no_difference(tmp_path, image):
    mask = save(tmp_path / "m.nii.gz", labels(), AFFINE.round(2) + np.diag([1e-4, 0, 0, 0]))
    np.testing.assert_array_equal(load_mask(mask, "cmrseg", image=image).array[..., 0], labels())


SHIFT = np.array([[0, 0, 0, 3], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
TURN = np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("array", "affine", "told"),
    [
        (labels(), AFFINE + SHIFT, r"shifted by 3\.0 mm"),
        (labels(), AFFINE @ np.diag([1.2, 1.2, 1, 1]), r"its spacing is 1\.8\S* x 1\.8\S* x 8\S* mm, not"),
        (labels(), TURN @ AFFINE, r"its axes are turned by 37 degrees"),
        (labels()[1:], AFFINE, r"of shape 11 x 10 x 4 does not fit its image of shape 12 x 10 x 4"),
    ],
    ids=["shifted", "spacing", "turned", "shape"],
)
def test_any_other_difference_is_named(tmp_path, image, array, affine, told):
    with pytest.raises(DataError, match=rf"m\.nii\.gz .*{told}"):
        load_mask(save(tmp_path / "m.nii.gz", array, affine), "cmrseg", image=image)


def test_without_a_place_in_the_header_shapes_decide(tmp_path, image):
    mask = save(tmp_path / "m.nii.gz", labels(), np.eye(4))
    np.testing.assert_array_equal(load_mask(mask, "cmrseg", image=image).array[..., 0], labels())
    other = save(tmp_path / "o.nii.gz", labels()[1:], np.eye(4))
    with pytest.raises(DataError, match="does not fit its image"):
        load_mask(other, "cmrseg", image=image)


@pytest.mark.parametrize("flips", list(product((-1, 1), repeat=3)))
def test_turned_axes_are_undone_where_the_spacing_is_lost(tmp_path, flips):
    image = save(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.float32), np.eye(4))
    orientation = np.array([[axis, flip] for axis, flip in zip((1, 0, 2), flips, strict=True)], float)
    nib.save(nib.Nifti1Image(labels(), np.eye(4)).as_reoriented(orientation), tmp_path / "m.nii.gz")
    found = load_mask(tmp_path / "m.nii.gz", "cmrseg", image=image)
    np.testing.assert_array_equal(found.array[..., 0], labels())


def test_a_lost_header_is_no_flip(tmp_path):
    image = save(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.float32), np.diag([-1.0, -1, 1, 1]))
    mask = save(tmp_path / "m.nii.gz", labels(), np.eye(4))
    np.testing.assert_array_equal(load_mask(mask, "cmrseg", image=image).array[..., 0], labels())
