"""Checks of the mask's shape: pieces, holes, open rings, gaps, and a stack that does not cover the heart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cmrseg.examination.trust_input import LEVELS, LIMITS, TrustInput
from cmrseg.labels import Label
from cmrseg.metrics.plausibility import exposed_share, gaps, pieces
from cmrseg.metrics.regions import BASE, OUTSIDE
from cmrseg.report.flags import Flag

_PARTS = {"LV": (Label.LV,), "wall": (Label.LV, Label.MYO), "RV": (Label.RV,)}
_NAMES = {"LV": "LV", "wall": "LV with its wall", "RV": "RV"}
MISSING_AT_BASE = 2  # basal slices without RV: one is missing in many contoured hearts
_LITTLE_RV = 0.1  # of the largest slice's area


def structures_found(study: TrustInput) -> Flag:
    """Whether every structure is there in every frame."""
    name, frames = "heart found", study.frames
    missing = {s: np.flatnonzero(study.curve(s) == 0) for s in study.structures if s != Label.BACKGROUND}
    lost = {s: where for s, where in missing.items() if where.size}
    if lost:
        said = "; ".join(f"no {s.name} in {w.size} of {frames} frames ({_some(w)})" for s, w in lost.items())
        return Flag("red", name, f"{said}.", frame=int(next(iter(lost.values()))[0]))
    known = ", ".join(s.name for s in missing)
    return Flag("green", name, f"{known} found in every one of {frames} frames.")


def whole_pieces(study: TrustInput) -> Flag | None:
    """Loose pieces and holes of the structure that has the most of them for its limit."""
    found = []
    for part, labels in _PARTS.items():
        broken = pieces(np.isin(study.labels, labels))
        if broken.pixels.any():
            percent = 100 * broken.fault.sum() / broken.pixels.sum()
            found.append((LIMITS[f"{part} pieces"].level(percent), percent, part, broken))
    if not found:
        return None
    level, percent, part, broken = max(found, key=lambda f: (LEVELS.index(f[0]), f[1]))
    if not broken.fault.any():
        return Flag("green", "pieces and holes", "every structure is one piece without holes in every image.")
    images = np.count_nonzero(broken.fault)
    worst = tuple(map(int, np.unravel_index(broken.fault.argmax(), broken.fault.shape)))
    return Flag(
        level,
        "pieces and holes",
        f"{percent:.2g} % of the {_NAMES[part]} are loose pieces or holes "
        f"({LIMITS[f'{part} pieces'].usual}), in {images} of {np.count_nonzero(broken.pixels)} images; most "
        f"in {_place(worst)} ({broken.loose[worst]} loose pixels, {broken.holes[worst]} in holes).",
        *worst,
    )


def closed_ring(study: TrustInput) -> Flag | None:
    """Whether the LV lies inside the myocardium where the ring should be closed."""
    if Label.MYO not in study.structures or not study.inner_slices.any():
        return None
    exposed = np.where(study.inner_slices, 100 * exposed_share(study.labels), 0.0)
    worst = tuple(map(int, np.unravel_index(exposed.argmax(), exposed.shape)))
    images = np.count_nonzero(exposed)
    if not images:
        return Flag("green", "LV inside myocardium", "the ring is closed in every mid slice.")
    total = np.count_nonzero(study.inner_slices)
    return Flag(
        LIMITS["open ring"].level(100 * images / total),
        "LV inside myocardium",
        f"the ring is open in {images} of {total} mid images ({LIMITS['open ring'].usual}); most in "
        f"{_place(worst)}, where {exposed[worst]:.0f} % of the LV's outline touch no myocardium.",
        *worst,
    )


def no_gaps(study: TrustInput) -> Flag | None:
    """Whether a structure is missing in slices between others that hold it."""
    holed = {s: gaps(areas) for s, areas in study.areas.items()}
    images = sum(found.sum() for found in holed.values())
    if not images:
        return Flag("green", "slices left out", "no structure skips a slice.")
    with_lv = max(np.count_nonzero(study.areas[Label.LV]), 1)
    names = ", ".join(s.name for s, found in holed.items() if found.any())
    where = np.argwhere(sum(holed.values()))[0]
    return Flag(
        LIMITS["gaps"].level(100 * images / with_lv),
        "slices left out",
        f"{names} missing in {images} {_plural('image', images)} between slices that show it, first in "
        f"{_place(where)}.",
        *map(int, where),
    )


def base_covered(study: TrustInput) -> Flag | None:
    """Whether the stack reaches beyond the base: at end-systole the base has moved out of its first slice.

    Where the model has a classifier of regions, this one says whether the end of the stack is the base.
    """
    if study.ends is None or study.ed == study.es:
        return None
    base, name = study.ends[0], "base covered"
    if study.regions is not None and len(study.regions):
        return _base_classified(study, study.regions)
    if base not in (0, study.mask.array.shape[2] - 1):
        return Flag("green", name, f"slices lie beyond slice {base}, the most basal one with LV.")
    at_es = study.areas[Label.LV][:, study.es]
    percent = 100 * at_es[base] / max(at_es.max(), 1)
    level = LIMITS["base"].level(percent)
    end = "" if level == "green" else ": the base may lie beyond it, and EDV and ESV be larger"
    return Flag(
        level,
        name,
        f"the LV in slice {base}, where the stack ends, is at end-systole {percent:.0f} % as large as in the "
        f"largest slice ({LIMITS['base'].usual}){end}.",
        base,
        study.es,
    )


def _base_classified(study: TrustInput, regions: pd.DataFrame) -> Flag:
    """Whether the classifier takes the basal end of the stack at end-diastole for base, or for no heart."""
    ends = (0, study.mask.array.shape[2] - 1)
    last = ends[0] if study.ends and study.ends[0] < study.ends[1] else ends[1]
    said = regions[(regions["slice"] == last) & (regions["frame"] == study.ed)].iloc[0]
    percent = 100 * (said[BASE] + said[OUTSIDE])
    level = LIMITS["base by region"].level(100 - percent)
    end = "" if level == "green" else ": the base may lie beyond it, and EDV and ESV be larger"
    told = f"the classifier takes slice {last}, where the stack ends, for {said['region']}"
    limit = 100 - LIMITS["base by region"].amber
    reason = f"{told}: base or beyond with {percent:.0f} % (usual: {limit:g} % or more){end}."
    return Flag(level, "base covered", reason, last, study.ed)


def right_ventricle_at_base(study: TrustInput) -> Flag | None:
    """Whether the RV is there in the basal half of the LV at end-diastole, where a model loses it first.

    One such slice is missing in 17 of 83 contoured hearts (ACDC, M&Ms), two in none.
    """
    left, right = (study.areas[label][:, study.ed] for label in (Label.LV, Label.RV))
    if study.ends is None or not right.any():
        return None
    basal, without = _basal_slices(left, right, study.ends)
    name = "RV at the base"
    if len(without) < MISSING_AT_BASE:
        return Flag("green", name, f"the RV is missing in {len(without)} of the {len(basal)} basal slices.")
    told = ", ".join(map(str, without))
    said = f"slices {told} show LV but hardly any RV at end-diastole: RV volumes are too small."
    return Flag("amber", name, said, without[0], study.ed)


def _basal_slices(left: np.ndarray, right: np.ndarray, ends: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Slices of the basal half of the LV, and those of them that show hardly any RV, from pixels ``(z,)``."""
    slices = np.flatnonzero(left)
    basal = [int(z) for z in (slices if ends[0] < ends[1] else slices[::-1])[: len(slices) // 2]]
    return basal, [z for z in basal if right[z] < _LITTLE_RV * right.max()]


def incomplete_right_ventricle(study: TrustInput) -> tuple[str, int] | None:
    """Why a stack does not hold the whole RV, and in which slice that shows; None where it seems to.

    The RV is lost at the base of the mask, or the stack ends inside of it: at end-systole, when the base has
    moved towards the apex, its last slice still shows much RV.
    """
    left, right = (study.areas[label][:, study.ed] for label in (Label.LV, Label.RV))
    if study.ends is None or not right.any():
        return None
    _, without = _basal_slices(left, right, study.ends)
    if len(without) >= MISSING_AT_BASE:
        return f"slices {', '.join(map(str, without))} show LV but hardly any RV", without[0]
    edge = 0 if study.ends[0] < study.ends[1] else len(right) - 1
    at_es = study.areas[Label.RV][:, study.es]
    percent = 100 * at_es[edge] / max(at_es.max(), 1)
    if LIMITS["RV at the end of the stack"].level(percent) == "green":
        return None
    return f"at end-systole the stack ends in the RV (slice {edge}, {percent:.0f} % of its largest)", edge


def apex_covered(study: TrustInput) -> Flag | None:
    """Whether the LV tapers to the apex."""
    if study.ends is None:
        return None
    apex, at_ed = study.ends[1], study.areas[Label.LV][:, study.ed]
    percent = 100 * at_ed[apex] / at_ed.max()
    level = LIMITS["apex"].level(percent)
    is_edge = apex in (0, study.mask.array.shape[2] - 1)
    beyond = "where the stack ends" if is_edge else "and the slices beyond show no LV"
    end = "" if level == "green" else ": the apex may be missing"
    return Flag(
        level,
        "apex covered",
        f"the most apical LV at end-diastole, in slice {apex}, is {percent:.0f} % as large as in the "
        f"largest slice ({LIMITS['apex'].usual}), {beyond}{end}.",
        apex,
        study.ed,
    )


def _place(where: np.ndarray | Sequence[np.integer] | tuple[int, ...]) -> str:
    """Slice and frame for a sentence."""
    return f"slice {where[0]}, frame {where[1]}"


def _plural(word: str, n: int) -> str:
    """A word that goes with a number."""
    return word if n == 1 else f"{word}s"


def _some(frames: np.ndarray) -> str:
    """Up to five frames."""
    names = ", ".join(map(str, frames[:5]))
    return f"{_plural('frame', frames.size)} {names}{', ...' if frames.size > 5 else ''}"
