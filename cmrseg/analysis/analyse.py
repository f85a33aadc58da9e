"""All that is measured and checked on one segmented study."""

from __future__ import annotations

from collections.abc import Mapping

from cmrseg.analysis.function import curve_table, function_table, sensitivity_table
from cmrseg.analysis.study import StudyAnalysis
from cmrseg.analysis.trust import TrustInput, check
from cmrseg.metrics.indices import lv_indices
from cmrseg.metrics.segments import aha_segments


def analyse(study: str, segmented: TrustInput, *, provenance: Mapping[str, object]) -> StudyAnalysis:
    """Volumes, function, wall and checks of one study.

    Parameters
    ----------
    study
        Name of the study.
    segmented
        Image, mask and what is known of them.
    provenance
        Model, version, settings, date.

    Returns
    -------
    What the report shows.
    """
    mask, ed, es = segmented.mask, segmented.ed, segmented.es
    return StudyAnalysis(
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
        provenance=provenance,
    )
