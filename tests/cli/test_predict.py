"""What a person sees who names a DICOM folder."""

import os
import stat

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.io.images import save_image
from cmrseg.io.own_masks import read_own_masks
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.phantom.dicom import dicom_datasets, write_datasets
from cmrseg.predict import AS_PUBLISHED, DEFAULT_MODEL
from cmrseg.predict.runs import settings_digest
from cmrseg.zoo.manifest import resolve
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


def test_masks_as_published_are_noted_so_that_resuming_tells_them_from_others(cmrseg, tmp_path):
    image = Cine(np.random.default_rng(0).random((64, 64, 1, 1)).astype(np.float32), (1.5, 1.5, 8.0))
    save_image(image, tmp_path / "in" / "a.nii.gz")
    command = ("predict", tmp_path / "in", tmp_path / "out", "--runtime", "torch")
    assert cmrseg(*command, "--as-published")[0] == 0
    mask = read_own_masks(tmp_path / "out" / "a")["a_seg.nii.gz"]
    assert mask.source == settings_digest(resolve(DEFAULT_MODEL), AS_PUBLISHED)
    assert "other settings" not in cmrseg(*command, "--as-published", "--resume")[1]
    assert "other settings" in cmrseg(*command, "--resume")[1]


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


def test_rules_that_are_none(cmrseg, dicom, tmp_path):
    (tmp_path / "rules.toml").write_text("study_patern = 'x'")
    assert_one_sentence(
        cmrseg("predict", dicom, tmp_path / "out", "--rules", tmp_path / "rules.toml"), "study_pattern"
    )


def test_rules_are_taken(cmrseg, dicom, tmp_path):
    (tmp_path / "rules.toml").write_text("min_slices = 30")
    code, said, _ = cmrseg("predict", dicom, tmp_path / "out", "--rules", tmp_path / "rules.toml", *CHEAP)
    assert code == 1
    assert "at least 30 parallel" in " ".join(said.split())
