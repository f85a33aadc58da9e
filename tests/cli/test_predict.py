"""What a person sees who names a DICOM folder."""

import os
import stat

import numpy as np
import pytest

from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.phantom.dicom import dicom_datasets, write_datasets
from tests.cli.conftest import assert_one_sentence

CHEAP = ("--fast", "--runtime", "torch")


@pytest.fixture(scope="module")
def instances():
    spec = PhantomSpec(n_slices=9, n_frames=10, slice_spacing_mm=12.0)
    cine = make_study(spec, SCANNERS["A"], 0).cine
    return dicom_datasets(cine.with_array(np.clip(cine.array * 4000 / cine.array.max(), 0, 4095)))


@pytest.fixture(scope="module")
def dicom(instances, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom") / "study"
    write_datasets(instances, folder, np.random.default_rng(0))
    return folder


def test_one_command_leads_to_a_report(cmrseg, dicom, tmp_path):
    code, said, complaint = cmrseg("predict", dicom, tmp_path / "out", "--weight-kg", 70, *CHEAP)
    assert (code, complaint) == (0, "")
    assert "EDV_ml" in said
    (report,) = tmp_path.glob("out/*/report.html")
    assert f"report: {report}" in said.replace("\n", "")
    assert "Mustermann" not in said


def test_a_folder_without_a_short_axis_cine(cmrseg, instances, tmp_path):
    one_place = [d for d in instances if d.ImagePositionPatient == instances[0].ImagePositionPatient]
    write_datasets(one_place, tmp_path / "source", np.random.default_rng(0))
    code, said, complaint = cmrseg("predict", tmp_path / "source", tmp_path / "out", *CHEAP)
    assert code == 1
    assert "error: 1 study(s) have no numbers" in complaint
    assert "slice" in said  # the reason
    assert (tmp_path / "out" / "index.html").exists()


def test_a_damaged_image_is_told_and_the_study_goes_on(cmrseg, dicom, instances, tmp_path):
    files = write_datasets(instances, tmp_path / "source", np.random.default_rng(0))
    files[5].write_bytes(files[5].read_bytes()[:2000])
    code, said, complaint = cmrseg("predict", tmp_path / "source", tmp_path / "out", *CHEAP)
    assert code == 1
    assert "EDV_ml" in said
    assert "problems.tsv" in complaint


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_an_output_folder_that_cannot_be_written(cmrseg, dicom, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert_one_sentence(cmrseg("predict", dicom, tmp_path / "out", *CHEAP), tmp_path / "out")


def test_an_output_that_is_a_file(cmrseg, dicom, tmp_path):
    (tmp_path / "out").write_text("mine")
    assert_one_sentence(cmrseg("predict", dicom, tmp_path / "out", *CHEAP), "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_missing_source(cmrseg, tmp_path):
    assert_one_sentence(cmrseg("predict", tmp_path / "nowhere", tmp_path / "out"), "nowhere")


def test_an_empty_source(cmrseg, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_one_sentence(cmrseg("predict", tmp_path / "empty", tmp_path / "out"), "empty")


def test_splits_belong_to_data_sets(cmrseg, dicom, tmp_path):
    code, _, complaint = cmrseg("predict", dicom, tmp_path / "out", "--split", "test")
    assert code == 2
    assert "no splits" in complaint


def test_a_runtime_that_does_not_exist(cmrseg, dicom, tmp_path):
    assert_one_sentence(cmrseg("predict", dicom, tmp_path / "out", "--runtime", "tpu"), "tpu")


def test_images_that_are_all_damaged(cmrseg, instances, tmp_path):
    for path in write_datasets(instances[:3], tmp_path / "source", np.random.default_rng(0)):
        path.write_bytes(path.read_bytes()[:1200])
    code, _, complaint = cmrseg("predict", tmp_path / "source", tmp_path / "out", *CHEAP)
    assert code == 1
    assert "error: no study has been read; 3 image(s) are damaged" in complaint
