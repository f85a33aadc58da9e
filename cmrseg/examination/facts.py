"""What a study's headers, or the user, tell of the patient and the scanner."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from cmrseg.curation.facts import person
from cmrseg.io.dicom_header import quiet_pydicom
from cmrseg.io.dicom_words import known_manufacturer

_TAGS = (
    "PatientSize", "PatientWeight", "HeartRate", "NominalInterval", "MagneticFieldStrength", "Manufacturer",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PatientSex", "PatientAge",
    "PatientBirthDate", "StudyDate",
)  # fmt: skip
_HEIGHT_M, _WEIGHT_KG, _HEART_RATE, _FIELD_T = (0.3, 2.6), (1, 400), (20, 300), (0.01, 25)
_MS_PER_MIN = 60_000


@dataclass(frozen=True)
class PatientFacts:
    """What is known beside the images; nan or empty where nothing is.

    Attributes
    ----------
    height_m, weight_kg, heart_rate_bpm
        Of the patient, for indexed values and cardiac output.
    field_strength_t, manufacturer
        Of the scanner; the manufacturer under its usual name.
    sex, age_years
        ``F``, ``M`` or ``O``, and the age at the examination: for normal ranges only, written nowhere.
    """

    height_m: float = math.nan
    weight_kg: float = math.nan
    heart_rate_bpm: float = math.nan
    field_strength_t: float = math.nan
    manufacturer: str = ""
    sex: str = ""
    age_years: float = math.nan

    @property
    def of_a_person(self) -> bool:
        """Whether something is told of one patient, and not of a scanner."""
        told = (self.height_m, self.weight_kg, self.heart_rate_bpm, self.age_years)
        return bool(self.sex) or not all(map(math.isnan, told))

    @property
    def body_surface_m2(self) -> float:
        """Body surface area in m2; nan unless height and weight are known.

        References
        ----------
        Mosteller, N Engl J Med 317:1098 (1987), doi:10.1056/NEJM198710223171717.
        """
        return math.sqrt(100 * self.height_m * self.weight_kg / 3600)

    def or_else(self, other: PatientFacts) -> PatientFacts:
        """These facts, completed by others where something is not known."""
        missing = [f.name for f in fields(self) if _unknown(getattr(self, f.name))]
        return replace(self, **{name: getattr(other, name) for name in missing})


def read_facts(files: Iterable[Path], *, cycle_ms: float = math.nan) -> PatientFacts:
    """Facts by the headers of DICOM files.

    Parameters
    ----------
    files
        Files of one study, one of every slice.
    cycle_ms
        How long the frames of the study last.

    Returns
    -------
    Facts; a value outside of what a patient or scanner can have counts as not known, and so does a file that
    cannot be read. A height that can only be in cm is taken as such. Of several heart rates that counts of
    which the frames cover one beat: where the scanner missed beats, headers tell half of it. Without a cycle
    it is the median.
    """
    facts, rates = PatientFacts(), []
    for path in dict.fromkeys(files):
        try:
            with quiet_pydicom():
                header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
                found = _facts(header)
        # The images were read before; what a strange header does here must not lose them.
        except Exception:
            continue
        facts = facts.or_else(found)
        rates += [found.heart_rate_bpm] * math.isfinite(found.heart_rate_bpm)
    usual = _MS_PER_MIN / cycle_ms if cycle_ms > 0 else float(np.median(rates or [math.nan]))
    rate = min(rates, key=lambda rate: abs(math.log(rate / usual)), default=math.nan)
    return replace(facts, heart_rate_bpm=rate)


def _facts(header: Dataset) -> PatientFacts:
    """Facts of one header."""
    height = _number(header, "PatientSize")
    texts = ("PatientSex", "PatientAge", "PatientBirthDate", "StudyDate")
    whose = person(*(str(header.get(name) or "") for name in texts))
    return PatientFacts(
        height_m=_within(height / 100 if height > _HEIGHT_M[1] else height, _HEIGHT_M),
        weight_kg=_within(_number(header, "PatientWeight"), _WEIGHT_KG),
        heart_rate_bpm=_heart_rate(header),
        field_strength_t=_within(_tesla(_number(header, "MagneticFieldStrength")), _FIELD_T),
        manufacturer=known_manufacturer(str(header.get("Manufacturer") or "")),
        sex=whose.sex,
        age_years=whose.age_years,
    )


def _heart_rate(header: Dataset) -> float:
    """Beats per minute, by the rate itself or by the interval between R waves."""
    # A cine tells it per frame, in the item that holds the trigger time.
    names = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    groups = [(header.get(name) or [Dataset()])[0] for name in names]
    sync = [item for group in groups for item in group.get("CardiacSynchronizationSequence") or ()]
    told = [_number(header, "NominalInterval"), *(_number(item, "RRIntervalTimeNominal") for item in sync)]
    interval_ms = next((interval for interval in told if interval > 0), math.nan)
    rate = _within(_number(header, "HeartRate"), _HEART_RATE)
    return _within(_MS_PER_MIN / interval_ms, _HEART_RATE) if math.isnan(rate) else rate


def _tesla(strength: float) -> float:
    """Field strength in T; some scanners write gauss."""
    return strength / 10_000 if strength > 100 else strength


def _number(header: Dataset, name: str) -> float:
    """A number of the header, or nan."""
    try:
        return float(header.get(name))
    except (TypeError, ValueError):
        return math.nan


def _within(value: float, limits: tuple[float, float]) -> float:
    """The value if it is plausible, else nan."""
    return value if limits[0] <= value <= limits[1] else math.nan


def _unknown(value: float | str) -> bool:
    """Whether a fact is missing."""
    return value == "" or value != value
