"""Repairs of whole slices: those that are not parallel, and those that were measured twice."""

from __future__ import annotations

from collections.abc import Sequence

from cmrseg.curation import kinds
from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import Slice, angle_deg, are_parallel, largest_mode, mean_normal
from cmrseg.problems import DataError, Problem


def remove_tilted(slices: Sequence[Slice], rules: Rules) -> tuple[list[Slice], list[Problem]]:
    """Leave out slices that are not parallel to most others.

    Raises
    ------
    DataError
        If too many would have to go.
    """
    groups = are_parallel(slices, rules.parallel_cosine)
    reference = slices[int(groups.sum(axis=1).argmax())]
    parallel = [
        s for s, is_parallel in zip(slices, groups[slices.index(reference)], strict=True) if is_parallel
    ]
    problems = [
        s.problem(
            kinds.ORIENTATION,
            "slice removed",
            f"angle to the stack: {angle_deg(s, reference.normal):.2f} degrees",
        )
        for s in slices
        if s not in parallel
    ]
    if len(problems) > rules.max_outlier_fraction * len(slices):
        raise DataError(
            f"{len(problems)} of {len(slices)} slices are tilted against the others; "
            "name the series of one stack with --series"
        )
    return parallel, problems


def remove_collisions(slices: Sequence[Slice], rules: Rules) -> tuple[list[Slice], list[Problem]]:
    """Of slices at the same position, keep the one of the later series, then of the later file.

    A measurement that was aborted is not kept while there is a complete one.
    """
    normal = mean_normal(slices)
    complete = rules.collision_phase_fraction * largest_mode([len(s.images) for s in slices])
    kept: list[Slice] = []
    problems = []
    for s in sorted(slices, key=lambda s: float(s.centre @ normal)):
        distance = float((s.centre - kept[-1].centre) @ normal) if kept else rules.collision_mm
        if distance >= rules.collision_mm:
            kept.append(s)
            continue
        earlier, later = sorted((s, kept[-1]), key=lambda s: (len(s.images) >= complete, s.when))
        kept[-1] = later
        problems.append(
            earlier.problem(
                kinds.COLLISION, "slice removed", f"{distance:.3f} mm from {later.images[0].label}"
            )
        )
    return kept, problems
