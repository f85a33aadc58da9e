"""How examinations were acquired and of whom, from headers that say it in several ways."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.curation.facts import acquisition_of, field_strength_t, person_of
from cmrseg.curation.slices import find_slices
from cmrseg.io.dicom import read_headers
from cmrseg.phantom.dicom import STYLES, Identity, dicom_datasets, write_datasets

AFFINE = np.diag([-1.4, -1.6, 8.0, 1.0])
CINE = Cine(np.full((8, 8, 2, 4), 100.0), (1.4, 1.6, 8.0), AFFINE, (0.0, 200.0, 400.0, 600.0))


def images(folder, *, style="siemens", change=lambda dataset: None, **identity):
    """Headers of a small cine of one person."""
    datasets = dicom_datasets(CINE, style=style, identity=replace(Identity(), **identity))
    for dataset in datasets:
        change(dataset)
    paths = write_datasets(datasets, folder, np.random.default_rng(0))
    return [image for path in paths for image in read_headers(path)]


@pytest.mark.parametrize("style", STYLES)
def test_every_way_to_file_a_cine_tells_how_it_was_acquired(tmp_path, style):
    found = acquisition_of("S1", find_slices(images(tmp_path, style=style))[0])
    assert (found.study, found.field_t) == ("S1", 1.5)
    assert found.vendor in ("Siemens", "GE", "Philips")
    assert (found.echo_ms, found.repetition_ms, found.flip_deg) == pytest.approx((1.2, 40.5, 50))
    assert (found.thickness_mm, found.heart_rate_bpm) == pytest.approx((8, 75))
    assert math.isnan(found.bandwidth_hz)


def test_an_absurd_value_is_unknown(tmp_path):
    def change(dataset):
        dataset.EchoTime, dataset.FlipAngle, dataset.PixelBandwidth = 731900001, 0, 930

    found = acquisition_of("S1", find_slices(images(tmp_path, change=change))[0])
    assert math.isnan(found.echo_ms)
    assert math.isnan(found.flip_deg)
    assert found.bandwidth_hz == 930


@pytest.mark.parametrize(
    ("age", "years"), [("055Y", 55), ("006M", 0.5), ("002W", 14 / 365.25), ("", 55.4), ("old", 55.4)]
)
def test_the_age_is_told_or_follows_from_the_dates(tmp_path, age, years):
    (first, *_) = images(tmp_path, age=age, birth_date="19640812")  # examined on 2020-01-17
    assert person_of(first).age_years == pytest.approx(years, abs=0.05)


@pytest.mark.parametrize(("sex", "told"), [("F", "F"), ("m", "M"), ("O", "O"), ("Mustermann", ""), ("", "")])
def test_only_letters_of_the_standard_are_a_sex(tmp_path, sex, told):
    assert person_of(images(tmp_path, sex=sex)[0]).sex == told


def test_dates_that_are_none_give_no_age(tmp_path):
    assert math.isnan(person_of(images(tmp_path, age="", birth_date="00000000")[0]).age_years)
    assert math.isnan(person_of(images(tmp_path / "later", age="", birth_date="20300101")[0]).age_years)


@pytest.mark.parametrize(
    ("text", "tesla"), [("1.494", 1.5), ("2.8936", 3), ("15000", 1.5), ("6.98", 7), ("0.9", None), ("", None)]
)
def test_field_strengths_are_those_that_scanners_are_called_by(text, tesla):
    assert field_strength_t(text) == tesla or (tesla is None and math.isnan(field_strength_t(text)))
