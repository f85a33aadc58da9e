"""The pages of a review: the viewer of the report with tools to draw, and the list of examinations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cmrseg.cine import Cine
from cmrseg.examination.result import ExaminationResult
from cmrseg.io.review_file import Review
from cmrseg.io.tables import read_table
from cmrseg.labels import STRUCTURES
from cmrseg.report.cine_sprites import cine_sprites, heart_region
from cmrseg.report.figures import COLOURS
from cmrseg.report.flags import LEVELS
from cmrseg.report.page import render_page

MOST_ZOOM = 8.0


@dataclass(frozen=True)
class Place:
    """Where an examination stands in the list.

    Attributes
    ----------
    number, count
        From 0, and of how many.
    study
        Its name.
    """

    number: int
    count: int
    study: str


def overview_page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The list of examinations.

    Parameters
    ----------
    rows
        ``study``, ``level``, ``reasons``, ``EDV_ml``, ``ESV_ml``, ``EF_percent`` and ``state`` of each.

    Returns
    -------
    HTML text; row N leads to the address N.
    """
    return render_page("reviews", None, rows=rows, done=sum(bool(row["state"]) for row in rows))


def review_page(place: Place, image: Cine, mask: Cine, told: Mapping[str, Any]) -> str:
    """The page on which one examination is corrected.

    Parameters
    ----------
    place
        Where it stands.
    image, mask
        Intensities and `Label` ids on one grid, ``(x, y, z, t)``.
    told
        What `measured_now` says of it.

    Returns
    -------
    HTML text. What the page posts has ``base`` (the version that it was made of), ``ed`` and ``es`` (frames
    that were marked, or null), and ``mask``: ids in the order phase, slice of the file, row, column, deflated
    (base64).
    """
    data = {
        **cine_sprites(image, mask, whole=True),
        "start": _view_of(mask),
        "phases": image.array.shape[3],
        "times": [round(float(t), 1) for t in image.frame_times_ms if math.isfinite(t)],
        "structures": [{"name": s.name, "id": int(s), "colour": COLOURS[s]} for s in STRUCTURES],
        "levels": dict(LEVELS),
        "now": told,
    }
    return render_page("review", data, may_ask=True, place=place)


def _view_of(mask: Cine) -> dict[str, float]:
    """Zoom and middle (parts of the image) that show the heart and what is around it."""
    sides, region = mask.array.shape[:2], heart_region(mask.array)
    part = max((r.stop - r.start) / side for r, side in zip(region, sides, strict=True))
    x, y = ((r.start + r.stop) / 2 / side for r, side in zip(region, sides, strict=True))
    return {"zoom": float(np.clip(1 / part, 1, MOST_ZOOM)), "x": x, "y": y}


def measured_now(folder: Path, result: ExaminationResult, review: Review, version: str) -> dict[str, Any]:
    """What the files of an examination tell, ready for JSON.

    Parameters
    ----------
    folder
        Of the examination.
    result, review
        What it remembers.
    version
        Of its mask and marks.

    Returns
    -------
    ``version``; ``ed`` and ``es``, the frames that were measured, and ``marks``, what a person has said of
    them; ``numbers`` with LV and RV of every quantity; ``flags`` that are not green; ``level``;
    ``corrected``, and ``reviewed``, whether a person has looked at the mask; ``notes``.
    """
    row = result.cohort or {}
    flags = read_table(folder / "flags.csv", keep_default_na=False).to_dict("records")
    return {
        "version": version,
        "ed": int(row["ED_frame"]), "es": int(row["ES_frame"]),
        "marks": {"ed": review.ed, "es": review.es},
        "numbers": _numbers(folder),
        "flags": [{k: f[k] for k in ("level", "check", "reason")} for f in flags if f["level"] != "green"],
        "level": str(row.get("level") or "none"),
        "corrected": result.corrected, "reviewed": bool(review.frames),
        "notes": list(result.notes),
    }  # fmt: skip


def _numbers(folder: Path) -> list[dict[str, Any]]:
    """A row per quantity: its name, its unit, and the value of LV and RV, None where it is unknown."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for told in read_table(folder / "numbers.csv").to_dict("records"):
        key = (str(told["quantity"]), str(told["unit"]))
        row = rows.setdefault(key, {"quantity": key[0], "unit": key[1], "LV": None, "RV": None})
        row[str(told["ventricle"])] = float(told["value"]) if math.isfinite(told["value"]) else None
    return list(rows.values())
