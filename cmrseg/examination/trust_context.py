"""Checks of what surrounds the mask: images, scanner, curation, and the model's own agreement with itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.curation import kinds
from cmrseg.examination.trust_input import LEVELS, LIMITS, Limit, TrustInput
from cmrseg.io.dicom_words import OTHER_MANUFACTURER, known_manufacturer
from cmrseg.labels import Label
from cmrseg.metrics.cycle import MIN_FRAMES
from cmrseg.metrics.volumes import ed_es_frames, ejection_fraction, pixel_curve
from cmrseg.report.flags import Flag, Level
from cmrseg.zoo.domain import FEATURES, TrainingDomain, grey_distance, study_features

# Ratios to the ends of the training's range (below, above). A few dozen studies do not show how far all go,
# hence a tolerance; beyond _RED masks get bad, which other features did not do alone (trust_evidence.tsv).
_TOLERANCE = (1.1, 1.1)
_RED = {"heart_mm": (np.inf, 1.15), "contrast_to_noise": (2.0, np.inf)}
_NEVER = (np.inf, np.inf)
# All slices and frames are still there. With these the EF of the Kaggle set was as good as without (2 to 5
# points off, with the others 6 to 7), images beyond 256 pixels excepted, which our models take at any size.
_HARMLESS = {kinds.COLLISION, kinds.ROTATION, kinds.PIXEL_SPACING, kinds.REPEATED, kinds.TOO_LARGE}
_LOST = {kinds.FAILED}
_OF_DOMAIN = ("like the training data", "known scanner")
_OF_STRUCTURE = {  # checks that look at one more structure than the LV
    Label.MYO: ("LV inside myocardium", "steady myocardial mass"),
    Label.RV: ("RV at the base", "equal stroke volumes"),
}
_OF_FLIPS = ("same mask for flipped images",)
Agreement = tuple[float, pd.Series]  # mean Dice by pixels, and the row of the worst mid slice
_MID_SHARE = 0.5  # of the largest image of a structure, from which on a slice counts as mid


def steady_under_flips(study: TrustInput) -> Flag | None:
    """Whether the model gives the same mask for the mirrored images."""
    found = flip_agreement(study)
    if found is None:
        return None
    limits = LIMITS["disagreement"], LIMITS["worst disagreement"]
    return _agreement_flag("same mask for flipped images", "masks of flipped images", found, *limits)


def two_models_agree(study: TrustInput) -> Flag | None:
    """Whether a second model that was asked gives the same mask, a 3D one beside a 2D one for instance."""
    found, second = second_agreement(study), study.second
    if found is None or second is None:
        return None
    limits = LIMITS["second model"], LIMITS["worst second model"]
    flag = _agreement_flag(
        "two models agree", f"this mask and that of {second.model['name']}", found, *limits
    )
    ours, others = (_ef_percent(mask) for mask in (study.mask, second.mask))
    told = f" EF of the LV: {ours:.0f} % and {others:.0f} %." if np.isfinite([ours, others]).all() else ""
    return replace(flag, reason=flag.reason + told)


def flip_agreement(study: TrustInput) -> Agreement | None:
    """How well the masks of flipped images agree with their average."""
    return None if study.agreement is None else _agreement(study.agreement, study)


def second_agreement(study: TrustInput) -> Agreement | None:
    """How well the mask of a second model agrees with this one."""
    if study.second is None:
        return None
    return _agreement(study.second.agreement(study.mask, study.structures), study)


def _agreement(table: pd.DataFrame, study: TrustInput) -> Agreement | None:
    """Mean Dice by pixels and the worst mid slice of a table as `TrustInput.agreement`."""
    if table.empty:
        return None
    table = _with_pixels(table, study.areas)
    if table.empty:
        return None
    mid = table[table["pixels"] >= _MID_SHARE * table.groupby("structure")["pixels"].transform("max")]
    return float(np.average(table["dice"], weights=table["pixels"])), mid.loc[mid["dice"].idxmin()]


def _agreement_flag(name: str, masks: str, found: Agreement, usual: Limit, least: Limit) -> Flag:
    """What an agreement says, and where it is worst."""
    mean, worst = found
    place = f"{worst['structure']}, slice {worst['slice']:.0f}, frame {worst['frame']:.0f}"
    return Flag(
        max(usual.level(100 * (1 - mean)), least.level(100 * (1 - worst["dice"])), key=LEVELS.index),
        name,
        f"{masks} agree by a Dice of {mean:.3f} on average (usual: from "
        f"{1 - usual.amber / 100:.3f}) and of {worst['dice']:.2f} in the worst mid slice ({place}; usual: "
        f"from {1 - least.amber / 100:.2f}).",
        int(worst["slice"]),
        int(worst["frame"]),
    )


def _ef_percent(mask: Cine) -> float:
    """Ejection fraction of the LV, nan where there is one frame or no LV."""
    curve = pixel_curve(mask.array, Label.LV)
    ed, es = ed_es_frames(curve, smooth=True)
    return ejection_fraction(curve[ed], curve[es]) if ed != es else np.nan


def like_training(study: TrustInput) -> Flag | None:
    """Whether images and heart are within the ranges of the training data."""
    name, domain = "like the training data", study.domain
    if domain is None:
        return None
    if not study.areas[Label.LV][:, study.ed].any():
        return None
    frames = list(dict.fromkeys((study.ed, study.es)))
    values, grey = study_features(study.image, study.mask, frames)
    values["grey_distance"] = grey_distance(grey, domain)
    known = {f: v for f, v in values.items() if f in domain.ranges and np.isfinite(v)}
    outside = {f: v for f, v in known.items() if not _within(v, domain.ranges[f], _TOLERANCE)}
    if not outside:
        return Flag(
            "green", name, f"{len(known)} of {len(known)} features are in the range of {domain.data}."
        )
    said = "; ".join(_said(feature, value, domain) for feature, value in outside.items())
    red = any(not _within(v, domain.ranges[f], _RED.get(f, _NEVER)) for f, v in outside.items())
    return Flag("red" if red else "amber", name, f"{said}.")


def known_scanner(study: TrustInput) -> Flag | None:
    """Whether the model has seen the field strength and the vendor."""
    domain, facts = study.domain, study.facts
    if domain is None:
        return None
    strange = []
    fields = domain.field_strengths_t
    if fields and np.isfinite(facts.field_strength_t) and not _is_one_of(facts.field_strength_t, fields):
        strange.append(f"{facts.field_strength_t:g} T (training: {', '.join(f'{f:g}' for f in fields)} T)")
    vendors = domain.manufacturers
    of_training = {known_manufacturer(vendor) for vendor in vendors} - {OTHER_MANUFACTURER}
    if vendors and facts.manufacturer and known_manufacturer(facts.manufacturer) not in of_training:
        strange.append(f"{facts.manufacturer} (training: {', '.join(vendors)})")
    if strange:
        return Flag("amber", "known scanner", f"the model was not trained on {' and '.join(strange)}.")
    known = [facts.manufacturer] if facts.manufacturer and vendors else []
    known += [f"{facts.field_strength_t:g} T"] if np.isfinite(facts.field_strength_t) and fields else []
    return Flag("green", "known scanner", f"{' '.join(known)} is in the training data.") if known else None


def all_checks_possible(study: TrustInput) -> Flag | None:
    """Whether the model allows all checks: what is not checked is not green.

    That flips were not averaged is the user's choice and alone no reason for a flag.
    """
    lacks: dict[str, tuple[str, ...]] = {}
    if study.domain is None:
        lacks["the model's training data are not known"] = _OF_DOMAIN
    for structure, checks in _OF_STRUCTURE.items():
        if structure not in study.structures:
            lacks[f"the model has no {structure.name}"] = checks
    if not lacks:
        return None
    if study.agreement is None:
        lacks["flips were not averaged"] = _OF_FLIPS
    said = "; ".join(f"{', '.join(checks)} ({why})" for why, checks in lacks.items())
    count = sum(map(len, lacks.values()))
    return Flag("amber", "all checks", f"{count} checks not possible: {said}.")


def curated_cleanly(study: TrustInput) -> Flag | None:
    """What curation had to repair or leave out."""
    if not study.problems:
        return None
    counted = Counter((p.problem, p.resolution) for p in study.problems)
    said = "; ".join(
        f"{n} x {kind} ({what})" if what else f"{n} x {kind}" for (kind, what), n in counted.items()
    )
    found = {p.problem for p in study.problems}
    level: Level = "red" if found & _LOST else "green" if found <= _HARMLESS else "amber"
    return Flag(level, "curation", f"reported by curation: {said}.")


def complete_input(study: TrustInput) -> Flag:
    """Whether frames, times, spacing and slices allow what is measured."""
    _, _, slices, frames = study.mask.array.shape
    lacks = []
    if 1 < frames < MIN_FRAMES:
        lacks.append(f"{frames} frames (ED and ES may lie between them; {MIN_FRAMES} are needed for a curve)")
    elif frames == 1:
        lacks.append("one frame only, so no ESV and EF")
    elif not study.mask.frame_times_ms:
        lacks.append("no times of the frames")
    if not study.mask.has_spacing:
        lacks.append("spacing unknown, so nothing is in mm or ml")
    if study.ends is None:
        lacks.append("fewer than 3 slices with LV, so the volumes are no whole ventricle's")
    if lacks:
        return Flag("amber", "complete input", f"{'; '.join(lacks)}.")
    dx, dy, dz = study.mask.spacing
    said = f"{slices} slices and {frames} frames of {dx:.2f} x {dy:.2f} mm pixels, slices {dz:.3g} mm apart"
    return Flag("green", "complete input", f"{said}.")


def _with_pixels(agreement: pd.DataFrame, areas: Mapping[Label, np.ndarray]) -> pd.DataFrame:
    """Mean agreement by slice, frame and structure, and the pixels there; images without any are left out."""
    means = agreement.groupby(["slice", "frame", "structure"], as_index=False)["dice"].mean()
    places = zip(means["structure"], means["slice"], means["frame"], strict=True)
    means["pixels"] = [areas[Label[s]][z, t] for s, z, t in places]
    return means[(means["pixels"] > 0) & means["dice"].notna()]


def _within(value: float, limits: tuple[float, float], ratios: tuple[float, float]) -> bool:
    """Whether a positive value is in a range that is widened by a ratio below and one above."""
    return limits[0] / ratios[0] <= value <= limits[1] * ratios[1]


def _is_one_of(value: float, known: tuple[float, ...]) -> bool:
    """Whether a field strength is one of several, as headers round it."""
    return any(abs(value - each) <= 0.1 * each for each in known)


def _said(feature: str, value: float, domain: TrainingDomain) -> str:
    """A feature outside its range for a sentence."""
    name, unit = FEATURES[feature]
    low, high = domain.ranges[feature]
    return f"{name} {value:.3g}{f' {unit}' if unit else ''} (training: {low:.3g} to {high:.3g})"
