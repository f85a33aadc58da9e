"""Finding the short-axis cine among everything that an examination holds, by its geometry."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import Slice, angle_deg, are_parallel, mean_normal
from cmrseg.problems import DataError

# From the base to the apex of a heart in its usual place (LPS: to the left, forward and down).
LONG_AXIS = np.array([0.66, -0.60, -0.45])
_SHORT_AXIS_WORDS = re.compile(
    r"\b(sax?|sa[ _-]?stack|short[ _-]?ax\w*|kurz\w*achse\w*|kurzachsen\w*)\b|short.?axis|sax", re.I
)
_OTHER_VIEW_WORDS = re.compile(
    r"[234][ _-]?ch\b|[234][ _-]?chamber|four.?ch|two.?ch|three.?ch|\bl[av]x\b|long.?ax|lvot|rvot|"
    r"locali[sz]er|scout|haste|lge|psir|delayed|flow|venc|perf|tag|t1.?map|t2.?map|molli|\baxial\b|\btra(ns)?\b|\bcor(onal)?\b|\bsag",
    re.I,
)
_PERPENDICULAR = 0.35  # cosine: long-axis views are planned within 20 degrees of perpendicular
_TILTED = 0.7  # cosine: a plane closer than 45 degrees to the stack is meant to belong to it
_BEAT_S = 0.3  # images further apart than this are of different heart beats
_SAME_PHASE_MS = 100.0
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
    """Slices of the short-axis cine and those meant to lie in it, and what became of every series."""

    slices: list[Slice]
    series: list[SeriesChoice]


def select_short_axis(slices: Sequence[Slice], rules: Rules, *, series: Sequence[str] = ()) -> Selection:
    """The short-axis cine of an examination.

    It is the parallel stack of cine slices whose normal points along the usual long axis of the heart, that
    long-axis views stand perpendicular on and that has many positions; its description counts little.

    Parameters
    ----------
    slices
        All slices of the examination.
    rules
        The least number of positions and phases, and what is parallel.
    series
        Numbers, descriptions or UIDs of the series to use instead of choosing; empty to choose.

    Raises
    ------
    DataError
        If there is no such stack, or no series of that name.
    """
    wanted = _named(slices, series) if series else list(slices)
    reasons = {id(s): _not_cine(s, rules) for s in slices}
    cines = [s for s in wanted if not reasons[id(s)]]
    stacks = _stacks(cines, rules)
    if not stacks:
        raise DataError(_no_stack(slices, cines, reasons, rules))
    stack = max(stacks, key=lambda members: _score(members, cines, rules))
    chosen = _one_sequence(stack, rules, reasons)
    normal = mean_normal(chosen)
    tilted = [s for s in cines if s not in stack and _belongs(s, chosen, normal, stacks)]
    for s in slices:
        if s not in wanted:
            reasons[id(s)] = "not named by --series"
        elif not reasons[id(s)] and s not in chosen:
            reasons[id(s)] = "tilted against the stack" if s in tilted else "another view"
    return Selection(
        slices=sorted([*chosen, *tilted], key=lambda s: s.when),
        series=_series_table(slices, chosen, normal, reasons),
    )


def _named(slices: Sequence[Slice], series: Sequence[str]) -> list[Slice]:
    """Slices of the series that a user names."""
    names = {name.strip().lower() for name in series}
    found = [
        s
        for s in slices
        if names
        & {str(s.images[0].series_number), s.images[0].description.lower(), s.images[0].series_uid.lower()}
    ]
    if not found:
        there = ", ".join(sorted({str(s.images[0].series_number) for s in slices}, key=lambda n: (len(n), n)))
        raise DataError(f"no series is called {', '.join(series)}; there are the series {there}")
    return found


def _not_cine(s: Slice, rules: Rules) -> str:
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


def _stacks(slices: list[Slice], rules: Rules) -> list[list[Slice]]:
    """Groups of parallel slices with enough positions, the largest first."""
    left, stacks = list(slices), []
    while left:
        parallel = are_parallel(left, rules.parallel_cosine)
        counts = [_positions([left[n] for n in np.flatnonzero(row)], rules) for row in parallel]
        members = parallel[int(np.argmax(counts))]
        if max(counts) < rules.min_slices:
            break
        stacks.append([s for s, member in zip(left, members, strict=True) if member])
        left = [s for s, member in zip(left, members, strict=True) if not member]
    return stacks


def _positions(slices: Sequence[Slice], rules: Rules) -> int:
    """Number of different positions along the normal of parallel slices."""
    if not slices:
        return 0
    along = np.sort([s.centre @ slices[0].normal for s in slices])
    return 1 + int((np.diff(along) >= rules.collision_mm).sum())


def _score(stack: list[Slice], cines: list[Slice], rules: Rules) -> float:
    """How much a stack looks like the short axis: position in the body, other views, size, description."""
    normal = mean_normal(stack)
    along = abs(float(normal @ LONG_AXIS / np.linalg.norm(LONG_AXIS)))
    others = [s for s in cines if s not in stack]
    upright = sum(abs(float(s.normal @ normal)) < _PERPENDICULAR for s in others)
    views = min(upright, 3) / 3 if others else 0.0
    words = _description_hint(stack)
    return along + 0.5 * views + min(_positions(stack, rules), 8) / 8 + 0.25 * words


def _description_hint(stack: list[Slice]) -> float:
    """1 if the descriptions speak of the short axis, -1 if of another view, else 0."""
    texts = [s.images[0].description for s in stack]
    short = sum(bool(_SHORT_AXIS_WORDS.search(t)) for t in texts)
    other = sum(bool(_OTHER_VIEW_WORDS.search(t)) for t in texts)
    return (short - other) / len(texts)


def _one_sequence(stack: list[Slice], rules: Rules, reasons: dict[int, str]) -> list[Slice]:
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
            reasons[id(s)] = f"another sequence ({s.images[0].sequence}) at a position of the stack"
        else:
            chosen.append(s)
    return chosen


def _belongs(s: Slice, chosen: list[Slice], normal: np.ndarray, stacks: list[list[Slice]]) -> bool:
    """Whether a slice that is not parallel was meant as part of the stack."""
    if any(s in stack for stack in stacks):
        return False
    first = s.images[0]
    if any(first.series_uid and first.series_uid == c.images[0].series_uid for c in chosen):
        return True
    if _OTHER_VIEW_WORDS.search(first.description):
        return False
    name = _without_numbers(first.description)
    same_name = bool(name) and all(name == _without_numbers(c.images[0].description) for c in chosen)
    return same_name or abs(float(s.normal @ normal)) > _TILTED


def _without_numbers(description: str) -> str:
    """A description without what counts its slices."""
    return re.sub(r"[\d\W_]+", " ", description).strip().lower()


def _series_table(
    slices: Sequence[Slice], chosen: list[Slice], normal: np.ndarray, reasons: dict[int, str]
) -> list[SeriesChoice]:
    """One row per series, and per kind of image in it."""
    groups: dict[tuple, list[Slice]] = {}
    for s in slices:
        first = s.images[0]
        groups.setdefault((first.series_number, first.series_uid, first.kind), []).append(s)
    rows = []
    for (number, _, _), members in sorted(groups.items(), key=lambda item: item[0]):
        used = [s for s in members if s in chosen]
        why = Counter(reasons[id(s)] for s in members if s not in chosen).most_common(1)
        rows.append(
            SeriesChoice(
                study="",
                series=number,
                description=members[0].images[0].description,
                positions=len(members),
                phases=Counter(len(s.images) for s in members).most_common(1)[0][0],
                angle_deg=round(angle_deg(members[0], normal), 1),
                chosen=bool(used),
                reason="short-axis cine" if len(used) == len(members) else why[0][0],
            )
        )
    return rows


def _no_stack(slices: Sequence[Slice], cines: list[Slice], reasons: dict[int, str], rules: Rules) -> str:
    """Why no short-axis cine was found."""
    if not cines:
        why = Counter(reason for s in slices if (reason := reasons[id(s)])).most_common(2)
        return "no cine series: " + ", ".join(f"{count} slice(s) with {reason}" for reason, count in why)
    return (
        f"no stack of at least {rules.min_slices} parallel cine slices among {len(cines)} cine slice(s); "
        "name the series with --series, or lower min_slices in the rules"
    )
