"""Can the numbers of a study be trusted? Checks without a reference: green, amber or red, with the reason.

A check looks at one thing and says in one sentence what it found. It is silent (None) where its question
makes no sense, as that of a smooth curve with two frames; what a model does not allow to be checked is
told and not green. Slices and frames are counted from 0, as in tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cmrseg.examination.trust_context import (
    all_checks_possible,
    complete_input,
    curated_cleanly,
    known_scanner,
    like_training,
    steady_under_flips,
    two_models_agree,
)
from cmrseg.examination.trust_cycle import (
    equal_stroke_volumes,
    one_contraction,
    one_heart_beat,
    smooth_curves,
    steady_mass,
    time_of_es,
    together,
)
from cmrseg.examination.trust_input import LEVELS, TrustInput
from cmrseg.examination.trust_mask import (
    apex_covered,
    base_covered,
    closed_ring,
    no_gaps,
    right_ventricle_at_base,
    structures_found,
    whole_pieces,
)
from cmrseg.report.flags import Flag

__all__ = ["CHECKS", "TrustInput", "check"]

CHECKS: tuple[Callable[[TrustInput], Flag | None], ...] = (
    one_heart_beat,
    structures_found,
    steady_under_flips,
    two_models_agree,
    like_training,
    known_scanner,
    closed_ring,
    whole_pieces,
    no_gaps,
    base_covered,
    apex_covered,
    right_ventricle_at_base,
    smooth_curves,
    one_contraction,
    together,
    time_of_es,
    steady_mass,
    equal_stroke_volumes,
    all_checks_possible,
    curated_cleanly,
    complete_input,
)


def check(study: TrustInput) -> tuple[Flag, ...]:
    """All checks of a study.

    Parameters
    ----------
    study
        Mask, image and what is known of them.

    Returns
    -------
    Flags, the worst first, equal ones in the order of `CHECKS`; checks that do not apply are left out.
    """
    flags = [
        replace(flag, reason=flag.reason[0].upper() + flag.reason[1:])
        for each in CHECKS
        if (flag := each(study)) is not None
    ]
    return tuple(sorted(flags, key=lambda flag: -LEVELS.index(flag.level)))
