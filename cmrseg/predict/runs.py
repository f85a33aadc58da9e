"""A whole data set through a model, study by study."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import chain, pairwise
from pathlib import Path

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog, load_whole_image, read_catalog
from cmrseg.io.atomic import write_table
from cmrseg.io.in_use import works_in
from cmrseg.io.settings import unlike_defaults
from cmrseg.parallel import Progress, Threads
from cmrseg.predict.network import open_network
from cmrseg.predict.slice_distance import strange_slice_distances
from cmrseg.problems import DataError, left_out, problem_table
from cmrseg.tasks import get_task
from cmrseg.tasks.options import Options
from cmrseg.tasks.prediction import Answer, Keeper, PredictionRun, Study
from cmrseg.zoo.manifest import DEFAULT_MODEL, resolve
from cmrseg.zoo.resolved import ModelName, ResolvedModel

_NO_SETTING = ("resume", "batch_size", "runtime", "bf16")  # the answers are the same with any


@works_in("out", "predict")
def predict(  # noqa: PLR0913 (all but the first two are options)
    source: Path | Catalog,
    out: Path,
    *,
    model: ModelName = DEFAULT_MODEL,
    splits: Sequence[str] = (),
    options: Options | None = None,
    progress: Progress | None = None,
    passes: Progress | None = None,
) -> PredictionRun:
    """What a model says of every image of a data set, folder or file.

    Parameters
    ----------
    source
        Data set in any known layout, folder of NIfTI or PNG files, one file, or a catalog.
    out
        Gets what the task of the model writes: of masks a folder per subject, volumes.csv and summary.csv;
        and problems.tsv when something failed. Masks that a person has changed are kept and measured, those
        of others are given another name.
    model
        Name of a model of the zoo, a model file or a resolved model; the embedded model by default.
    splits
        Only these splits.
    options
        How answers are made.
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
        If nothing can be read, the model cannot be loaded, or masks of the data would be overwritten.
    """
    options = options or Options()
    model = resolve(model)
    network = open_network(model, options)
    is_catalog = isinstance(source, Catalog)
    catalog = source.select(splits) if is_catalog else read_catalog(source, splits=splits, masks=False)
    task, made_by = get_task(network.spec.task), settings_digest(model, options)
    keeper = task.keeper(
        catalog, out, labels=network.spec.labels, source=lambda study: made_by, resume=options.resume
    )
    answer = partial(task.answer, network=network, options=options, progress=passes)
    run = ask_about_all(catalog, out, keeper, lambda study, cine: answer(cine), progress=progress)
    return replace(run, notes=[*run.notes, *strange_slice_distances(catalog, model)])


@works_in("out", "predict")
def ask_about_all(
    catalog: Catalog,
    out: Path,
    keeper: Keeper,
    answer: Answer,
    *,
    problems_file: str = "problems.tsv",
    progress: Progress | None = None,
) -> PredictionRun:
    """Ask anything that answers about every study of a data set, and keep what it says.

    Parameters
    ----------
    catalog
        Images.
    out
        Gets the tables.
    keeper
        Who writes the answers down.
    answer
        From a study and its intensities to an answer.
    problems_file
        Name of the table of what failed; only written when something did.
    progress
        Told after every study.

    Returns
    -------
    Tables and problems; where ``answer`` raises a `DataError`, that study is a problem, the others go on.
    """
    problems, studies = list(catalog.problems), catalog.studies()
    for number, (study, read) in enumerate(_read_ahead(studies), start=1):
        try:
            keeper.keep(study, read, answer)
        except DataError as error:
            problems.append(left_out(study[0].subject, study[0].image, error))
        if progress:
            progress(number, len(studies))
    kept = keeper.finish()
    run = PredictionRun(kept, problems, [*catalog.notes, *kept.notes])
    _write(run, out, problems_file)
    return run


def settings_digest(model: ResolvedModel, options: Options) -> str:
    """What tells the answers of one model and its settings from others."""
    how = {name: value for name, value in unlike_defaults(options).items() if name not in _NO_SETTING}
    return sha256(json.dumps([model.sha256, how], sort_keys=True).encode()).hexdigest()


def _read_ahead(studies: list[Study]) -> Iterator[tuple[Study, Callable[[], tuple[Cine, list[int]]]]]:
    """Studies with their images and frames; the next one is read while the caller works on this one."""
    with Threads(1, "the images of a study") as pool:
        reads = (pool.submit(load_whole_image, *study) for study in studies)
        for study, (read, _) in zip(studies, pairwise(chain(reads, [None])), strict=True):
            yield study, partial(pool.result, read)


def _write(run: PredictionRun, out: Path, problems_file: str) -> None:
    """Write the tables of a run."""
    for name, table in run.kept.tables.items():
        write_table(table, out / name)
    if run.problems:
        write_table(problem_table(run.problems), out / problems_file)
    else:
        (out / problems_file).unlink(missing_ok=True)  # of an earlier run
