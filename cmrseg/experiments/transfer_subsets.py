"""The subsets of a transfer-learning study: drawn for every seed, or given by a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog
from cmrseg.data.phases import ed_es_of_catalog
from cmrseg.data.subsets import ESED, PLACE, draw_subsets, read_subsets, subset_names
from cmrseg.data.tables import some
from cmrseg.experiments.curves import is_random
from cmrseg.experiments.planning import is_whole
from cmrseg.experiments.transfer_plan import TransferSetup
from cmrseg.problems import DataError, Problem
from cmrseg.training.log import Listener
from cmrseg.training.split_images import SplitImages


def subset_tables(
    images: SplitImages, setup: TransferSetup, out: Path, listener: Listener
) -> tuple[dict[Path, pd.DataFrame], pd.DataFrame | None, list[Problem]]:
    """The subsets of every seed; nothing is written.

    Returns
    -------
    Tables by the files where they go, one for every seed or one for all; ED and ES frames of the training
    subjects (Id, es, ed), None where no subset needs them; and the subjects for which these are not known.

    Raises
    ------
    DataError
        If a given table cannot be used with this data.
    """
    rows = _contoured(images)
    if setup.subsets is not None:
        return {out / "subsets.tsv": _given_table(setup.subsets, setup, rows)}, None, []
    frames: pd.DataFrame | None = None
    problems: list[Problem] = []
    if "esed" in setup.kinds:
        frames, problems = _esed_frames(replace(images.catalog, table=rows), listener)
    tables = {}
    for number, seed in enumerate(setup.seeds):
        drawn = draw_subsets(rows, sizes=setup.sizes, frames=frames, seed=seed)
        file = out / (f"subsets_seed{seed}.tsv" if number else "subsets.tsv")
        tables[file] = _wanted(drawn, setup.kinds)
    return tables, frames, problems


def _contoured(images: SplitImages) -> pd.DataFrame:
    """Rows of the catalog of the training images; frames without contours are not among them."""
    table = images.catalog.select(["train"]).table
    places = table[["subject", "frame", "slice"]].itertuples(index=False, name=None)
    trained = set(images.train.places)
    return table[[place in trained for place in places]]


def _esed_frames(catalog: Catalog, listener: Listener) -> tuple[pd.DataFrame, list[Problem]]:
    """ED and ES frames, and the subjects that lack them; where all do, these subsets fall away."""
    frames, problems = ed_es_of_catalog(catalog)
    if frames.empty:
        listener.note(f"esed falls away: no training subject has ED and ES frames ({problems[0].problem})")
        return frames, []
    ends = {(row.Id, frame) for row in frames.itertuples() for frame in (row.es, row.ed)}
    if ends >= set(catalog.table[["subject", "frame"]].itertuples(index=False, name=None)):
        listener.note("esed falls away: ED and ES are all frames that are contoured")
    return frames, problems


def _given_table(path: Path, setup: TransferSetup, rows: pd.DataFrame) -> pd.DataFrame:
    """A table of subsets that was named, whose images must be training images of the data."""
    table = read_subsets(path)
    if bad := [name for name in subset_names(table) if not re.fullmatch(r"[\w-]+", name)]:
        raise DataError(
            f"{path}: subsets are named with letters, digits, _ and -, not {some(bad)}; rename them"
        )
    known = set(rows[["subject", "frame", "slice"]].itertuples(index=False, name=None))
    strange = [place not in known for place in table[PLACE].itertuples(index=False, name=None)]
    if any(strange):
        raise DataError(
            f"{path}: {sum(strange)} of the {len(table)} images are no contoured training images of "
            f"the data, such as {table.loc[strange, 'file'].iloc[0]}; leave their rows out"
        )
    return _wanted(table, setup.kinds)


def _wanted(table: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """The subsets of some kinds, and those of no kind."""
    return table.drop(columns=[name for name in subset_names(table) if _kind(name) not in (None, *kinds)])


def _kind(subset: str) -> str | None:
    """Which of `KINDS` a subset is."""
    if subset in (ESED, f"r_{ESED}"):
        return "esed"
    if is_whole(subset):
        return "subjects"
    return "random" if is_random(subset) else None
