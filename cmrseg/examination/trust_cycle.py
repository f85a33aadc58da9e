"""Checks of the cardiac cycle: smooth curves, one contraction, steady mass, equal stroke volumes."""

from __future__ import annotations

import numpy as np

from cmrseg.cine import CYCLE_MS
from cmrseg.examination.findings import ONE_BEAT
from cmrseg.examination.trust_input import ES_TIME, LEVELS, LIMITS, TrustInput
from cmrseg.examination.trust_mask import incomplete_right_ventricle
from cmrseg.labels import Label
from cmrseg.metrics.plausibility import (
    count_minima,
    curve_deviation,
    shows_several_beats,
    systole_delays,
    variation,
)
from cmrseg.report.flags import Flag

MOST_BEATS = 1.2  # that frames of one beat may seem to cover, as heart rates vary
_LATE = 0.2  # of the cycle; infarcted and dyssynchronous hearts showed up to 0.15
_MANY_LATE, _FEW_SLICES = 0.25, 3
_MS_PER_MIN = 60_000


def smooth_curves(study: TrustInput) -> Flag | None:
    """Whether the volume of any frame leaves the smoothed curve."""
    curves = {s: study.curve(s) for s in (Label.LV, Label.RV) if study.curve(s).any()}
    if not study.has_curve or not curves:
        return None
    levels, said, frames = [], [], []
    for structure, curve in curves.items():
        deviation = curve_deviation(curve)
        frame = int(np.abs(deviation).argmax())
        levels.append(LIMITS[f"{structure.name} curve"].level(abs(deviation[frame])))
        frames.append(frame)
        said.append(
            f"the {structure.name} is {abs(deviation[frame]):.1f} % of its EDV "
            f"{'above' if deviation[frame] > 0 else 'below'} the smoothed curve in frame {frame} "
            f"({LIMITS[f'{structure.name} curve'].usual})"
        )
    worst = max(levels, key=LEVELS.index)
    frame = frames[levels.index(worst)]
    return Flag(worst, "smooth volume curve", f"at most, {' and '.join(said)}.", frame=frame)


def one_contraction(study: TrustInput) -> Flag | None:
    """Whether the LV gets small once per cycle."""
    if not study.has_curve or not study.curve(Label.LV).any():
        return None
    n = count_minima(study.curve(Label.LV))
    return Flag(
        LIMITS["minima"].level(n),
        "one contraction",
        f"the smoothed LV curve has {n} {'minimum' if n == 1 else 'minima'} over the cycle.",
    )


def one_heart_beat(study: TrustInput) -> Flag | None:
    """Whether the frames cover one heart beat, by their times and the heart rate, and by how the LV moves."""
    duration_ms, rate = study.mask.duration_ms, study.header_rate_bpm
    rate = study.facts.heart_rate_bpm if np.isnan(rate) else rate
    beats = duration_ms * rate / _MS_PER_MIN
    if beats > MOST_BEATS:
        said = f"frames cover {beats:.1f} beats ({duration_ms:.0f} ms at {rate:.0f} beats per minute)"
    elif np.isnan(rate) and duration_ms > CYCLE_MS[1]:
        said = f"frames cover {duration_ms / 1000:.1f} s, longer than any heart beat"
    elif shows_several_beats(study.areas[Label.LV]):
        said = "the LV contracts more than once in most slices"
    elif np.isnan(beats):
        return None
    else:
        return Flag("green", ONE_BEAT, f"frames cover {beats:.2f} beats.")
    end = "slices need not be of the same beat, so there are no volumes at end-diastole and end-systole"
    return Flag("red", ONE_BEAT, f"{said}; {end}.")


def together(study: TrustInput) -> Flag | None:
    """Whether the slices contract at the same time, as they do unless they were measured or sorted wrong."""
    if not study.has_curve:
        return None
    delays = systole_delays(study.areas[Label.LV])
    if len(delays) < _FEW_SLICES:
        return None
    late = int(np.count_nonzero(delays > _LATE))
    said = (
        f"{late} of {len(delays)} middle slices are smallest at another time than the others, by more than "
        f"{100 * _LATE:.0f} % of the cycle"
    )
    if late < 2 or late < _MANY_LATE * len(delays):
        return Flag("green", "slices contract together", f"{said}.")
    end = "their frames may be of other phases, and then ESV is too large and EF too small"
    return Flag("red", "slices contract together", f"{said}: {end}.")


def time_of_es(study: TrustInput) -> Flag | None:
    """Whether end-systole comes when hearts have it."""
    if not study.has_curve or not study.curve(Label.LV).any():
        return None
    share = (study.es - study.ed) % study.frames / study.frames
    low, high = ES_TIME
    return Flag(
        "green" if low <= share <= high else "amber",
        "time of end-systole",
        f"end-systole (frame {study.es}) comes {100 * share:.0f} % of the cycle after end-diastole "
        f"(frame {study.ed}); usual are {100 * low:.0f} to {100 * high:.0f} %.",
        frame=study.es,
    )


def steady_mass(study: TrustInput) -> Flag | None:
    """Whether the volume of the myocardium, which cannot be compressed, stays the same."""
    myo = study.curve(Label.MYO)
    if study.ed == study.es or not myo.any():
        return None
    both = f"{study.volume(Label.MYO, study.ed)} at ED, {study.volume(Label.MYO, study.es)} at ES"
    if study.has_curve:
        percent, limit = variation(myo), LIMITS["mass over the cycle"]
        said = f"varies by {percent:.1f} % (sd over mean of {study.frames} frames; {limit.usual}; {both})"
    else:
        two = myo[[study.ed, study.es]]
        percent = 100 * float(np.ptp(two) / two.mean()) if two.any() else 200.0
        limit = LIMITS["mass at ED and ES"]
        said = f"differs by {percent:.0f} % between ED and ES ({limit.usual}; {both})"
    level = limit.level(percent)
    end = "" if level == "green" else "; muscle keeps its volume"
    name = "steady myocardial mass"
    return Flag(level, name, f"the volume of the myocardium {said}{end}.", frame=study.es)


def equal_stroke_volumes(study: TrustInput) -> Flag | None:
    """Whether both ventricles eject the same, as they do without a leaking valve or a shunt.

    Where the stack does not hold the whole RV that cannot be told, and what was not checked is not green. The
    limit is that of healthy hearts, see ``benchmarks/stroke_volumes.tsv``; disease is beyond it too, so it is
    never red.
    """
    left, right = study.curve(Label.LV), study.curve(Label.RV)
    if study.ed == study.es or not left.any() or not right.any():
        return None
    strokes = [float(curve[study.ed] - curve[study.es]) for curve in (left, right)]
    percent = 200 * abs(strokes[0] - strokes[1]) / max(abs(strokes[0]) + abs(strokes[1]), 1.0)
    limit = LIMITS["stroke volumes"]
    voxels = np.prod(study.mask.spacing) / 1000
    shown = [f"{s * voxels:.0f} ml" if np.isfinite(voxels) else f"{s:.0f} voxels" for s in strokes]
    level, lost = limit.level(percent), incomplete_right_ventricle(study)
    end = ": a leaking valve, a shunt or a wrong mask" if level != "green" else ""
    said = f"LV {shown[0]}, RV {shown[1]}, {percent:.0f} % apart ({limit.usual}){end}"
    if lost is None:
        return Flag(level, "equal stroke volumes", f"{said}.", frame=study.es)
    why, place = lost
    said = f"{said}; in doubt, because {why}"
    return Flag("amber", "equal stroke volumes", f"{said}.", place, study.es)
