"""A cine through a network, part by part, and back to its grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.flips import ONCE, Flips, flips_of
from cmrseg.metrics.overlap import label_dice, predicted_pixels, true_pixels
from cmrseg.predict.cleaning import largest_components
from cmrseg.predict.heart_box import Pixels, slice_boxes, wide_enough
from cmrseg.predict.network import Network, open_network
from cmrseg.predict.options import Options, Progress
from cmrseg.preprocess import (
    Box,
    NetworkImages,
    most_likely,
    network_images,
    network_input,
    network_shape,
    restore,
)
from cmrseg.zoo.model_file import Model

AGREEMENT_COLUMNS = ("slice", "frame", "structure", "dice")
MOST_SINGLE_FRAMES = 2  # end-diastole and end-systole; to find the heart first pays from the third frame on
AnyModel = Network | Model | str | Path


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
    """

    mask: Cine
    agreement: pd.DataFrame


@dataclass(frozen=True)
class _Study:
    """What all parts of a cine have in common."""

    cine: Cine
    images: NetworkImages
    network: Network
    flips: Flips

    @property
    def field(self) -> Box:
        """Rows and columns of the whole padded image."""
        height, width = self.images.shape
        return slice(0, height), slice(0, width)

    @property
    def pixel_mm(self) -> Pixels:
        """Size of a pixel of the network along rows and columns; nan where it is unknown."""
        (x, y), (dx, dy) = self.cine.array.shape[:2], self.cine.spacing[:2]
        rows, columns = network_shape(self.cine, self.network.spec.preprocessing)
        return dy * y / rows, dx * x / columns


@dataclass(frozen=True)
class _Part:
    """Some slices, and the rows and columns that the network is shown of them."""

    rows: np.ndarray
    box: Box


@dataclass(frozen=True)
class _Answer:
    """Most likely channels of a part, on the network's pixels and native ones, and where these lie.

    Where they are asked for, confusion tables ``(rows, n, n)`` of each flip alone with the average of all.
    """

    seen: np.ndarray
    native: np.ndarray
    area: Box
    counts: list[np.ndarray]


def segmenter(model: AnyModel, options: Options | None = None) -> Callable[..., Cine]:
    """A model as a function from cine to mask.

    Parameters
    ----------
    model
        From `open_network` or `cmrseg.zoo.load_model`, or what `open_network` takes.
    options
        How masks are made.

    Returns
    -------
    Function from intensities ``(x, y, z, t)`` to a mask in `Label` ids on the same grid. A second argument,
    if given, is told of the parts of the cine that are done, and of how many there are.
    """
    segment = _bound(model, options, agreement=False)
    return lambda cine, progress=None: segment(cine, progress).mask


def study_segmenter(model: AnyModel, options: Options | None = None) -> Callable[..., Segmentation]:
    """As `segmenter`, but with the mask comes how far the flips of an image agree on it."""
    return _bound(model, options, agreement=True)


def segment_cine(cine: Cine, model: AnyModel, options: Options | None = None) -> Cine:
    """Segment all slices and frames of a cine.

    Parameters
    ----------
    cine
        Intensities, shape ``(x, y, z, t)``.
    model, options
        As for `segmenter`.

    Returns
    -------
    Mask in `Label` ids on the same grid, ``uint8``.
    """
    return segmenter(model, options)(cine)


def _bound(model: AnyModel, options: Options | None, *, agreement: bool) -> Callable[..., Segmentation]:
    """A model and its options as a function of a cine and of who is told of the progress."""
    options = options or Options()
    network = model if isinstance(model, Network) else open_network(model, options)

    def segment(cine: Cine, progress: Progress | None = None) -> Segmentation:
        return _segment(cine, network, options, progress, agreement=agreement)

    return segment


def _segment(
    cine: Cine, network: Network, options: Options, progress: Progress | None, *, agreement: bool
) -> Segmentation:
    """Mask and agreement of a cine."""
    spec = network.spec
    flips = flips_of(spec.recipe) if options.flips else ONCE
    study = _Study(cine, network_images(cine, spec.preprocessing), network, flips)
    x, y, n_slices, n_frames = cine.array.shape
    labels = np.zeros((n_frames * n_slices, y, x), np.uint8)
    n = len(spec.labels)
    counts = np.zeros((len(flips) if agreement else 0, len(labels), n, n), int)
    for part, answer in _answers(study, options, progress, agreement=agreement):
        labels[part.rows, *answer.area] = answer.native
        for flip, table in enumerate(answer.counts):
            counts[flip, part.rows] = table
    ids = np.array([int(label) for label in spec.label_ids], np.uint8)
    mask = ids[labels.reshape(n_frames, n_slices, y, x).transpose(3, 2, 1, 0)]
    if options.largest_component:
        mask = largest_components(mask)
    return Segmentation(cine.with_array(mask), _agreement_table(counts, n_slices, spec.labels))


def _answers(
    study: _Study, options: Options, progress: Progress | None, *, agreement: bool
) -> Iterator[tuple[_Part, _Answer]]:
    """Answers to all parts of a cine; a part whose box was too narrow comes again."""
    ask = partial(_ask, study, agreement=agreement)
    with ThreadPoolExecutor(study.network.workers) as pool:
        parts, done, total = _parts(study, options, pool), 0, 0
        while parts:
            total += len(parts)
            wider = []
            for part, answer in zip(parts, pool.map(ask, parts), strict=True):
                yield part, answer
                wider += _wider(study, part, answer)
                done += 1
                if progress:
                    progress(done, total + len(wider))
            parts = wider


def _parts(study: _Study, options: Options, pool: Executor) -> list[_Part]:
    """A cine in parts: the surroundings of the heart slice by slice, or the whole field of all slices."""
    n_slices, n_frames = study.cine.array.shape[2:]
    rows = np.arange(n_frames * n_slices).reshape(n_frames, n_slices)
    chunks = partial(_chunks, batch_size=options.batch_size, at_least=study.network.workers)
    if options.heart_crop and _can_be_cropped(study):
        seen = list(pool.map(partial(_seen_once, study), chunks(rows[0])))
        heart = np.concatenate(seen) > 0
        if heart.any():
            boxes = slice_boxes(heart, study.pixel_mm)
            return [_Part(chunk, boxes[z]) for z in range(n_slices) for chunk in chunks(rows[:, z])]
    return [_Part(chunk, study.field) for chunk in chunks(rows.ravel())]


def _can_be_cropped(study: _Study) -> bool:
    """Whether the surroundings of the heart can be told, and look to the network as in the whole field."""
    enough = study.cine.array.shape[3] > MOST_SINGLE_FRAMES
    global_norm = study.network.spec.arguments.get("norm") == "instance"  # its mean is that of the field
    return enough and not global_norm and bool(np.isfinite(study.pixel_mm).all())


def _chunks(rows: np.ndarray, batch_size: int, at_least: int) -> list[np.ndarray]:
    """Rows in batches of nearly equal size, one for every worker where there are enough."""
    n = max(-(-len(rows) // batch_size), min(at_least, len(rows)))
    return np.array_split(rows, n)


def _seen_once(study: _Study, rows: np.ndarray) -> np.ndarray:
    """Most likely channels of the whole field of some slices, without flips."""
    return most_likely(study.network.probabilities(network_input(study.images, rows)))


def _ask(study: _Study, part: _Part, *, agreement: bool) -> _Answer:
    """Show the network a part, flipped in all ways, and bring its answer back to the native grid."""
    image = network_input(study.images, part.rows, part.box)
    votes = [np.flip(study.network.probabilities(np.flip(image, f).copy()), f) for f in study.flips]
    mean = sum(votes[1:], votes[0]) / len(votes)
    seen = most_likely(mean)
    native, area = restore(mean, study.cine, study.network.spec.preprocessing, part.box)
    asked = votes if agreement else []
    counts = [_counts(most_likely(vote), seen, mean.shape[1]) for vote in asked]
    return _Answer(seen, most_likely(native), area, counts)


def _counts(labels: np.ndarray, others: np.ndarray, n: int) -> np.ndarray:
    """Confusion table ``(n, n)`` of every image of two masks ``(b, h, w)``."""
    pairs = (np.arange(len(labels))[:, None, None] * n + labels) * n + others
    return np.bincount(pairs.ravel(), minlength=len(labels) * n * n).reshape(-1, n, n)


def _wider(study: _Study, part: _Part, answer: _Answer) -> list[_Part]:
    """The same part with a wider box where the heart came near the edge of it; nothing where it did not."""
    if part.box == study.field:
        return []
    found = (answer.seen > 0).any(axis=0)
    box = wide_enough(part.box, found, study.images.shape, study.pixel_mm)
    return [] if box == part.box else [_Part(part.rows, box)]


def _agreement_table(counts: np.ndarray, n_slices: int, labels: Sequence[str]) -> pd.DataFrame:
    """Mean Dice of the flips by slice, frame and structure, from their counts ``(flips, rows, n, n)``."""
    if len(counts) < 2:
        return pd.DataFrame(columns=list(AGREEMENT_COLUMNS))
    absent = (predicted_pixels(counts) + true_pixels(counts)).sum(axis=0) == 0
    dice = np.where(absent, np.nan, label_dice(counts).mean(axis=0))
    frames, slices = np.divmod(np.arange(dice.shape[0]), n_slices)
    parts = [
        pd.DataFrame({"slice": slices, "frame": frames, "structure": name, "dice": dice[:, channel]})
        for channel, name in enumerate(labels)
        if channel
    ]
    return pd.concat(parts, ignore_index=True)[list(AGREEMENT_COLUMNS)]
