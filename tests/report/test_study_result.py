import json

import nibabel as nib
import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.io.checksum import sha256_of
from cmrseg.problems import DataError, Problem
from cmrseg.report.study_result import (
    StudyResult,
    is_corrected,
    is_finished,
    put_aside,
    read_corrected,
    read_result,
    write_result,
)


@pytest.fixture
def folder(tmp_path):
    """A finished study."""
    (tmp_path / "seg.nii.gz").write_bytes(b"mask")
    (tmp_path / "report.html").write_text("report")
    problem = Problem("S1", "no contours", "left out", extra_info="why")
    mask = sha256_of([tmp_path / "seg.nii.gz"])
    write_result(StudyResult("digest", mask, cohort={"study": "S1"}, problems=(problem,)), tmp_path)
    return tmp_path


def test_a_result_is_read_as_it_was_written(folder):
    result = read_result(folder)
    assert result.cohort == {"study": "S1"}
    assert result.problems[0].extra_info == "why"
    assert is_finished(result, folder, "digest")


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"digest": 1}), json.dumps({"problems": [1]})])
def test_a_damaged_result_counts_as_none(folder, text):
    (folder / "result.json").write_text(text)
    assert read_result(folder) is None


def test_a_result_of_another_version_still_tells_of_a_corrected_mask(folder):
    told = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**told, "corrected": True, "of a later version": 1}))
    assert read_result(folder).corrected


@pytest.mark.parametrize("lost", ["seg.nii.gz", "report.html"])
def test_a_study_without_its_files_is_not_finished(folder, lost):
    (folder / lost).unlink()
    assert not is_finished(read_result(folder), folder, "digest")


def test_another_digest_is_another_study(folder):
    assert not is_finished(read_result(folder), folder, "other")


def test_a_changed_mask_is_noticed(folder):
    result = read_result(folder)
    assert not is_corrected(result, folder)
    (folder / "seg.nii.gz").write_bytes(b"better")
    assert is_corrected(result, folder)
    assert not is_finished(result, folder, "digest")


def test_masks_that_are_put_aside_never_overwrite_each_other(folder):
    for content in (b"first", b"second"):
        (folder / "seg.nii.gz").write_bytes(content)
        put_aside(folder / "seg.nii.gz")
    assert [path.read_bytes() for path in sorted(folder.glob("seg_before_?.nii.gz"))] == [b"first", b"second"]
    assert put_aside(folder / "seg.nii.gz") is None


@pytest.fixture
def cine():
    """A mask of a stack that lies askew."""
    rng = np.random.default_rng(0)
    affine = np.array([[1.4, 0.3, 2, -80], [-0.3, 1.4, 1, 20], [0.2, 0.4, 9, 5], [0, 0, 0, 1.0]])
    return Cine(rng.integers(0, 4, (6, 6, 3, 2), np.uint8), (1.4, 1.4, 9.0), affine)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_the_rounding_of_an_editor_is_forgiven(tmp_path, cine, dtype):
    nib.save(nib.Nifti1Image(cine.array.astype(dtype), cine.affine.round(2)), tmp_path / "seg.nii.gz")
    np.testing.assert_array_equal(read_corrected(tmp_path, cine).array, cine.array)


def test_a_mask_elsewhere_or_without_all_frames_is_refused(tmp_path, cine):
    mask = nib.Nifti1Image(cine.array, cine.affine)
    moved = cine.affine.copy()
    moved[:3, 3] += cine.affine[:3, 0]  # one voxel
    for changed in (
        nib.Nifti1Image(cine.array, np.eye(4)),
        nib.Nifti1Image(cine.array, moved),
        nib.Nifti1Image(cine.array[..., 0], cine.affine),
        mask.as_reoriented(np.array([[0, -1], [1, 1], [2, 1]])),
    ):
        nib.save(changed, tmp_path / "seg.nii.gz")
        with pytest.raises(DataError, match="another grid"):
            read_corrected(tmp_path, cine)


def test_other_values_than_labels_are_refused_in_words_of_this_command(tmp_path, cine):
    nib.save(nib.Nifti1Image(cine.array + 4, cine.affine), tmp_path / "seg.nii.gz")
    with pytest.raises(DataError, match="0, 1 LV, 2 MYO, 3 RV") as caught:
        read_corrected(tmp_path, cine)
    assert "--labels" not in str(caught.value)
