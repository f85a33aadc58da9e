"""Masks and tables of a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, VolumeRef, load_whole_image, prediction_path, read_catalog
from cmrseg.io.atomic import write_table
from cmrseg.io.images import load_mask, save_mask
from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.volumes import SUMMARY_COLUMNS, VOLUME_COLUMNS, summary_row, volume_table
from cmrseg.predict.network import open_network
from cmrseg.predict.options import Options, Progress
from cmrseg.predict.segment import segmenter
from cmrseg.problems import DataError, Problem, left_out, problem_table
from cmrseg.zoo.manifest import DEFAULT_MODEL

Study = tuple[VolumeRef, ...]  # volumes that share their files
Segment = Callable[[Study, Cine], Cine]
Segmented = tuple[str, Cine, list[int]]  # subject, mask, number of every frame


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


def predict(  # noqa: PLR0913 (all but the first two are options)
    source: Path | Catalog,
    out: Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    splits: Sequence[str] = (),
    options: Options | None = None,
    progress: Progress | None = None,
    passes: Progress | None = None,
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
    passes
        Told of the passes through the network within a study.

    Returns
    -------
    Tables and problems; studies that cannot be read are problems, the others go on.

    Raises
    ------
    DataError
        If nothing can be read, or the model cannot be loaded.
    """
    options = options or Options()
    network = open_network(model, options)
    is_catalog = isinstance(source, Catalog)
    catalog = source.select(splits) if is_catalog else read_catalog(source, splits=splits, masks=False)
    segment = segmenter(network, options)
    return segment_catalog(
        catalog,
        out,
        lambda study, cine: segment(cine, passes),
        labels=network.spec.labels,
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
    for number, (study, read) in enumerate(_read_ahead(studies), start=1):
        ref = study[0]
        try:
            paths = mask_paths(ref, out, taken=targets)
            image, frames = read.result()
            yield ref.subject, _mask(study, image, paths, segment, resume=resume), frames
        except DataError as error:
            problems.append(left_out(ref.subject, ref.image, error))
        if progress:
            progress(number, len(studies))


def _read_ahead(studies: list[Study]) -> Iterator[tuple[Study, Future[tuple[Cine, list[int]]]]]:
    """Studies with their images and frames; the next one is read while the caller works on this one."""
    with ThreadPoolExecutor(1) as pool:
        reads = (pool.submit(load_whole_image, *study) for study in studies)
        for study, (read, _) in zip(studies, pairwise(chain(reads, [None])), strict=True):
            yield study, read


def _mask(study: Study, image: Cine, paths: list[Path], segment: Segment, *, resume: bool) -> Cine:
    """Mask of one study; it is written, or read when it is there already."""
    if resume and all(path.exists() for path in paths):
        array = np.concatenate([load_mask(path, "cmrseg").array for path in paths], axis=2)
        if array.shape != image.array.shape:
            raise DataError(f"{paths[0]} is on another grid than its image; delete it or leave --resume out")
        return image.with_array(array)
    mask = segment(study, image)
    for path, part in zip(paths, _parts(mask, len(paths)), strict=True):
        save_mask(part, path)
    return mask


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
