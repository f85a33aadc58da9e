"""A structured report holds the numbers, refers to the segments, and is one to the standard's checker."""

from __future__ import annotations

import math
import shutil
import subprocess

import highdicom as hd
import pydicom
import pytest
from pydicom.sr.codedict import codes

from cmrseg.io.dicom_sr import Measured, write_dicom_sr
from cmrseg.labels import Label
from tests.io.test_dicom_seg import MODEL, STYLES, images, mask, saved, write

NUMBERS = (
    Measured(Label.LV, "volume", 100.123456, "ml", "ED"),
    Measured(Label.LV, "volume", 40.0, "ml", "ES"),
    Measured(Label.MYO, "volume", 90.0, "ml", "ED"),
    Measured(Label.RV, "volume", 110.0, "ml", "ED"),
    Measured(Label.LV, "EF", 60.0, "%"),
    Measured(Label.LV, "SV", 60.0, "ml"),
    Measured(Label.LV, "mass", 95.0, "g"),
    Measured(Label.LV, "cardiac output", math.nan, "l/min"),
    Measured(Label.RV, "EF", 50.0, "%"),
)


def report(tmp_path, numbers=NUMBERS, *, style="ge", pseudonym="Sa1"):
    """The report of the rings: end-diastole is phase 1, end-systole phase 2."""
    paths = write(mask(), saved(images(mask(), style), tmp_path / "in", mask()), tmp_path / "out", pseudonym)
    path = tmp_path / "dicom_sr.dcm"
    return write_dicom_sr(numbers, {"ED": paths[0], "ES": paths[1]}, path, algorithm=MODEL), paths


def values(groups) -> dict[str, float]:
    """Number by the meaning of its code."""
    return {m.name.meaning: m.value for group in groups for m in group.get_measurements()}


def test_the_numbers_are_read_back_with_their_codes(tmp_path):
    path, _ = report(tmp_path)
    content = hd.sr.srread(path).content
    volumes = content.get_volumetric_roi_measurement_groups()
    assert [g.tracking_identifier for g in volumes] == ["LV ED", "LV ES", "MYO ED", "RV ED"]
    assert values(volumes[:1]) == {"Left Ventricular End Diastolic Volume": 100.1235}
    assert values(volumes[3:]) == {"Volume": 110.0}
    functions = content.get_image_measurement_groups()
    found = values(functions)
    assert found["Left ventricular ejection fraction by MR"] == 60
    assert found["Right ventricular ejection fraction by MR"] == 50
    assert found["Mass"] == 95
    assert "Cardiac Output" not in found  # unknown
    units = {m.name.meaning: m.unit.value for g in functions for m in g.get_measurements()}
    assert units["Mass"] == "g"


def segment_of(group) -> tuple[str, int]:
    """Object and number of the segment that a group names."""
    items = (item for item in group[0].ContentSequence if "ReferencedSOPSequence" in item)
    references = [item.ReferencedSOPSequence[0] for item in items]
    (found,) = [r for r in references if "ReferencedSegmentNumber" in r]
    return found.ReferencedSOPInstanceUID, int(found.ReferencedSegmentNumber)


def test_every_volume_refers_to_its_segment_and_phase(tmp_path):
    path, paths = report(tmp_path)
    uids = [pydicom.dcmread(p).SOPInstanceUID for p in paths]
    groups = hd.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    found = [segment_of(group) for group in groups]
    assert found == [(uids[0], 1), (uids[1], 1), (uids[0], 2), (uids[0], 3)]
    assert groups[1].finding_type == codes.SCT.LeftVentricle


def test_the_patient_is_that_of_the_segmentation(tmp_path):
    path, paths = report(tmp_path)
    told, segmentation = pydicom.dcmread(path), pydicom.dcmread(paths[0])
    assert (told.PatientID, str(told.PatientName)) == ("Sa1", "Sa1^")
    assert told.StudyInstanceUID == segmentation.StudyInstanceUID
    assert told.SeriesInstanceUID != segmentation.SeriesInstanceUID


def test_nothing_known_is_no_report_and_an_earlier_one_goes(tmp_path):
    path, _ = report(tmp_path)
    assert path.exists()
    none, _ = report(tmp_path, [Measured(Label.LV, "EF", math.nan, "%")])
    assert none is None
    assert not (tmp_path / "dicom_sr.dcm").exists()


def test_a_structure_that_is_not_in_the_object_has_no_volume(tmp_path):
    """The last frame of the rings is empty."""
    _, paths = report(tmp_path)
    only = [Measured(Label.LV, "volume", 0.0, "ml", "ES"), Measured(Label.LV, "EF", 60.0, "%")]
    path = write_dicom_sr(only, {"ES": paths[2]}, tmp_path / "sr.dcm", algorithm=MODEL)
    groups = hd.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    assert len(groups) <= 1


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian package dicom3tools) is not there")
@pytest.mark.parametrize("pseudonym", ["Sa1", None])
@pytest.mark.parametrize("style", STYLES)
def test_the_standard_checker_finds_no_error(style, pseudonym, tmp_path):
    path, _ = report(tmp_path, style=style, pseudonym=pseudonym)
    told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
    assert "SR" in told
    assert [line for line in told.splitlines() if line.startswith(("Error", "Abort"))] == []
