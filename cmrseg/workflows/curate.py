"""What `cmrseg curate` does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from cmrseg.contours.files import read_contour_files
from cmrseg.contours.report import contours_section
from cmrseg.contours.run import NO_TRUTH, ContourRun, write_truths
from cmrseg.curation import run as curation
from cmrseg.curation.lvquan import curate_lvquan
from cmrseg.curation.report import curation_report, lvquan_report
from cmrseg.io.atomic import write_table
from cmrseg.io.in_use import works_in
from cmrseg.io.lvquan import lvquan_files
from cmrseg.parallel import StepProgress
from cmrseg.problems import DataError, Problem, problem_table
from cmrseg.report.write import write


@works_in("target", "curate")
def curate(
    source: Path,
    target: Path,
    *,
    options: curation.Options | None = None,
    progress: StepProgress | None = None,
) -> curation.CurationRun:
    """Make clean cines of DICOM files, see `cmrseg.curation.run.curate`, then ``report.html``.

    Files of the LVQuan challenges become a data set with a table of indices, see
    `cmrseg.curation.lvquan.curate_lvquan`.

    Raises
    ------
    DataError
        As these do, or if files of LVQuan are given names or series.

    Examples
    --------
    >>> import cmrseg
    >>> source = cmrseg.synthetic_dicom()
    >>> cmrseg.curate(source, source.parent / "curated").studies["status"].tolist()
    ['ok']
    """
    if lvquan_files(source):
        if options and (options.series or options.names):
            raise DataError(f"{source} holds files of LVQuan, which have no series and no ids to name")
        run = curate_lvquan(source, target, progress=progress)
        write(lvquan_report(run, target), target)
        return run
    run = curation.curate(source, target, options=options, progress=progress)
    write(curation_report(run, target, options or curation.Options()), target)
    return run


@works_in("target", "curate")
def curate_with_contours(
    source: Path,
    target: Path,
    contours: Path,
    *,
    options: curation.Options | None = None,
    first_pixel: int = 0,
    progress: StepProgress | None = None,
) -> tuple[curation.CurationRun, ContourRun]:
    """Make clean cines of DICOM files, and masks of the contours that people drew on them.

    Parameters
    ----------
    source, target, options, progress
        See `cmrseg.curation.run.curate`.
    contours
        Folder or file, see `cmrseg.contours.files.read_contour_files`.
    first_pixel
        What text files call the centre of the first pixel.

    Returns
    -------
    The cines, and what became of the contours.

    Raises
    ------
    DataError
        If nothing can be curated, or there are no contours.
    """
    files, unreadable = read_contour_files(contours, first_pixel=first_pixel)
    with curation.source_files(source, target) as opened:
        run = curation.curate_files(opened, target, options=options, progress=progress)
        drawn = write_truths(run.sources, files, target, progress=progress)
    found = [*drawn.problems, *(_unreadable(n) for n, _ in enumerate(unreadable, start=1))]
    table = problem_table(found).assign(published_kind="")
    run = replace(run, problems=pd.concat([run.problems, table], ignore_index=True))
    write_table(run.problems, target / "problems.tsv")
    report = curation_report(run, target, options or curation.Options())
    write(replace(report, sections=[*report.sections, contours_section(drawn)]), target)
    complaints = [f"contours left out: {reason}" for _, reason in unreadable]
    return run, replace(drawn, complaints=[*complaints, *drawn.complaints])


def _unreadable(number: int) -> Problem:
    """A file of contours that cannot be read; its path may name a patient, and is told on the screen only."""
    return Problem("", NO_TRUTH, "file left out", f"contour file {number}", "cannot be read")
