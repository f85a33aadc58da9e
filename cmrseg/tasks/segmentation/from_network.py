"""A cine through a network, part by part, and back to its grid as a mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.augment import ONCE
from cmrseg.labels import Label
from cmrseg.metrics.overlap import label_dice, predicted_pixels, true_pixels
from cmrseg.parallel import Progress, Threads
from cmrseg.preprocess import Box, by_slice, most_likely, network_shape, restore
from cmrseg.tasks.asking import Asked, Network, ask
from cmrseg.tasks.options import Options
from cmrseg.tasks.segmentation.by_region import networks_of_slices, region_probabilities, region_table
from cmrseg.tasks.segmentation.heart_box import Pixels, slice_boxes, stack_box, wide_enough
from cmrseg.tasks.segmentation.one_heart import kept_pieces

AGREEMENT_COLUMNS = ("slice", "frame", "structure", "dice")
MOST_SINGLE_FRAMES = 2  # end-diastole and end-systole; to find the heart first pays from the third frame on


@dataclass(frozen=True)
class Segmentation:
    """A mask and how sure its flips are of it.

    Attributes
    ----------
    mask
        `Label` ids on the grid of the cine, ``uint8``.
    agreement
        `AGREEMENT_COLUMNS`, a row per slice, frame and structure: Dice of the mask that each flip of the
        image gives alone with that of their averaged probabilities, mean over flips, on the network's pixels
        and before smaller pieces are removed; nan where none of them finds the structure. Without rows where
        the model is applied once.
    regions
        `cmrseg.tasks.segmentation.by_region.REGION_COLUMNS`: what the classifier of a regional model says of
        every slice; without rows where the model has none.
    """

    mask: Cine
    agreement: pd.DataFrame
    regions: pd.DataFrame = field(default_factory=partial(region_table, None))


@dataclass(frozen=True)
class _Part:
    """Some images, and the rows and columns that the network is shown of them."""

    rows: np.ndarray
    box: Box


@dataclass(frozen=True)
class _Answer:
    """Most likely channels of the slices of a part, on the pixels of the network and of the cine, and where.

    Where they are asked for, confusion tables ``(slices, n, n)`` of each flip alone with the average of all.
    """

    slices: np.ndarray
    seen: np.ndarray
    native: np.ndarray
    area: Box
    counts: list[np.ndarray]


def segment(
    cine: Cine,
    network: Network,
    options: Options,
    progress: Progress | None = None,
    *,
    agreement: bool = False,
    regions: np.ndarray | None = None,
) -> Segmentation:
    """Mask of a cine, and how sure the flips are of it.

    With a regional model every slice is segmented by the network of its region.

    Parameters
    ----------
    cine
        Intensities ``(x, y, z, t)``.
    network
        Answers class probabilities ``(b, classes, h, w)``, or ``(b, classes, z, h, w)`` of stacks.
    options
        How masks are made.
    progress
        Told of the parts of the cine that are done, and of how many there are.
    agreement
        Whether flips are compared.
    regions
        For a regional model, probabilities ``(t, z, regions)`` to use in place of its classifier's.
    """
    x, y, n_slices, n_frames = cine.array.shape
    found = np.zeros((n_frames * n_slices, y, x), np.uint8)
    if network.members and regions is None:
        regions = region_probabilities(cine, network, options)
    tables = []
    for one, wanted in networks_of_slices(network, regions, len(found)):
        asked, labels = ask(cine, one, options), one.spec.labels
        counts = np.zeros((len(asked.flips) if agreement else 0, len(found), len(labels), len(labels)), int)
        for answer in _answers(asked, wanted, options, progress, agreement=agreement):
            found[answer.slices, *answer.area] = answer.native
            for flip, table in enumerate(answer.counts):
                counts[flip, answer.slices] = table
        tables.append(_agreement_table(counts, n_slices, labels, wanted))
    ids = np.array([int(Label[name]) for name in network.spec.labels], np.uint8)
    mask = ids[found.reshape(n_frames, n_slices, y, x).transpose(3, 2, 1, 0)]
    kept = cine.with_array(kept_pieces(mask, options.pieces))
    return Segmentation(kept, pd.concat(tables, ignore_index=True), region_table(regions))


def _answers(
    asked: Asked, wanted: np.ndarray, options: Options, progress: Progress | None, *, agreement: bool
) -> Iterator[_Answer]:
    """Answers to all parts of the wanted slices; a part whose box was too narrow comes again."""
    question = partial(_ask, asked, agreement=agreement)
    with Threads(asked.network.workers, "the network's answer to some slices") as pool:
        parts, done, total = _parts(asked, wanted, options, pool), 0, 0
        while parts:
            total += len(parts)
            wider = []
            for part, answer in zip(parts, pool.map(question, parts), strict=True):
                yield answer
                wider += _wider(asked, part, answer)
                done += 1
                if progress:
                    progress(done, total + len(wider))
            parts = wider


def _parts(asked: Asked, wanted: np.ndarray, options: Options, pool: Threads) -> list[_Part]:
    """Wanted slices in parts: the surroundings of the heart place by place, or the whole field of all."""
    n_frames, n_images = asked.cine.array.shape[3], len(asked.images.table)
    rows = np.arange(n_images).reshape(n_frames, -1)  # one place for every slice, or for the whole stack
    chosen = wanted[asked.images.table].any(axis=1).reshape(rows.shape)
    batches = partial(asked.batches, batch_size=options.batch_size)
    if options.heart_crop and _can_be_cropped(asked):
        seen = list(pool.map(partial(_seen_once, asked), batches(rows[0])))
        heart = np.concatenate(seen) > 0
        if heart.any():
            boxes = slice_boxes(heart, _pixel_mm(asked))
            boxes = boxes if rows.shape[1] == len(boxes) else [stack_box(boxes)]
            places = [(rows[chosen[:, place], place], box) for place, box in enumerate(boxes)]
            return [_Part(some, box) for place, box in places if len(place) for some in batches(place)]
    return [_Part(some, _field(asked)) for some in batches(rows[chosen])]


def _can_be_cropped(asked: Asked) -> bool:
    """Whether the surroundings of the heart can be told, and look to the network as in the whole field."""
    enough = asked.cine.array.shape[3] > MOST_SINGLE_FRAMES
    global_norm = asked.network.spec.arguments.get("norm") == "instance"  # its mean is that of the field
    return enough and not global_norm and bool(np.isfinite(_pixel_mm(asked)).all())


def _field(asked: Asked) -> Box:
    """Rows and columns of the whole padded image."""
    height, width = asked.images.shape
    return slice(0, height), slice(0, width)


def _pixel_mm(asked: Asked) -> Pixels:
    """Size of a pixel of the network along rows and columns; nan where it is unknown."""
    (x, y), (dx, dy) = asked.cine.array.shape[:2], asked.cine.spacing[:2]
    rows, columns = network_shape(asked.cine, asked.network.spec.preprocessing)
    return dy * y / rows, dx * x / columns


def _seen_once(asked: Asked, rows: np.ndarray) -> np.ndarray:
    """Most likely channels of the whole field of the slices of some images, without flips."""
    (vote,) = replace(asked, flips=ONCE).votes(rows)
    return most_likely(by_slice(vote))


def _ask(asked: Asked, part: _Part, *, agreement: bool) -> _Answer:
    """Show the network a part, flipped in all ways, and bring its answer back to the native grid."""
    votes = [by_slice(vote) for vote in asked.votes(part.rows, part.box)]
    mean = sum(votes[1:], votes[0]) / len(votes)
    seen = most_likely(mean)
    native, area = restore(mean, asked.cine, asked.network.spec.preprocessing, part.box)
    counts = [_counts(most_likely(vote), seen, mean.shape[1]) for vote in votes if agreement]
    return _Answer(asked.images.answered(part.rows), seen, most_likely(native), area, counts)


def _counts(labels: np.ndarray, others: np.ndarray, n: int) -> np.ndarray:
    """Confusion table ``(n, n)`` of every image of two masks ``(b, h, w)``."""
    pairs = (np.arange(len(labels))[:, None, None] * n + labels) * n + others
    return np.bincount(pairs.ravel(), minlength=len(labels) * n * n).reshape(-1, n, n)


def _wider(asked: Asked, part: _Part, answer: _Answer) -> list[_Part]:
    """The same part with a wider box where the heart came near the edge of it; nothing where it did not."""
    if part.box == _field(asked):
        return []
    found = np.any(answer.seen > 0, axis=0)
    box = wide_enough(part.box, found, asked.images.shape, _pixel_mm(asked))
    return [] if box == part.box else [_Part(part.rows, box)]


def _agreement_table(
    counts: np.ndarray, n_slices: int, labels: Sequence[str], wanted: np.ndarray
) -> pd.DataFrame:
    """Mean Dice of the flips by wanted slice, frame and structure, from counts ``(flips, rows, n, n)``."""
    if len(counts) < 2:
        return pd.DataFrame(columns=list(AGREEMENT_COLUMNS))
    absent = (predicted_pixels(counts) + true_pixels(counts)).sum(axis=0) == 0
    dice = np.where(absent, np.nan, label_dice(counts).mean(axis=0))
    dice = dice[wanted]
    frames, slices = np.divmod(np.flatnonzero(wanted), n_slices)
    parts = [
        pd.DataFrame({"slice": slices, "frame": frames, "structure": name, "dice": dice[:, channel]})
        for channel, name in enumerate(labels)
        if channel
    ]
    return pd.concat(parts, ignore_index=True)[list(AGREEMENT_COLUMNS)]
