import json
from dataclasses import replace

import pytest

from cmrseg.examination.result import ExaminationResult, is_corrected, is_finished, read_result, write_result
from cmrseg.io.checksum import sha256_of
from cmrseg.problems import Problem


@pytest.fixture
def folder(tmp_path):
    """A finished study."""
    (tmp_path / "seg.nii.gz").write_bytes(b"mask")
    (tmp_path / "report.html").write_text("report")
    problem = Problem("S1", "no contours", "left out", extra_info="why")
    mask = sha256_of([tmp_path / "seg.nii.gz"])
    write_result(ExaminationResult("digest", mask, cohort={"study": "S1"}, problems=(problem,)), tmp_path)
    return tmp_path


def test_a_result_is_read_as_it_was_written(folder):
    result = read_result(folder)
    assert result.cohort == {"study": "S1"}
    assert result.problems[0].extra_info == "why"
    result = replace(result, context={})
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
