"""From DICOM to reports: what is written, what is kept, and what is said when something is wrong."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.dataset import Dataset

from cmrseg.curation.run import Options as CurationOptions
from cmrseg.examination.facts import PatientFacts
from cmrseg.examination.files import FILES
from cmrseg.examination.normal_ranges import BUILT_IN, load_ranges
from cmrseg.io.contours import find_contour_files
from cmrseg.io.dicom_seg import read_dicom_segs
from cmrseg.io.images import load_image, load_mask, save_image, save_mask
from cmrseg.labels import Label
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.phantom.dicom import Identity, dicom_datasets, write_datasets
from cmrseg.predict import Options
from cmrseg.problems import DataError, problem_table
from cmrseg.workflows import predict as studies
from cmrseg.workflows.cines import is_dicom_source
from cmrseg.workflows.examination import Clock, Maker, ReportOptions
from cmrseg.workflows.predict import predict_examinations
from cmrseg.zoo.manifest import DEFAULT_MODEL, model_path, resolve
from cmrseg.zoo.model_file import read_model, save_model, with_labels

FAST = ReportOptions(masks=Options(flips=False, runtime="torch"))
STUDY = "S1"


@pytest.fixture(autouse=True)
def _salt(monkeypatch):
    monkeypatch.setenv("CMRSEG_SALT", "of this test")


def datasets(*, seed: int = 0, patient: str = "PID-4711") -> list[Dataset]:
    """A synthetic examination with a heart that beats."""
    spec = PhantomSpec(n_slices=9, n_frames=12, slice_spacing_mm=12.0)
    cine = make_study(spec, SCANNERS["A"], seed).cine
    grey = np.clip(cine.array * 4000 / cine.array.max(), 0, 4095)
    return dicom_datasets(cine.with_array(grey), seed=seed, identity=Identity(patient_id=patient))


def write(instances: Sequence[Dataset], folder: Path) -> Path:
    write_datasets(instances, folder, np.random.default_rng(0))
    return folder


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    return write(datasets(), tmp_path_factory.mktemp("source") / "study")


@pytest.fixture(scope="module")
def finished(dicom, tmp_path_factory):
    """A finished run: folder and what was returned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CMRSEG_SALT", "of this test")
        out = tmp_path_factory.mktemp("finished") / "out"
        return out, predict_examinations(dicom, out, options=FAST)


@pytest.fixture
def out(finished, tmp_path):
    """A copy of the finished run that may be changed."""
    return shutil.copytree(finished[0], tmp_path / "out")


def study_of(out: Path) -> Path:
    (path,) = out.glob("S*/seg.nii.gz")
    return path.parent


def test_masks_of_a_teacher_are_not_replaced(dicom, tmp_path):
    (tmp_path / "teacher.json").write_text("{}")
    with pytest.raises(DataError, match="masks of a teacher"):
        predict_examinations(dicom, tmp_path, options=FAST)
    assert [path.name for path in tmp_path.iterdir()] == ["teacher.json"]


def test_a_study_gets_all_that_was_promised(finished):
    out, run = finished
    folder = study_of(out)
    assert not run.failed
    assert run.problems.empty, run.problems.to_string()
    # Ranges tell of sex and age: they are there where somebody asked.
    assert {name for name in FILES if not (folder / name).exists()} == {"ranges.csv"}
    assert {"cohort.csv", "summary.csv", "volumes.csv", "index.html", "problems.tsv"} <= {
        path.name for path in out.iterdir()
    }
    assert (folder / "report.html").stat().st_size > 50_000
    assert f"{folder.name}/report.html" in (out / "index.html").read_text(encoding="utf-8")


def test_all_tables_tell_the_volumes_of_the_mask(finished):
    out, run = finished
    mask = load_mask(study_of(out) / "seg.nii.gz", "cmrseg")
    ml = np.count_nonzero(mask.array == Label.LV, axis=(0, 1, 2)) * np.prod(mask.spacing) / 1000
    (summary,) = pd.read_csv(out / "summary.csv").to_dict("records")
    (cohort,) = run.cohort.to_dict("records")
    assert ml.max() > 50  # the model has found the heart
    assert summary["EDV_ml"] == pytest.approx(ml[summary["ED_frame"]])
    assert cohort["EDV_ml"] == pytest.approx(summary["EDV_ml"])
    assert cohort["EF_percent"] == pytest.approx(summary["EF_percent"])
    assert pd.read_csv(out / "volumes.csv")["LV_ml"].to_numpy() == pytest.approx(ml)


def test_the_dicom_segmentation_is_the_mask_voxel_by_voxel(finished):
    folder = study_of(finished[0])
    mask = load_mask(folder / "seg.nii.gz", "cmrseg")
    read = read_dicom_segs(folder / "dicom_seg", load_image(folder / "sa.nii.gz"))
    assert mask.array.any()
    np.testing.assert_array_equal(read.array, mask.array)


def test_contours_exist_for_every_image_with_a_ventricle(finished):
    folder = study_of(finished[0])
    mask = load_mask(folder / "seg.nii.gz", "cmrseg").array
    files = find_contour_files(folder / "contours")
    assert len([kind for _, kind in files if kind == "icontour"]) == int((mask == Label.LV).any((0, 1)).sum())


def test_height_weight_and_heart_rate_of_the_headers_give_indexed_values(finished):
    (row,) = finished[1].cohort.to_dict("records")
    surface = np.sqrt(168 * 64 / 3600)
    assert row["EDV_ml_m2"] == pytest.approx(row["EDV_ml"] / surface)


def test_what_the_user_says_counts_before_the_headers(dicom, out):
    facts = PatientFacts(height_m=1.0, weight_kg=36, heart_rate_bpm=100, sex="F", age_years=50)
    told = ReportOptions(FAST.masks, facts=facts, normal=load_ranges(BUILT_IN))
    (row,) = predict_examinations(dicom, out, options=told).cohort.to_dict("records")
    assert row["EDV_ml_m2"] == pytest.approx(row["EDV_ml"])
    assert row["CO_l_min"] == pytest.approx(row["SV_ml"] / 10)
    ranges = pd.read_csv(study_of(out) / "ranges.csv")
    assert ranges["group"].unique().tolist() == ["women, 45 to 74 years"]
    assert ranges["quantity"].tolist() == ["EF", "mass"]


def test_a_second_model_is_asked_and_told(dicom, out):
    mask = (study_of(out) / "seg.nii.gz").read_bytes()
    predict_examinations(dicom, out, options=replace(FAST, second=resolve("light2d_hybrid_acdc_s3")))
    flags = pd.read_csv(study_of(out) / "flags.csv", index_col="check")
    assert "that of light2d_hybrid_acdc_s3 agree by a Dice of 0.9" in flags.loc["two models agree", "reason"]
    assert (study_of(out) / "seg.nii.gz").read_bytes() == mask  # the first model's
    assert "second model" in (study_of(out) / "report.html").read_text(encoding="utf-8")


def test_a_model_is_no_second_opinion_on_itself(dicom, tmp_path):
    with pytest.raises(DataError, match="the second model is the first one"):
        predict_examinations(dicom, tmp_path, options=replace(FAST, second=resolve()))


def test_a_second_run_makes_nothing_again(dicom, out):
    before = {path: path.stat().st_mtime_ns for path in study_of(out).rglob("*")}
    again = predict_examinations(dicom, out, options=FAST)
    assert {path: path.stat().st_mtime_ns for path in study_of(out).rglob("*")} == before
    assert len(again.cohort) == 1


def test_a_corrected_mask_is_kept_and_measured(dicom, out):
    folder = study_of(out)
    mask = load_mask(folder / "seg.nii.gz", "cmrseg")
    corrected = np.where(mask.array == Label.RV, 0, mask.array)
    save_mask(mask.with_array(corrected), folder / "seg.nii.gz")
    for options in (FAST, ReportOptions(masks=Options(flips=False, runtime="torch", heart_crop=False))):
        (row,) = predict_examinations(dicom, out, options=options).cohort.to_dict("records")
        assert np.isnan(row["RV_EDV_ml"])
        np.testing.assert_array_equal(load_mask(folder / "seg.nii.gz", "cmrseg").array, corrected)
    assert "corrected by a person" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_corrected_mask_on_another_grid_is_a_problem_of_its_study(dicom, out):
    folder = study_of(out)
    mask = load_mask(folder / "seg.nii.gz", "cmrseg")
    save_mask(type(mask)(mask.array[:-1], mask.spacing, mask.affine), folder / "seg.nii.gz")
    run = predict_examinations(dicom, out, options=FAST)
    assert "another grid" in run.failed[folder.name]
    assert "another grid" in (folder / "report.html").read_text(encoding="utf-8")
    assert "not current" in (out / "index.html").read_text(encoding="utf-8")
    assert folder.name in set(run.problems["study"])
    assert run.cohort.empty  # no numbers of the mask before
    (folder / "seg.nii.gz").unlink()
    assert len(predict_examinations(dicom, out, options=FAST).cohort) == 1


def test_a_corrected_mask_that_is_deleted_is_made_again(dicom, out):
    folder = study_of(out)
    mask = load_mask(folder / "seg.nii.gz", "cmrseg")
    save_mask(mask.with_array(np.where(mask.array == Label.RV, 0, mask.array)), folder / "seg.nii.gz")
    predict_examinations(dicom, out, options=FAST)
    (folder / "seg.nii.gz").unlink()
    (row,) = predict_examinations(dicom, out, options=FAST).cohort.to_dict("records")
    assert row["RV_EDV_ml"] > 0


def test_a_segmentation_that_a_person_corrected_is_not_called_automatic(dicom, out):
    folder = study_of(out)
    first = folder / "dicom_seg" / "phase_01.dcm"
    assert pydicom.dcmread(first).SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    mask = load_mask(folder / "seg.nii.gz", "cmrseg")
    save_mask(mask.with_array(np.where(mask.array == Label.RV, 0, mask.array)), folder / "seg.nii.gz")
    predict_examinations(dicom, out, options=FAST)
    assert pydicom.dcmread(first).SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_a_mask_without_a_heart_leaves_no_contours_of_the_one_before(dicom, out):
    folder = study_of(out)
    mask = load_mask(folder / "seg.nii.gz", "cmrseg")
    save_mask(mask.with_array(np.zeros_like(mask.array)), folder / "seg.nii.gz")
    run = predict_examinations(dicom, out, options=FAST)
    assert not (folder / "cvi42.cvi42wsx").exists()
    assert not list((folder / "contours").glob("*.txt"))
    tables = [pd.read_csv(out / f"{name}.csv") for name in ("cohort", "summary")]
    assert all(table["EDV_ml"].isna().all() and table["MYO_mass_g"].isna().all() for table in tables)
    assert not run.failed


def test_a_mask_of_unknown_origin_is_put_aside_with_a_word(dicom, out):
    folder = study_of(out)
    for record in ("result.json", "masks.json"):
        (folder / record).unlink()
    (folder / "seg.nii.gz").write_bytes(b"somebody's work")
    run = predict_examinations(dicom, out, options=FAST)
    assert (folder / "seg_before_1.nii.gz").read_bytes() == b"somebody's work"
    assert load_mask(folder / "seg.nii.gz", "cmrseg").array.any()
    assert "seg_before_1.nii.gz" in set(run.problems["image"])


def test_a_run_that_is_killed_does_not_take_its_own_mask_for_a_corrected_one(dicom, out, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    other = ReportOptions(masks=Options(flips=False, runtime="torch", pieces="all"))
    with monkeypatch.context() as patch:
        patch.setattr("cmrseg.workflows.examination.write_result", killed)
        with pytest.raises(KeyboardInterrupt):
            predict_examinations(dicom, out, options=other)
    predict_examinations(dicom, out, options=other)
    assert not json.loads((study_of(out) / "result.json").read_text())["corrected"]


def test_to_go_on_is_no_other_setting(dicom, out):
    record = study_of(out) / "result.json"
    before = record.stat().st_mtime_ns
    predict_examinations(
        dicom, out, options=ReportOptions(masks=Options(flips=False, runtime="torch", resume=True))
    )
    assert record.stat().st_mtime_ns == before


def test_files_of_another_program_are_put_aside(dicom, tmp_path):
    for name in ("index.html", "summary.csv"):
        (tmp_path / name).write_text("mine")
    predict_examinations(dicom, tmp_path, options=FAST)
    assert (tmp_path / "index_before_1.html").read_text() == "mine"
    assert (tmp_path / "summary_before_1.csv").read_text() == "mine"
    predict_examinations(dicom, tmp_path, options=FAST)
    assert not list(tmp_path.glob("*_before_2*"))


def test_height_and_weight_are_those_of_one_patient(dicom, tmp_path):
    source = shutil.copytree(dicom, tmp_path / "source")
    write(datasets(seed=5, patient="P9"), source / "second")
    told = ReportOptions(FAST.masks, facts=PatientFacts(height_m=1.8))
    with pytest.raises(DataError, match="one patient, and the source holds 2"):
        predict_examinations(source, tmp_path / "out", options=told)


def test_a_structure_that_the_model_does_not_know_is_unknown_not_nothing(dicom, tmp_path):
    model = with_labels(read_model(model_path(DEFAULT_MODEL)), ("BACKGROUND", "LV", "MYO"))
    path = save_model(model.spec, model.net.state_dict(), tmp_path / "left.safetensors")
    run = predict_examinations(dicom, tmp_path / "out", model=path, options=FAST)
    assert not run.failed
    assert pd.read_csv(tmp_path / "out" / "volumes.csv")["RV_ml"].isna().all()
    assert pd.read_csv(study_of(tmp_path / "out") / "curves.csv")["RV_ml"].isna().all()


def test_other_settings_make_the_mask_again(dicom, out):
    record = study_of(out) / "result.json"
    before = json.loads(record.read_text())["digest"]
    predict_examinations(
        dicom,
        out,
        options=ReportOptions(masks=Options(flips=False, runtime="torch", pieces="all")),
    )
    assert json.loads(record.read_text())["digest"] != before


def test_a_failure_of_an_earlier_run_does_not_blame_a_later_one(dicom, out, tmp_path):
    other = datasets(seed=5, patient="P9")
    place = other[0].ImagePositionPatient
    one_slice = write([d for d in other if d.ImagePositionPatient == place], tmp_path / "one slice")
    failed = predict_examinations(one_slice, out, options=FAST).failed
    assert len(failed) == 1
    assert not predict_examinations(dicom, out, options=FAST).failed
    assert next(iter(failed)) in (out / "index.html").read_text(encoding="utf-8")


def test_the_table_grows_with_every_source(out, tmp_path):
    other = write(datasets(seed=3, patient="P2"), tmp_path / "other")
    run = predict_examinations(other, out, options=FAST)
    assert len(run.studies) == 1
    assert len(run.cohort) == len(pd.read_csv(out / "summary.csv")) == 2


def test_a_study_that_cannot_be_used_does_not_stop_the_others(dicom, tmp_path):
    source = shutil.copytree(dicom, tmp_path / "source")
    second = datasets(seed=5, patient="P9")
    place = second[0].ImagePositionPatient
    write([d for d in second if d.ImagePositionPatient == place], source / "one slice")
    run = predict_examinations(source, tmp_path / "out", options=FAST)
    assert len(run.studies) == len(run.failed) == 1
    (reason,) = run.failed.values()
    assert reason
    assert reason[:30] in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_an_unexpected_error_is_a_problem_of_its_study(dicom, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("of this test")

    monkeypatch.delenv("CMRSEG_DEBUG", raising=False)
    monkeypatch.setattr("cmrseg.examination.context.analyse", broken)
    run = predict_examinations(dicom, tmp_path / "out", options=FAST)
    assert "unexpected RuntimeError" in next(iter(run.failed.values()))
    monkeypatch.undo()
    monkeypatch.setenv("CMRSEG_SALT", "of this test")
    assert len(predict_examinations(dicom, tmp_path / "out", options=FAST).cohort) == 1


def test_nothing_that_is_written_tells_who_the_patient_is(finished, dicom):
    someone = Identity()
    secrets = {someone.patient_id, "Mustermann", someone.birth_date, someone.accession, "Beispiel"}
    for path in finished[0].rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not [s for s in secrets if s.encode() in content or s in path.name], path


def test_with_ids_an_archive_can_file_the_segmentation_under_the_patient(dicom, tmp_path):
    options = ReportOptions(FAST.masks, CurationOptions(keep_ids=True))
    predict_examinations(dicom, tmp_path / "out", options=options)
    (first,) = tmp_path.glob("out/*/dicom_seg/phase_01.dcm")
    assert pydicom.dcmread(first).PatientID == Identity().patient_id


def test_a_corrected_mask_comes_along_when_its_study_gets_another_name(dicom, out):
    folder = study_of(out)
    mask = load_mask(folder / "seg.nii.gz", "cmrseg")
    save_mask(mask.with_array(np.where(mask.array == Label.RV, 0, mask.array)), folder / "seg.nii.gz")
    for keep_ids, name in ((True, Identity().patient_id), (False, folder.name)):
        options = ReportOptions(FAST.masks, CurationOptions(keep_ids=keep_ids))
        (row,) = predict_examinations(dicom, out, options=options).cohort.to_dict("records")
        assert row["study"] == name
        assert np.isnan(row["RV_EDV_ml"])
        assert [path.parent.name for path in out.glob("*/seg.nii.gz")] == [name]
    assert not [
        path
        for path in out.rglob("*.*")
        if path.is_file() and Identity().patient_id.encode() in path.read_bytes()
    ]


def test_a_source_without_images_is_refused(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.dcm").write_text("no image")
    with pytest.raises(DataError, match="no MR image"):
        predict_examinations(tmp_path / "source", tmp_path / "out", options=FAST)


def test_dicom_is_told_from_data_sets(dicom, finished, tmp_path):
    assert is_dicom_source(dicom)
    assert is_dicom_source(next(path for path in dicom.rglob("*") if path.is_file()))
    assert not is_dicom_source(finished[0])  # curated cines with DICOM segmentations beside them
    mixed = shutil.copytree(dicom, tmp_path / "mixed")
    (mixed / "preview.png").write_bytes(b"png")
    assert is_dicom_source(mixed)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "one.png").write_bytes(b"png")
    assert not is_dicom_source(tmp_path / "pictures")
    assert not is_dicom_source(tmp_path / "missing")


def test_cines_of_a_data_set_get_a_report_too(finished, tmp_path):
    run = predict_examinations(finished[0], tmp_path / "out", options=FAST)
    (study,) = run.studies
    assert run.cohort["EF_percent"].item() == pytest.approx(finished[1].cohort["EF_percent"].item())
    assert (tmp_path / "out" / study / "report.html").exists()
    assert not (tmp_path / "out" / study / "dicom_seg").exists()
    assert run.problems.empty, run.problems.to_string()  # there is no DICOM to miss


def test_reports_within_a_data_set_leave_its_cines_alone(finished, tmp_path):
    cine = tmp_path / "data" / "p1" / "sa.nii.gz"
    cine.parent.mkdir(parents=True)
    shutil.copy(study_of(finished[0]) / "sa.nii.gz", cine)
    before = cine.read_bytes()
    run = predict_examinations(tmp_path / "data", tmp_path / "data", options=FAST)
    assert len(run.studies) == 1
    assert cine.read_bytes() == before


def test_a_cine_that_cannot_be_read_any_more_leaves_no_current_report(finished, out, tmp_path):
    cine, name = tmp_path / "data" / study_of(out).name / "sa.nii.gz", study_of(out).name
    cine.parent.mkdir(parents=True)
    cine.write_bytes((study_of(out) / "sa.nii.gz").read_bytes()[:100])
    for _ in range(2):
        run = predict_examinations(tmp_path / "data", out, options=FAST)
        assert list(run.failed) == [name]
        assert run.cohort.empty
        assert "no numbers" in (out / name / "report.html").read_text(encoding="utf-8")
    assert "Not current" in (out / name / "earlier" / "report.html").read_text(encoding="utf-8")


def test_single_frames_are_no_cine(tmp_path):
    study = make_study(PhantomSpec(n_slices=9, n_frames=2, slice_spacing_mm=12.0), SCANNERS["A"], 0)
    for t in range(2):
        frame = type(study.cine)(study.cine.array[..., t : t + 1], study.cine.spacing, study.cine.affine)
        save_image(frame, tmp_path / "data" / "p1" / f"p1_frame{t:02}.nii.gz")
    run = predict_examinations(tmp_path / "data", tmp_path / "out", options=FAST)
    assert not run.studies
    assert run.failed
    assert all("no cine" in reason for reason in run.failed.values())


def test_what_a_study_leaves_behind_is_gone_before_the_next(monkeypatch, tmp_path):
    class Figure:
        def __init__(self):
            self.canvas = self

    alive, seen = weakref.WeakSet(), []

    def report(*_):
        seen.append(len(alive))
        alive.add(Figure())
        return SimpleNamespace(cohort=None)

    monkeypatch.setattr(studies, "report_study", report)
    maker = Maker(None, {}, None, ReportOptions(), Clock(), None)
    given = SimpleNamespace(planes={"a": {}, "b": {}, "c": {}}, problems=problem_table([]))
    gc.disable()
    try:
        made = list(studies._make_studies(given, tmp_path, maker, lambda *_: None))
    finally:
        gc.enable()
    assert [one.problem for one in made] == [None, None, None]
    assert seen == [0, 0, 0]
