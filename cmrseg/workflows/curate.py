"""What `cmrseg curate` does."""

from __future__ import annotations

from pathlib import Path

from cmrseg.curation import run as curation
from cmrseg.curation.report import curation_report
from cmrseg.io.in_use import works_in
from cmrseg.parallel import StepProgress
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

    Examples
    --------
    >>> import cmrseg
    >>> source = cmrseg.synthetic_dicom()
    >>> cmrseg.curate(source, source.parent / "curated").studies["status"].tolist()
    ['ok']
    """
    run = curation.curate(source, target, options=options, progress=progress)
    write(curation_report(run, target, options or curation.Options()), target)
    return run
