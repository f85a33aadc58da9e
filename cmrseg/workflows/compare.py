"""What `cmrseg compare` does: compare two examinations of one patient, then write what was found."""

from __future__ import annotations

from pathlib import Path

from cmrseg.examination.comparison import SHIPPED, VisitComparison, compare_visits
from cmrseg.examination.comparison_report import visits_report
from cmrseg.io.in_use import works_in
from cmrseg.problems import check_apart
from cmrseg.report.write import write


@works_in("out", "compare")
def compare(before: Path, after: Path, out: Path, *, interval: Path | None = None) -> VisitComparison:
    """Compare two examinations and write all files.

    Parameters
    ----------
    before, after, interval
        See `cmrseg.examination.comparison.compare_visits`.
    out
        Folder for ``changes.csv``, ``segments.csv``, ``figures/*.png`` and ``report.html``.

    Raises
    ------
    DataError
        As `cmrseg.examination.comparison.compare_visits`, or if ``out`` lies in an examination.
    """
    for visit in (before, after):
        check_apart(out, visit)
    found = compare_visits(before, after, interval=interval)
    told = {"before": before, "after": after, "interval": interval or SHIPPED}
    models = {
        when: visit.result.made_by for when, visit in (("before", found.before), ("after", found.after))
    }
    write(visits_report(found, provenance={**told, "model": models}), out)
    return found
