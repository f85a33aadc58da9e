"""What `cmrseg confidence` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cmrseg.data.confidence_sets import THRESHOLDS_PERCENT
from cmrseg.io.in_use import works_in
from cmrseg.report.write import write
from cmrseg.teachers import confidence as teacher
from cmrseg.teachers.confidence_report import confidence_report


@works_in("out", "confidence")
def confidence(
    volumes: Path,
    truth: Path,
    out: Path,
    *,
    thresholds: Sequence[float] = THRESHOLDS_PERCENT,
    images: Path | None = None,
) -> teacher.Confidence:
    """Form confidence sets, see `cmrseg.teachers.confidence.confidence`, and write all files about them."""
    found = teacher.confidence(volumes, truth, thresholds=thresholds, images=images)
    told = {"volumes": volumes, "truth": truth, "thresholds (%)": found.thresholds}
    write(confidence_report(found, told), out)
    return found
