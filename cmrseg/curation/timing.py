"""The images of one slice position in the order of time: what headers tell of the heart beat, best first.

The time after the R wave comes first, as it was planned or as it was measured, then the number of the phase,
then the clock; numbers and names of files, which are given in any order, come last.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from cmrseg.cine import CYCLE_MS
from cmrseg.curation import kinds
from cmrseg.io.dicom import DicomImage
from cmrseg.problems import Problem

SAME_TIME_MS = 0.5
_MAX_REPEATS = 4
_EVEN = 0.5  # of a step


def with_times(images: Sequence[DicomImage]) -> tuple[list[DicomImage], list[Problem]]:
    """Images of one position with the best times after the R wave that their headers hold.

    Parameters
    ----------
    images
        Of one position; ``trigger_ms`` and ``delay_ms`` as their headers tell them.

    Returns
    -------
    Images whose ``trigger_ms`` is the measured delay where that tells more images apart, and is completed by
    the instance numbers where a part of the images lacks it; without images that could then stand anywhere.
    """
    timed = list(images)
    if _told_apart([i.delay_ms for i in timed]) > _told_apart([i.trigger_ms for i in timed]):
        timed = [replace(image, trigger_ms=image.delay_ms) for image in timed]
    known = [image for image in timed if math.isfinite(image.trigger_ms)]
    if not 2 < len(known) < len(timed) or all(image.phase >= 0 for image in timed):
        return timed, []
    return _completed(timed, known)


def acquisitions(images: list[DicomImage]) -> list[list[DicomImage]]:
    """A series that measured one position more than once, as separate acquisitions.

    They have acquisition numbers of their own, or the time after the R wave starts again.
    """
    ordered = sorted(images, key=lambda i: (i.instance, i.name, i.frame))
    if not all(math.isfinite(image.trigger_ms) for image in images):
        return _dealt_out(ordered, [image.phase for image in ordered])
    numbers: defaultdict[int, list[DicomImage]] = defaultdict(list)
    for image in images:
        numbers[image.acquisition].append(image)
    by_number = [numbers[number] for number in sorted(numbers)]
    if _are_repeats(by_number):
        return by_number
    times = [round(image.trigger_ms / SAME_TIME_MS) for image in ordered]
    # Where every image has a time of day of its own, the times are merely rounded.
    is_rounded = len({image.acquired_s for image in ordered}) == len(ordered)
    dealt = [ordered] if is_rounded else _dealt_out(ordered, times)
    if len({image.instance for image in ordered}) < len(ordered):
        return dealt
    steps_ms = np.diff([image.trigger_ms for image in ordered])
    starts = [0, *(np.flatnonzero(steps_ms < -SAME_TIME_MS) + 1), len(ordered)]
    by_time = [ordered[a:b] for a, b in pairwise(starts)]
    return by_time if _are_repeats(by_time) else dealt


def numbering(positions: Iterable[Sequence[DicomImage]]) -> dict[tuple[str, str], tuple[int, str]]:
    """How files are numbered where their times tell it, for those slices that lack times.

    Returns
    -------
    By kind of image and sequence: 1 where most positions are numbered in the order of time, -1 against it, 0
    where in neither; and the name of an image of such a position.
    """
    found: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    names: dict[tuple[str, str, int], str] = {}
    for images in positions:
        if len(images) > 2 and _told_apart([i.trigger_ms for i in images]) == len(images):
            key, run = _key(images), _run(images)
            found[key][run] += 1
            names.setdefault((*key, run), images[0].name)
    most = {key: counts.most_common(1)[0][0] for key, counts in found.items()}
    return {key: (run, names[*key, run]) for key, run in most.items()}


def in_time(
    images: list[DicomImage], numbered: Mapping[tuple[str, str], tuple[int, str]] | None = None
) -> tuple[list[DicomImage], np.ndarray, str]:
    """Images of one acquisition in the order of time, their times (ms), and by what they were ordered.

    Parameters
    ----------
    images
        Of one acquisition.
    numbered
        What `numbering` says of the others.

    Returns
    -------
    By what they were ordered is empty where nothing tells it and other slices are numbered in no order.
    """
    by_instance = sorted(images, key=lambda i: (i.instance, i.name, i.frame))
    times = np.array([image.trigger_ms for image in by_instance])
    if _told_apart(times) == len(times):
        order = np.argsort(times, kind="stable")
        return [by_instance[n] for n in order], times[order], "trigger time"
    phases = np.array([image.phase for image in by_instance])
    if phases.min() >= 0 and len(set(phases.tolist())) == len(phases):
        order = np.argsort(phases)
        return [by_instance[n] for n in order], _times_of(phases[order], images), "temporal position"
    if 2 * _told_apart(times) > len(times) and not _run(images):
        order = np.argsort(times, kind="stable")
        return [by_instance[n] for n in order], times[order], "trigger time, equal ones by instance number"
    times = np.array([image.acquired_s for image in by_instance]) * 1000
    if _told_apart(times) == len(times) and np.ptp(times) <= _longest_cycle_ms(images):
        order = np.argsort(times, kind="stable")
        return [by_instance[n] for n in order], times[order] - times[order[0]], "acquisition time"
    times = np.arange(len(images)) * _interval_ms(images) / len(images)
    run, _ = (numbered or {}).get(_key(images), (1, ""))
    if len({image.instance for image in images}) < len(images):
        return by_instance, times, "file name"
    if run < 0:
        return by_instance[::-1], times, "descending instance number"
    return by_instance, times, "instance number" if run else ""


def _key(images: Sequence[DicomImage]) -> tuple[str, str]:
    """Images that are numbered in the same way."""
    return images[0].kind, images[0].sequence


def _run(images: Sequence[DicomImage]) -> int:
    """Whether instance numbers run with the trigger times (1), against them (-1), or neither (0)."""
    steps = np.diff([i.trigger_ms for i in sorted(images, key=lambda i: (i.instance, i.name, i.frame))])
    falls, rises = np.count_nonzero(steps < 0), np.count_nonzero(steps > 0)
    # One step may go back: where a beat begins again, or a time is wrong.
    return 1 if falls <= 1 else -1 if rises <= 1 else 0


def _told_apart(times: Sequence[float] | np.ndarray) -> int:
    """How many images a time tells apart; none where one lacks it."""
    known = np.asarray(times, float)
    return len(set(np.round(known / SAME_TIME_MS))) if np.isfinite(known).all() else 0


def _completed(images: list[DicomImage], known: list[DicomImage]) -> tuple[list[DicomImage], list[Problem]]:
    """Missing times by the instance numbers, if these run with the known times, or against them."""
    known = sorted(known, key=lambda image: image.instance)
    first = known[0].name  # which stays, so that the row finds its study
    missing = f"missing in {len(images) - len(known)} of {len(images)} images"
    steps = np.diff([(image.instance, image.trigger_ms) for image in known], axis=0)
    follows = (steps[:, 0] > 0).all() and abs(np.sign(steps[:, 1]).sum()) == len(steps)
    if not follows or len({image.instance for image in images}) < len(images):
        what = f"{missing}; instance numbers contradict the times of the others"
        return known, [Problem("", kinds.TRIGGER_TIME, "images left out", first, what)]
    slope, start = np.polyfit([i.instance for i in known], [i.trigger_ms for i in known], 1)
    completed = [
        image
        if math.isfinite(image.trigger_ms)
        else replace(image, trigger_ms=float(start + slope * image.instance))
        for image in images
    ]
    return completed, [Problem("", kinds.TRIGGER_TIME, "completed by instance number", first, missing)]


def _are_repeats(parts: list[list[DicomImage]]) -> bool:
    """Whether there are a few parts that each begin before half of the one before in the heart beat.

    Parts that together are evenly spread over it are one acquisition, numbered in another order.
    """
    if not 1 < len(parts) <= _MAX_REPEATS or min(map(len, parts)) < 2:
        return False
    steps = np.diff(np.sort([image.trigger_ms for part in parts for image in part]))
    if np.ptp(steps) < _EVEN * np.median(steps):
        return False
    spans = sorted((min(i.trigger_ms for i in p), max(i.trigger_ms for i in p)) for p in parts)
    return all(late[0] < sum(early) / 2 for early, late in pairwise(spans))


def _dealt_out(ordered: list[DicomImage], moments: Sequence[int]) -> list[list[DicomImage]]:
    """Images that were made more than once: every moment of the heart beat occurs equally often."""
    counts = Counter(moments)
    repeats = set(counts.values())
    if len(repeats) != 1 or repeats == {1} or len(counts) < 2 or min(moments) < 0:
        return [ordered]
    seen: Counter[int] = Counter()
    parts: list[list[DicomImage]] = [[] for _ in range(repeats.pop())]
    pairs = zip(ordered, moments, strict=True)
    for image, moment in sorted(pairs, key=lambda p: (p[0].acquired_s, p[0].instance, p[0].name)):
        parts[seen[moment]].append(image)
        seen[moment] += 1
    return parts


def _times_of(phases: np.ndarray, images: list[DicomImage]) -> np.ndarray:
    """Times of numbered phases, which count from 0 or 1; evenly spread where they count something else."""
    first = min(int(phases[0]), 1)
    count = int(phases[-1]) - first + 1
    if count > 2 * len(phases):
        phases, first, count = np.arange(len(phases)), 0, len(phases)
    return (phases - first) * _interval_ms(images) / count


def _interval_ms(images: list[DicomImage]) -> float:
    """RR interval by the headers; nan where none tells it."""
    told = [image.interval_ms for image in images if math.isfinite(image.interval_ms)]
    return float(np.median(told)) if told else math.nan


def _longest_cycle_ms(images: list[DicomImage]) -> float:
    """What times of day of one heart beat span at most."""
    interval = _interval_ms(images)
    return 1.5 * interval if math.isfinite(interval) else CYCLE_MS[1]
