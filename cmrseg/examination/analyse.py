"""All that is measured and checked on one segmented study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from cmrseg.examination.ends import end_table, interval_table
from cmrseg.examination.facts import PatientFacts
from cmrseg.examination.findings import SENSITIVITY_COLUMNS, Findings
from cmrseg.examination.function import curve_table, function_table, sensitivity_table
from cmrseg.examination.normal_ranges import NormalRanges, against_ranges, why_none
from cmrseg.examination.trust import TrustInput, check
from cmrseg.metrics.indices import lv_indices
from cmrseg.metrics.segments import aha_segments


def analyse(
    study: str,
    segmented: TrustInput,
    *,
    provenance: Mapping[str, object],
    normal: NormalRanges | None = None,
) -> Findings:
    """Volumes, function, wall and checks of one study.

    Parameters
    ----------
    study
        Name of the study.
    segmented
        Image, mask and what is known of them.
    provenance
        Model, version, settings, date.
    normal
        Ranges to compare the numbers with.

    Returns
    -------
    What the report shows.
    """
    mask, ed, es = segmented.mask, segmented.ed, segmented.es
    analysis = Findings(
        study=study,
        image=segmented.image,
        mask=mask,
        ed_frame=ed,
        es_frame=es,
        curves=curve_table(mask, segmented.structures),
        numbers=function_table(mask, segmented.facts, (ed, es)),
        indices=lv_indices(mask, ed_frame=ed, es_frame=es),
        segments=aha_segments(mask, ed_frame=ed, es_frame=es),
        flags=check(segmented),
        sensitivity=sensitivity_table(mask, (ed, es)),
        ends=end_table(mask, segmented.sure),
        intervals=interval_table(mask, segmented.sure, (ed, es)),
        sure_by=_sure_by(segmented),
        provenance=provenance,
    )
    analysis = analysis if analysis.has_one_beat else _without_ed_and_es(analysis)
    return analysis if normal is None else _with_ranges(analysis, segmented.facts, normal)


def _sure_by(segmented: TrustInput) -> str:
    """What tells how sure the end slices are."""
    if segmented.sure is None:
        return ""
    return "flips" if segmented.regions is None or segmented.regions.empty else "classifier"


def _with_ranges(analysis: Findings, facts: PatientFacts, normal: NormalRanges) -> Findings:
    """The analysis with its numbers against normal ranges, or why there are none."""
    table = against_ranges(analysis.numbers, facts, normal)
    return replace(analysis, normal=table, not_normal_known=why_none(facts, normal) if table.empty else "")


def _without_ed_and_es(analysis: Findings) -> Findings:
    """The analysis without all that is measured at end-diastole and end-systole of the whole heart."""
    names = ("numbers", "sensitivity", "segments", "intervals")
    tables = {name: getattr(analysis, name) for name in names}
    measured = {"value", "indexed", "low", "high", *SENSITIVITY_COLUMNS[1:]}
    measured |= {"ed_mm", "es_mm", "thickening_percent"}
    return replace(
        analysis,
        **{
            name: table.assign(**dict.fromkeys(measured & set(table.columns), math.nan))
            for name, table in tables.items()
        },
    )
