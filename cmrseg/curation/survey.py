"""What is known of the examinations of a data set, from DICOM files or from curated studies."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from cmrseg.curation.examination import OK, Examination, measurements
from cmrseg.curation.facts import Acquisition, acquisition_of, person_of
from cmrseg.curation.grouping import Group, group_images, patient_name
from cmrseg.curation.private_files import PEOPLE, PEOPLE_COLUMNS, PRIVATE, numbered, read_private
from cmrseg.curation.run import ACQUISITION, Options, scan_source
from cmrseg.curation.slices import typical_gap_mm
from cmrseg.curation.source import holds_dicom, open_source
from cmrseg.io.atomic import scratch_folder
from cmrseg.io.tables import read_table
from cmrseg.parallel import StepProgress
from cmrseg.problems import DataError, existing_folder

_STUDY_COLUMNS = ("study", "subject", "x", "y", "slices", "phases", "dx", "dy", "dz")
_STUDIES = "studies.tsv"
_ROUNDING_MM = 0.05
Lengths = TypeVar("Lengths", float, pd.Series)


@dataclass(frozen=True)
class Facts:
    """What is known of the examinations of a data set.

    Attributes
    ----------
    table
        One row per examination: study, subject, sex, age_years, vendor, field_t and the columns of `NUMBERS`.
    notes
        What a reader of the numbers should know, one sentence each.
    """

    table: pd.DataFrame
    notes: list[str]


def read_facts(source: Path, *, progress: StepProgress | None = None) -> Facts:
    """What is known of the examinations of a data set.

    Parameters
    ----------
    source
        Folder that `cmrseg curate` wrote, or DICOM files: a folder, an archive, or a folder of archives.
    progress
        Called with what is done, how much of it is done, and how much there is.

    Returns
    -------
    The facts; of DICOM files those of the images that `cmrseg curate` would use, read from headers only.

    Raises
    ------
    DataError
        If it is neither, or no examination has a short-axis cine.
    """
    if not source.is_file():
        existing_folder(source, "data")
    if source.is_dir() and (source / _STUDIES).is_file():
        return _curated_facts(source)
    if not holds_dicom(source):
        raise DataError(
            f"{source} holds neither curated studies ({_STUDIES}) nor DICOM files; name the folder of either"
        )
    return _dicom_facts(source, progress or (lambda what, done, total: None))


def _curated_facts(folder: Path) -> Facts:
    """The studies of a folder that `cmrseg curate` wrote."""
    path = folder / _STUDIES
    studies = read_table(path, {"study": str, "subject": str, "status": str})
    if missing := [c for c in (*_STUDY_COLUMNS, "status") if c not in studies]:
        raise DataError(f"{path} lacks the column {', '.join(missing)}; `cmrseg curate` writes it")
    whole = studies[studies["status"] == OK]
    if whole.empty:
        raise DataError(f"no study of {path} was curated; there is nothing to describe")
    told = _acquisitions(folder / f"{ACQUISITION}.tsv")
    people = read_private(folder, PEOPLE, PEOPLE_COLUMNS).drop_duplicates("study")
    people["age_years"] = pd.to_numeric(people["age_years"], errors="coerce")
    table = _once(whole)[list(_STUDY_COLUMNS)].merge(told, how="left", on="study")
    table = table.merge(people, how="left", on="study")
    table["subject"] = table["subject"].fillna(table["study"])
    table[["vendor", "sex"]] = table[["vendor", "sex"]].fillna("")
    table["gap_mm"] = _gap(table["dz"], table["thickness_mm"])
    return Facts(table, _curated_notes(told.empty, people.empty, len(studies) - len(whole)))


def _acquisitions(path: Path) -> pd.DataFrame:
    """How studies were acquired; without rows where an earlier version curated them."""
    if path.is_file():
        return read_table(path, {"study": str, "vendor": str}).drop_duplicates("study")
    names = [f.name for f in fields(Acquisition)]
    return pd.DataFrame(columns=names).astype(dict.fromkeys(names[2:], float))


def _once(studies: pd.DataFrame) -> pd.DataFrame:
    """Every examination once: no turned versions, and the first of repeated stacks."""
    names = set(studies["study"])
    first = [n.removesuffix("_rot90") if n.endswith("_rot90") else re.sub("_[b-z]$", "_a", n) for n in names]
    others = {n for n, other in zip(names, first, strict=True) if n != other and other in names}
    return studies[~studies["study"].isin(others)]


def _curated_notes(no_acquisitions: bool, no_people: bool, failed: int) -> list[str]:
    """What is not known of curated studies, and what to do."""
    notes = [f"{failed} study(s) that could not be curated are not described"] * bool(failed)
    if no_acquisitions:
        notes.append("how the images were acquired is not known: curate the DICOM files again")
    if no_people:
        notes.append(f"sex and age are not known: {PRIVATE}/{PEOPLE} is not there; describe the DICOM files")
    return notes


def _dicom_facts(source: Path, tell: StepProgress) -> Facts:
    """The short-axis cines among DICOM files."""
    with (
        scratch_folder(Path(tempfile.gettempdir()) / "cmrseg-describe") as scratch,
        open_source(source, scratch) as files,
    ):
        scan = scan_source(files, Options(), tell)
    groups, notes = group_images(scan.images)
    rows, reasons = [], []
    for number, group in enumerate(groups):
        try:
            rows.append(_facts_of(group, number))
        except DataError as error:
            reasons.append(str(error))
    if not rows:
        said = reasons[0] if reasons else "none of the files is an MR image that can be read"
        raise DataError(f"no examination with a short-axis cine: {said}")
    if reasons:
        lost = f"{len(reasons)} examination(s) without a usable short-axis cine are not described"
        notes = [*notes, f"{lost}: {reasons[0]}"]
    if scan.damaged:
        notes = [*notes, f"{len(scan.damaged)} file(s) cannot be read"]
    return Facts(pd.DataFrame(rows), notes)


def _facts_of(group: Group, number: int) -> dict[str, object]:
    """Facts of one examination, from its headers."""
    rules = Options().rules
    examination = Examination(
        f"{number}", "", "", tuple(numbered(group.images)), rules, (), Path(), group.unclear
    )
    slices = measurements(examination)[0][0][1]
    person, told = person_of(group.images[0]), asdict(acquisition_of(f"{number}", slices))
    gap = typical_gap_mm(slices, rules.parallel_cosine)
    sizes = {"y": _usual(s.size[0] for s in slices), "x": _usual(s.size[1] for s in slices)}
    spacing = {"dx": _usual(s.spacing[0] for s in slices), "dy": _usual(s.spacing[1] for s in slices)}
    counts = {"slices": len(slices), "phases": _usual(len(s.images) for s in slices)}
    subject = patient_name(group.key, "of this run", tell=False)
    patient = {"subject": subject, "gap_mm": _gap(gap, told["thickness_mm"])}
    return told | asdict(person) | sizes | spacing | counts | patient


def _usual(values: Iterator[float]) -> float:
    """The most frequent value; of equally frequent ones the largest."""
    found, counts = np.unique([*values], return_counts=True)
    return float(found[np.flatnonzero(counts == counts.max())[-1]])


def _gap(distance: Lengths, thickness: Lengths) -> Lengths:
    """Room between slices, mm; slices that touch by all but rounding have none."""
    gap = distance - thickness
    return gap * (abs(gap) > _ROUNDING_MM) + 0.0  # keeps nan, and leaves no -0
