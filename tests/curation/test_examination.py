"""Damaged and absurd images in an examination cost at most that examination, never the run."""

from __future__ import annotations

import warnings
from copy import deepcopy
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from cmrseg.cine import Cine
from cmrseg.curation.examination import read_record
from cmrseg.curation.run import CurationRun, Options, curate
from cmrseg.io.dicom import NotAnImage, read_headers
from cmrseg.phantom.dicom import Identity, dicom_datasets, write_datasets
from cmrseg.problems import DataError

IDS = Options(keep_ids=True)


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    monkeypatch.setenv("CMRSEG_SALT", "of this test")
    monkeypatch.delenv("CMRSEG_DEBUG", raising=False)


def datasets(patient: str = "P1") -> list[Dataset]:
    x, y, z, t = np.ogrid[0:28, 0:24, 0:5, 0:5]
    array = 1500 + 700 * np.sin(x / 4 + t / 3) * np.cos(y / 3 + z) + 40 * z
    affine = np.array([[-1.4, 0, 0, 9.5], [0, -1.28, 4.8, -3.25], [0, -0.96, -6.4, 70], [0, 0, 0, 1]])
    cine = Cine(array, (1.4, 1.6, 8.0), affine, tuple(100.0 * t for t in range(5)))
    return dicom_datasets(cine, identity=Identity(patient_id=patient), seed=int(patient[1:]))


def write(instances: list[Dataset], folder: Path) -> list[Path]:
    with pydicom.config.disable_value_validation():
        return write_datasets(instances, folder, np.random.default_rng(0))


def run(source: Path, target: Path) -> CurationRun:
    """A run in which numpy may complain, and nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return curate(source, target, options=IDS)


def damaged_copies(raws: list[bytes], count: int) -> list[bytes]:
    """Truncated files, and files with flipped bits in the header or anywhere."""
    rng, out = np.random.default_rng(0), []
    for number in range(count):
        data = bytearray(raws[number % len(raws)])
        if number % 3 == 0:
            out.append(bytes(data[: rng.integers(len(data))]))
            continue
        for position in rng.integers(0, 1500 if number % 3 == 1 else len(data), rng.integers(1, 201)):
            data[position] ^= 1 << int(rng.integers(8))
        out.append(bytes(data))
    return out


def expected(paths: list[Path]) -> tuple[int, int]:
    """How many files are damaged, and how many no images."""
    damaged = others = 0
    for path in paths:
        try:
            read_headers(path)
        except NotAnImage:
            others += 1
        except DataError:
            damaged += 1
    return damaged, others


def test_hundreds_of_damaged_files_in_a_good_study_are_logged_and_another_study_is_untouched(tmp_path):
    good, other = (
        write(datasets("P1"), tmp_path / "source" / "1"),
        write(datasets("P2"), tmp_path / "source" / "2"),
    )
    clean = run(tmp_path / "source", tmp_path / "clean")
    cine = (tmp_path / "clean" / "P2" / "sa.nii.gz").read_bytes()
    paths = []
    for number, data in enumerate(damaged_copies([p.read_bytes() for p in good], 300)):
        paths.append(tmp_path / "source" / "1" / f"damaged {number}")
        paths[-1].write_bytes(data)
    found = run(tmp_path / "source", tmp_path / "out")
    damaged, others = expected(paths)
    assert damaged > 60
    assert others > 60
    unreadable = found.problems[found.problems["resolution"] == "file left out"]
    assert found.unreadable == len(unreadable) == damaged
    assert unreadable["extra_info"].str.len().gt(5).all()
    assert not unreadable["extra_info"].str.contains("\n").any()
    assert sum(int(n) for n in _counts(found.notes)) == others
    assert (tmp_path / "out" / "P2" / "sa.nii.gz").read_bytes() == cine
    assert found.studies.set_index("study").loc["P2", "status"] == "ok"
    assert clean.studies["status"].tolist() == ["ok", "ok"]
    assert len(other) == 25


def _counts(notes: list[str]) -> list[str]:
    """Numbers of the note about what was left aside."""
    (note,) = (n for n in notes if n.startswith("left aside"))
    return [part.strip().split()[0] for part in note.removeprefix("left aside:").split(",")]


def test_truncated_copies_leave_the_good_study_as_it_was(tmp_path):
    good = write(datasets(), tmp_path / "source")
    run(tmp_path / "source", tmp_path / "clean")
    for number, path in enumerate(good):
        raw = path.read_bytes()
        path.with_name(f"z{number}").write_bytes(raw[: len(raw) - 1 - 40 * number])
    found = run(tmp_path / "source", tmp_path / "out")
    assert found.unreadable == len(good)
    assert (tmp_path / "out" / "P1" / "sa.nii.gz").read_bytes() == (
        tmp_path / "clean" / "P1" / "sa.nii.gz"
    ).read_bytes()


IN_ONE = ("", "0", "-1", "nan", "inf", "1e308", "65535", "text", "1\\2\\3", "9" * 10_000)
IN_ALL = ("", "nan", "-1e308", "0")
TAGS = (
    "AcquisitionTime", "NominalInterval", "HeartRate", "SpacingBetweenSlices", "InstanceNumber",
    "SeriesNumber", "AcquisitionNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "ImageType", "SeriesDescription", "ScanningSequence", "StudyDate", "SOPInstanceUID", "SeriesInstanceUID",
    pytest.param("TriggerTime"),
)  # fmt: skip


def with_value(instances: list[Dataset], name: str, value: str, count: int) -> list[Dataset]:
    out = [deepcopy(d) if n < count else d for n, d in enumerate(instances)]
    vr = "UT" if len(value) > 60 else "UC" if dictionary_VR(name) == "UI" else "LO"
    with pydicom.config.disable_value_validation():
        for dataset in out[:count]:
            dataset.add_new(Tag(name), vr, value)
    return out


def assert_sane(found: CurationRun, target: Path) -> None:
    """A clean cine of finite numbers, or a reason of the program's own."""
    for study in found.studies.itertuples():
        assert (study.reason != "") == (study.status == "failed")
        if study.status == "ok":
            image = nib.load(target / study.study / "sa.nii.gz")
            assert np.isfinite(image.get_fdata()).all()
            assert np.isfinite(image.affine).all()
            assert np.isfinite(image.header.get_zooms()).all()


@pytest.mark.slow  # a dozen runs
@pytest.mark.parametrize("name", TAGS)
def test_absurd_values_in_one_or_all_images(tmp_path, name):
    instances = datasets()
    cases = [(value, 1) for value in IN_ONE] + [(value, len(instances)) for value in IN_ALL]
    for number, (value, count) in enumerate(cases):
        source, target = tmp_path / f"{number}", tmp_path / f"out {number}"
        write(with_value(instances, name, value, count), source)
        found = run(source, target)
        assert_sane(found, target)
        unexpected = found.studies["reason"].str.contains("unexpected")
        assert not unexpected.any(), (value[:20], found.studies["reason"].tolist())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"studies": 1}', '{"studies": [{"x": 1}]}', "\0"])
def test_a_damaged_record_is_no_record(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    assert read_record(tmp_path / "r.json") is None


def test_a_missing_record_is_no_record(tmp_path):
    assert read_record(tmp_path / "r.json") is None


def test_the_record_of_a_run_is_read_back(tmp_path):
    write(datasets(), tmp_path / "source")
    found = run(tmp_path / "source", tmp_path / "out")
    (path,) = (tmp_path / "out" / ".curation").glob("*.json")
    record = read_record(path)
    assert [s.study for s in record.studies] == found.studies["study"].tolist() == ["P1"]
    assert len(record.used) == 25
