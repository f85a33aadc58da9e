"""From image files to masks on their native grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from torch import Tensor, nn

from cmrseg.cine import Cine
from cmrseg.data.augment import FLIPS
from cmrseg.data.catalog import Catalog, VolumeRef, load_whole_image, prediction_path, read_catalog
from cmrseg.io.atomic import write_table
from cmrseg.io.images import load_mask, save_mask
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.volumes import SUMMARY_COLUMNS, VOLUME_COLUMNS, summary_row, volume_table
from cmrseg.models.device import default_device, has_fast_bf16
from cmrseg.preprocess import batches, neighbour_table, restore, to_slices
from cmrseg.problems import DataError, Problem, left_out, problem_table
from cmrseg.zoo.manifest import DEFAULT_MODEL, load_model
from cmrseg.zoo.model_file import Model

Progress = Callable[[int, int], None]  # (studies done, studies in all)
Study = tuple[VolumeRef, ...]  # volumes that share their files
Segment = Callable[[Study, Cine], Cine]
Segmented = tuple[str, Cine, list[int]]  # subject, mask, number of every frame
Flips = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Options:
    """How masks are made.

    Attributes
    ----------
    batch_size
        Images per forward pass.
    flips
        Average the probabilities over the flips that the model was trained with: four for s3.
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
    loaded, options = load_model(model), options or Options()
    is_catalog = isinstance(source, Catalog)
    catalog = source.select(splits) if is_catalog else read_catalog(source, splits=splits, masks=False)
    segment = segmenter(loaded, options)
    return segment_catalog(
        catalog,
        out,
        lambda study, cine: segment(cine),
        labels=loaded.spec.labels,
        resume=options.resume,
        progress=progress,
    )


def segment_catalog(  # noqa: PLR0913 (all but the first three are options)
    catalog: Catalog,
    out: Path,
    segment: Segment,
    *,
    labels: Sequence[str],
    resume: bool = False,
    problems_file: str = "problems.tsv",
    progress: Progress | None = None,
) -> PredictionRun:
    """Masks and tables of a data set from anything that turns a study into a mask.

    Parameters
    ----------
    catalog
        Images.
    out
        Gets a folder per subject with masks, volumes.csv, summary.csv.
    segment
        From a study and its intensities to a mask on the same grid, in `Label` ids.
    labels
        Names of the structures that ``segment`` knows; the volumes of the others are unknown.
    resume
        Keep the masks that are already there.
    problems_file
        Name of the table of what failed; only written when something did.
    progress
        Told after every study.

    Returns
    -------
    Tables and problems; where ``segment`` raises a `DataError`, that study is a problem, the others go on.
    """
    problems, notes = list(catalog.problems), list(catalog.notes)
    masks = _segment_all(catalog.studies(), out, segment, resume, problems, progress)
    volumes, summary = [], []
    for subject, members in groupby(masks, key=lambda item: item[0]):
        parts = _joined(list(members))
        if len(parts) > 1:
            notes.append(f"{subject} has frames of different size: {len(parts)} rows in summary.csv, no EF")
        for mask, frames in parts:
            volumes.append(volume_table(subject, mask, frames=frames))
            summary.append(summary_row(subject, mask, frames=frames))
    run = PredictionRun(*_tables(volumes, summary, labels), problems, notes)
    _write(run, out, problems_file)
    return run


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
    return segmenter(model, options or Options())(cine)


def mask_paths(ref: VolumeRef, out: Path, *, taken: dict[Path, Path] | None = None) -> list[Path]:
    """Where the masks of a study go.

    Parameters
    ----------
    ref
        Any volume of the study.
    out
        Folder of the predictions.
    taken
        Mask -> its image, of the studies so far; gets those of this one.

    Raises
    ------
    DataError
        If two images would go to one file.
    """
    paths, taken = [], {} if taken is None else taken
    for image in dict.fromkeys(ref.images):
        path = prediction_path(out, ref.subject, image)
        if taken.setdefault(path, image) != image:
            raise DataError(f"{image} and {taken[path]} would both be written to {path}; rename one of them")
        paths.append(path)
    return paths


def segmenter(model: Model, options: Options) -> Callable[[Cine], Cine]:
    """A model as a function from cine to mask.

    Parameters
    ----------
    model
        From `cmrseg.zoo.load_model`.
    options
        How masks are made.

    Returns
    -------
    Function from intensities ``(x, y, z, t)`` to a mask in `Label` ids on the same grid.
    """
    device = default_device()
    net = model.net.to(device, memory_format=torch.channels_last).eval()
    spec = model.spec
    flips = _flips_of(spec.recipe) if options.flips else ((),)
    ids = np.array([int(label) for label in spec.label_ids], np.uint8)

    def segment(cine: Cine) -> Cine:
        slices = to_slices(cine, spec.preprocessing)
        _, _, n_slices, n_frames = cine.array.shape
        table = neighbour_table(n_slices, n_frames, spec.preprocessing.neighbours)
        classes = [
            restore(probabilities, cine, spec.preprocessing).argmax(1)
            for batch in batches(slices, table, spec.preprocessing, batch_size=options.batch_size)
            for probabilities in [_probabilities(net, batch.to(device), flips, bf16=options.bf16)]
        ]
        array = ids[torch.cat(classes).numpy()].reshape(n_frames, n_slices, *classes[0].shape[1:])
        mask = np.ascontiguousarray(array.transpose(3, 2, 1, 0))
        return cine.with_array(largest_components(mask) if options.largest_component else mask)

    return segment


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


def _flips_of(recipe: str) -> Flips:
    """The flips that the augmentation in a recipe's name teaches."""
    augmentation = recipe.split("_")[3:4]  # architecture_loss_set_augmentation[_size]
    return FLIPS.get(augmentation[0], ((),)) if augmentation else ((),)


@torch.inference_mode()
def _probabilities(net: nn.Module, batch: Tensor, flips: Flips, *, bf16: bool) -> Tensor:
    """Class probabilities ``(b, classes, h, w)`` on the CPU, averaged over flips."""
    total = torch.zeros(())
    for dims in flips:
        flipped = batch.flip(dims).contiguous(memory_format=torch.channels_last)
        fast = bf16 and has_fast_bf16(batch.device)
        with torch.autocast(batch.device.type, dtype=torch.bfloat16, enabled=fast):
            logits = net(flipped)
        total = total + logits.float().softmax(1).flip(dims).cpu()
    return total / len(flips)


def _segment_all(
    studies: list[Study],
    out: Path,
    segment: Segment,
    resume: bool,
    problems: list[Problem],
    progress: Progress | None,
) -> Iterator[Segmented]:
    """Masks one study after the other; what cannot be read or written apart is added to the problems."""
    targets: dict[Path, Path] = {}
    for number, study in enumerate(studies, start=1):
        ref = study[0]
        try:
            paths = mask_paths(ref, out, taken=targets)
            yield ref.subject, *_segment_study(study, paths, segment, resume=resume)
        except DataError as error:
            problems.append(left_out(ref.subject, ref.image, error))
        if progress:
            progress(number, len(studies))


def _segment_study(
    study: Study, paths: list[Path], segment: Segment, *, resume: bool
) -> tuple[Cine, list[int]]:
    """Mask of one study and the numbers of its frames; it is written, or read when it is there already."""
    image, frames = load_whole_image(*study)
    if resume and all(path.exists() for path in paths):
        array = np.concatenate([load_mask(path, "cmrseg").array for path in paths], axis=2)
        if array.shape != image.array.shape:
            raise DataError(f"{paths[0]} is on another grid than its image; delete it or leave --resume out")
        return image.with_array(array), frames
    mask = segment(study, image)
    for path, part in zip(paths, _parts(mask, len(paths)), strict=True):
        save_mask(part, path)
    return mask, frames


def _parts(mask: Cine, files: int) -> Iterator[Cine]:
    """The mask as one stack, or slice by slice where every slice is a file."""
    if files == 1:
        yield mask
        return
    for z in range(files):
        yield replace(mask, array=mask.array[:, :, z : z + 1])


def _joined(members: list[Segmented]) -> list[tuple[Cine, list[int]]]:
    """Masks of a subject's single frames joined to one cine, where they share a grid."""
    groups: dict[tuple, list[Segmented]] = {}
    for item in members:
        groups.setdefault((item[1].array.shape[:3], str(item[1].spacing)), []).append(item)
    joined = []
    for group in groups.values():
        frames = [frame for _, _, numbers in group for frame in numbers]
        array = np.concatenate([mask.array for _, mask, _ in group], axis=3)
        times = group[0][1].frame_times_ms if len(group) == 1 else ()
        joined.append((replace(group[0][1], array=array, frame_times_ms=times), frames))
    return joined


def _tables(
    volumes: list[pd.DataFrame], summary: list[dict[str, object]], labels: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of a run; what the model does not segment is unknown rather than 0."""
    volume_rows = pd.concat(volumes) if volumes else pd.DataFrame(columns=list(VOLUME_COLUMNS))
    summary_rows = pd.DataFrame(summary, columns=list(SUMMARY_COLUMNS))
    for structure in STRUCTURES:
        if structure.name not in labels:
            volume_rows[f"{structure.name}_ml"] = np.nan
    if Label.MYO.name not in labels:
        summary_rows["MYO_mass_g"] = np.nan
    return volume_rows, summary_rows


def _write(run: PredictionRun, out: Path, problems_file: str) -> None:
    """Write the tables of a run."""
    write_table(run.volumes, out / "volumes.csv")
    write_table(run.summary, out / "summary.csv")
    if run.problems:
        write_table(problem_table(run.problems), out / problems_file)
    else:
        (out / problems_file).unlink(missing_ok=True)  # of an earlier run
