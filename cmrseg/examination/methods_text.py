"""How a study was measured, in sentences for a paper or a report: made of what was really run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cmrseg.cine import Cine
from cmrseg.examination.findings import MARKED, Findings
from cmrseg.labels import Label
from cmrseg.metrics.cycle import MIN_FRAMES
from cmrseg.metrics.volumes import MYOCARDIUM_G_PER_ML

_STRUCTURES = {Label.LV: "left ventricle", Label.MYO: "myocardium", Label.RV: "right ventricle"}
_PIECES = {
    "heart": "of every mask the one heart was kept",
    "largest": "of every structure the largest piece was kept",
    "all": "all pieces were kept",
}


def methods_text(analysis: Findings) -> str:
    """Paragraph on how the numbers of a study were made.

    Parameters
    ----------
    analysis
        What is known of the study; its provenance says what was run.

    Returns
    -------
    Sentences without anything of the patient but the size of the image and, where numbers were indexed, that
    they were.
    """
    sentences = [
        _images(analysis.image), _mask(analysis), _phases(analysis), _volumes(analysis),
        _wall(analysis), _ranges(analysis), _checks(analysis),
    ]  # fmt: skip
    return " ".join(filter(None, sentences))


def _images(image: Cine) -> str:
    """The stack."""
    _, _, slices, frames = image.array.shape
    said = f"A short-axis cine of {_count(slices, 'slice')} and {_count(frames, 'cardiac phase')}"
    if not image.has_spacing:
        return f"{said} of unknown spacing was analysed."
    dx, dy, dz = image.spacing
    return f"{said} ({dx:.2f} × {dy:.2f} mm pixels, slices {dz:.1f} mm apart) was analysed."


def _count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number} {what}{'s' * (number != 1)}"


def _mask(analysis: Findings) -> str:
    """What was segmented by whom, and how."""
    run: Mapping[str, Any] = analysis.provenance
    model, settings = run.get("model", {}), run.get("settings", {})
    shown = [name for label, name in _STRUCTURES.items() if (analysis.mask.array == label).any()]
    said = f"{_listed(shown) or 'Nothing'} {'was' if len(shown) < 2 else 'were'} segmented with cmrseg "
    said = f"{said[0].upper()}{said[1:]}{run.get('cmrseg', '')} by the model {model.get('name', 'unknown')}"
    said += f" (SHA-256 {str(model['sha256'])[:12]})" if "sha256" in model else ""
    how = ["predictions of the image and its mirror images were averaged"] * bool(settings.get("flips"))
    how += [_PIECES[pieces]] if (pieces := settings.get("pieces")) in _PIECES else []
    said += f"; {' and '.join(how)}." if how else "."
    corrected = str(run.get("mask", "")).startswith("corrected")
    return f"{said} The masks were {'corrected by a person' if corrected else 'not corrected by hand'}."


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _phases(analysis: Findings) -> str:
    """Which phases are end-diastole and end-systole."""
    if not analysis.has_one_beat:
        return "The frames cover more than one heart beat, so ED and ES were not measured."
    if analysis.ed_frame == analysis.es_frame:
        return "One phase was measured as end-diastole."
    if MARKED in analysis.provenance:
        return "End-diastole and end-systole, for both ventricles, were marked by a person."
    curve = "smoothed volume curve" if len(analysis.curves) >= MIN_FRAMES else "volume curve"
    return (
        "End-diastole and end-systole, for both ventricles, were the phases of the largest and the smallest "
        f"left-ventricular volume on the {curve}."
    )


def _volumes(analysis: Findings) -> str:
    """What volumes and mass are."""
    said = (
        "Volumes are sums over slices of area times slice distance; papillary muscles and trabeculae "
        f"count to the cavity, and myocardial mass is its volume at ED times {MYOCARDIUM_G_PER_ML:.2f} g/ml."
    )
    if len(analysis.numbers) and analysis.numbers["indexed"].notna().any():
        said += " Values were indexed to body surface area (Mosteller 1987)."
    return said


def _wall(analysis: Findings) -> str:
    """What the wall was measured by."""
    if analysis.segments.empty or not math.isfinite(analysis.segments["ed_mm"].max()):
        return ""
    return "Wall thickness and thickening were measured in the AHA segments (Cerqueira et al. 2002)."


def _ranges(analysis: Findings) -> str:
    """Which normal ranges were used."""
    if analysis.normal is None or analysis.normal.empty:
        return ""
    sources = "; ".join(dict.fromkeys(s.split(", abstract")[0] for s in analysis.normal["source"]))
    return f"Values were compared with normal ranges by sex and age ({sources})."


def _checks(analysis: Findings) -> str:
    """How many checks were made, and what they found."""
    if not analysis.flags:
        return ""
    found = {level: sum(f.level == level for f in analysis.flags) for level in ("red", "amber")}
    said = ", ".join(f"{n} {level}" for level, n in found.items() if n) or "none of them noticed anything"
    return f"{len(analysis.flags)} automatic checks of the masks were made ({said})."
