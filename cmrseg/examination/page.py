"""The report of one study: viewer, volume curve, numbers and checks in one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.examination.findings import Findings
from cmrseg.examination.methods_text import methods_text
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.indices import DIMENSIONS, THICKNESSES
from cmrseg.metrics.volumes import MYOCARDIUM_G_PER_ML, pixel_curve
from cmrseg.report.cine_sprites import cine_sprites
from cmrseg.report.figures import COLOURS
from cmrseg.report.flags import LEVELS, worst_first
from cmrseg.report.html import Picture
from cmrseg.report.page import render_page

VENTRICLES = ("LV", "RV")
HEADLINES = (("LV", "EF"), ("LV", "EDV"), ("LV", "ESV"), ("LV", "mass"), ("RV", "EF"), ("RV", "EDV"))
PLAY_STEP_MS = 40.0  # between frames of unknown time

_MS_PER_MIN = 60_000
_SURE = {
    "classifier": "how probable the classifier finds it that the slice shows the heart",
    "flips": "how far the flips of the image agree on the LV of the slice (Dice)",
    "": "",
}


def study_page(
    analysis: Findings,
    *,
    pictures: Sequence[Picture] = (),
    files: Mapping[str, str] | None = None,
    cohort: str = "",
) -> str:
    """Report of one study as one HTML file without links to anything but its neighbours.

    Parameters
    ----------
    analysis
        What is known of the study.
    pictures
        Figures of the wall, such as the plot of the AHA segments.
    files
        Files beside the report and what each is, for links: ``{"seg.nii.gz": "mask"}``.
    cohort
        Address of the page of all studies, relative to the report; none by default.

    Returns
    -------
    HTML text. Slices are shown from base to apex; a number that is not known is a dash, and why is said.
    """
    sensitivity = _sensitivity(analysis)
    return render_page(
        "study",
        _viewer(analysis),
        study=analysis.study,
        facts=[*_facts(analysis.image), *_corrected(analysis.provenance)],
        verdict=_verdict(analysis),
        flags=worst_first(analysis.flags),
        headlines=[h for pair in HEADLINES if (h := _number(analysis.numbers, *pair)) is not None],
        numbers=_number_rows(analysis.numbers),
        conventions=_conventions(analysis.numbers),
        unknown=_unknown(analysis),
        sensitivity=sensitivity,
        changes=_largest_changes(sensitivity),
        ends=_end_rows(analysis),
        intervals=analysis.intervals.dropna(subset=["value"]),
        sure=_SURE[analysis.sure_by],
        indices=_at_ed_and_es(analysis),
        segments=_segments(analysis.segments),
        pictures=pictures,
        normal=analysis.normal,
        not_normal_known=analysis.not_normal_known,
        methods=methods_text(analysis),
        provenance=analysis.provenance,
        files=files or {},
        cohort=cohort,
    )


def _viewer(analysis: Findings) -> dict[str, object]:
    """What the script of the page reads."""
    image = analysis.image
    phases = image.array.shape[3]
    times = _times(image)
    return {
        **cine_sprites(image, analysis.mask),
        "phases": phases, "ed": analysis.ed_frame, "es": analysis.es_frame, "times": times,
        "step_ms": _step_ms(times) or PLAY_STEP_MS, "dz": _or_none(image.spacing[2]),
        "structures": [{"name": s.name, "id": int(s), "colour": COLOURS[s]} for s in STRUCTURES],
        "curve": _curves(analysis),
    }  # fmt: skip


def _times(image: Cine) -> list[float]:
    """Time of every frame in ms; empty unless they rise."""
    times = np.asarray(image.frame_times_ms, float)
    rises = len(times) == image.array.shape[3] and np.isfinite(times).all() and (np.diff(times) > 0).all()
    return times.tolist() if rises else []


def _step_ms(times: Sequence[float]) -> float | None:
    """Time from one frame to the next; None where it is unknown."""
    return float(np.median(np.diff(times))) if len(times) > 1 else None


def _curves(analysis: Findings) -> dict[str, object]:
    """Volumes of all structures; voxel counts, which show the same course, where there are no volumes."""
    table = analysis.curves
    known = any(table[f"{s.name}_ml"].notna().any() for s in STRUCTURES)
    series = []
    for structure in STRUCTURES:
        name = f"{structure.name}_ml"
        points = table[name] if known else pixel_curve(analysis.mask.array, structure)
        smooth = table.get(f"{structure.name}_smooth_ml", ()) if known else ()
        series.append({"points": [_or_none(v) for v in points], "smooth": [_or_none(v) for v in smooth]})
    return {"unit": "ml" if known else "voxels", "series": series}


def _facts(image: Cine) -> list[str]:
    """Size, spacing and timing of the study in words."""
    x, y, slices, phases = image.array.shape
    facts = [f"{x} × {y} pixels", _count(slices, "slice"), _count(phases, "phase")]
    if image.has_spacing:
        dx, dy, dz = image.spacing
        facts.append(f"{dx:.2f} × {dy:.2f} mm, slices {dz:.1f} mm apart")
    else:
        facts.append("spacing unknown")
    if step := _step_ms(_times(image)):
        facts.append(f"{step:.0f} ms per phase, cycle {step * phases:.0f} ms")
    return facts


def _corrected(provenance: Mapping[str, object]) -> list[str]:
    """Whose mask it is, where it is not the model's own."""
    mask = str(provenance.get("mask", ""))
    return [f"mask {mask}"] if mask.startswith("corrected") else []


def _count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _verdict(analysis: Findings) -> dict[str, object]:
    """Worst level, its word, and how many checks gave what."""
    level = analysis.level if analysis.flags else "none"
    counts = {k: sum(f.level == k for f in analysis.flags) for k in LEVELS}
    said = [f"{n} {k}" for k, n in counts.items() if n]
    passed = _count(counts["green"], "check") if counts["green"] else ""
    return {"level": level, "word": LEVELS[level], "counts": ", ".join(said), "passed": passed}


def _number(numbers: pd.DataFrame, ventricle: str, quantity: str) -> dict[str, object] | None:
    """One row of the numbers, if it is there and known."""
    rows = numbers[(numbers["ventricle"] == ventricle) & (numbers["quantity"] == quantity)]
    if rows.empty or not math.isfinite(rows["value"].iloc[0]):
        return None
    row = rows.iloc[0].to_dict()
    return {**row, "indexed_unit": _square(row["indexed_unit"])}


def _number_rows(numbers: pd.DataFrame) -> list[dict[str, object]]:
    """One row per quantity, one cell per ventricle; None where a quantity has no meaning for it."""
    rows = []
    for (quantity, unit), found in numbers.groupby(["quantity", "unit"], sort=False):
        cells = {row["ventricle"]: row for row in found.to_dict("records")}
        indexed_unit = next((u for u in found["indexed_unit"] if u), "")
        rows.append(
            {"quantity": quantity, "unit": unit, "indexed_unit": _square(indexed_unit),
             "cells": [cells.get(v) for v in VENTRICLES]}
        )  # fmt: skip
    return rows


def _conventions(numbers: pd.DataFrame) -> str:
    """What the numbers mean; heart rate and body surface area as they lie in them."""
    said = "Both ventricles at end-diastole and end-systole of the LV; mass at end-diastole, "
    said += f"{MYOCARDIUM_G_PER_ML:.2f} g/ml."
    output, stroke, volume = (_number(numbers, "LV", name) for name in ("cardiac output", "SV", "EDV"))
    if output and stroke and stroke["value"]:
        said += f" Cardiac output at {1000 * output['value'] / stroke['value']:.0f} beats per minute."
    if volume and math.isfinite(volume["indexed"]):
        said += f" Small: per body surface area, {volume['value'] / volume['indexed']:.2f} m² (Mosteller)."
    return said


def _unknown(analysis: Findings) -> dict[str, str]:
    """Reasons why numbers are missing, each with what it concerns."""
    reasons: dict[str, list[str]] = {}
    for row in analysis.numbers.to_dict("records"):
        if not math.isfinite(row["value"]):
            reasons.setdefault(_why_unknown(row, analysis), []).append(row["quantity"])
        elif row["indexed_unit"] and not math.isfinite(row["indexed"]):
            reasons.setdefault(
                "no height and weight in the headers or by --height-cm and --weight-kg", []
            ).append("indexed values")
    return {reason: ", ".join(dict.fromkeys(names)) for reason, names in reasons.items()}


def _why_unknown(row: Mapping[str, object], analysis: Findings) -> str:
    """Why one number is missing."""
    mask = analysis.mask
    if not analysis.has_one_beat:
        return "the frames cover more than one heart beat"
    if not (mask.array == Label[str(row["ventricle"])]).any():
        return f"no {row['ventricle']} in the mask"
    if analysis.ed_frame == analysis.es_frame and row["quantity"] not in ("EDV", "mass"):
        return "end-diastole and end-systole are the same frame"
    if not mask.has_spacing and row["unit"] != "%":
        return "no spacing in the headers"
    return (
        "no heart rate in the headers or by --heart-rate"
        if row["quantity"] == "cardiac output"
        else "not measured"
    )


def _sensitivity(analysis: Findings) -> pd.DataFrame:
    """Volumes without the end slices; there is no ejection where end-diastole is end-systole."""
    if analysis.ed_frame != analysis.es_frame:
        return analysis.sensitivity
    return analysis.sensitivity.assign(ESV_ml=math.nan, EF_percent=math.nan, EF_change_points=math.nan)


def _end_rows(analysis: Findings) -> list[dict[str, object]]:
    """A row per frame with both ends; how sure an end is is None where nothing tells."""
    phases = {analysis.es_frame: "ES", analysis.ed_frame: "ED"} if analysis.has_one_beat else {}
    rows: dict[int, dict[str, object]] = {}
    for end in analysis.ends.to_dict("records"):
        frame = int(end["frame"])
        row = rows.setdefault(frame, {"frame": frame, "phase": phases.get(frame, "")})
        row[end["end"]] = {"slice": int(end["slice"]), "sure": _or_none(end["sure_percent"])}
    return list(rows.values())


def _largest_changes(sensitivity: pd.DataFrame) -> list[str]:
    """How much leaving out end slices changes EDV and EF at most, as far as that is known."""
    largest = sensitivity[["EDV_change_ml", "EF_change_points"]].abs().max()
    said = (("EDV", largest["EDV_change_ml"], "ml"), ("EF", largest["EF_change_points"], "points"))
    return [f"the {name} by up to {value:.1f} {unit}" for name, value, unit in said if math.isfinite(value)]


def _at_ed_and_es(analysis: Findings) -> pd.DataFrame:
    """Indices at end-diastole and end-systole; those of all frames stand in the table beside the report."""
    if analysis.indices.empty or not analysis.has_one_beat:
        return analysis.indices.iloc[:0]
    table = analysis.indices[analysis.indices["frame"].isin((analysis.ed_frame, analysis.es_frame))]
    names = {analysis.es_frame: "ES", analysis.ed_frame: "ED"}
    diameters = {name: f"{where} diameter_mm" for name, where in DIMENSIONS.items()}
    walls = {name: f"{where} wall_mm" for name, where in THICKNESSES.items()}
    return table.assign(phase=table["frame"].map(names)).rename(columns={**diameters, **walls})


def _segments(segments: pd.DataFrame) -> pd.DataFrame:
    """The AHA segments; the names say the level."""
    return segments.drop(columns="level", errors="ignore").rename(
        columns={"ed_mm": "ED_mm", "es_mm": "ES_mm"}
    )


def _square(unit: str) -> str:
    """A unit as it is printed."""
    return unit.replace("m2", "m²")


def _or_none(value: float) -> float | None:
    """A number that JSON can say."""
    return float(value) if math.isfinite(value) else None
