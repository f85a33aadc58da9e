"""What is told of two examinations of one patient, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cmrseg.cine import Cine
from cmrseg.examination.comparison import Visit, VisitComparison
from cmrseg.labels import Label
from cmrseg.report.cine_pictures import overlay_figure
from cmrseg.report.figures import COLOURS, blank_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report

_STYLES = {"before": "solid", "after": "dashed"}
_RULE = (
    "A change is beyond the interval where it is larger than what 95 % of pairs of scans of one heart differ "
    "by: 1.96 times the coefficient of variability times the mean of both."
)
_LIMITS = (
    "The coefficients are those of readers at another centre, of the group in which they were largest. "
    "Within the interval something may have changed, too, and of several numbers one may be beyond it by "
    "chance."
)
_WALL = (
    "Levels are thirds of the slices with a closed ring of wall, of each examination: a slice more or less "
    "at the base moves all of them, so look at the pictures before a segment."
)


def visits_report(found: VisitComparison, *, provenance: Mapping[str, object]) -> Report:
    """What is told of a comparison: what changed, both hearts side by side, the curves, and the checks.

    Parameters
    ----------
    found
        What was found.
    provenance
        What was compared.
    """
    sources = [f"{r.ventricle} {r.quantity}: {r.source}" for r in found.changes.itertuples() if r.source]
    sections = [
        Section("What changed", [_RULE, _LIMITS], [Table(change_words(found.changes), _caption(found))],
                warnings=[f"{note[:1].upper()}{note[1:]}." for note in found.notes]),
        Section("End-diastole and end-systole", pictures=[
            Picture(_overlay(visit), f"{when}: {visit.name}, {_grid(visit.image)}", f"overlay_{when}")
            for when, visit in _visits(found).items()]),
        Section("Volumes over the cycle", pictures=[_curve_picture(found)]),
        Section("Wall of the left ventricle", [_WALL], [Table(_wall_words(found.segments), "AHA segments")]),
        Section("Checks", tables=[Table(_checks(found), "Of both examinations")]),
        Section("Where the intervals come from", sources),
    ]  # fmt: skip
    tables = {"changes.csv": found.changes, "segments.csv": found.segments}
    return Report(
        f"Two examinations: {found.before.name}, {found.after.name}",
        sections,
        provenance,
        headline(found),
        tables,
    )


def headline(found: VisitComparison) -> str:
    """Which numbers changed by more than two scans differ."""
    beyond = found.changes[found.changes["verdict"] == "beyond"]
    within = int((found.changes["verdict"] == "within").sum())
    said = ", ".join(
        f"{r.ventricle} {r.quantity} {r.change:+.1f} {_points(r.unit)}" for r in beyond.itertuples()
    )
    return f"Beyond the scan-rescan interval: {said or 'nothing'}; {within} number(s) within it."


def change_words(changes: pd.DataFrame) -> pd.DataFrame:
    """Changes for people.

    Parameters
    ----------
    changes
        `VisitComparison.changes`.
    """
    return pd.DataFrame([
        {
            "quantity": f"{r.ventricle} {r.quantity}", "unit": r.unit, "before": f"{r.before:.1f}",
            "after": f"{r.after:.1f}", "change": f"{r.change:+.1f}",
            "change %": "–" if np.isnan(r.change_percent) else f"{r.change_percent:+.0f}",
            "interval": f"± {r.interval:.1f}" if r.verdict else "not known", "verdict": r.verdict,
        }
        for r in changes.itertuples()
    ])  # fmt: skip


def _points(unit: str) -> str:
    """Unit of a difference: that of percents is points."""
    return "points" if unit == "%" else unit


def _visits(found: VisitComparison) -> dict[str, Visit]:
    """Both examinations by when they were."""
    return {"before": found.before, "after": found.after}


def _caption(found: VisitComparison) -> str:
    """What the columns are."""
    return f"before: {found.before.name}, after: {found.after.name}"


def _grid(image: Cine) -> str:
    """Size and spacing of a stack."""
    _, _, slices, frames = image.array.shape
    dx, dy, dz = image.spacing
    return f"{slices} slices and {frames} frames, {dx:.2f} × {dy:.2f} mm, slices {dz:.1f} mm apart"


def _overlay(visit: Visit) -> Figure:
    """All slices at end-diastole and end-systole."""
    return overlay_figure(visit.image, visit.mask, frames=list(dict.fromkeys(visit.frames)))


def _curve_picture(found: VisitComparison) -> Picture:
    """LV and RV volumes over the cycle of both, from end-diastole on."""
    figure = blank_figure(6.4, 3.4)
    ax = figure.subplots()
    for when, visit in _visits(found).items():
        frames, ed = len(visit.curves), visit.frames[0]
        for label in (Label.LV, Label.RV):
            volumes = np.roll(visit.curves[f"{label.name}_ml"].to_numpy(float), -ed)
            place = 100 * np.arange(frames) / frames
            ax.plot(
                place,
                volumes,
                color=COLOURS[label],
                ls=_STYLES[when],
                lw=1.4,
                marker="." if frames < 3 else "",
            )
    lines = [Line2D([], [], color=COLOURS[s], label=s.name) for s in (Label.LV, Label.RV)]
    lines += [Line2D([], [], color="black", ls=style, label=when) for when, style in _STYLES.items()]
    figure.legend(handles=lines, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    ax.set_xlabel("part of the cycle after end-diastole (%)")
    ax.set_ylabel("volume (ml)")
    ax.set_ylim(bottom=0)
    return Picture(figure, "Volumes of both ventricles, each from its end-diastole on.", "curves")


def _wall_words(segments: pd.DataFrame) -> pd.DataFrame:
    """Segments with one digit."""
    names = {"ed_mm_before": "ED mm before", "ed_mm_after": "after",
             "thickening_before": "thickening % before", "thickening_after": "after "}  # fmt: skip
    texts = {name: segments[name].map(lambda v: "–" if np.isnan(v) else f"{v:.1f}") for name in names}
    return segments.assign(**texts).rename(columns=names)


def _checks(found: VisitComparison) -> pd.DataFrame:
    """Levels of both, by check."""
    levels = {when: visit.flags.set_index("check")["level"] for when, visit in _visits(found).items()}
    table = pd.concat(levels, axis=1).fillna("–").rename_axis("check").reset_index()
    reasons = pd.concat([v.flags for v in _visits(found).values()]).query("level != 'green'")
    said = reasons.groupby("check", sort=False)["reason"].agg(lambda r: " | ".join(dict.fromkeys(r)))
    return table.assign(reason=table["check"].map(said).fillna(""))
