"""The true indices of the images of a data set: from a table beside it, or measured on its masks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.catalog import Catalog, VolumeRef, load_volume_mask
from cmrseg.data.tables import numbers_of, refuse_repeats
from cmrseg.io.tables import read_table
from cmrseg.labels import Label
from cmrseg.metrics.index_errors import PHASE
from cmrseg.metrics.indices import INDICES, lv_indices
from cmrseg.problems import DataError, Problem, left_out

TABLE = "indices.csv"
PLACE = ("subject", "frame", "slice")
PHASES = {"systole": 1.0, "diastole": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


def true_indices(catalog: Catalog) -> tuple[pd.DataFrame, list[Problem]]:
    """The indices and the phase of every image of which they are known.

    Parameters
    ----------
    catalog
        Images, of which ``indices.csv`` in their folder tells, or else their masks.

    Returns
    -------
    Columns subject, frame, slice, phase (1 systole, 0 diastole, ``nan`` unknown) and `INDICES` in mm and mm2;
    and the subjects whose masks cannot be read.

    Raises
    ------
    DataError
        If the table lacks a column or holds no numbers.
    """
    path = catalog.root / TABLE
    if not path.is_file():
        return measured_indices(catalog)
    table = read_indices(path)
    return table[table["subject"].isin(catalog.table["subject"])].reset_index(drop=True), []


def read_indices(path: Path) -> pd.DataFrame:
    """A table of indices, as people write it or `cmrseg predict` does.

    Parameters
    ----------
    path
        Columns subject (or study), frame, slice, and of the indices and the phase those that are known; the
        phase is systole or diastole, 1 or 0, or the probability of systole.

    Returns
    -------
    Columns as of `true_indices`, the indices and the phase as far as they are in the file.

    Raises
    ------
    DataError
        If a column is missing, is no number, or a place occurs twice.
    """
    table = read_table(path, {"subject": str, "study": str, PHASE: str})
    table = table.rename(columns={"study": "subject"}) if "subject" not in table else table
    names = [name for name in (PHASE, *INDICES) if name in table]
    if missing := [name for name in PLACE if name not in table]:
        raise DataError(f"{path} has no column {', '.join(missing)}; name subject, frame and slice")
    if not names:
        raise DataError(f"{path} has no index; its columns may be {', '.join((PHASE, *INDICES))}")
    if PHASE in table:
        table[PHASE] = table[PHASE].map(lambda word: PHASES.get(str(word).strip().lower(), word))
    for name in ("frame", "slice", *names):
        table[name] = numbers_of(table[name])
    if table[["frame", "slice"]].isna().any(axis=None):
        raise DataError(f"{path}: frame and slice must be whole numbers in every row")
    repeated = table.duplicated(list(PLACE))
    refuse_repeats(table["subject"], path, repeated=repeated)
    return table.astype({"frame": int, "slice": int})[[*PLACE, *names]]


def measured_indices(catalog: Catalog) -> tuple[pd.DataFrame, list[Problem]]:
    """The indices of the mid-ventricular slices, measured on masks, see `cmrseg.metrics.indices`.

    Parameters
    ----------
    catalog
        Data set with masks.

    Returns
    -------
    As of `true_indices`.
    """
    tables, problems = [pd.DataFrame(columns=[*PLACE, PHASE, *INDICES])], []
    for refs in catalog.with_masks().cines():
        try:
            tables.append(cine_indices(refs))
        except DataError as error:
            problems.append(left_out(refs[0].subject, refs[0].image, error))
    return pd.concat(tables[1:] or tables, ignore_index=True), problems


def cine_indices(refs: Sequence[VolumeRef], slices: Collection[int] | None = None) -> pd.DataFrame:
    """The indices of one cine, measured on its masks.

    Parameters
    ----------
    refs
        Its frames; those that are called ED and ES tell the phase, or else the largest and the smallest LV.
        With one frame only it is unknown.
    slices
        Numbers of the slices; the mid-ventricular ones by default.

    Returns
    -------
    Columns as of `true_indices`; no row without an LV.

    Raises
    ------
    DataError
        If a mask cannot be read.
    """
    mask = load_volume_mask(*refs)
    areas = (mask.array == Label.LV).sum(axis=(0, 1, 2))
    drawn = np.flatnonzero(mask.array.any(axis=(0, 1, 2)))
    if not areas.any():
        return pd.DataFrame(columns=[*PLACE, PHASE, *INDICES])
    ed = _named(refs, drawn, "ED", areas[drawn].argmax())
    es = _named(refs, drawn, "ES", areas[drawn].argmin())
    only = replace(mask, array=mask.array[..., drawn], frame_times_ms=())
    wanted = None if slices is None else [z for z, number in enumerate(refs[0].slices) if number in slices]
    table = lv_indices(only, ed_frame=ed, es_frame=es, slices=wanted)
    return table.assign(
        subject=refs[0].subject,
        slice=[refs[0].slices[z] for z in table["slice"]],
        frame=[refs[drawn[t]].frame for t in table["frame"]],
        phase=[PHASES[word] if ed != es else np.nan for word in table[PHASE]],
    )[[*PLACE, PHASE, *INDICES]]


def _named(refs: Sequence[VolumeRef], drawn: np.ndarray, name: str, otherwise: int) -> int:
    """Position among the contoured frames of the one that is called ED or ES, or another."""
    found = [position for position, t in enumerate(drawn) if refs[t].phase == name]
    return found[0] if len(found) == 1 else int(otherwise)
