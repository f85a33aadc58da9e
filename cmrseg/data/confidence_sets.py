"""Confidence sets: the examinations whose teacher labels agree with known volumes, and how they train.

The paper trained on the examinations of a set from Kaggle's training and test parts, and validated on those
of the same set from Kaggle's validation part; the rest of the data was not used.

References
----------
Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.A.2 and II.C.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog
from cmrseg.data.tables import as_numbers, need_columns, read_published, refuse_repeats, some
from cmrseg.data.truth import rotated_originals
from cmrseg.io.checksum import sha256_of
from cmrseg.problems import DataError

TABLE = "confidence.tsv"
THRESHOLDS_PERCENT = (5.0, 10.0, 15.0)
SPLIT_OF_SET = {"train": "train", "test": "train", "validate": "val"}
_NAME = re.compile(r"p(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class ConfidenceSet:
    """The examinations that a recipe trains with.

    Attributes
    ----------
    name
        Such as ``p5``.
    official
        Set of the challenge (``train``, ``validate``, ``test``, or something else) by Id.
    """

    name: str
    official: pd.Series


def read_confidence_set(path: Path, name: str) -> ConfidenceSet:
    """The examinations of one confidence set.

    Parameters
    ----------
    path
        Folder of `cmrseg confidence`, or a table with its columns Id, set and confidence (a fraction).
    name
        Set, such as ``p5``: the threshold in percent.

    Raises
    ------
    DataError
        If the table cannot be read, there is no such set, or it is empty.
    """
    threshold = set_threshold(name)
    if threshold is None:
        known = ", ".join(_known_sets(path))
        raise DataError(f"training set '{name}' of the recipe is no confidence set; {path} has: {known}")
    file = confidence_file(path)
    table = read_published(file, text=("Id", "set"))
    need_columns(table, ("Id", "set", "confidence"), file)
    refuse_repeats(table["Id"], file)
    table = table.assign(confidence=as_numbers(table, ["confidence"], file, key="Id")["confidence"])
    chosen = members(table, threshold)
    if chosen.empty:
        best = 100 * counted(table)["confidence"].min()
        raise DataError(
            f"confidence set {name} of {file} is empty: the best examination deviates by {best:.1f} %; "
            "choose a larger set"
        )
    return ConfidenceSet(name, chosen.set_index("Id")["set"].fillna(""))


def counted(table: pd.DataFrame) -> pd.DataFrame:
    """The examinations that count: the ``_rot90`` version replaces its original.

    Parameters
    ----------
    table
        With the column Id.
    """
    return table[~table["Id"].isin(rotated_originals(table["Id"]))]


def members(table: pd.DataFrame, threshold_percent: float) -> pd.DataFrame:
    """The examinations of which both volumes lie within a threshold.

    Parameters
    ----------
    table
        With the columns Id and confidence (a fraction).
    threshold_percent
        Largest deviation in percent, itself included.
    """
    table = counted(table)
    return table[table["confidence"] <= threshold_percent / 100]


def set_name(threshold_percent: float) -> str:
    """Name of the set of a threshold in percent, such as ``p5``."""
    return f"p{threshold_percent:g}"


def set_threshold(name: str) -> float | None:
    """Threshold in percent that the name of a set says; None for other names."""
    found = _NAME.fullmatch(name)
    return float(found[1]) if found else None


def confidence_file(path: Path) -> Path:
    """The table of a folder of `cmrseg confidence`, or the table itself."""
    return path / TABLE if path.is_dir() else path


def confidence_sha256(path: Path) -> str:
    """What tells one table from another, by folder or file.

    Raises
    ------
    DataError
        If it is missing.
    """
    file = confidence_file(path)
    if not file.is_file():
        raise DataError(f"table {file} does not exist; `cmrseg confidence` writes it")
    return sha256_of([file])


def select_confident(catalog: Catalog, chosen: ConfidenceSet) -> Catalog:
    """The images of a confidence set; official validation examinations validate, the others train.

    ``splits.csv`` beside the data wins; examinations of no official set keep the split of the data.

    Parameters
    ----------
    catalog
        Of the curated data; its subjects are called as in the confidence table.
    chosen
        From `read_confidence_set`.

    Returns
    -------
    Catalog with notes on what is left out on either side.

    Raises
    ------
    DataError
        If none of the set is in the data.
    """
    subjects = set(catalog.table["subject"])
    table = catalog.table[catalog.table["subject"].isin(chosen.official.index)]
    if table.empty:
        there, wanted = some(sorted(subjects)), some(chosen.official.index)
        raise DataError(
            f"none of the {len(chosen.official)} examinations of set {chosen.name} is in {catalog.root}, "
            f"which has {there}; the set has {wanted}"
        )
    if not (catalog.root / "splits.csv").exists():
        official = table["subject"].map(chosen.official).map(SPLIT_OF_SET)
        table = table.assign(split=official.fillna(table["split"]))
    return replace(catalog, table=table, notes=[*catalog.notes, *_set_notes(subjects, table, chosen)])


def _set_notes(subjects: set[str], table: pd.DataFrame, chosen: ConfidenceSet) -> list[str]:
    """How many examinations train and validate, and what is left out."""
    used = table.groupby("split")["subject"].nunique()
    parts = ", ".join(f"{n} {split or 'without a split'}" for split, n in used.items())
    notes = [f"confidence set {chosen.name}: {parts}"]
    out = sorted(subjects - set(chosen.official.index))
    if out:
        notes.append(f"{len(out)} subject(s) of the data are not in set {chosen.name}: {some(out)}")
    lost = sorted(set(chosen.official.index) - subjects)
    if lost:
        notes.append(f"{len(lost)} examination(s) of set {chosen.name} are not in the data: {some(lost)}")
    return notes


def _known_sets(path: Path) -> list[str]:
    """Sets that `cmrseg confidence` wrote down, or the published ones."""
    file = path / "sets.csv"
    if not file.is_file():
        return [set_name(t) for t in THRESHOLDS_PERCENT]
    table = read_published(file, text=("set",))
    need_columns(table, ("set",), file)
    return table["set"].dropna().tolist()
