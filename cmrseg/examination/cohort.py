"""All studies of a run: one row each for ``cohort.csv``, and one page that sorts, filters and links them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import quote

import pandas as pd

from cmrseg.examination.findings import Findings
from cmrseg.report.flags import LEVELS, worst_first
from cmrseg.report.page import render_page

# Column of cohort.csv -> ventricle, quantity and whether it is the indexed value.
NUMBERS: Mapping[str, tuple[str, str, bool]] = {
    "EDV_ml": ("LV", "EDV", False),
    "ESV_ml": ("LV", "ESV", False),
    "SV_ml": ("LV", "SV", False),
    "EF_percent": ("LV", "EF", False),
    "MYO_mass_g": ("LV", "mass", False),
    "CO_l_min": ("LV", "cardiac output", False),
    "RV_EDV_ml": ("RV", "EDV", False),
    "RV_ESV_ml": ("RV", "ESV", False),
    "RV_SV_ml": ("RV", "SV", False),
    "RV_EF_percent": ("RV", "EF", False),
    "EDV_ml_m2": ("LV", "EDV", True),
    "ESV_ml_m2": ("LV", "ESV", True),
    "SV_ml_m2": ("LV", "SV", True),
    "MYO_mass_g_m2": ("LV", "mass", True),
    "CI_l_min_m2": ("LV", "cardiac output", True),
    "RV_EDV_ml_m2": ("RV", "EDV", True),
    "RV_ESV_ml_m2": ("RV", "ESV", True),
    "RV_SV_ml_m2": ("RV", "SV", True),
}
COHORT_COLUMNS = (
    "study", "level", *NUMBERS, "heart_rate_bpm", "ED_frame", "ES_frame", "reasons",
)  # fmt: skip
SHOWN = (
    "EDV_ml", "ESV_ml", "SV_ml", "EF_percent", "MYO_mass_g", "RV_EDV_ml", "RV_EF_percent", "EDV_ml_m2",
    "MYO_mass_g_m2", "CI_l_min_m2",
)  # fmt: skip
_UNITS = {
    "_l_min_m2": "l/min/m²", "_ml_m2": "ml/m²", "_g_m2": "g/m²", "_l_min": "l/min", "_ml": "ml", "_g": "g",
    "_percent": "%",
}  # fmt: skip
PLOT_WIDTH, PLOT_HEIGHT = 440, 280
PLOT_LEFT, PLOT_RIGHT, PLOT_TOP, PLOT_BOTTOM = 40, 14, 26, 38
_TICKS = 5


def cohort_row(analysis: Findings) -> dict[str, object]:
    """One row of ``cohort.csv``.

    Parameters
    ----------
    analysis
        What is known of the study.

    Returns
    -------
    Values by the names in `COHORT_COLUMNS`; nan where a number is unknown. ``reasons`` are those of all
    checks that are not green, the worst first; the level is empty if nothing was checked.
    """
    table = analysis.numbers.set_index(["ventricle", "quantity"])
    found = {
        column: float(table["indexed" if indexed else "value"].get((ventricle, quantity), math.nan))
        for column, (ventricle, quantity, indexed) in NUMBERS.items()
    }
    reasons = [f"{f.check}: {f.reason}" for f in worst_first(analysis.flags) if f.level != "green"]
    row = {
        "study": analysis.study, "level": analysis.level if analysis.flags else "", **found,
        "heart_rate_bpm": _heart_rate(found),
        "ED_frame": analysis.ed_frame, "ES_frame": analysis.es_frame, "reasons": " | ".join(reasons),
    }  # fmt: skip
    return {column: row[column] for column in COHORT_COLUMNS}


def cohort_page(
    rows: pd.DataFrame, *, failed: Mapping[str, str] | None = None, title: str = "Studies"
) -> str:
    """Page of all studies of a run, for ``index.html`` beside their folders.

    Parameters
    ----------
    rows
        Table of `cohort_row`, one row per study; missing columns are left out.
    failed
        Studies without numbers, each with the reason.
    title
        Heading.

    Returns
    -------
    HTML text: a table that sorts by every column and filters by level and name, and EF against EDV. Links are
    relative: ``<study>/report.html``.
    """
    rows = rows.reindex(columns=list(COHORT_COLUMNS))
    columns = [c for c in SHOWN if rows[c].notna().any()]
    studies = [_study(row, columns) for row in rows.to_dict("records")]
    counts = {level: sum(s["level"] == level for s in studies) for level in LEVELS}
    return render_page(
        "cohort",
        None,
        title=title,
        columns={c: _heading(c) for c in columns},
        studies=studies,
        counts={level: n for level, n in counts.items() if n},
        failed=failed or {},
        plot=_plot(studies),
    )


def _heart_rate(found: Mapping[str, float]) -> float:
    """Beats per minute, as they lie in cardiac output and stroke volume."""
    return round(1000 * found["CO_l_min"] / found["SV_ml"], 3) if found["SV_ml"] else math.nan


def _study(row: Mapping[str, object], columns: list[str]) -> dict[str, object]:
    """One row of the page."""
    level = row["level"] if row["level"] in LEVELS else "none"
    reasons = row["reasons"] if isinstance(row["reasons"], str) else ""
    return {
        "name": str(row["study"]),
        "href": f"{quote(str(row['study']), safe='')}/report.html",
        "level": level,
        "word": LEVELS[level],
        "rank": list(LEVELS).index(level),
        "checks": ", ".join(part.split(":")[0] for part in reasons.split(" | ") if part),
        "numbers": [float(row[c]) for c in columns],
        "edv": float(row["EDV_ml"]),
        "ef": float(row["EF_percent"]),
    }


def _heading(column: str) -> tuple[str, str]:
    """Column name as it is read: ``EDV_ml_m2`` becomes ``EDV`` and ``ml/m²``."""
    suffix = next(s for s in _UNITS if column.endswith(s))
    return column.removesuffix(suffix).replace("_", " "), _UNITS[suffix]


def _plot(studies: list[dict[str, object]]) -> dict[str, object] | None:
    """Where every study lies in the plane of EDV and EF, in units of the picture; None below two of them."""
    known = [s for s in studies if math.isfinite(s["edv"]) and math.isfinite(s["ef"])]
    if len(known) < 2:
        return None
    x_ticks = _round_ticks(max(s["edv"] for s in known))
    y_ticks = _round_ticks(max(s["ef"] for s in known))
    x_scale = (PLOT_WIDTH - PLOT_LEFT - PLOT_RIGHT) / x_ticks[-1]
    y_scale = (PLOT_HEIGHT - PLOT_TOP - PLOT_BOTTOM) / y_ticks[-1]
    floor = PLOT_HEIGHT - PLOT_BOTTOM
    return {
        "width": PLOT_WIDTH, "height": PLOT_HEIGHT, "left": PLOT_LEFT, "floor": floor,
        "x_ticks": [(t, PLOT_LEFT + t * x_scale) for t in x_ticks],
        "y_ticks": [(t, floor - t * y_scale) for t in y_ticks],
        "points": [
            {**s, "x": PLOT_LEFT + s["edv"] * x_scale, "y": floor - max(s["ef"], 0) * y_scale} for s in known
        ],
    }  # fmt: skip


def _round_ticks(top: float) -> list[int]:
    """Whole numbers from 0 in equal steps of 1, 2 or 5 times a power of ten, the last at or above ``top``."""
    top = max(top, 1)
    rough = top / _TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = max(1, next(m * power for m in (1, 2, 5, 10) if m * power >= rough))
    return [int(i * step) for i in range(math.ceil(top / step) + 1)]
