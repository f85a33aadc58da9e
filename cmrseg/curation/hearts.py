"""Whether short-axis slices can be of one heart, by their geometry."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from cmrseg.curation.identity import contradict
from cmrseg.curation.repeats import split_repeats, told_spacing_mm
from cmrseg.curation.rules import Rules
from cmrseg.curation.selection import is_usual, not_cine, parallel_stacks
from cmrseg.curation.slices import Slice, find_slices, mean_normal, typical_gap_mm
from cmrseg.io.dicom import DicomImage

NEAR_SHORT_AXIS = 0.7  # cosine: within 45 degrees
_CROWDED = 1.5  # times as many slices as there is room for
_CLOSE, _MANY = 0.75, 0.4  # of the usual distance, and the share of such gaps that two stacks leave
_SAME_MM = 1.0
_BESIDE_MM = 12.0  # between the lines of two stacks
_APART = 3.0  # usual distances between the end of one stack and the beginning of another


def cine_slices(images: Iterable[DicomImage], rules: Rules) -> list[Slice]:
    """Slices of the images that are cines."""
    return [s for s in find_slices(images)[0] if not not_cine(s, rules)]


def short_axes(cines: Sequence[Slice], rules: Rules) -> list[list[Slice]]:
    """Stacks of cine slices that may be the short axis of a heart, the largest first."""
    stacks = parallel_stacks(list(cines), _scaled(cines, rules))
    usual = [stack for stack in stacks if is_usual(mean_normal(stack))]
    return usual or [s for s in stacks if _cosine(s, stacks[0]) > NEAR_SHORT_AXIS]


def is_one_heart(cines: Sequence[Slice], rules: Rules) -> bool:
    """Whether all short-axis slices can be of one measurement of one heart."""
    scaled = _scaled(cines, rules)
    slices = [s for stack in short_axes(cines, rules) for s in stack]
    kinds: defaultdict[tuple[str, str], list[Slice]] = defaultdict(list)
    for s in slices:
        kinds[s.images[0].sequence, s.images[0].image_type].append(s)
    if contradict(s.images[0] for s in slices) or any(_is_double(s, rules) for s in slices):
        return False
    return all(_is_one_stack(members, scaled) for members in kinds.values())


def is_repeated(cines: Sequence[Slice], rules: Rules) -> bool:
    """Whether the short axis was measured as a whole several times, one time after the other."""
    stacks, scaled = short_axes(cines, rules), _scaled(cines, rules)
    if len(stacks) != 1:
        return False
    parts, _ = split_repeats(stacks[0], scaled)
    return len(parts) > 1 and all(_is_one_stack(members, scaled) for _, members in parts)


def lies_near(s: Slice, stack: Sequence[Slice]) -> bool:
    """Whether a slice may belong to a stack by its direction."""
    return abs(float(s.normal @ mean_normal(stack))) > NEAR_SHORT_AXIS


def lines(stack: Sequence[Slice], distance_mm: float = _SAME_MM) -> list[int]:
    """Numbers of the lines along the normal on which the centres of parallel slices lie."""
    normal = mean_normal(stack)
    centres = np.array([s.centre for s in stack])
    beside = centres - np.outer(centres @ normal, normal)
    return _near(beside, lambda a, b: float(np.linalg.norm(a - b)), distance_mm)


def combs(stack: Sequence[Slice]) -> list[int]:
    """Numbers of the evenly spaced stacks that parallel slices lie in, by the distance that headers tell."""
    normal, told = mean_normal(stack), told_spacing_mm(stack)
    along = np.array([s.centre @ normal for s in stack])
    if not told:
        return [0] * len(stack)
    return _near(along, lambda a, b: abs((a - b + told / 2) % told - told / 2), _SAME_MM)


def _near(values: np.ndarray, distance: Callable[[Any, Any], float], limit: float) -> list[int]:
    """Numbers of the first of some values that others are near to."""
    found: list[Any] = []
    numbers = []
    for value in values:
        near = [n for n, other in enumerate(found) if distance(value, other) < limit]
        numbers.append(near[0] if near else len(found))
        if not near:
            found.append(value)
    return numbers


def _scaled(cines: Sequence[Slice], rules: Rules) -> Rules:
    """The rules with tolerances that suit the size of the heart."""
    return rules.scaled_to(typical_gap_mm(cines, rules.parallel_cosine))


def _is_double(s: Slice, rules: Rules) -> bool:
    """Whether the instance numbers of a slice are those of several cines, so that there is no order in it."""
    counts = Counter(image.instance for image in s.images)
    return len(set(counts.values())) == 1 < counts[s.images[0].instance] and len(counts) >= rules.min_phases


def _is_one_stack(slices: Sequence[Slice], rules: Rules) -> bool:
    """Whether slices are parallel, and not more or closer than those of one stack."""
    if len(parallel_stacks(list(slices), rules)) > 1:
        return False
    normal = mean_normal(slices)
    gaps = np.diff(np.sort([float(s.centre @ normal) for s in slices]))
    apart = gaps[gaps > rules.collision_mm]
    if not len(apart):
        return len(slices) < _CROWDED
    usual = max(float(np.percentile(apart, 75)), told_spacing_mm(slices))
    room = 1 + gaps.sum() / usual
    ends = np.flatnonzero(gaps > _APART * usual) + 1
    are_two = any(min(n, len(slices) - n) >= rules.min_slices for n in ends)
    beside = Counter(lines(slices, _BESIDE_MM)).most_common(2)
    are_two |= len(beside) > 1 and beside[1][1] >= rules.min_slices
    return not are_two and len(slices) < _CROWDED * room and (gaps < _CLOSE * usual).mean() < _MANY


def _cosine(stack: Sequence[Slice], other: Sequence[Slice]) -> float:
    """Cosine of the angle between two stacks."""
    return abs(float(mean_normal(stack) @ mean_normal(other)))
