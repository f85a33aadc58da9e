"""A study that fails after it was measured: nothing of before looks current."""

import pytest

from cmrseg.examination.outdated import mark_failed
from cmrseg.examination.result import ExaminationResult, is_finished, read_result, write_result


@pytest.fixture
def folder(tmp_path):
    """A finished study."""
    for name in ("seg.nii.gz", "sa.nii.gz"):
        (tmp_path / name).write_bytes(b"kept")
    (tmp_path / "numbers.csv").write_text("EF 60")
    (tmp_path / "dicom_seg").mkdir()
    (tmp_path / "dicom_seg" / "phase_01.dcm").write_bytes(b"first")
    page = '<html>\n<body>\n<a href="../index.html">All studies</a>\n<h1>EF 60</h1></body></html>'
    (tmp_path / "report.html").write_text(page)
    write_result(
        ExaminationResult("digest", "sha", cohort={"study": "S1"}, volumes=({"study": "S1"},)), tmp_path
    )
    return tmp_path


def test_old_numbers_go_with_their_report_which_gets_a_banner(folder):
    mark_failed(folder, "the cine <b>is damaged")
    page = (folder / "report.html").read_text()
    assert "the cine &lt;b&gt;is damaged" in page
    assert "no numbers" in page
    assert "EF 60" not in page
    earlier = (folder / "earlier" / "report.html").read_text()
    assert "<strong>Not current.</strong>" in earlier
    assert 'href="../../index.html"' in earlier
    assert (folder / "earlier" / "numbers.csv").read_text() == "EF 60"
    assert (folder / "earlier" / "dicom_seg" / "phase_01.dcm").exists()
    assert sorted(path.name for path in folder.iterdir()) == [
        "earlier", "report.html", "result.json", "sa.nii.gz", "seg.nii.gz",
    ]  # fmt: skip


def test_its_numbers_are_in_no_table_until_it_is_made_again(folder):
    mark_failed(folder, "why")
    result = read_result(folder)
    assert (result.cohort, list(result.volumes), result.failed) == (None, [], "why")
    assert not is_finished(result, folder, "digest")


def test_a_second_failure_keeps_what_the_first_has_moved(folder):
    mark_failed(folder, "why")
    mark_failed(folder, "another reason")
    assert (folder / "earlier" / "numbers.csv").read_text() == "EF 60"
    assert "another reason" in (folder / "report.html").read_text()


def test_a_later_success_and_failure_replace_what_was_moved(folder):
    mark_failed(folder, "why")
    (folder / "numbers.csv").write_text("EF 55")
    write_result(ExaminationResult("digest", "sha", cohort={"study": "S1"}), folder)
    mark_failed(folder, "why")
    assert (folder / "earlier" / "numbers.csv").read_text() == "EF 55"
    assert not (folder / "earlier" / "dicom_seg").exists()


def test_a_study_without_any_report_is_left_alone(tmp_path):
    mark_failed(tmp_path / "S1", "why")
    assert not (tmp_path / "S1").exists()
