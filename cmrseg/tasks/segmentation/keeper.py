"""Masks and volumes of a whole data set, subject by subject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.volumes import (
    FRAME_COLUMNS,
    FUNCTION_COLUMNS,
    VOLUME_COLUMNS,
    has_several_beats,
    summary_row,
    volume_table,
)
from cmrseg.tasks.prediction import Answer, Kept, Read, Study
from cmrseg.tasks.segmentation.mask_files import MaskFiles, mask_of, mask_paths, some

_SHOWN_COLUMNS = ["study", "EDV_ml", "ESV_ml", "EF_percent", "MYO_mass_g"]


class MaskKeeper:
    """Writes masks, and volumes.csv and summary.csv from them.

    Parameters
    ----------
    out
        Gets a folder per subject with masks. Those that a person has changed are kept and measured, those of
        others are given another name.
    labels
        Names of the structures that are segmented; the volumes of the others are unknown.
    source
        What the mask of a study is made from, remembered with the mask.
    resume
        Keep the masks of an earlier run.
    """

    def __init__(
        self,
        out: Path,
        *,
        labels: Sequence[str],
        source: Callable[[Study], str] = lambda study: "",
        resume: bool = False,
    ) -> None:
        self.out, self.labels, self.files = out, labels, MaskFiles(source, resume)
        self.taken: dict[Path, Path] = {}
        self.subject = ""
        self.members: list[tuple[Cine, list[int]]] = []
        self.volumes: list[pd.DataFrame] = []
        self.summary: list[dict[str, object]] = []
        self.notes: list[str] = []
        self.without: list[str] = []

    def keep(self, study: Study, read: Read, answer: Answer) -> None:
        """Make, or take over, the mask of the next study; ``answer`` gives a mask in `Label` ids."""
        paths = mask_paths(study[0], self.out, taken=self.taken)
        image, frames = read()
        mask = mask_of(study, image, paths, self.files, answer)
        if study[0].subject != self.subject:
            self._measure()
            self.subject = study[0].subject
        self.members.append((mask, frames))

    def finish(self) -> Kept:
        """Volumes of every frame and a summary of every study."""
        self._measure()
        if self.without and Label.LV.name in self.labels:
            told = f"no LV was found in {len(self.without)} study(s), which have no volumes"
            self.notes.append(f"{told}: {some(self.without)}")
        volumes, summary = _tables(self.volumes, self.summary, self.labels)
        shown = "LV function", summary[_SHOWN_COLUMNS]
        tables = {"volumes.csv": volumes, "summary.csv": summary}
        return Kept(tables, shown, "masks and tables", [*self.notes, *self.files.notes()])

    def _measure(self) -> None:
        """Volumes of the subject whose masks are there; then they may be forgotten."""
        parts, subject = _joined(self.members), self.subject
        self.members = []
        if len(parts) > 1:
            told = f"{subject} has frames of different size: {len(parts)} rows in summary.csv, no EF"
            self.notes.append(told)
        for mask, frames in parts:
            self.volumes.append(volume_table(subject, mask, frames=frames))
            self.summary.append(summary_row(subject, mask, frames=frames))
            if has_several_beats(mask):
                self.notes.append(f"{subject} shows several heart beats: no volumes at ED and ES, no EF")
        if parts and all(row["ED_frame"] is None for row in self.summary[-len(parts) :]):
            self.without.append(subject)


def _joined(members: list[tuple[Cine, list[int]]]) -> list[tuple[Cine, list[int]]]:
    """Masks of a subject's single frames joined to one cine, where they share a grid."""
    groups: dict[tuple, list[tuple[Cine, list[int]]]] = {}
    for item in members:
        groups.setdefault((item[0].array.shape[:3], str(item[0].spacing)), []).append(item)
    joined = []
    for group in groups.values():
        frames = [frame for _, numbers in group for frame in numbers]
        array = np.concatenate([mask.array for mask, _ in group], axis=3)
        times = group[0][0].frame_times_ms if len(group) == 1 else ()
        joined.append((replace(group[0][0], array=array, frame_times_ms=times), frames))
    return joined


def _tables(
    volumes: list[pd.DataFrame], summary: list[dict[str, object]], labels: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of a run; what the model does not segment is unknown rather than 0."""
    volume_rows = pd.concat(volumes) if volumes else pd.DataFrame(columns=list(VOLUME_COLUMNS))
    summary_rows = pd.DataFrame(summary, columns=list(FUNCTION_COLUMNS))
    summary_rows = summary_rows.astype(dict.fromkeys(FRAME_COLUMNS, "Int64"))
    for structure in STRUCTURES:
        if structure.name not in labels:
            volume_rows[f"{structure.name}_ml"] = np.nan
    if Label.MYO.name not in labels:
        summary_rows["MYO_mass_g"] = np.nan
    return volume_rows, summary_rows
