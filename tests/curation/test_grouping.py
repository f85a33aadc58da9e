"""Whose heart it is: UIDs that are made up, and identities that say nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from cmrseg.cine import Cine
from cmrseg.curation.rules import Rules
from cmrseg.curation.run import Options, curate
from cmrseg.io.images import load_image
from cmrseg.phantom.dicom import Acquisition, Identity, dicom_datasets
from cmrseg.phantom.faults import inject
from cmrseg.phantom.instances import new_uid

SHAPE = (14, 12, 6, 6)
AXES = {"same": (0.0, (0, 0, 0)), "moved": (0.0, (2.0, -3.0, 1.9)), "tilted": (6.0, (0, 0, 0))}
Change = Callable[[Dataset, int, int], None]  # of one image of a patient


@pytest.fixture(autouse=True)
def _salt(monkeypatch):
    monkeypatch.setenv("CMRSEG_SALT", "of this test")


def cine(patient: int, place: str = "same") -> Cine:
    turn, shift = AXES[place if patient else "same"]
    normal = np.array([-0.65, 0.60, -0.47])
    turn = np.deg2rad(turn)
    normal[:2] = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ normal[:2]
    normal /= np.linalg.norm(normal)
    row = np.cross([0.1, 0.3, 0.9], normal)
    row /= np.linalg.norm(row)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * 6, np.cross(normal, row) * 6, normal * 8], axis=1)
    affine[:3, 3] = shift
    array = np.random.default_rng(patient).integers(0, 4000, SHAPE).astype(float)
    return Cine(array, (6.0, 6.0, 8.0), affine, tuple(150.0 * t for t in range(SHAPE[3])))


def patient(number: int, *, style: str = "siemens", place: str = "same", **details) -> list[Dataset]:
    """One examination whose headers say nothing of whose it is."""
    start = Acquisition(start_s=120.0 + 7 * number)
    told = {"name": "ANON", "patient_id": "ANON"} | details
    found = dicom_datasets(
        cine(number, place), style=style, identity=Identity(**told), seed=number, acquisition=start
    )
    for image in found:
        image.StudyInstanceUID = ""
        image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = ""
    return found


def write(images: Sequence[Dataset], folder: Path, name: Callable[[int, Dataset], str] | None = None) -> None:
    for number, image in enumerate(images):
        path = folder / (name(number, image) if name else f"{number:04}")
        path.parent.mkdir(parents=True, exist_ok=True)
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.save_as(path, enforce_file_format=True)


def hearts(tmp_path: Path, among: int = 3) -> tuple[list[object], list[str], list[str]]:
    """Numbers of the patients whose cines came out (None: nobody's), why others did not, and the notes."""
    run = curate(tmp_path / "source", tmp_path / "out")
    known = {cine(number).array.astype(int).tobytes(): number for number in range(among)}
    arrays = [load_image(path).array for path in sorted((tmp_path / "out").glob("*/sa.nii.gz"))]
    found = [known.get(np.rint(array).astype(int).tobytes()) for array in arrays]
    return sorted(found, key=str), run.studies.query("status != 'ok'")["reason"].tolist(), run.notes


# Identities that say nothing


@pytest.mark.parametrize("style", ["siemens", "ge", "enhanced"])
@pytest.mark.parametrize("place", ["same", "moved", "tilted"])
def test_two_patients_of_no_name_are_two_examinations(tmp_path, style, place):
    for number in range(2):
        write(patient(number, style=style, place=place), tmp_path / "source" / f"p{number}")
    assert hearts(tmp_path)[:2] == ([0, 1], [])


@pytest.mark.parametrize("who", ["", "0", "ANONYMOUS", "REMOVED", "X", "None", "Patient"])
def test_three_patients_of_no_name_are_three(tmp_path, who):
    for number in range(3):
        images = patient(number, place="moved", patient_id=who)
        for image in images:
            image.FrameOfReferenceUID = ""
        write(images, tmp_path / "source" / "nested" / f"p{number}", lambda n, i: f"s{i.SeriesNumber}/{n:04}")
    assert hearts(tmp_path)[:2] == ([0, 1, 2], [])


@pytest.mark.parametrize("uid", ["0", "1.2.3", "0.0.0.0.0.0.0.0", "1.2.826.0.1.3680043.8.498.1"])
def test_one_study_uid_for_everybody_says_nothing(tmp_path, uid):
    for number in range(2):
        images = patient(number, style="ge")
        for image in images:
            image.StudyInstanceUID, image.FrameOfReferenceUID = uid, ""
        write(images, tmp_path / "source", lambda n, _, number=number: f"{'AB'[number]}{n:04}")
    found, failed, notes = hearts(tmp_path)
    assert (found, failed) == ([0, 1], [])
    assert any("told apart by names of files" in note for note in notes)


def test_a_study_uid_of_two_patients_is_two_examinations(tmp_path):
    for number in range(2):
        images = patient(number, patient_id=f"P{number}")
        for image in images:
            image.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
        write(images, tmp_path / "source" / "all", lambda n, _, number=number: f"{2 * n + number:04}")
    assert hearts(tmp_path)[:2] == ([0, 1], [])


@pytest.mark.parametrize("trait", [{"size_m": 1.9}, {"weight_kg": 99.0}, {"sex": "M"}])
def test_height_weight_and_sex_tell_patients_apart(tmp_path, trait):
    for number in range(2):
        images = patient(number, style="ge", **(trait if number else {}))
        for image in images:
            image.FrameOfReferenceUID = image.SeriesInstanceUID = ""
        write(images, tmp_path / "source", lambda n, _, number=number: f"{2 * n + number:04}")
    assert hearts(tmp_path)[:2] == ([0, 1], [])


@pytest.mark.parametrize("uids", ["", "1.2.3"])
def test_what_cannot_be_told_apart_stops_in_one_sentence(tmp_path, uids):
    for number in range(2):
        images = patient(number, style="ge")
        for image in images:
            image.FrameOfReferenceUID = image.SeriesInstanceUID = image.SOPInstanceUID = uids or None
            image.SOPInstanceUID = uids or new_uid(number, image.InstanceNumber)
        write(images, tmp_path / "source", lambda n, _, number=number: f"{2 * n + number:04}")
    found, failed, _ = hearts(tmp_path)
    assert found == []
    assert len(failed) == 1
    assert "study_pattern" in failed[0]


def test_one_after_the_other_into_one_folder_are_two(tmp_path):
    for number in range(2):
        write(patient(number), tmp_path / "source" / "p")
        found = hearts(tmp_path)
    assert found[:2] == ([0, 1], [])


def test_images_of_two_patients_under_one_instance_uid_are_no_copies(tmp_path):
    for number in range(2):
        images = patient(number)
        for n, image in enumerate(images):
            image.SOPInstanceUID = new_uid(n)
        write(images, tmp_path / "source" / f"p{number}")
    assert hearts(tmp_path)[:2] == ([0, 1], [])


# One examination stays one


@pytest.mark.parametrize("frame", ["kept", ""])
def test_a_folder_per_series_is_one_examination(tmp_path, frame):
    images = patient(0)
    for image in images:
        image.FrameOfReferenceUID = frame and image.FrameOfReferenceUID
    write(images, tmp_path / "source", lambda n, i: f"series {i.SeriesNumber}/{n:04}")
    assert hearts(tmp_path)[:2] == ([0], [])


def test_frames_of_one_slice_in_several_folders_are_one_examination(tmp_path):
    images = patient(0)
    write(images, tmp_path / "source", lambda n, _: f"d{n * 7 % 3}/{n:04}")
    assert hearts(tmp_path)[:2] == ([0], [])


@pytest.mark.parametrize("who", ["PID-1", "ANON"])
def test_a_stack_of_one_patient_that_was_measured_again_is_one_examination(tmp_path, who):
    images = dicom_datasets(cine(0), identity=Identity(patient_id=who))
    repeated = inject(images, ["repeated measurement"], np.random.default_rng(0)).datasets
    write(repeated, tmp_path / "source", lambda n, i: f"{i.SeriesNumber}/{n:04}")
    curate(tmp_path / "source", tmp_path / "out")
    names = sorted(path.parent.name for path in (tmp_path / "out").glob("*/sa.nii.gz"))
    assert [name[-2:] for name in names] == ["_a", "_b"]
    assert len({name[:-2] for name in names}) == 1


# UIDs that differ within one examination


def per_series(image: Dataset, n: int) -> str:
    return new_uid(image.SeriesNumber)


def per_phase(image: Dataset, n: int) -> str:
    return new_uid(float(image.TriggerTime))


def per_file(image: Dataset, n: int) -> str:
    return new_uid(n)


@pytest.mark.parametrize("style", ["siemens", "ge"])
@pytest.mark.parametrize("who", ["PID-1", "ANON"])
@pytest.mark.parametrize("study", [per_series, per_phase, per_file])
def test_study_uids_that_differ_within_an_examination_are_joined(tmp_path, style, who, study):
    images = dicom_datasets(cine(0), style=style, identity=Identity(patient_id=who))
    for n, image in enumerate(images):
        image.StudyInstanceUID = study(image, n)
    write(images, tmp_path / "source")
    found, failed, notes = hearts(tmp_path)
    assert (found, failed) == ([0], [])
    assert any("StudyInstanceUIDs" in note for note in notes) == (
        len({i.StudyInstanceUID for i in images}) > 1
    )


@pytest.mark.parametrize("style", ["siemens", "ge"])
@pytest.mark.parametrize("series", [per_phase, per_file])
def test_series_uids_that_differ_within_a_cine_are_joined(tmp_path, style, series):
    images = dicom_datasets(cine(0), style=style, identity=Identity(patient_id="PID-1"))
    for n, image in enumerate(images):
        image.SeriesInstanceUID = series(image, n)
        if series is per_phase:
            image.SeriesNumber = 100 + round(float(image.TriggerTime) / 150)
    write(images, tmp_path / "source")
    found, failed, notes = hearts(tmp_path)
    assert (found, failed) == ([0], [])
    assert any("SeriesInstanceUIDs" in note for note in notes)


def test_a_series_per_phase_without_times_is_in_the_order_of_the_series(tmp_path):
    images = dicom_datasets(cine(0), style="ge", identity=Identity(patient_id="PID-1"))
    for image in images:
        phase = round(float(image.TriggerTime) / 150)
        image.SeriesInstanceUID, image.SeriesNumber = new_uid(phase), 100 + phase
        image.InstanceNumber = image.AcquisitionNumber
        del image.TriggerTime, image.AcquisitionTime
    write(images, tmp_path / "source", lambda n, _: f"{-n % len(images):04}")
    assert hearts(tmp_path)[:2] == ([0], [])


@pytest.mark.parametrize("frame", ["", "of each"])
def test_uids_per_file_of_two_patients_of_no_name_are_two_examinations(tmp_path, frame):
    for number in range(2):
        images = patient(number, place="moved")
        for n, image in enumerate(images):
            image.StudyInstanceUID = new_uid(number, n)
            image.FrameOfReferenceUID = frame and new_uid("frame", number, n)
        write(images, tmp_path / "source" / f"p{number}")
    assert hearts(tmp_path)[:2] == ([0, 1], [])


@pytest.mark.parametrize("day", ["20200117", "20200118"])
def test_two_examinations_of_one_patient_are_not_joined(tmp_path, day):
    for number in range(2):
        images = dicom_datasets(cine(number, "moved"), identity=Identity(patient_id="PID-1"), seed=number)
        for image in images:
            image.StudyDate = day if number else "20200117"
        write(images, tmp_path / "source" / "all", lambda n, _, number=number: f"{2 * n + number:04}")
    found, failed, notes = hearts(tmp_path)
    assert (found, failed) == ([0, 1], [])
    assert not any("joined" in note for note in notes)


def test_slices_of_two_nobodies_that_do_not_fit_are_no_heart(tmp_path):
    """Two slices of one and two of another must not make a stack."""
    for number in range(2):
        images = patient(number, place="moved")[: 2 * SHAPE[3]]
        for image in images:
            image.StudyInstanceUID = new_uid(number)
        write(images, tmp_path / "source" / f"p{number}")
    found, failed, _ = hearts(tmp_path)
    assert found == []
    assert failed


# What there is no heart of


def test_an_examination_without_a_usable_image_fails_with_a_reason_that_names_a_file(tmp_path):
    write(dicom_datasets(cine(0), identity=Identity(patient_id="P1"), seed=1), tmp_path / "source" / "good")
    images = dicom_datasets(cine(1), style="enhanced", identity=Identity(patient_id="P2"), seed=2)
    for image in images:
        for group in (*image.SharedFunctionalGroupsSequence, *image.PerFrameFunctionalGroupsSequence):
            if "PlaneOrientationSequence" in group:
                del group.PlaneOrientationSequence
    write(images, tmp_path / "source" / "bad")
    found, failed, _ = hearts(tmp_path)
    assert found == [0]
    assert len(failed) == 1
    assert "damaged file 1 (its path: private/files.tsv): ImageOrientationPatient" in failed[0]
    assert "bad/0000" in (tmp_path / "out" / "private" / "files.tsv").read_text()


def test_a_folder_of_archives_is_an_examination_each(tmp_path):
    (tmp_path / "source").mkdir()
    for number in range(2):
        write(patient(number), tmp_path / f"p{number}")
        shutil.make_archive(tmp_path / "source" / f"{number}_20209_2_0", "zip", tmp_path / f"p{number}")
    (tmp_path / "source" / "3.zip").write_bytes(b"PK\x03\x04 cut off")
    run = curate(tmp_path / "source", tmp_path / "again")
    assert (run.failed, run.unreadable) == (0, 1)
    assert "archive" in run.problems.query("problem == 'unreadable'")["extra_info"].item()
    assert hearts(tmp_path)[:2] == ([0, 1], [])


def test_rules_name_examinations_by_their_folders_whatever_the_headers_say(tmp_path):
    for number in range(2):
        write(patient(number, style="ge"), tmp_path / "source" / f"p{number}")
    run = curate(tmp_path / "source", tmp_path / "out", options=Options(Rules(study_pattern="^([^/]+)/")))
    assert run.studies["status"].tolist() == ["ok", "ok"]
    assert not any("told apart" in note for note in run.notes)
