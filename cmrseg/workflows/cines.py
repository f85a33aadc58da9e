"""Whole cines of a source, put where their results will be: curated from DICOM, or those of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cmrseg.curation.examination import FAILED
from cmrseg.curation.run import CurationRun, Planes, curate_files, source_files
from cmrseg.curation.run import Options as CurationOptions
from cmrseg.curation.source import holds_dicom
from cmrseg.data.catalog import Catalog, VolumeRef, load_whole_image, read_catalog
from cmrseg.data.catalog_rows import study_name
from cmrseg.data.layouts import LOOSE_FILES, find_layout, list_images
from cmrseg.examination.result import CINE, read_result
from cmrseg.io.images import save_image
from cmrseg.io.own_masks import put_aside
from cmrseg.parallel import StepProgress
from cmrseg.problems import DataError, Problem, left_out, problem_table
from cmrseg.tasks.segmentation.mask_files import check_no_truth

MIN_PHASES = 3  # of a cine


@dataclass(frozen=True)
class Cines:
    """Studies whose cines lie in the folder of results.

    Attributes
    ----------
    planes
        Studies of this run, with the DICOM files that their cines come from.
    patients
        How many people these are of.
    failed
        Studies without a cine, with the reason.
    problems, notes, unreadable
        Of the source: what was wrong, what a user should know, number of damaged files.
    earlier
        Those of ``failed`` that are of an earlier run.
    """

    planes: Mapping[str, Planes]
    patients: int
    failed: Mapping[str, str]
    problems: pd.DataFrame
    notes: Sequence[str]
    unreadable: int = 0
    earlier: frozenset[str] = frozenset()


@contextmanager
def cines_of(
    source: Path, out: Path, splits: Sequence[str], curation: CurationOptions, progress: StepProgress
) -> Iterator[Cines]:
    """The cines of a source, each in a folder of its own; files of an archive last as long as the block.

    Parameters
    ----------
    source
        DICOM files, or a data set in any known layout.
    out
        Folder of the results.
    splits
        Of a data set, only these.
    curation
        How DICOM files become cines.
    progress
        Told of the files that are read.

    Raises
    ------
    DataError
        If the source is missing or holds no image, or masks of a data set would be replaced.
    """
    if is_dicom_source(source):
        with source_files(source, out) as files:
            yield _curated(curate_files(files, out, options=curation, progress=progress))
    else:
        yield _read_cines(source, out, splits)


def is_dicom_source(source: Path) -> bool:
    """Whether a source holds DICOM files and is no data set of a known layout.

    A folder of loose NIfTI or PNG files, such as previews, counts as DICOM if it holds DICOM files, too.
    """
    if source.is_dir():
        with suppress(DataError):
            if find_layout(source).name not in LOOSE_FILES:
                return False
    return holds_dicom(source)


def _curated(run: CurationRun) -> Cines:
    """What a curation has made."""
    lost = run.studies[run.studies["status"] == FAILED]
    failed = dict(zip(lost["study"], lost["reason"], strict=True))
    planes = {study: found for study, found in run.sources.items() if found}
    patients = run.studies.loc[run.studies["study"].isin(planes), "subject"].nunique()
    earlier = frozenset(failed) - set(run.sources)
    return Cines(planes, patients, failed, run.problems, run.notes, run.unreadable, earlier)


def _read_cines(source: Path, out: Path, splits: Sequence[str]) -> Cines:
    """The cines of a data set; where none can be read that an earlier run has measured, these have failed."""
    try:
        catalog = read_catalog(source, splits=splits, masks=False)
    except DataError as error:
        known = [name for name in _subjects(source) if read_result(out / name)]
        if not known:
            raise
        problems = [Problem(name, FAILED, "no numbers", extra_info=str(error)) for name in known]
        return Cines({}, 0, {p.study: p.extra_info for p in problems}, problem_table(problems), ())
    check_no_truth(catalog, out)
    return _cines(catalog, out)


def _subjects(source: Path) -> list[str]:
    """Names of the studies of a data set, whether their images can be read or not."""
    if source.is_file():
        return [study_name(source)]
    with suppress(DataError):
        return list(dict.fromkeys(file.subject for file in list_images(source)[0]))
    return []


def _cines(catalog: Catalog, out: Path) -> Cines:
    """The whole cines of a data set, copied as they are."""
    planes: dict[str, Planes] = {}
    failed, problems = {}, list(catalog.problems)
    for study in catalog.cines():
        name, image = study[0].subject, study[0].image
        try:
            if len(study) < MIN_PHASES or name in planes:
                raise DataError(f"{image.name} is no cine of {MIN_PHASES} frames or more; leave --report out")
            _take_cine(study, out / name / CINE)
            planes[name] = {}
        except DataError as error:
            failed[name] = str(error)
            problems.append(left_out(name, image, error))
    failed |= {p.study: p.extra_info for p in catalog.problems if p.study not in planes}
    return Cines(planes, len(planes), failed, problem_table(problems), catalog.notes)


def _take_cine(study: Sequence[VolumeRef], path: Path) -> None:
    """Copy the cine of a data set, unless the results go into that data set; a strange one is put aside."""
    image, _ = load_whole_image(*study)
    if path.exists() and path.samefile(study[0].image):
        return
    if read_result(path.parent) is None:
        put_aside(path)
    save_image(image, path)
