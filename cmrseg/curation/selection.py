"""Finding the short-axis cine among everything that an examination holds, by its geometry."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import Slice, angle_deg, are_parallel, mean_normal, position_numbers

# From the base to the apex of a heart in its usual place (LPS: to the left, forward and down).
LONG_AXIS = np.array([0.66, -0.60, -0.45])
_SHORT_AXIS_WORDS = re.compile(
    r"\b(sax?|sa[ _-]?stack|short[ _-]?ax\w*|kurz\w*achse\w*|kurzachsen\w*)\b|short.?axis|sax", re.I
)
_OTHER_VIEW_WORDS = re.compile(
    r"[234][ _-]?ch\b|[234][ _-]?chamber|four.?ch|two.?ch|three.?ch|\bl[av]x\b|long.?ax|lvot|rvot|"
    r"locali[sz]er|scout|haste|\blge|psir|delayed|\bflow|venc|\bperf|\btag|t1.?map|t2.?map|molli|\baxial\b|\btra(ns)?\b|\bcor(onal)?\b|\bsag",
    re.I,
)
_PERPENDICULAR = 0.35  # cosine: long-axis views are planned within 20 degrees of perpendicular
_USUAL = 0.75  # cosine: short axes lie within 41 degrees of the usual long axis
_DOUBT = ", though not in the usual direction"
_REPLANNED = 0.94  # cosine: closer than 20 degrees is no other view
_TILTED = 0.7  # cosine: a plane closer than 45 degrees to the stack is meant to belong to it
_BEAT_S = 0.3  # images further apart than this are of different heart beats
_SAME_PHASE_MS = 100.0
SeriesKey = tuple[int, str, str]
_PHASE_KINDS = {"P", "PHASE", "PHASE MAP", "VELOCITY", "VELOCITY MAP", "FLOW"}


@dataclass(frozen=True)
class SeriesChoice:
    """What became of one series of an examination.

    ``angle_deg`` is the angle between its slices and those of the chosen stack.
    """

    study: str
    series: int
    description: str
    positions: int
    phases: int
    angle_deg: float
    chosen: bool
    reason: str


@dataclass(frozen=True)
class Selection:
    """What was found in an examination.

    Attributes
    ----------
    slices
        The short-axis cine, and slices that were meant to lie in it; empty where there is none.
    series
        What became of every series, by its UID and kind of image.
    failure
        Why there is no short-axis cine.
    """

    slices: list[Slice]
    series: dict[SeriesKey, SeriesChoice]
    failure: str = ""


def select_short_axis(slices: Sequence[Slice], rules: Rules, *, series: Sequence[str] = ()) -> Selection:
    """The short-axis cine of an examination.

    It is a parallel stack of cine slices whose normal points along the usual long axis of the heart. Among
    several, the one that long-axis views stand perpendicular on and that has more positions; words in its
    description count little.

    Parameters
    ----------
    slices
        All slices of the examination.
    rules
        The least number of positions and phases, and what is parallel.
    series
        Numbers, descriptions or UIDs of the series to use instead of choosing; empty to choose.
    """
    wanted = [s for s in slices if _is_named(s, series)] if series else list(slices)
    reasons = {s: not_cine(s, rules) if s in wanted else "not named by --series" for s in slices}
    cines = [s for s in wanted if not reasons[s]]
    stacks = parallel_stacks(cines, rules)
    if not stacks:
        is_unknown = bool(series) and not wanted
        failure = _no_such_series(slices) if is_unknown else _no_stack(slices, cines, reasons, rules)
        reasons = {s: reason or "cine, but no stack" for s, reason in reasons.items()}
        return Selection([], _series_table(slices, [], np.full(3, np.nan), reasons), failure)
    stack = max(stacks, key=lambda members: _likeness(members, cines, rules))
    chosen = _one_sequence(stack, rules, reasons)
    normal = mean_normal(chosen)
    tilted = [s for s in cines if s not in stack and _belongs(s, chosen, normal, stacks)]
    chosen += [s for s in wanted if reasons[s] and _is_rest(s, chosen, rules)]
    for s in cines:
        if not reasons[s] and s not in chosen:
            reasons[s] = "tilted against the stack" if s in tilted else "another view"
    table = _series_table(slices, chosen, normal, reasons)
    return Selection(sorted([*chosen, *tilted], key=lambda s: s.when), table)


def _is_named(s: Slice, series: Sequence[str]) -> bool:
    """Whether a user names the series of a slice."""
    first = s.images[0]
    names = {name.strip().lower() for name in series}
    return bool(names & {str(first.series_number), first.description.lower(), first.series_uid.lower()})


def _no_such_series(slices: Sequence[Slice]) -> str:
    """What series there are."""
    there = ", ".join(map(str, sorted({s.images[0].series_number for s in slices})))
    return f"no series has a name that --series gives; there are the series {there}"


def not_cine(s: Slice, rules: Rules) -> str:
    """Why a slice is no cine; empty if it is one."""
    if len(s.images) < rules.min_phases:
        return f"{len(s.images)} phase(s), no cine"
    if s.images[0].kind.upper() in _PHASE_KINDS:
        return "phase images of a flow measurement"
    if _is_dynamic(s):
        return "one phase of many heart beats (perfusion, mapping)"
    return ""


def _is_dynamic(s: Slice) -> bool:
    """Whether the images are of one cardiac phase in many heart beats."""
    clock = np.array([image.acquired_s for image in s.images])
    trigger = np.array([image.trigger_ms for image in s.images])
    if not np.isfinite(clock).all():
        return False
    beats = np.median(np.diff(np.sort(clock))) > _BEAT_S
    same_phase = not np.isfinite(trigger).all() or np.ptp(trigger) < _SAME_PHASE_MS
    return bool(beats and same_phase)


def parallel_stacks(slices: list[Slice], rules: Rules) -> list[list[Slice]]:
    """Groups of parallel slices with enough positions, the largest first."""
    left, stacks = list(slices), []
    while left:
        groups = np.unique(are_parallel(left, rules.parallel_cosine), axis=0)
        members = max((list(compress(left, row)) for row in groups), key=lambda m: _positions(m, rules))
        if _positions(members, rules) < rules.min_slices:
            break
        stacks.append(members)
        left = [s for s in left if s not in set(members)]
    return stacks


def _positions(slices: Sequence[Slice], rules: Rules) -> int:
    """Number of different positions of parallel slices."""
    return len(set(position_numbers(slices, rules.collision_mm).tolist()))


def _likeness(stack: list[Slice], cines: list[Slice], rules: Rules) -> tuple[bool, float]:
    """How much a stack looks like the short axis: by its place in the body; then by views, size, words."""
    normal = mean_normal(stack)
    along = _along(normal)
    others = [s for s in cines if s not in set(stack)]
    upright = sum(abs(float(s.normal @ normal)) < _PERPENDICULAR for s in others)
    size = min(_positions(stack, rules), 8) / 8
    return is_usual(normal), along + min(upright, 3) / 6 + size + _description_hint(stack) / 4


def is_usual(normal: np.ndarray) -> bool:
    """Whether a normal points along the usual long axis of a heart."""
    return _along(normal) >= _USUAL


def _along(normal: np.ndarray) -> float:
    """Cosine of the angle between a normal and the usual long axis."""
    return abs(float(normal @ LONG_AXIS / np.linalg.norm(LONG_AXIS)))


def _description_hint(stack: list[Slice]) -> float:
    """1 if the descriptions speak of the short axis, -1 if of another view, else 0."""
    texts = [s.images[0].description for s in stack]
    short = sum(bool(_SHORT_AXIS_WORDS.search(t)) for t in texts)
    other = sum(bool(_OTHER_VIEW_WORDS.search(t)) for t in texts)
    return (short - other) / len(texts)


def _one_sequence(stack: list[Slice], rules: Rules, reasons: dict[Slice, str]) -> list[Slice]:
    """The stack without slices of another sequence (tagging, say) where the main one was measured too."""
    main, _ = Counter(s.images[0].sequence for s in stack).most_common(1)[0]
    of_main = [s for s in stack if s.images[0].sequence == main]
    if _positions(of_main, rules) < rules.min_slices:
        return stack
    chosen = []
    for s in stack:
        is_second = s.images[0].sequence != main and _positions([*of_main, s], rules) == _positions(
            of_main, rules
        )
        if is_second:
            reasons[s] = f"another sequence ({s.images[0].sequence}) at a position of the stack"
        else:
            chosen.append(s)
    return chosen


def _belongs(s: Slice, chosen: list[Slice], normal: np.ndarray, stacks: list[list[Slice]]) -> bool:
    """Whether a slice that is not parallel was meant as part of the stack."""
    first = s.images[0]
    cosine = abs(float(s.normal @ normal))
    if _OTHER_VIEW_WORDS.search(first.description):
        return False
    if cosine > _REPLANNED or any(
        first.series_uid and first.series_uid == c.images[0].series_uid for c in chosen
    ):
        return True
    if any(s in stack for stack in stacks):
        return False
    name = _without_numbers(first.description)
    same_name = bool(name) and all(name == _without_numbers(c.images[0].description) for c in chosen)
    return cosine > _TILTED or (same_name and _SHORT_AXIS_WORDS.search(first.description) is not None)


def _is_rest(s: Slice, chosen: list[Slice], rules: Rules) -> bool:
    """Whether a slice with very few phases is what is left of one of the stack."""
    first, other = s.images[0], chosen[0].images[0]
    same_series = bool(first.series_uid) and first.series_uid == other.series_uid
    same_name = bool(first.description) and first.description == other.description
    is_short = (
        1 < len(s.images) < rules.min_phases and first.kind == other.kind and first.sequence == other.sequence
    )
    return (
        is_short
        and (same_series or same_name)
        and bool(are_parallel([s, chosen[0]], rules.parallel_cosine).all())
    )


def _without_numbers(description: str) -> str:
    """A description without what counts its slices."""
    return re.sub(r"[\d\W_]+", " ", description).strip().lower()


def _series_table(
    slices: Sequence[Slice], chosen: list[Slice], normal: np.ndarray, reasons: dict[Slice, str]
) -> dict[SeriesKey, SeriesChoice]:
    """What became of every series, and of every kind of image in it."""
    groups: dict[SeriesKey, list[Slice]] = {}
    for s in slices:
        groups.setdefault(series_key(s), []).append(s)
    return {key: _series_choice(groups[key], chosen, normal, reasons) for key in sorted(groups)}


def series_key(s: Slice) -> SeriesKey:
    """Number and UID of a slice's series, and kind of its images."""
    return s.images[0].series_number, s.images[0].series_uid, s.images[0].kind


def _series_choice(
    members: list[Slice], chosen: list[Slice], normal: np.ndarray, reasons: dict[Slice, str]
) -> SeriesChoice:
    """One row of the table."""
    why = Counter(reasons[s] for s in members if s not in chosen).most_common(1)
    angle = angle_deg(members[0], normal)
    doubt = "" if is_usual(normal) else _DOUBT
    return SeriesChoice(
        study="",
        series=members[0].images[0].series_number,
        description=members[0].images[0].description,
        positions=len(members),
        phases=Counter(len(s.images) for s in members).most_common(1)[0][0],
        angle_deg=round(angle, 1),
        chosen=any(s in chosen for s in members),
        reason=why[0][0] if why else f"short-axis cine{doubt}",
    )


def _no_stack(slices: Sequence[Slice], cines: list[Slice], reasons: dict[Slice, str], rules: Rules) -> str:
    """Why no short-axis cine was found."""
    if not cines:
        why = Counter(reason for s in slices if (reason := reasons[s])).most_common(2)
        told = ", ".join(f"{count} slice(s) with {reason}" for reason, count in why)
        return f"no cine series: {told or 'no slice at all'}"
    return (
        f"no stack of at least {rules.min_slices} parallel cine slices, at least "
        f"{rules.collision_mm:g} mm apart, among {len(cines)} cine slice(s); "
        "name the series with --series, or lower min_slices in the rules"
    )
