import math

import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from cmrseg.examination.facts import PatientFacts, read_facts


@pytest.fixture
def header(tmp_path):
    def write(name: str = "1.dcm", **values):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset = FileDataset(str(tmp_path / name), {}, file_meta=meta, preamble=b"\0" * 128)
        with pydicom.config.disable_value_validation():
            for key, value in values.items():
                setattr(dataset, key, value)
            dataset.save_as(tmp_path / name)
        return tmp_path / name

    return write


def test_facts_are_those_of_the_header(header):
    path = header(
        PatientSize=1.8, PatientWeight=80, HeartRate=64, MagneticFieldStrength=1.5, Manufacturer="GE MEDICAL"
    )
    facts = read_facts([path])
    assert (facts.height_m, facts.weight_kg, facts.heart_rate_bpm) == (1.8, 80, 64)
    assert (facts.field_strength_t, facts.manufacturer, facts.sex) == (1.5, "GE", "")


def test_body_surface_is_mostellers():
    assert PatientFacts(height_m=1.8, weight_kg=80).body_surface_m2 == pytest.approx(2.0)
    assert math.isnan(PatientFacts(height_m=1.8).body_surface_m2)


def test_a_height_in_cm_and_a_field_in_gauss_are_understood(header):
    facts = read_facts([header(PatientSize=172, MagneticFieldStrength=15000)])
    assert facts.height_m == pytest.approx(1.72)
    assert facts.field_strength_t == pytest.approx(1.5)


def test_the_interval_between_r_waves_gives_the_heart_rate(header):
    assert read_facts([header(NominalInterval=800)]).heart_rate_bpm == pytest.approx(75)


@pytest.mark.parametrize("kind", ["Shared", "PerFrame"])
def test_an_enhanced_file_tells_the_interval_in_its_groups(header, kind):
    sync, group = Dataset(), Dataset()
    sync.RRIntervalTimeNominal = 1000.0
    group.CardiacSynchronizationSequence = [sync]
    path = header(**{f"{kind}FunctionalGroupsSequence": [group]})
    assert read_facts([path]).heart_rate_bpm == pytest.approx(60)


@pytest.mark.parametrize("values", [{"PatientSize": 0}, {"PatientWeight": 0}, {"HeartRate": 0}, {}])
def test_what_no_patient_can_have_is_not_known(header, values):
    facts = read_facts([header(**values)])
    assert math.isnan(facts.height_m)
    assert math.isnan(facts.weight_kg)
    assert math.isnan(facts.heart_rate_bpm)


def test_a_later_file_completes_the_first_and_damage_loses_nothing(header, tmp_path):
    (tmp_path / "broken.dcm").write_bytes(b"no dicom")
    files = [tmp_path / "broken.dcm", header("a.dcm", PatientSize=1.7), header("b.dcm", PatientWeight=70)]
    facts = read_facts(files)
    assert (facts.height_m, facts.weight_kg) == (1.7, 70)


def test_what_the_user_says_counts_before_the_header():
    told, header = PatientFacts(height_m=1.7), PatientFacts(height_m=1.6, weight_kg=60)
    assert (told.or_else(header).height_m, told.or_else(header).weight_kg) == (1.7, 60)


def test_a_missed_beat_does_not_halve_the_heart_rate(header):
    """Of the slices that tell 65 or 33, those count whose beat is as long as the cine."""
    files = [header(f"{n}.dcm", HeartRate=rate) for n, rate in enumerate((33, 33, 33, 65, 64))]
    assert read_facts(files, cycle_ms=920).heart_rate_bpm == 65
    assert read_facts(files).heart_rate_bpm == 33
    assert read_facts(files, cycle_ms=1800).heart_rate_bpm == 33


def test_sex_and_age_are_those_of_the_header_or_of_its_dates(header):
    assert read_facts([header(PatientSex="F", PatientAge="055Y")]).age_years == 55
    dates = header("b.dcm", PatientSex="m", PatientBirthDate="19700101", StudyDate="20200102")
    facts = read_facts([dates])
    assert facts.sex == "M"
    assert facts.age_years == pytest.approx(50, abs=0.01)
    absurd = read_facts([header("c.dcm", PatientSex="?", PatientAge="999Y")])
    assert absurd.sex == ""
    assert math.isnan(absurd.age_years)


def test_what_is_of_a_person_is_known_from_what_is_of_a_scanner():
    assert not PatientFacts(field_strength_t=3, manufacturer="GE").of_a_person
    assert PatientFacts(sex="F").of_a_person
    assert PatientFacts(age_years=50).of_a_person
