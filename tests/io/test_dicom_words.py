"""Words of a header that may be told."""

import pytest

from cmrseg.io.dicom_words import OTHER_MANUFACTURER, known_codes, known_manufacturer, known_words


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cine_sax", "cine sax"),
        ("CINE_segmented_SAX_b1", "cine segmented sax …"),
        ("tfi2d1_12_retro_SA", "… retro sa"),
        ("Cine SA 3", "cine sa 3"),
        ("Short Axis (stack)", "shortaxis stack"),
        ("SHORT-AX 2CH", "shortaxis 2ch"),
        ("b-TFE_BH M2D/SA", "b tfe bh … sa"),
        ("MUSTERMANN SAX", "… sax"),
        ("Mustermann, Erika 4ch", "… 4ch"),
        ("sax MUSTERMANN 12.08.64", "sax …"),
        ("sax 19640812", "sax …"),
        ("sax 4711", "sax …"),
        ("Long", "…"),
        ("saxophon", "…"),
        ("王 sax", "… sax"),
        ("sax ٣", "sax …"),
        ("", ""),
    ],
)
def test_a_description_keeps_its_known_words(text, told):
    assert known_words(text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SIEMENS", "Siemens"),
        ("Siemens Healthineers", "Siemens"),
        ("GE MEDICAL SYSTEMS", "GE"),
        ("Philips Medical Systems", "Philips"),
        ("Bruker BioSpin MRI GmbH", "Bruker"),
        ("Praxis Mustermann", OTHER_MANUFACTURER),
        ("Geiger", OTHER_MANUFACTURER),
        (" ", ""),
    ],
)
def test_a_manufacturer_has_its_usual_name(text, told):
    assert known_manufacturer(text) == told


def test_codes_of_a_sequence_are_those_of_the_standard():
    assert known_codes(("GR", "Mustermann")) == "GR+other"
    assert known_codes(()) == ""
