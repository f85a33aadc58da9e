"""Values of a header are what pydicom says, or missing; never an error of another kind."""

from __future__ import annotations

import math
from io import BytesIO

import pydicom
import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cmrseg.io import dicom_header as read
from cmrseg.problems import DataError

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)


def header_of(syntax: str = ExplicitVRLittleEndian, **elements: object) -> read.Header:
    """Raw elements, as they come out of a file."""
    dataset = Dataset()
    with pydicom.config.disable_value_validation():
        for name, value in elements.items():
            setattr(dataset, name, value)
    uid = pydicom.uid.UID(syntax)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian)
    buffer.seek(0)
    parsed = pydicom.filereader.read_dataset(
        buffer, is_implicit_VR=uid.is_implicit_VR, is_little_endian=uid.is_little_endian
    )
    return read.elements(parsed)


def values(*elements: tuple[str, str, object]) -> read.Header:
    """Elements that are converted already."""
    return {read.tag_of(name): DataElement(name, vr, value) for name, vr, value in elements}


# Values


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Rows", 513, (513,)),
        ("PixelSpacing", [1.25, 1.5], ("1.25", "1.5")),
        ("ImageType", ["ORIGINAL", "PRIMARY", "M"], ("ORIGINAL", "PRIMARY", "M")),
        ("InstanceNumber", "-7", ("-7",)),
        ("NominalCardiacTriggerDelayTime", 12.5, (12.5,)),
        ("SeriesDescription", "sa", ("sa",)),
        ("SeriesInstanceUID", "1.2.3", ("1.2.3",)),
    ],
)
def test_values_do_not_depend_on_the_encoding(syntax, name, value, expected):
    assert read.values(header_of(syntax, **{name: value}), name) == expected


def test_a_missing_attribute_has_no_values():
    assert read.values({}, "Rows") == ()
    assert read.text({}, "PatientID") == ""
    assert math.isnan(read.number({}, "TriggerTime"))
    assert read.whole({}, "InstanceNumber", -1) == -1


def test_an_empty_attribute_is_there_but_says_nothing():
    header = header_of(TriggerTime="", PatientID="", Rows=None)
    assert read.has(header, "TriggerTime")
    assert math.isnan(read.number(header, "TriggerTime"))
    assert read.text(header, "PatientID") == ""
    assert read.whole(header, "Rows", 3) == 3


def test_padding_is_cut_off():
    assert read.text(header_of(PatientID=" 12\0"), "PatientID") == "12"


def test_converted_elements_give_the_same():
    header = values(
        ("PixelSpacing", "DS", ["1.5", "2"]), ("Rows", "US", 5), ("SeriesDescription", "LO", "A^B")
    )
    assert read.pixel_spacing(header) == (2.0, 1.5)
    assert read.whole(header, "Rows", 0) == 5
    assert read.text(header, "SeriesDescription") == "A^B"


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e308", "4294967296", "text", "", "1,5", "0x10"])
def test_what_is_no_whole_number_is_missing(text):
    data = text.encode().ljust(len(text) + len(text) % 2)
    tag = Tag("InstanceNumber")
    raw = RawDataElement(tag, "IS", len(data), data, 0, is_implicit_VR=False, is_little_endian=True)
    assert read.whole({int(tag): raw}, "InstanceNumber", -1) == -1


@pytest.mark.parametrize(("text", "number"), [(" 7 ", 7), ("+7", 7), ("7.0", 7), ("-7", -7)])
def test_whole_numbers_may_be_written_oddly(text, number):
    assert read.whole(header_of(InstanceNumber=text), "InstanceNumber", -1) == number


def test_the_same_bytes_in_other_byte_orders_are_other_numbers():
    little, big = (header_of(syntax, Rows=258) for syntax in (ExplicitVRLittleEndian, ExplicitVRBigEndian))
    assert read.whole(little, "Rows", 0) == read.whole(big, "Rows", 0) == 258


def test_names_are_decoded_by_their_own_character_set():
    one, other = (header_of(SpecificCharacterSet=c, SeriesDescription=n) for c, n in
                  (("ISO_IR 192", "Ł^ß"), ("ISO_IR 101", "Ł^ß")))  # fmt: skip
    assert read.text(one, "SeriesDescription") == read.text(other, "SeriesDescription") == "Ł^ß"


# Times


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [
        ("083015.25", 8 * 3600 + 30 * 60 + 15.25),
        ("0830", 8 * 3600 + 30 * 60),
        ("08", 8 * 3600),
        ("08:30:15", 8 * 3600 + 30 * 60 + 15),
        ("000000.000000", 0),
    ],
)
def test_the_time_of_day(clock, seconds):
    assert read.acquired_s(header_of(AcquisitionTime=clock)) == pytest.approx(seconds)


def test_the_time_of_day_from_the_date_and_time():
    header = header_of(AcquisitionDateTime="20200117083015.5+0100")
    assert read.acquired_s(header) == pytest.approx(8 * 3600 + 30 * 60 + 15.5)


@pytest.mark.parametrize("clock", ["", "noon", "8h30", "08301x"])
def test_an_unreadable_time_of_day_is_nan(clock):
    assert math.isnan(read.acquired_s(header_of(AcquisitionTime=clock)))


@pytest.mark.parametrize("name", ["TriggerTime", "NominalCardiacTriggerDelayTime"])
def test_the_trigger_time_has_two_names(name):
    assert read.trigger_ms(header_of(**{name: 12.5})) == 12.5


def test_an_unusable_trigger_time_gives_way_to_the_other():
    header = header_of(TriggerTime="nan", NominalCardiacTriggerDelayTime=12.5)
    assert read.trigger_ms(header) == 12.5


@pytest.mark.parametrize(
    ("elements", "interval"),
    [
        ({"NominalInterval": "800"}, 800),
        ({"HeartRate": "60"}, 1000),
        ({"NominalInterval": "0", "HeartRate": "75"}, 800),
        ({"NominalInterval": "-5", "HeartRate": "75"}, 800),
    ],
)
def test_the_rr_interval_may_come_from_the_heart_rate(elements, interval):
    assert read.interval_ms(header_of(**elements)) == pytest.approx(interval)


@pytest.mark.parametrize(
    "elements", [{}, {"NominalInterval": "1"}, {"NominalInterval": "1e9"}, {"HeartRate": "0"}]
)
def test_an_impossible_rr_interval_is_nan(elements):
    assert math.isnan(read.interval_ms(header_of(**elements)))


# Geometry and scale


def test_directions_get_length_1():
    x, y = 0.6 * 1.0005, 0.8 * 1.0005
    found = read.orientation(header_of(ImageOrientationPatient=[x, y, 0, 0, 0, -1]))
    assert found == pytest.approx((0.6, 0.8, 0, 0, 0, -1), abs=1e-9)


@pytest.mark.parametrize("angle", ["0.02", "0.5"])
def test_directions_that_are_not_perpendicular_are_refused(angle):
    with pytest.raises(DataError, match="not that of a rectangle"):
        read.orientation(header_of(ImageOrientationPatient=["1", "0", "0", angle, "1", "0"]))


def test_no_rescaling_is_1_and_0():
    assert read.rescale({}) == (1.0, 0.0)


@pytest.mark.parametrize(("slope", "intercept"), [("0", "0"), ("inf", "0"), ("1", "-inf")])
def test_an_unusable_rescaling_is_refused(slope, intercept):
    with pytest.raises(DataError, match="cannot be used"):
        read.rescale(header_of(RescaleSlope=slope, RescaleIntercept=intercept))


@pytest.mark.parametrize("slope", ["1e308", "1e39", "-1e200"])
def test_a_rescaling_beyond_the_type_of_intensities_is_refused(slope):
    with pytest.raises(DataError, match="cannot be used"):
        read.rescale(header_of(RescaleSlope=slope, RescaleIntercept="0"))
