"""Cines in several files: slices by their place, phases by their names, and what is nobody's part."""

import nibabel as nib
import numpy as np
import pytest

from cmrseg.data.catalog import load_whole_image, read_catalog
from cmrseg.io.images import load_mask
from cmrseg.predict import ask_about_all
from cmrseg.tasks.segmentation.keeper import MaskKeeper

AFFINE = np.array([[-1.2, 0.6, -6.5, 59], [-1.3, -0.6, 6.0, 63], [0, -1.6, -4.7, 95], [0, 0, 0, 1.0]])
DISTANCE = float(np.linalg.norm(AFFINE[:3, 2]))
CINE = np.random.default_rng(0).integers(0, 200, (8, 9, 4, 5)).astype(np.int16)


def save(path, array, affine):
    image = nib.Nifti1Image(array, affine)
    if array.shape[2] == 1:
        image.header["pixdim"][3] = 6  # a thickness, not the distance of slices
    image.header.set_xyzt_units("mm", "sec")
    path.parent.mkdir(exist_ok=True)
    nib.save(image, path)


def at(z):
    """Affine of a slice."""
    affine = AFFINE.copy()
    affine[:3, 3] += affine[:3, 2] * z
    return affine


def slices(folder, numbers=range(4), name="cine_sax_{}", affine=at):
    for z in numbers:
        save(folder / f"{name.format(10 + z)}.nii.gz", CINE[:, :, z : z + 1], affine(z))
    return folder


def test_slices_are_one_cine_whose_distance_is_that_of_their_places(tmp_path):
    catalog = read_catalog(slices(tmp_path / "in"))
    (study,) = catalog.studies()
    cine, frames = load_whole_image(*study)
    np.testing.assert_array_equal(cine.array, CINE)
    assert frames == list(range(5))
    assert cine.spacing[2] == pytest.approx(DISTANCE, abs=1e-3)
    np.testing.assert_allclose(cine.affine, AFFINE, atol=1e-4)
    assert study[0].subject == "cine_sax"
    assert "4 files are one cine: cine_sax" in catalog.notes


def test_every_slice_gets_its_mask_on_its_own_grid(tmp_path):
    catalog = read_catalog(slices(tmp_path / "in"))
    ask_about_all(
        catalog,
        tmp_path / "out",
        MaskKeeper(tmp_path / "out", labels=("BACKGROUND", "LV")),
        lambda study, cine: cine.with_array((cine.array > 100).astype(np.uint8)),
    )
    for z in range(4):
        mask = tmp_path / "out" / "cine_sax" / f"cine_sax_{10 + z}_seg.nii.gz"
        np.testing.assert_allclose(nib.load(mask).affine, at(z), atol=1e-4)
        image = tmp_path / "in" / f"cine_sax_{10 + z}.nii.gz"
        found = load_mask(mask, "cmrseg", image=image).array
        np.testing.assert_array_equal(found[:, :, 0], CINE[:, :, z] > 100)


def test_a_file_per_slice_and_phase_is_one_cine(tmp_path):
    for z in range(4):
        for t in range(5):
            save(tmp_path / "in" / f"p_sl{z}_t{t}.nii.gz", CINE[:, :, z : z + 1, t], at(z))
    (study,) = read_catalog(tmp_path / "in").cines()
    np.testing.assert_array_equal(load_whole_image(*study)[0].array, CINE)


def test_a_file_per_phase_is_one_subject_and_one_cine(tmp_path):
    for t in range(5):
        save(tmp_path / "in" / f"p1_phase{t:02}.nii.gz", CINE[..., t], AFFINE)
    catalog = read_catalog(tmp_path / "in")
    assert set(catalog.table["subject"]) == {"p1"}
    (study,) = catalog.cines()
    cine, frames = load_whole_image(*study)
    np.testing.assert_array_equal(cine.array, CINE)
    assert frames == list(range(5))


def test_two_patients_in_two_folders_are_two_cines(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        slices(tmp_path / "in" / name)
    assert {study[0].subject for study in read_catalog(tmp_path / "in").studies()} == {
        "a-cine_sax",
        "b-cine_sax",
    }


def test_a_missing_slice_is_a_problem_and_no_cine(tmp_path):
    save(tmp_path / "in" / "other.nii.gz", CINE, AFFINE)
    catalog = read_catalog(slices(tmp_path / "in", (0, 1, 3)))
    assert set(catalog.table["subject"]) == {"other"}
    assert "mm apart, so that some are missing" in catalog.problems[0].extra_info


def test_slices_that_do_not_say_where_they_lie_are_refused(tmp_path):
    save(tmp_path / "in" / "other.nii.gz", CINE, AFFINE)
    catalog = read_catalog(slices(tmp_path / "in", name="slice_{}", affine=lambda z: np.eye(4)))
    assert set(catalog.table["subject"]) == {"other"}
    assert "do not say where it lies" in catalog.problems[0].extra_info


def test_single_slices_of_several_patients_stay_apart_in_words(tmp_path):
    def elsewhere(z):
        affine = at(0)
        affine[:3, 3] += (17 * z, 5 * z * z, 0)
        return affine

    catalog = read_catalog(slices(tmp_path / "in", name="patient{}", affine=elsewhere))
    assert len(catalog.studies()) == 4
    assert any("each is a study of its own" in note for note in catalog.notes)


def test_volumes_of_several_patients_are_not_phases(tmp_path):
    for number in range(3):
        save(tmp_path / "in" / f"patient{number}.nii.gz", CINE[..., number], AFFINE)
    assert len(read_catalog(tmp_path / "in").studies()) == 3
