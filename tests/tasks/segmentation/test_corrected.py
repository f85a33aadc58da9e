"""Masks as editors save them: taken where nothing is lost, otherwise refused in a sentence."""

import nibabel as nib
import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.io.images import load_image, save_mask
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.problems import DataError
from cmrseg.tasks.segmentation.corrected import read_corrected


def nobody():
    raise AssertionError("the model was asked for nothing")


@pytest.fixture
def cine():
    """A mask of a stack that lies askew."""
    rng = np.random.default_rng(0)
    affine = np.array([[1.4, 0.3, 2, -80], [-0.3, 1.4, 1, 20], [0.2, 0.4, 9, 5], [0, 0, 0, 1.0]])
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0))
    return Cine(rng.integers(0, 4, (6, 6, 3, 2), np.uint8), spacing, affine)


@pytest.fixture(scope="module")
def study():
    """A beating heart."""
    return make_study(PhantomSpec(n_slices=8, n_frames=10, slice_spacing_mm=14.0), SCANNERS["A"], 0)


@pytest.fixture(scope="module")
def heart(study):
    """The model's mask of it."""
    return study.mask


def saved(tmp_path, array, affine):
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "seg.nii.gz")
    return tmp_path / "seg.nii.gz"


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_the_rounding_of_an_editor_is_forgiven(tmp_path, cine, dtype):
    path = saved(tmp_path, cine.array.astype(dtype), cine.affine.round(2))
    found = read_corrected(path, cine, nobody)
    np.testing.assert_array_equal(found.mask.array, cine.array)
    assert found.told == ""


@pytest.mark.parametrize(
    "turn",
    [[[0, -1], [1, -1], [2, 1]], [[0, 1], [1, 1], [2, -1]], [[1, 1], [2, -1], [0, 1]]],
    ids=["LPS", "upside down", "axes exchanged"],
)
def test_a_mask_that_was_flipped_or_turned_comes_back_on_its_image(tmp_path, heart, turn):
    turned = nib.Nifti1Image(heart.array, heart.affine).as_reoriented(np.array(turn))
    nib.save(turned, tmp_path / "seg.nii.gz")
    found = read_corrected(tmp_path / "seg.nii.gz", heart, nobody)
    np.testing.assert_array_equal(found.mask.array, heart.array)
    np.testing.assert_array_equal(found.mask.affine, heart.affine)


def test_a_mask_of_an_image_whose_axes_were_moved_without_its_header_is_taken(tmp_path, study):
    heart = study.mask
    image = nib.Nifti1Image(study.cine.array.transpose(0, 1, 3, 2).astype(np.int16), heart.affine)  # x y t z
    image.header.set_zooms((*heart.spacing, 0.08))
    nib.save(image, tmp_path / "sa.nii.gz")
    cine = load_image(tmp_path / "sa.nii.gz")
    corrected = np.where(heart.array == 3, 0, heart.array)
    path = save_mask(cine.with_array(corrected), tmp_path / "seg.nii.gz")
    np.testing.assert_array_equal(read_corrected(path, cine, nobody).mask.array, corrected)


def test_a_single_frame_that_was_flipped_comes_back_too(tmp_path, heart):
    frame = nib.Nifti1Image(heart.array[..., 4], heart.affine)
    nib.save(frame.as_reoriented(np.array([[0, -1], [1, -1], [2, 1]])), tmp_path / "seg.nii.gz")
    found = read_corrected(tmp_path / "seg.nii.gz", heart, lambda: heart)
    np.testing.assert_array_equal(found.mask.array, heart.array)
    assert "taken for frame 4" in found.told


def test_a_mask_elsewhere_or_of_another_size_is_refused(tmp_path, cine):
    moved = cine.affine.copy()
    moved[:3, 3] += cine.affine[:3, 0]  # one voxel
    for array, affine, said in (
        (cine.array, np.eye(4), "on another grid than its image .*does not say where it lies"),
        (cine.array, moved, "lies elsewhere than its image: shifted by 1.4 mm"),
        (cine.array[:, :, :2], cine.affine, "6 x 6 x 2 does not fit its image of shape 6 x 6 x 3"),
        (
            np.concatenate([cine.array] * 2, axis=3),
            cine.affine,
            "on another grid than its image .4 frames",
        ),
    ):
        with pytest.raises(DataError, match=f"{said}.*or delete it to have it made again"):
            read_corrected(saved(tmp_path, array, affine), cine, nobody)


def test_other_values_than_labels_are_refused_in_words_of_this_command(tmp_path, cine):
    path = saved(tmp_path, cine.array + 4, cine.affine)
    with pytest.raises(DataError, match="0, 1 LV, 2 MYO, 3 RV") as caught:
        read_corrected(path, cine, nobody)
    assert "--labels" not in str(caught.value)
    assert f"{tmp_path.name}/seg.nii.gz" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("frame", [0, 3, 7])
def test_one_corrected_frame_is_put_where_it_is_most_like_the_model(tmp_path, heart, frame):
    corrected = heart.array[..., frame].copy()
    corrected[corrected == 3] = 0  # a person has taken the RV out
    found = read_corrected(saved(tmp_path, corrected, heart.affine), heart, lambda: heart)
    np.testing.assert_array_equal(found.mask.array[..., frame], corrected)
    others = [t for t in range(10) if t != frame]
    np.testing.assert_array_equal(found.mask.array[..., others], heart.array[..., others])
    assert f"taken for frame {frame}" in found.told


def test_one_frame_that_is_like_none_is_refused(tmp_path, heart):
    path = saved(tmp_path, heart.array[::-1, ..., 0].copy(), heart.affine)
    with pytest.raises(DataError, match="like none of the cine"):
        read_corrected(path, heart, lambda: heart)


def test_frames_that_were_not_contoured_keep_the_mask_of_the_model(tmp_path, heart):
    only_ed = np.where(np.arange(10) == 0, np.minimum(heart.array, 2), 0).astype(np.uint8)
    found = read_corrected(saved(tmp_path, only_ed, heart.affine), heart, lambda: heart)
    np.testing.assert_array_equal(found.mask.array[..., 0], only_ed[..., 0])
    np.testing.assert_array_equal(found.mask.array[..., 1:], heart.array[..., 1:])
    assert "corrected in frame 0" in found.told


def test_a_mask_that_a_person_has_emptied_stays_empty(tmp_path, heart):
    path = saved(tmp_path, np.zeros_like(heart.array), heart.affine)
    assert not read_corrected(path, heart, nobody).mask.array.any()
