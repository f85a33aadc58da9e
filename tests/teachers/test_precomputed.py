"""Masks made elsewhere: where they are found, what their ids mean, and whose grid they are on."""

from dataclasses import replace

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.data.catalog import load_whole_image, read_catalog
from cmrseg.io.images import save_image, save_mask
from cmrseg.labels import Label
from cmrseg.problems import DataError
from cmrseg.teachers.precomputed import precomputed_teacher

SPACING = (1.4, 1.4, 8.0)
AFFINE = np.diag([*SPACING, 1.0])


def heart():
    """Ring with a right ventricle beside it, two slices and three frames."""
    x, y = np.ogrid[:32, :32]
    r = np.hypot(x - 14, y - 15)
    mask = np.where(r <= 5, 1, np.where(r <= 8, 2, 0)).astype(np.uint8)
    mask[(np.hypot(x - 22, y - 15) <= 5) & (mask == 0)] = 3
    return np.repeat(np.repeat(mask[:, :, None, None], 2, axis=2), 3, axis=3)


@pytest.fixture
def data(tmp_path):
    for name in ("a", "b"):
        save_image(Cine(heart().astype(np.float32), SPACING, AFFINE), tmp_path / "data" / name / "sa.nii.gz")
    return tmp_path / "data"


def teach(data, folder, **more):
    """Mask of the first study."""
    studies = read_catalog(data, masks=False).studies()
    return precomputed_teacher(folder, studies, **more).segment(studies[0], load_whole_image(*studies[0])[0])


def write(folder, name, array=None, affine=AFFINE):
    save_mask(Cine(heart() if array is None else array, SPACING, affine), folder / name)
    return folder


@pytest.mark.parametrize(
    "name",
    ["a/seg_sa.nii.gz", "a/seg.nii.gz", "a/sa_seg.nii.gz", "a/a_seg.nii.gz", "a_seg.nii.gz", "a/seg_sa.nii"],
)
def test_masks_are_found_by_their_usual_names(data, tmp_path, name):
    np.testing.assert_array_equal(teach(data, write(tmp_path / "m", name)).array, heart())


def test_single_frames_are_found_by_the_name_of_the_image(tmp_path):
    frame = heart()[..., :1]
    save_image(Cine(frame.astype(np.float32), SPACING, AFFINE), tmp_path / "in" / "p1_ED.nii.gz")
    mask = teach(tmp_path / "in", write(tmp_path / "m", "p1_ED_seg.nii.gz", frame))
    np.testing.assert_array_equal(mask.array, frame)


def test_slices_in_files_of_their_own_are_found_by_their_names(tmp_path):
    for z in range(2):
        affine = AFFINE.copy()
        affine[2, 3] = SPACING[2] * z
        image = Cine(heart()[:, :, :1].astype(np.float32), SPACING, affine)
        save_image(image, tmp_path / "in" / f"p1_sax_{z}.nii.gz")
        write(tmp_path / "m", f"p1_sax/p1_sax_{z}_seg.nii.gz", heart()[:, :, :1], affine)
    np.testing.assert_array_equal(teach(tmp_path / "in", tmp_path / "m").array, heart())


def test_the_scheme_can_be_named(data, tmp_path):
    acdc = np.array([0, 3, 2, 1], np.uint8)[heart()]
    found = teach(data, write(tmp_path / "m", "a/seg_sa.nii.gz", acdc), labels="acdc")
    np.testing.assert_array_equal(found.array, heart())


def test_ids_of_another_scheme_are_noticed_by_the_anatomy(data, tmp_path):
    acdc = np.array([0, 3, 2, 1], np.uint8)[heart()]
    with pytest.raises(DataError, match="name the scheme with --labels"):
        teach(data, write(tmp_path / "m", "a/seg_sa.nii.gz", acdc))


def test_a_misspelled_scheme_is_told_with_its_near_match(data, tmp_path):
    with pytest.raises(ValueError, match="did you mean acdc"):
        teach(data, write(tmp_path / "m", "a/seg.nii.gz"), labels="acdcc")


def test_the_structures_are_those_of_the_scheme(data, tmp_path):
    folder = write(tmp_path / "m", "a/seg.nii.gz", np.minimum(heart(), 2) % 3)
    studies = read_catalog(data, masks=False).studies()
    assert precomputed_teacher(folder, studies, labels="cmr-seg-tl").structures == ("LV", "MYO")


@pytest.mark.parametrize(
    ("array", "affine"),
    [
        (heart()[:-1], AFFINE),
        (heart()[..., :2], AFFINE),
        (heart(), AFFINE + np.array([[0, 0, 0, 8], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])),
    ],
    ids=["smaller", "fewer frames", "shifted"],
)
def test_a_mask_on_another_grid_is_told(data, tmp_path, array, affine):
    with pytest.raises(DataError, match=r"on another grid|shifted by 8"):
        teach(data, write(tmp_path / "m", "a/seg.nii.gz", array, affine))


def test_a_mask_that_was_saved_mirrored_is_brought_onto_its_image(data, tmp_path):
    mirrored = AFFINE @ np.array([[-1, 0, 0, 31], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    folder = write(tmp_path / "m", "a/seg.nii.gz", heart()[::-1], mirrored)
    np.testing.assert_array_equal(teach(data, folder).array, heart())


def test_a_bare_array_needs_the_shape_only(data, tmp_path):
    bare = Cine(heart(), (np.nan, np.nan, np.nan))
    save_mask(bare, tmp_path / "m" / "a" / "seg.nii.gz")
    assert teach(data, tmp_path / "m").spacing == pytest.approx(SPACING)


def test_a_study_without_mask_is_told_and_the_others_have_theirs(data, tmp_path):
    folder = write(tmp_path / "m", "b/seg.nii.gz")
    studies = read_catalog(data, masks=False).studies()
    teacher = precomputed_teacher(folder, studies)
    assert teacher.notes == (f"1 of 2 studies have no mask in {folder}",)
    first, second = (load_whole_image(*study)[0] for study in studies)
    with pytest.raises(DataError, match=r"no mask in .*a/seg_sa\.nii\.gz"):
        teacher.segment(studies[0], first)
    assert (teacher.segment(studies[1], second).array == Label.RV).any()


def test_ids_outside_the_scheme_are_told(data, tmp_path):
    with pytest.raises(DataError, match=r"label values 7 .*--labels"):
        teach(data, write(tmp_path / "m", "a/seg.nii.gz", np.full_like(heart(), 7)))


def test_a_folder_without_masks_is_told(data, tmp_path):
    with pytest.raises(DataError, match=r"no mask for any study; expected .*a/seg_sa\.nii\.gz"):
        teach(data, write(tmp_path / "m", "other.nii.gz"))


def test_the_checksum_is_of_the_masks(data, tmp_path):
    studies = read_catalog(data, masks=False).studies()
    one = precomputed_teacher(write(tmp_path / "m", "a/seg.nii.gz"), studies)
    same = precomputed_teacher(write(tmp_path / "n", "a/seg.nii.gz"), studies)
    other = precomputed_teacher(write(tmp_path / "o", "a/seg.nii.gz", heart()[::-1]), studies)
    assert one.sha256 == same.sha256 != other.sha256


def test_png_slices_have_a_mask_each(tmp_path):
    image, mask = heart()[:, :, :1, :1], heart()[:, :, :1, :1]
    (tmp_path / "in").mkdir()
    for z in range(2):
        save_mask(replace(Cine(image, SPACING), array=image * 60), tmp_path / "in" / f"p_slice{z}_frame0.png")
        save_mask(Cine(mask, SPACING), tmp_path / "m" / "p" / f"p_slice{z}_frame0_seg.png")
    np.testing.assert_array_equal(teach(tmp_path / "in", tmp_path / "m").array, np.repeat(mask, 2, axis=2))
