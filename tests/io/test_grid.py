"""Headers that contradict themselves: what is unset or of another unit loses, the rest is refused."""

import nibabel as nib
import numpy as np
import pytest

from cmrseg.io.grid import Grid
from cmrseg.io.images import load_image, load_mask, read_grid, save_mask
from cmrseg.problems import DataError

SFORM = np.array([[0, -1.8, 0, 10], [1.8, 0, 0, -20], [0, 0, 10, 30], [0, 0, 0, 1.0]])


def nifti(path, array, affine=SFORM, pixdim=None, codes=(2, 0), step=1.0):
    """A file whose pixdim may contradict its affine."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["sform_code"], image.header["qform_code"] = codes
    if pixdim is not None:
        image.header["pixdim"][1:4] = pixdim
    image.header["pixdim"][4] = step
    path.write_bytes(image.header.binaryblock + bytes(4) + np.asarray(array).tobytes(order="F"))
    raw = bytearray(path.read_bytes())
    raw[108:112] = np.float32(352).tobytes()
    path.write_bytes(raw)
    return path


def volume(*shape):
    return np.random.default_rng(0).integers(0, 200, shape).astype(np.int16)


@pytest.mark.parametrize("pixdim", [(1, 1, 1), (0, 0, 0), (1800, 1800, 10000), (0.0018, 0.0018, 0.01)])
def test_a_pixdim_that_is_unset_or_of_another_unit_loses_in_words(tmp_path, pixdim):
    grid = read_grid(nifti(tmp_path / "a.nii", volume(20, 24, 6), pixdim=pixdim))
    assert grid.spacing == pytest.approx((1.8, 1.8, 10))
    assert grid.is_placed
    assert "1.8 x 1.8 x 10 mm: that of the sform counts" in grid.notes[0]


@pytest.mark.parametrize("pixdim", [(0.9, 0.9, 5), (1.8, 1.8, 8), (1.8, 1.8, 10.2)])
def test_two_spacings_of_which_neither_is_a_slip_are_refused_with_both(tmp_path, pixdim):
    path = nifti(tmp_path / "a.nii", volume(20, 24, 6), pixdim=pixdim)
    told = rf"a\.nii: pixdim says .* x {pixdim[2]:g} mm, the sform 1\.8 x 1\.8 x 10 mm"
    with pytest.raises(DataError, match=told):
        read_grid(path)


def test_rounding_of_a_header_is_no_contradiction(tmp_path):
    grid = read_grid(nifti(tmp_path / "a.nii", volume(20, 24, 6), pixdim=(1.81, 1.8, 9.95)))
    assert grid.spacing == pytest.approx((1.81, 1.8, 9.95))
    assert grid.notes == ()


def test_an_sform_of_ones_says_nothing(tmp_path):
    grid = read_grid(nifti(tmp_path / "a.nii", volume(20, 24, 6), np.eye(4), pixdim=(1.4, 1.4, 8)))
    assert grid.spacing == pytest.approx((1.4, 1.4, 8))
    assert not grid.is_placed


@pytest.mark.parametrize("codes", [(0, 0), (0, 1)])
def test_without_an_sform_pixdim_counts(tmp_path, codes):
    grid = read_grid(nifti(tmp_path / "a.nii", volume(20, 24, 6), pixdim=(1.4, 1.4, 8), codes=codes))
    assert grid.spacing == pytest.approx((1.4, 1.4, 8))
    assert grid.is_placed == (codes == (0, 1))


@pytest.mark.parametrize("bad", [(1e-30, 1e-30, 1e-30), (500, 500, 5000)])
def test_a_spacing_of_no_heart_is_refused(tmp_path, bad):
    with pytest.raises(DataError, match="none of a heart's image"):
        read_grid(nifti(tmp_path / "a.nii", volume(20, 24, 6), pixdim=bad, codes=(0, 0)))


@pytest.mark.parametrize(("step", "has_times"), [(0.05, True), (0.001, False), (1.0, False)])
def test_times_that_are_no_heart_beat_are_left_empty_with_a_note(tmp_path, step, has_times):
    grid = read_grid(nifti(tmp_path / "a.nii", volume(20, 24, 6, 12), step=step))
    assert bool(grid.frame_times_ms) == has_times
    assert any("no heart beat" in note for note in grid.notes) != has_times


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (2, 0, 1, 3), (0, 2, 1, 3), (0, 1, 3, 2)])
def test_a_mask_is_written_in_the_order_and_with_the_header_of_its_image(tmp_path, axes):
    x, y, z, t = 40, 44, 8, 12
    array = volume(x, y, z, 1) + np.round(5 * np.sin(np.arange(t))).astype(np.int16)
    moved = axes[3] == 3
    affine = SFORM[:, [*axes[:3], 3]] if moved else SFORM
    path = nifti(tmp_path / "a.nii", array.transpose(axes), affine, step=0.08)
    cine = load_image(path)
    np.testing.assert_array_equal(cine.array, array)
    assert cine.spacing == pytest.approx((1.8, 1.8, 10))
    labels = (array > 150).astype(np.uint8)
    written = nib.load(save_mask(cine.with_array(labels), tmp_path / "m.nii.gz"))
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels.transpose(axes))
    np.testing.assert_allclose(written.affine, nib.load(path).affine)
    np.testing.assert_allclose(written.header["pixdim"], nib.load(path).header["pixdim"])
    back = load_mask(tmp_path / "m.nii.gz", "cmrseg", image=path)
    np.testing.assert_array_equal(back.array, labels)


@pytest.mark.parametrize("axes", [(2, 0, 1, 3), (0, 2, 1, 3), (0, 1, 3, 2)])
def test_a_mask_of_an_image_whose_header_was_forgotten_is_written_and_comes_back(tmp_path, axes):
    still = volume(40, 44, 8, 1)
    array = still + np.round(5 * np.sin(np.arange(12))).astype(np.int16)
    image = nifti(tmp_path / "a.nii", array.transpose(axes), step=0.08)
    cine = load_image(image)
    assert cine.spacing == pytest.approx((1.8, 1.8, 10))
    labels = (array > 150).astype(np.uint8)
    path = save_mask(cine.with_array(labels), tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj), labels.transpose(axes))
    assert read_grid(path).spacing == cine.spacing
    np.testing.assert_array_equal(load_mask(path, "cmrseg", image=image).array, labels)
    assert not Grid.of(cine).is_placed


def test_a_mask_with_the_header_of_its_image_has_its_axes_whatever_the_labels(tmp_path):
    axes, array = (2, 0, 1, 3), volume(40, 44, 8, 1) + np.round(5 * np.sin(np.arange(12))).astype(np.int16)
    image = nifti(tmp_path / "a.nii", array.transpose(axes), step=0.08)
    labels = np.random.default_rng(1).integers(0, 2, array.shape).astype(np.uint8)  # no two frames are alike
    path = save_mask(load_image(image).with_array(labels), tmp_path / "m.nii")
    with pytest.raises(DataError, match="cannot be told"):
        read_grid(path)
    np.testing.assert_array_equal(load_mask(path, "cmrseg", image=image).array, labels)


def test_no_text_of_a_header_goes_into_a_mask(tmp_path):
    image = nib.Nifti1Image(volume(20, 24, 6), SFORM)
    for name in ("descrip", "db_name", "aux_file", "intent_name", "data_type"):
        image.header[name] = b"Mustermann"
    nib.save(image, tmp_path / "a.nii")
    cine = load_image(tmp_path / "a.nii")
    path = save_mask(cine.with_array(np.zeros_like(cine.array)), tmp_path / "m.nii")
    assert b"Mustermann" not in path.read_bytes()
    assert nib.load(path).header["magic"] == b"n+1"


def test_a_spacing_that_a_table_knows_better_is_written(tmp_path):
    from dataclasses import replace

    cine = load_image(nifti(tmp_path / "a.nii", volume(20, 24, 6), np.eye(4), pixdim=(1, 1, 1)))
    known = replace(cine, spacing=(1.4, 1.4, 8.0), array=np.zeros_like(cine.array))
    assert read_grid(save_mask(known, tmp_path / "m.nii.gz")).spacing == pytest.approx((1.4, 1.4, 8))


def test_vectors_are_refused(tmp_path):
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(np.zeros((8, 8, 2, 1, 3), np.float32), SFORM)
    image.header.set_intent("vector")
    nib.save(image, path)
    with pytest.raises(DataError, match="holds vectors"):
        read_grid(path)
