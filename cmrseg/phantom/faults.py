"""What goes wrong in real examinations, done on purpose to the instances of one clean short-axis study.

Every fault takes the instances (one per image, any scanner) and a random generator, leaves the list and the
instances as they are, and says what it did. An added slice is an inverted copy, acquired after all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
from pydicom.dataset import Dataset

from cmrseg.phantom.instances import (
    Stack,
    acquired_again,
    changed,
    decimals,
    directions,
    find_stack,
    grid_size,
    inverted,
    moved,
    plane_elements,
    regrid,
    rescale,
    swapped,
)

_TRIGGERS = ("TriggerTime", "NominalCardiacTriggerDelayTime")


@dataclass(frozen=True)
class Injected:
    """A study with a fault.

    Attributes
    ----------
    datasets
        All instances; those that the fault does not concern are those of the input.
    kinds
        Problems that a log must name, in the published words; empty for what a reader gets over.
    slices
        Affected positions, counted from 0 along the normal (row x column direction) over all positions of the
        faulty study; of the clean study for a missing slice, and for a collision (one position there).
    frames
        Affected phases, counted from 0; empty means all.
    exact
        Whether the repaired study equals the clean one, value by value.
    """

    datasets: list[Dataset]
    kinds: tuple[str, ...] = ()
    slices: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    exact: bool = True


Fault = Callable[[Sequence[Dataset], np.random.Generator], Injected]


def collision(datasets: Sequence[Dataset], rng: np.random.Generator) -> Injected:
    """One slice acquired twice, the first time inverted and less than 1 mm away; the later is the truth."""
    stack = find_stack(datasets)
    z = int(rng.integers(len(stack.groups)))
    group, shift = stack.groups[z], rng.uniform(0.05, 0.9) * rng.choice([-1, 1])
    first = [changed(d, moved(d, stack, shift), inverted(d)) for d in group]
    later = acquired_again(group, datasets, rng, own_series=True)
    return Injected(swapped(datasets, group, first) + later, ("collision",), (z,))


def repeated_measurement(datasets: Sequence[Dataset], rng: np.random.Generator) -> Injected:
    """The whole stack acquired again with inverted images; the first measurement is the clean study."""
    groups = find_stack(datasets).groups
    later = acquired_again([d for g in groups for d in g], datasets, rng, own_series=True)
    later = [changed(d, {}, inverted(d)) for d in later]
    return Injected([*datasets, *later], ("repeated measurement",), tuple(range(len(groups))))


def orientation(datasets: Sequence[Dataset], rng: np.random.Generator) -> Injected:
    """An extra slice through the centre of another, tilted by 8 to 60 degrees around its rows."""
    stack = find_stack(datasets)
    z = int(rng.integers(len(stack.groups)))
    tilt = np.deg2rad(rng.uniform(8, 60))
    row, column = directions(stack.groups[z][0])
    tilted = np.cos(tilt) * column + np.sin(tilt) * np.cross(row, column)
    extra = acquired_again(stack.groups[z], datasets, rng)
    extra = [changed(d, plane_elements(d, row, tilted, *grid_size(d)), inverted(d)) for d in extra]
    return Injected([*datasets, *extra], ("orientation",), (z,))


def rotation(datasets: Sequence[Dataset], rng: np.random.Generator, *, right_angle: bool) -> Injected:
    """One slice acquired with the field of view turned in its plane, by 90 or by 10 to 80 degrees."""
    z, group = _one(datasets, rng)
    turn = np.deg2rad(90 if right_angle else rng.uniform(10, 80)) * rng.choice([-1, 1])

    def turned(dataset: Dataset) -> Dataset:
        row, column = directions(dataset)
        spacing, shape = grid_size(dataset)
        axes = np.cos(turn) * row + np.sin(turn) * column, np.cos(turn) * column - np.sin(turn) * row
        step = -1 if right_angle else 1
        return regrid(dataset, *axes, spacing[::step], shape[::step])

    return Injected(
        swapped(datasets, group, map(turned, group)), ("rotation",), (z,), exact=bool(right_angle)
    )


def pixel_spacing(
    datasets: Sequence[Dataset], rng: np.random.Generator, *, factors: tuple[float, float]
) -> Injected:
    """One slice with pixels larger by a factor between two limits, about the same centre."""
    z, group = _one(datasets, rng)
    factor = rng.uniform(*factors)

    def scaled(dataset: Dataset) -> Dataset:
        spacing, shape = grid_size(dataset)
        return regrid(dataset, *directions(dataset), spacing * factor, shape)

    return Injected(swapped(datasets, group, map(scaled, group)), ("pixel spacing",), (z,), exact=False)


def image_size(datasets: Sequence[Dataset], rng: np.random.Generator, *, sign: int) -> Injected:
    """One slice padded (``sign`` 1) or cropped (-1) by 1 to 4 pixels on every side."""
    z, group = _one(datasets, rng)
    border = 2 * sign * rng.integers(1, 5, size=2)

    def resized(dataset: Dataset) -> Dataset:
        spacing, shape = grid_size(dataset)
        return regrid(dataset, *directions(dataset), spacing, shape + border)

    return Injected(swapped(datasets, group, map(resized, group)), ("image size",), (z,), exact=sign > 0)


def large_images(datasets: Sequence[Dataset], rng: np.random.Generator) -> Injected:
    """The whole study upsampled, by a whole number, to more than 256 pixels."""
    groups = find_stack(datasets).groups
    factor = 256 // int(grid_size(groups[0][0])[1].max()) + 1
    out = []
    for dataset in datasets:
        spacing, shape = grid_size(dataset)
        fine = max(2, factor)
        out.append(regrid(dataset, *directions(dataset), spacing / fine, shape * fine))
    return Injected(out, ("image size >256",), tuple(range(len(groups))), exact=False)


def missing_frame(datasets: Sequence[Dataset], rng: np.random.Generator, *, last: bool) -> Injected:
    """One to three phases of one slice deleted: the last ones, or others but never the first or the last."""
    z, group = _one(datasets, rng)
    if len(group) < 4:
        raise ValueError(f"datasets must hold at least 4 phases, got {len(group)}")
    count = int(rng.integers(1, min(3, len(group) - 3) + 1))
    start = len(group) - count if last else int(rng.integers(1, len(group) - count))
    frames = tuple(range(start, start + count))
    gone = {id(group[t]) for t in frames}
    return Injected([d for d in datasets if id(d) not in gone], ("missing frame",), (z,), frames, exact=False)


def missing_slice(datasets: Sequence[Dataset], rng: np.random.Generator) -> Injected:
    """One inner slice removed."""
    z, group = _one(datasets, rng, inner=True)
    gone = {id(d) for d in group}
    kept = [d for d in datasets if id(d) not in gone]
    return Injected(kept, ("slice spacing: missing",), (z,), exact=False)


def interspersed(datasets: Sequence[Dataset], rng: np.random.Generator, *, count: int) -> Injected:
    """One or two extra slices between two regular inner ones."""
    stack = find_stack(datasets)
    _require_slices(stack, 5)
    below = int(rng.integers(1, len(stack.groups) - 2))
    fractions = (np.arange(count) + 1) / (count + 1) + rng.uniform(-0.07, 0.07, count)
    at = stack.positions[below] + fractions * stack.spacing
    slices = tuple(range(below + 1, below + 1 + count))
    return Injected(_with_extra(datasets, stack, at, rng), ("slice spacing: interspersed",), slices)


def outlier(datasets: Sequence[Dataset], rng: np.random.Generator) -> Injected:
    """An extra slice 2.6 to 6 spacings beyond either end."""
    stack = find_stack(datasets)
    distance = rng.uniform(2.6, 6) * stack.spacing
    return _beyond(datasets, stack, rng, distance, first=bool(rng.integers(2)), kind="outlier")


def edge(datasets: Sequence[Dataset], rng: np.random.Generator, *, first: bool) -> Injected:
    """An extra slice from 3 mm to 0.6 spacings outside the first (lowest along the normal) or the last."""
    stack = find_stack(datasets)
    farthest = min(0.6 * stack.spacing, stack.spacing - 2.6)
    if farthest < 3:
        raise ValueError(f"datasets must have a slice spacing of at least 5.6 mm, got {stack.spacing} mm")
    kind = "top" if first else "bottom"
    return _beyond(datasets, stack, rng, rng.uniform(3, farthest), first=first, kind=kind)


def special(datasets: Sequence[Dataset], rng: np.random.Generator) -> Injected:
    """One inner slice moved by 1.5 to 2.4 mm, which no rule repairs: the images are the clean ones."""
    stack = find_stack(datasets)
    z, group = _one(datasets, rng, inner=True)
    shift = rng.uniform(1.5, 2.4) * rng.choice([-1, 1])
    off = [changed(d, moved(d, stack, shift)) for d in group]
    return Injected(swapped(datasets, group, off), ("slice spacing: special",), (z,))


def metadata(datasets: Sequence[Dataset], rng: np.random.Generator) -> Injected:
    """Some slices, never most, say in their header that the spacing between slices is another."""
    groups = find_stack(datasets).groups
    count = int(rng.integers(1, max(2, (len(groups) + 1) // 2)))
    chosen = tuple(sorted(int(z) for z in rng.choice(len(groups), count, replace=False)))
    wrong = {"SpacingBetweenSlices": decimals(rng.integers(2, 5))}
    out = list(datasets)
    for z in chosen:
        out = swapped(out, groups[z], [changed(d, wrong) for d in groups[z]])
    return Injected(out, ("slice spacing: metadata",), chosen)


def without(datasets: Sequence[Dataset], rng: np.random.Generator, *, keywords: tuple[str, ...]) -> Injected:
    """Header elements missing everywhere."""
    out = [deepcopy(d) for d in datasets]
    for dataset in out:
        for keyword in keywords:
            dataset.pop(keyword, None)
    return Injected(out)


def repeated_trigger(datasets: Sequence[Dataset], rng: np.random.Generator) -> Injected:
    """Every trigger time is 0."""
    zero = {"TriggerTime": "0", "NominalCardiacTriggerDelayTime": 0.0}
    return Injected([changed(d, {k: v for k, v in zero.items() if k in d}) for d in datasets])


def rescaled(datasets: Sequence[Dataset], rng: np.random.Generator) -> Injected:
    """Slope and intercept differ from slice to slice, real values do not."""
    out, groups = list(datasets), find_stack(datasets).groups
    for z, group in enumerate(groups):
        factor, offset = 2 ** int((z + rng.integers(2)) % 3), int(rng.integers(1, 100))
        out = swapped(out, group, [rescale(d, factor, offset) for d in group])
    return Injected(out, slices=tuple(range(len(groups))))


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "collision": collision,
        "repeated measurement": repeated_measurement,
        "orientation": orientation,
        "rotation, 90 degrees": partial(rotation, right_angle=True),
        "rotation": partial(rotation, right_angle=False),
        "pixel spacing, larger": partial(pixel_spacing, factors=(1.05, 1.25)),
        "pixel spacing, smaller": partial(pixel_spacing, factors=(0.8, 0.95)),
        "image size, padded": partial(image_size, sign=1),
        "image size, cropped": partial(image_size, sign=-1),
        "image size >256": large_images,
        "missing frame": partial(missing_frame, last=False),
        "missing frame, last": partial(missing_frame, last=True),
        "slice spacing: missing": missing_slice,
        "slice spacing: interspersed": partial(interspersed, count=1),
        "slice spacing: interspersed, two": partial(interspersed, count=2),
        "slice spacing: outlier": outlier,
        "slice spacing: top": partial(edge, first=True),
        "slice spacing: bottom": partial(edge, first=False),
        "slice spacing: special": special,
        "slice spacing: metadata": metadata,
        "no slice location": partial(without, keywords=("SliceLocation",)),
        "no trigger time": partial(without, keywords=_TRIGGERS),
        "no instance number": partial(without, keywords=("InstanceNumber",)),
        "repeated trigger time": repeated_trigger,
        "rescaled": rescaled,
    }
)


_SPACING = tuple(n for n in FAULTS if n.startswith("slice spacing: "))
_WHOLE = (
    *("slice spacing: metadata", "image size >256", "rescaled", "repeated trigger time"),
    *("no slice location", "no trigger time", "no instance number"),
)
_ALONE = ("repeated measurement",)
_ATTEMPTS = 200


def inject(datasets: Sequence[Dataset], names: Sequence[str], rng: np.random.Generator) -> Injected:
    """Several faults in one study, no two in one slice.

    Parameters
    ----------
    datasets
        Instances of one clean study.
    names
        Faults of `FAULTS`, in any order. A repeated measurement only comes alone, and of the faults of slice
        spacing (but for metadata) at most one, since two could add up to a third.
    rng
        Chooses slices and amounts.

    Returns
    -------
    The study; kinds of all faults, ``slices`` and ``frames`` empty, exact if every fault is.

    Raises
    ------
    ValueError
        If the faults exclude each other, or the study has too few slices for them.
    """
    spacing = [n for n in names if n in _SPACING and n not in _WHOLE]
    if len(spacing) > 1 or (len(names) > 1 and set(names) & set(_ALONE)):
        raise ValueError(f"names must be faults that do not exclude each other, got {tuple(names)}")
    out, touched = Injected(list(datasets)), frozenset()
    for name in sorted(names, key=lambda n: (n in _WHOLE, n not in spacing, n != "collision")):
        following, changes = _apart(out.datasets, name, rng, touched)
        kinds = tuple(dict.fromkeys(out.kinds + following.kinds))
        out = Injected(following.datasets, kinds, exact=out.exact and following.exact)
        touched |= changes
    return out


def _apart(
    datasets: Sequence[Dataset], name: str, rng: np.random.Generator, touched: frozenset[str]
) -> tuple[Injected, frozenset[str]]:
    """A fault that leaves alone what others have touched, and the instances that it touches."""
    before = {d.SOPInstanceUID: d for d in datasets}
    for _ in range(_ATTEMPTS):
        out = FAULTS[name](datasets, rng)
        after = {d.SOPInstanceUID: d for d in out.datasets}
        changes = frozenset(u for u in before.keys() | after.keys() if before.get(u) is not after.get(u))
        if name in _WHOLE or not changes & touched:
            return out, changes
    raise ValueError(f"datasets must hold enough slices for every fault, none is left for {name!r}")


def _require_slices(stack: Stack, least: int) -> None:
    """Complain about a stack that is too short for a fault."""
    if len(stack.groups) < least:
        raise ValueError(f"datasets must hold at least {least} slices, got {len(stack.groups)}")


def _one(
    datasets: Sequence[Dataset], rng: np.random.Generator, *, inner: bool = False
) -> tuple[int, tuple[Dataset, ...]]:
    """One slice and its position; an inner one has two neighbours on either side."""
    stack = find_stack(datasets)
    _require_slices(stack, 5 if inner else 1)
    z = int(rng.integers(2 if inner else 0, len(stack.groups) - (2 if inner else 0)))
    return z, stack.groups[z]


def _with_extra(
    datasets: Sequence[Dataset], stack: Stack, at_mm: Sequence[float], rng: np.random.Generator
) -> list[Dataset]:
    """All instances, and inverted copies of the nearest slices at other positions."""
    out = list(datasets)
    for position in at_mm:
        nearest = int(np.abs(stack.positions - position).argmin())
        extra = acquired_again(stack.groups[nearest], out, rng)
        shift = position - stack.positions[nearest]
        out += [changed(d, moved(d, stack, shift), inverted(d)) for d in extra]
    return out


def _beyond(
    datasets: Sequence[Dataset],
    stack: Stack,
    rng: np.random.Generator,
    distance_mm: float,
    *,
    first: bool,
    kind: str,
) -> Injected:
    """An extra slice outside the stack."""
    at = stack.positions[0] - distance_mm if first else stack.positions[-1] + distance_mm
    z = 0 if first else len(stack.groups)
    return Injected(_with_extra(datasets, stack, [at], rng), (f"slice spacing: {kind}",), (z,))
