"""A whole data set through a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from cmrseg.data.catalog import Catalog, read_catalog
from cmrseg.io.in_use import works_in
from cmrseg.io.settings import unlike_defaults
from cmrseg.parallel import Progress
from cmrseg.predict.network import open_network
from cmrseg.predict.slice_distance import strange_slice_distances
from cmrseg.tasks import get_task
from cmrseg.tasks.options import Options
from cmrseg.tasks.prediction import PredictionRun, ask_about_all
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
        Name of a model of the zoo, a model file or a resolved model; the default model.
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
    if isinstance(source, Catalog):
        catalog = source.select(splits)
    else:
        catalog = read_catalog(source, splits=splits, masks=False)
    task, made_by = get_task(network.spec.task), settings_digest(model, options)
    keeper = task.keeper(
        catalog, out, labels=network.spec.labels, source=lambda study: made_by, resume=options.resume
    )
    answer = partial(task.answer, network=network, options=options, progress=passes)
    run = ask_about_all(catalog, out, keeper, lambda study, cine: answer(cine), progress=progress)
    return replace(run, notes=[*run.notes, *strange_slice_distances(catalog, model)])


def settings_digest(model: ResolvedModel, options: Options) -> str:
    """What tells the answers of one model and its settings from others."""
    how = {name: value for name, value in unlike_defaults(options).items() if name not in _NO_SETTING}
    return sha256(json.dumps([model.sha256, how], sort_keys=True).encode()).hexdigest()
