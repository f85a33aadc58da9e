"""What is measured of a study, and what is not where its frames are of several beats."""

from __future__ import annotations

import pytest

from cmrseg.examination.analyse import analyse
from cmrseg.examination.cohort import NUMBERS, cohort_row
from cmrseg.examination.facts import PatientFacts
from cmrseg.examination.findings import SENSITIVITY_COLUMNS
from cmrseg.examination.page import study_page
from tests.examination.test_trust import study

PROVENANCE = {"model": {"name": "light2d"}, "date": "today"}


def analysed(rate):
    """20 frames of 40 ms: one beat at 75 per minute, two at 150."""
    facts = PatientFacts(heart_rate_bpm=rate, height_m=1.7, weight_kg=70)
    return analyse("A study", study(facts=facts), provenance=PROVENANCE)


def test_one_beat_has_volumes():
    found = analysed(75)
    assert found.has_one_beat
    assert cohort_row(found)["EF_percent"] == pytest.approx(
        100 * (1 - cohort_row(found)["ESV_ml"] / cohort_row(found)["EDV_ml"])
    )


def test_several_beats_have_no_volumes_anywhere():
    found = analysed(150)
    assert not found.has_one_beat
    assert found.level == "red"
    assert found.numbers[["value", "indexed"]].isna().all(axis=None)
    assert found.sensitivity[list(SENSITIVITY_COLUMNS[1:])].isna().all(axis=None)
    assert found.segments[["ed_mm", "es_mm", "thickening_percent"]].isna().all(axis=None)
    row = cohort_row(found)
    assert all(row[column] != row[column] for column in NUMBERS)
    assert row["reasons"].startswith("one heart beat: Frames cover 2.0 beats")


def test_the_curves_stay():
    assert analysed(150).curves["LV_ml"].notna().all()


def test_the_report_says_why():
    page = study_page(analysed(150))
    assert "the frames cover more than one heart beat" in page
    assert "LV indices of the mid-ventricular slices at end-diastole" not in page
