"""What is told of contours that became masks."""

from __future__ import annotations

from cmrseg.contours.run import ContourRun
from cmrseg.report.figures import overlay_figure
from cmrseg.report.html import Picture, Section, Table


def contours_section(run: ContourRun) -> Section:
    """Which studies have contours, what was left out, and contours on images."""
    pictures = [
        Picture(overlay_figure(list(examples)), f"Contours of {study} as they are used.", f"contours_{study}")
        for study, examples in run.pictures.items()
        if examples
    ]
    told = "Numbers are frames; a structure that is not named is unknown in that frame. One row per image: "
    table = Table(run.studies, f"{told}contours.tsv")
    return Section("Contours", run.notes, [table], pictures)
