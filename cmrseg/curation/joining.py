"""Joining what UIDs tear apart: examinations and series whose UIDs were made per series, phase or file."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from cmrseg.curation.hearts import cine_slices, is_one_heart, lines, short_axes
from cmrseg.curation.identity import contradict, frame_of, frames_of
from cmrseg.curation.rules import Rules
from cmrseg.io.dicom import DicomImage

_EVEN = 1.6  # times the usual step between phases

Images = list[DicomImage]


def join_series(images: Sequence[DicomImage], rules: Rules) -> tuple[Images, int]:
    """Images whose series hold one image per position as one series, where together they are a cine.

    Parameters
    ----------
    images
        Of one examination.
    rules
        How many phases and positions a cine has.

    Returns
    -------
    The images, those of joined series under the UID and number of the first; and how many series were joined.
    """
    places = Counter(_place(image, (image.series_uid, image.series_number)) for image in images)
    alone = [image for image in images if places[_place(image, (image.series_uid, image.series_number))] == 1]
    joined: dict[tuple[str, int], DicomImage] = {}
    count = 0
    for by_number in (True, False):  # an export may have left the numbers of series as they were
        stacks: defaultdict[tuple, Images] = defaultdict(list)
        for image in alone:
            if (image.name, image.frame) not in joined:
                stacks[by_number and image.series_number, *_protocol(image)].append(image)
        for members in stacks.values():
            series = {image.series_uid for image in members}
            if len(series) > 1 and _is_cine(members, rules):
                joined |= {(i.name, i.frame): i for i in _as_one(members)}
                count += len(series)
    return [joined.get((image.name, image.frame), image) for image in images], count


def join_examinations(groups: Sequence[Images], rules: Rules, *, is_sure: bool) -> list[list[int]]:
    """Which examinations are parts of one, because none holds a heart of its own.

    Parameters
    ----------
    groups
        Images of examinations of one patient and day by their UIDs.
    rules
        What is a stack.
    is_sure
        Whether the headers say whose they are; otherwise geometry must.

    Returns
    -------
    Numbers of the groups that belong together; those that stand alone are left out.
    """
    whole = [n for n, images in enumerate(groups) if has_heart(images, rules)]
    parts = [n for n in range(len(groups)) if n not in set(whole)]
    if not parts or len(groups) < 2:
        return []
    found, left = [], parts
    for near in (_by_frame(groups, parts), [parts]):
        for members in near:
            members = [n for n in members if n in left]
            if len(members) > 1 and _make_heart([groups[n] for n in members], rules, is_sure=is_sure):
                found.append(members)
                left = [n for n in left if n not in members]
    found += [[n] for n in whole]
    for n in left:
        for host in found:
            if _is_part(groups[n], [groups[m] for m in host], rules, is_only=is_sure and len(found) == 1):
                host.append(n)
                break
    return [sorted(members) for members in found if len(members) > 1]


def has_heart(images: Sequence[DicomImage], rules: Rules) -> bool:
    """Whether some images hold a short-axis stack."""
    return bool(short_axes(cine_slices(join_series(images, rules)[0], rules), rules))


def _by_frame(groups: Sequence[Images], numbers: Iterable[int]) -> list[list[int]]:
    """Groups that share a frame of reference."""
    shared: defaultdict[str, list[int]] = defaultdict(list)
    for n in numbers:
        frames = frames_of(groups[n])
        if len(frames) == 1 and "" not in frames:
            shared[frames.pop()].append(n)
    return list(shared.values())


def _make_heart(groups: Sequence[Images], rules: Rules, *, is_sure: bool) -> bool:
    """Whether parts are a short-axis stack together; of nobody they must fit like slices of one stack."""
    together = [image for images in groups for image in images]
    is_placed = len(frames_of(together)) == 1 and frame_of(together[0]) != ""
    images, _ = join_series(together, rules)
    cines = cine_slices(images, rules)
    stacks = short_axes(cines, rules)
    if not stacks:
        return False
    return is_sure or is_placed or all(_fits(stack, rules) for stack in stacks)


def _fits(stack: Sequence, rules: Rules) -> bool:
    """Whether the slices lie on lines that each hold a stack, with the same grid."""
    numbers = Counter(lines(stack))
    grids = {(s.size, tuple(np.round(s.spacing, 3))) for s in stack}
    return min(numbers.values()) >= rules.min_slices and len(grids) <= len(numbers)


def _is_part(images: Images, host: Sequence[Images], rules: Rules, *, is_only: bool) -> bool:
    """Whether images without a heart are of the same examination as others with one."""
    others = [image for group in host for image in group]
    if contradict([*images, *others]):
        return False
    is_placed = bool(frames_of(images) & frames_of(others) - {""})
    cines = cine_slices(join_series([*images, *others], rules)[0], rules)
    alone = cine_slices(join_series(others, rules)[0], rules)
    added = sum(map(len, short_axes(cines, rules))) - sum(map(len, short_axes(alone, rules)))
    return is_one_heart(cines, rules) and (is_placed or (is_only and not added))


def _protocol(image: DicomImage) -> tuple:
    """What all images of one cine share, apart from the position."""
    geometry = tuple(round(v, 3) for v in (*image.orientation, *image.spacing))
    words = re.sub(r"[\d\W_]+", " ", image.description).strip().lower()
    return image.rows, image.columns, image.kind, image.sequence, image.image_type, words, *geometry


def _place(image: DicomImage, series: object = "") -> tuple:
    """Where an image lies, in a series."""
    return series, image.kind, *(round(v, 2) for v in (*image.position, *image.orientation))


def _is_cine(images: Sequence[DicomImage], rules: Rules) -> bool:
    """Whether images of different series are the phases of a cine: every position has enough."""
    places: defaultdict[tuple, Images] = defaultdict(list)
    for image in images:
        places[_place(image)].append(image)
    usual = Counter(map(len, places.values())).most_common(1)[0][0]
    if usual < rules.min_phases:
        return False
    is_grid = {len(members) for members in places.values()} == {usual} and len(places) >= rules.min_slices
    is_numbered = len({image.series_number for image in images}) == 1
    return is_grid or is_numbered or all(_is_beat(members, rules) for members in places.values())


def _is_beat(images: Sequence[DicomImage], rules: Rules) -> bool:
    """Whether the times after the R wave are those of the phases of one beat."""
    times = np.unique(np.round([image.trigger_ms for image in images], 1))
    steps = np.diff(times)
    is_told = len(times) >= rules.min_phases and bool(np.isfinite(times).all())
    return is_told and bool(steps.max() < _EVEN * np.median(steps))


def _as_one(images: Sequence[DicomImage]) -> Images:
    """Images of several series as one; where instance numbers begin again in every series, they go on."""
    first = min(images, key=lambda image: (image.series_number, image.series_uid))
    places = Counter((_place(image), image.instance) for image in images)
    many = max((image.instance for image in images), default=0) + 1
    again = max(places.values()) > 1
    return [
        replace(
            image,
            series_uid=first.series_uid,
            series_number=first.series_number,
            instance=image.instance + many * (image.series_number - first.series_number) * again,
        )
        for image in images
    ]
