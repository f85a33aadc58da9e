"""How an examination was acquired and of whom, for a table of the data set: numbers and known words only."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from cmrseg.curation.slices import Slice
from cmrseg.io.dicom import DicomImage
from cmrseg.io.dicom_header import WHOSE
from cmrseg.io.dicom_words import known_manufacturer

SEXES = {"F": "female", "M": "male", "O": "other"}
MAX_AGE_YEARS = 120.0
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_FIELDS_T = (0.35, 0.55, 1.0, 1.5, 3.0, 4.7, 7.0, 9.4, 11.7, 14.1)
_OFF = 0.06  # headers say 1.494 or 2.893
_MS_PER_MIN = 60_000


@dataclass(frozen=True)
class Acquisition:
    """How the short-axis stack of a study was acquired; medians over its images, nan where unknown.

    Attributes
    ----------
    study
        Name of the study.
    vendor, field_t
        Usual name of the manufacturer, and field strength in tesla.
    echo_ms, repetition_ms, flip_deg, bandwidth_hz, thickness_mm
        As the header tells them; bandwidth per pixel.
    heart_rate_bpm
        From the RR interval, beats per minute.
    """

    study: str
    vendor: str = ""
    field_t: float = math.nan
    echo_ms: float = math.nan
    repetition_ms: float = math.nan
    flip_deg: float = math.nan
    bandwidth_hz: float = math.nan
    thickness_mm: float = math.nan
    heart_rate_bpm: float = math.nan


@dataclass(frozen=True)
class Person:
    """Sex (a key of `SEXES`, or empty) and age in years; both may lead to a person and are kept apart."""

    sex: str = ""
    age_years: float = math.nan


def acquisition_of(study: str, slices: Sequence[Slice]) -> Acquisition:
    """How the images of some slices were acquired."""
    images = [image for s in slices for image in s.images]
    numbers = np.array([image.acquired_with for image in images], float)
    told = dict(zip(WHOSE, images[0].whose, strict=True))
    return Acquisition(
        study,
        known_manufacturer(told["Manufacturer"]),
        field_strength_t(told["MagneticFieldStrength"]),
        *(_median(column) for column in numbers.T),
        heart_rate_bpm=round(_MS_PER_MIN / _median(np.array([image.interval_ms for image in images])), 1),
    )


def person_of(image: DicomImage) -> Person:
    """Sex and age of the patient of an image, from PatientAge or else the dates of birth and examination."""
    told = dict(zip(WHOSE, image.whose, strict=True))
    return person(told["PatientSex"], told["PatientAge"], told["PatientBirthDate"], image.study_date)


def person(sex: str, age: str, born: str, examined: str) -> Person:
    """Sex and age by the texts of a header: PatientSex, PatientAge, PatientBirthDate, StudyDate."""
    sex, years = sex.strip().upper(), _told_age(age)
    if math.isnan(years):
        years = _age_between(born, examined)
    return Person(sex if sex in SEXES else "", years if 0 <= years <= MAX_AGE_YEARS else math.nan)


def field_strength_t(text: str) -> float:
    """Field strength in tesla as scanners are called (1.494 is 1.5), nan where it is not told."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    value = value / 10_000 if value > 1000 else value  # written in gauss
    nearest = min(_FIELDS_T, key=lambda field: abs(field - value))
    return nearest if abs(value - nearest) <= _OFF * nearest else math.nan


def _told_age(text: str) -> float:
    """Years of an age such as 055Y or 006M."""
    found = re.fullmatch(r"([0-9]{1,3})([DWMY])", text.strip().upper())
    return int(found[1]) * _YEARS[found[2]] if found else math.nan


def _age_between(born: str, examined: str) -> float:
    """Years between two dates of a header."""
    try:
        days = [date(int(day[:4]), int(day[4:6]), int(day[6:8])) for day in (born, examined)]
    except ValueError:
        return math.nan
    return (days[1] - days[0]).days / 365.25


def _median(values: np.ndarray) -> float:
    """Median of the values that are known."""
    known = values[np.isfinite(values)]
    return round(float(np.median(known)), 4) if known.size else math.nan
