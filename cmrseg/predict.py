"""From image files to masks on their native grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from torch import Tensor, nn

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, VolumeRef, load_volume_image, prediction_path, read_catalog
from cmrseg.io.atomic import write_table
from cmrseg.io.images import load_image, load_mask, save_mask
from cmrseg.labels import STRUCTURES
from cmrseg.metrics.volumes import SUMMARY_COLUMNS, VOLUME_COLUMNS, summary_row, volume_table
from cmrseg.models.device import default_device, has_fast_bf16
from cmrseg.preprocess import batches, neighbour_table, restore, to_slices
from cmrseg.problems import DataError, Problem, problem_table
from cmrseg.zoo.manifest import DEFAULT_MODEL, load_model
from cmrseg.zoo.model_file import Model

Progress = Callable[[int, int], None]  # (studies done, studies in all)
Segmented = tuple[str, Cine, list[int]]  # subject, mask, number of every frame
_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


@dataclass(frozen=True)
class Options:
    """How masks are made.

    Attributes
    ----------
    batch_size
        Images per forward pass.
    flips
        Average the probabilities over the four flips of the image.
    largest_component
        Keep the largest connected piece of every structure in every frame, in 3D.
    bf16
        Compute in bfloat16 where the processor has it.
    resume
        Keep the masks that are already there.
    """

    batch_size: int = 16
    flips: bool = True
    largest_component: bool = True
    bf16: bool = True
    resume: bool = False


@dataclass(frozen=True)
class PredictionRun:
    """What a prediction run wrote.

    Attributes
    ----------
    volumes, summary
        Tables as in volumes.csv and summary.csv.
    problems
        Studies that failed, with the reason.
    notes
        What a user should know about the input.
    """

    volumes: pd.DataFrame
    summary: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def predict(
    source: Path | Catalog,
    out: Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    splits: Sequence[str] = (),
    options: Options | None = None,
    progress: Progress | None = None,
) -> PredictionRun:
    """Segment every image of a data set, folder or file.

    Parameters
    ----------
    source
        Data set in any known layout, folder of NIfTI or PNG files, one file, or a catalog.
    out
        Gets a folder per subject with masks, volumes.csv, summary.csv; problems.tsv when something failed.
    model
        Name of a model of the zoo, or a model file; the embedded model by default.
    splits
        Only these splits.
    options
        How masks are made.
    progress
        Told after every study.

    Returns
    -------
    Tables and problems; studies that cannot be read are problems, the others go on.

    Raises
    ------
    DataError
        If nothing can be read, or the model cannot be loaded.
    """
    loaded = load_model(model)
    catalog = source.select(splits) if isinstance(source, Catalog) else read_catalog(source, splits=splits)
    options = options or Options()
    problems, masks = list(catalog.problems), []
    studies = catalog.studies()
    segment = _segmenter(loaded, options)
    for number, study in enumerate(studies, start=1):
        try:
            masks.append((study[0].subject, *_segment_study(study, out, segment, resume=options.resume)))
        except DataError as error:
            problems.append(
                Problem(study[0].subject, "unreadable", "left out", study[0].image.name, str(error))
            )
        if progress:
            progress(number, len(studies))
    return _write(out, masks, problems, catalog.notes)


def segment_cine(cine: Cine, model: Model, options: Options | None = None) -> Cine:
    """Segment all slices and frames of a cine.

    Parameters
    ----------
    cine
        Intensities, shape ``(x, y, z, t)``.
    model
        From `cmrseg.zoo.load_model`.
    options
        How masks are made.

    Returns
    -------
    Mask in `Label` ids on the same grid, ``uint8``.
    """
    return _segmenter(model, options or Options())(cine)


def largest_components(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected piece of every structure, frame by frame.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.

    Returns
    -------
    Mask of the same shape; smaller pieces became background. Pieces connect within a slice and to the
    slices above and below, diagonals included.
    """
    kept = np.zeros_like(mask)
    for t in range(mask.shape[3]):
        for structure in STRUCTURES:
            pieces, n = ndimage.label(mask[..., t] == structure, np.ones((3, 3, 3)))
            if n:
                sizes = np.bincount(pieces.ravel())[1:]
                kept[..., t][pieces == 1 + sizes.argmax()] = structure
    return kept


def _segmenter(model: Model, options: Options) -> Callable[[Cine], Cine]:
    """The model as a function from cine to mask."""
    device = default_device()
    net = model.net.to(device, memory_format=torch.channels_last).eval()
    spec = model.spec
    ids = np.array([int(label) for label in spec.label_ids], np.uint8)

    def segment(cine: Cine) -> Cine:
        slices = to_slices(cine, spec.preprocessing)
        _, _, n_slices, n_frames = cine.array.shape
        table = neighbour_table(n_slices, n_frames, spec.preprocessing.neighbours)
        classes = [
            restore(probabilities, cine, spec.preprocessing).argmax(1)
            for batch in batches(slices, table, spec.preprocessing, batch_size=options.batch_size)
            for probabilities in [_probabilities(net, batch.to(device), options)]
        ]
        array = ids[torch.cat(classes).numpy()].reshape(n_frames, n_slices, *classes[0].shape[1:])
        mask = np.ascontiguousarray(array.transpose(3, 2, 1, 0))
        return cine.with_array(largest_components(mask) if options.largest_component else mask)

    return segment


@torch.inference_mode()
def _probabilities(net: nn.Module, batch: Tensor, options: Options) -> Tensor:
    """Class probabilities ``(b, classes, h, w)`` on the CPU, averaged over flips."""
    bf16 = options.bf16 and has_fast_bf16(batch.device)
    total = torch.zeros(())
    for dims in _FLIPS if options.flips else _FLIPS[:1]:
        flipped = batch.flip(dims).contiguous(memory_format=torch.channels_last)
        with torch.autocast(batch.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = net(flipped)
        total = total + logits.float().softmax(1).flip(dims).cpu()
    return total / (len(_FLIPS) if options.flips else 1)


def _segment_study(
    study: tuple[VolumeRef, ...], out: Path, segment: Callable[[Cine], Cine], *, resume: bool
) -> tuple[Cine, list[int]]:
    """Mask of one study and the numbers of its frames; it is written, or read when it is there already."""
    image, frames = _whole_file(study)
    paths = [prediction_path(out, study[0].subject, path) for path in dict.fromkeys(study[0].images)]
    if resume and all(path.exists() for path in paths):
        array = np.concatenate([load_mask(path, "cmrseg").array for path in paths], axis=2)
        if array.shape != image.array.shape:
            raise DataError(f"{paths[0]} is on another grid than its image; delete it or leave --resume out")
        return image.with_array(array), frames
    mask = segment(image)
    for path, part in zip(paths, _parts(mask, len(paths)), strict=True):
        save_mask(part, path)
    return mask, frames


def _whole_file(study: tuple[VolumeRef, ...]) -> tuple[Cine, list[int]]:
    """All slices and frames of the file, also those that the data set does not list, and their numbers."""
    ref = study[0]
    if not ref.is_stack:
        return load_volume_image(*study), [ref.frame]
    cine = replace(load_image(ref.image), spacing=ref.spacing)
    n_frames = cine.array.shape[3]
    return cine, list(range(n_frames)) if n_frames > 1 else [ref.frame]


def _parts(mask: Cine, files: int) -> Iterator[Cine]:
    """The mask as one stack, or slice by slice where every slice is a file."""
    if files == 1:
        yield mask
        return
    for z in range(files):
        yield replace(mask, array=mask.array[:, :, z : z + 1])


def _write(out: Path, masks: list[Segmented], problems: list[Problem], notes: list[str]) -> PredictionRun:
    """Tables of a run."""
    volumes, summary = [], []
    for subject, mask, frames in _by_subject(masks):
        volumes.append(volume_table(subject, mask, frames=frames))
        summary.append(summary_row(subject, mask, frames=frames))
    run = PredictionRun(
        pd.concat(volumes) if volumes else pd.DataFrame(columns=list(VOLUME_COLUMNS)),
        pd.DataFrame(summary, columns=list(SUMMARY_COLUMNS)),
        problems,
        notes,
    )
    write_table(run.volumes, out / "volumes.csv")
    write_table(run.summary, out / "summary.csv")
    if problems:
        write_table(problem_table(problems), out / "problems.tsv")
    else:
        (out / "problems.tsv").unlink(missing_ok=True)  # of an earlier run
    return run


def _by_subject(masks: list[Segmented]) -> Iterator[Segmented]:
    """Masks of single frames joined to one study per subject, where they share a grid."""
    groups: dict[tuple[str, tuple[int, ...]], list[Segmented]] = {}
    for item in masks:
        groups.setdefault((item[0], item[1].array.shape[:3]), []).append(item)
    for (subject, _), members in groups.items():
        frames = [frame for _, _, numbers in members for frame in numbers]
        array = np.concatenate([mask.array for _, mask, _ in members], axis=3)
        times = members[0][1].frame_times_ms if len(members) == 1 else ()
        yield subject, replace(members[0][1], array=array, frame_times_ms=times), frames
