"""Which subjects train, validate and test."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from cmrseg.data.names import SPLIT_FOLDERS
from cmrseg.io.tables import read_table
from cmrseg.problems import DataError

VALIDATION_SHARE = TEST_SHARE = 0.15


def apply_splits(table: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, list[str]]:
    """Honour splits.csv (subject, split) beside the data.

    Parameters
    ----------
    table
        Rows of a catalog.
    root
        Folder of the data set.

    Returns
    -------
    Table with the splits of the file, and notes on subjects that it does not name.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or names a subject in two splits.
    """
    path = root / "splits.csv"
    if not path.exists():
        return table, []
    splits = _read_splits(path)
    table = table.assign(split=table["subject"].map(splits).fillna(""))
    return table, _split_notes(splits, table)


def _split_notes(splits: Mapping[str, str], table: pd.DataFrame) -> list[str]:
    """Subjects that only the table or only the data knows, and splits that no command asks for."""
    subjects = set(table["subject"])
    lost = sorted(table.loc[table["split"] == "", "subject"].unique())
    absent = sorted(str(subject) for subject in splits if subject not in subjects)
    strange = sorted({str(split) for split in splits.values()} - set(SPLIT_FOLDERS.values()))
    told = {
        "subject(s) are not in splits.csv and belong to no split": lost,
        "subject(s) of splits.csv are not in the data": absent,
        "split(s) of splits.csv are none of train, val, test and are not trained or validated with": strange,
    }
    return [f"{len(names)} {what}: {', '.join(names[:5])}" for what, names in told.items() if names]


def patients_of(table: pd.DataFrame, root: Path, same: Mapping[str, str] | None = None) -> pd.Series:
    """Whose images they are: several curated studies may be of one patient, as ``studies.tsv`` tells.

    Parameters
    ----------
    table
        Rows of a catalog.
    root
        Folder of the data set.
    same
        From `cmrseg.data.twins.twins`.

    Returns
    -------
    The patient of every row; the subject itself where nothing is told.
    """
    subjects = table["subject"].replace(dict(same or {}))
    path = root / "studies.tsv"
    told = read_table(path, str) if path.is_file() else pd.DataFrame()
    if not {"study", "subject"} <= set(told.columns):
        return subjects
    told = told.dropna(subset=["study", "subject"]).drop_duplicates("study").set_index("study")["subject"]
    return subjects.map(told).fillna(subjects)


def draw_splits(
    table: pd.DataFrame,
    *,
    seed: int,
    patients: pd.Series | None = None,
    structures: Mapping[str, Collection[str]] | None = None,
) -> tuple[pd.DataFrame, str]:
    """Draw the missing splits by subject, or by patient where those are told.

    Parameters
    ----------
    table
        Rows of a catalog without training or without validation images.
    seed
        Of the random order of the subjects.
    patients
        The patient of every row, see `patients_of`.
    structures
        What was contoured of every patient. One that few have is trained on before it is validated with.

    Returns
    -------
    Table with the splits ``train`` and ``val``, and ``test`` where there was no split at all; and a note.

    Raises
    ------
    DataError
        If the splits have other names, or there are fewer than two subjects to train and validate with.
    """
    have = set(table["split"])
    own = _pool_split(have)
    patients = table["subject"] if patients is None else patients
    pool = sorted(patients[table["split"] == own].unique())
    if len(pool) + ("val" in have) < 2:
        raise DataError(
            f"{len(pool)} subject(s) with masks to train with; at least 2 are needed, one of them to validate"
        )
    random.Random(seed).shuffle(pool)
    n_val = 0 if "val" in have else max(1, round(VALIDATION_SHARE * len(pool)))
    n_test = round(TEST_SHARE * len(pool)) if have == {""} and len(pool) >= 6 else 0
    chosen = dict.fromkeys(pool, "train") | dict.fromkeys(pool[:n_val], "val")
    chosen |= dict.fromkeys(pool[n_val : n_val + n_test], "test")
    chosen = _with_rare_in_training(chosen, structures or {})
    drawn = patients.map(chosen).where(table["split"] == own, table["split"])
    note = (
        f"split by subject with seed {seed}: {len(pool) - n_val - n_test} train, {n_val} val, {n_test} test"
    )
    return table.assign(split=drawn), note


def draw_folds(patients: Iterable[str], n: int, *, seed: int) -> dict[str, int]:
    """Divide patients into parts of nearly equal size at random.

    Parameters
    ----------
    patients
        Names; one that occurs twice counts once.
    n
        How many parts.
    seed
        Of the random order.

    Returns
    -------
    The part of every patient, from 1.

    Raises
    ------
    ValueError
        If there are fewer patients than parts, or less than one part.
    """
    pool = sorted(set(patients))
    if not 1 <= n <= len(pool):
        raise ValueError(f"n must be from 1 to the number of patients ({len(pool)}), got {n}")
    random.Random(seed).shuffle(pool)
    return {patient: place % n + 1 for place, patient in enumerate(pool)}


def _with_rare_in_training(
    chosen: dict[str, str], structures: Mapping[str, Collection[str]]
) -> dict[str, str]:
    """The same splits; a patient whose structure nobody trains on changes places with a dispensable one."""
    counts = Counter(name for patient in chosen for name in set(structures.get(patient, ())))
    chosen = dict(chosen)
    for rare, _ in sorted(counts.items(), key=lambda item: (item[1], item[0])):
        training = [p for p, split in chosen.items() if split == "train"]
        if any(rare in structures.get(p, ()) for p in training):
            continue
        comes = next(p for p in chosen if rare in structures.get(p, ()))
        taught = Counter(name for p in (*training, comes) for name in set(structures.get(p, ())))
        spared = [p for p in training if all(taught[name] > 1 for name in structures.get(p, ()))]
        if spared:
            chosen[comes], chosen[spared[-1]] = "train", chosen[comes]
    return chosen


def leak_notes(table: pd.DataFrame, patients: pd.Series | None = None) -> list[str]:
    """Which subjects (or patients) are in more than one split: scores on them mean little."""
    patients = table["subject"] if patients is None else patients
    splits = table[table["split"] != ""].groupby(patients)["split"].nunique()
    shared = sorted(splits.index[splits > 1])
    return [f"{len(shared)} subject(s) are in more than one split: {', '.join(shared[:5])}"] * bool(shared)


def _read_splits(path: Path) -> dict[str, str]:
    """Split of every subject."""
    splits = read_table(path, str)
    if not {"subject", "split"} <= set(splits.columns):
        raise DataError(f"{path} needs the columns subject, split")
    splits = splits[["subject", "split"]].drop_duplicates()
    twice = sorted(splits.loc[splits["subject"].duplicated(), "subject"].dropna().unique())
    if twice:
        raise DataError(f"{path} names {', '.join(twice[:5])} in more than one split; keep one row each")
    return dict(zip(splits["subject"], splits["split"], strict=True))


def _pool_split(have: set[str]) -> str:
    """The split that is divided: training, or the subjects without a split."""
    if "train" in have:
        return "train"
    named = sorted(have - {""})
    if named and ("" not in have or any(SPLIT_FOLDERS.get(split.lower()) == "train" for split in named)):
        raise DataError(
            f"no images with masks in split train; the data has: {', '.join(named)}"
            "; name the splits train, val, test in splits.csv"
        )
    return ""
