"""Subsets of the training images: fewer subjects, as many images at random, ED and ES only."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cmrseg.data.tables import as_numbers, need_columns, read_published, refuse_repeats, some
from cmrseg.io.atomic import write_table
from cmrseg.labels import near_matches
from cmrseg.problems import DataError, Problem

FULL = "full"
ESED = "esed"
PLACE = ["Id", "frame", "slice"]
_IMAGE = ["file", *PLACE]
_TRUTHS = {"TRUE": True, "FALSE": False}


def halvings(n: int) -> tuple[int, ...]:
    """Half of a number of subjects, half of that, down to one: 7, 3, 1 of 14."""
    return (n // 2, *halvings(n // 2)) if n > 1 else ()


def draw_subsets(
    images: pd.DataFrame,
    *,
    sizes: Sequence[int] | None = None,
    frames: pd.DataFrame | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw the subsets of a training set.

    Parameters
    ----------
    images
        Columns subject, frame, slice and image (file) of the training images, in any order; see `Catalog`.
    sizes
        Numbers of subjects, decreasing; `halvings` by default.
    frames
        Columns Id, es and ed, see `cmrseg.data.phases.ed_es_of_catalog`; without them there is no ``esed``.
    seed
        Of the order of the subjects, and of the images.

    Returns
    -------
    Columns file, Id, frame and slice, and one of booleans per subset: ``v7``, ``v3``, ... all images of so
    many subjects, each set within the one before; ``r7``, ``r3``, ... as many images, counted from the
    start of one shuffled list; ``esed`` the ED and ES images of all subjects and ``r_esed`` as many of that
    list, both only where these are some of the images and not all.

    Raises
    ------
    ValueError
        If the sizes do not decrease, or one is below 1 or not below the number of subjects.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.D.
    """
    table = _published_form(images)
    subjects = sorted(table["Id"].unique())
    sizes = _checked_sizes(sizes, len(subjects))
    shuffle = random.Random(seed).shuffle
    shuffle(subjects)
    turns = list(range(len(table)))
    shuffle(turns)
    turn = pd.Series(turns, index=table.index)  # place of every image in the shuffled list
    whole = {f"v{n}": table["Id"].isin(subjects[:n]) for n in sizes}
    chance = {f"r{n}": turn < whole[f"v{n}"].sum() for n in sizes}
    esed = _at_frames(table, frames) if frames is not None else pd.Series(False, table.index)
    phases = {ESED: esed, f"r_{ESED}": turn < esed.sum()} if 0 < esed.sum() < len(table) else {}
    return table.assign(**whole, **chance, **phases)


def read_subsets(path: Path) -> pd.DataFrame:
    """Read a table of subsets, our own or the published one.

    Parameters
    ----------
    path
        Table with file, Id, frame, slice, and then one column of TRUE and FALSE per subset.

    Returns
    -------
    The table: file and Id as text, frame and slice as whole numbers, booleans.

    Raises
    ------
    DataError
        If it cannot be read, lacks a column, names an image twice, or a subset is called ``full``, is empty,
        or holds anything but TRUE and FALSE.
    """
    table = read_published(path, text=["file", "Id"])
    need_columns(table, _IMAGE, path)
    if table[["file", "Id"]].isna().any(axis=None):
        raise DataError(f"{path}: rows without a file or an Id; every image needs both")
    numbers = as_numbers(table, ["frame", "slice"], path, key="file", whole=True).astype(int)
    table = table.assign(**numbers)
    refuse_repeats(table["file"], path)
    refuse_repeats(table["file"], path, repeated=table.duplicated(PLACE))
    names = [column for column in table if column not in _IMAGE]
    return table[_IMAGE].assign(**{name: _truths(table, name, path) for name in names})


def write_subsets(table: pd.DataFrame, path: Path) -> Path:
    """Write a table of subsets with TRUE and FALSE, as the published one."""
    spelled = {True: "TRUE", False: "FALSE"}
    return write_table(table.assign(**{name: table[name].map(spelled) for name in subset_names(table)}), path)


def subset_names(table: pd.DataFrame) -> list[str]:
    """Names of the subsets in the order of their columns; ``full`` has none."""
    return [str(column) for column in table if column not in _IMAGE]


def subset_rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The images of a subset.

    Parameters
    ----------
    table
        Of subsets.
    name
        Of a subset, or ``full`` for all images.

    Returns
    -------
    Columns Id, frame and slice.

    Raises
    ------
    ValueError
        If there is no such subset; near matches are named.
    """
    names = subset_names(table)
    if name == FULL:
        return table[PLACE]
    if name not in names:
        raise ValueError(f"unknown subset '{name}'; {near_matches(name, [FULL, *names])}")
    return table.loc[table[name], PLACE]


def subset_sizes(table: pd.DataFrame) -> pd.DataFrame:
    """How many subjects and images there are in every subset.

    Returns
    -------
    Columns subset, subjects, images and fraction (of all images); ``full`` first.
    """
    parts = {name: subset_rows(table, name) for name in [FULL, *subset_names(table)]}
    rows = [(name, part["Id"].nunique(), len(part), len(part) / len(table)) for name, part in parts.items()]
    return pd.DataFrame(rows, columns=["subset", "subjects", "images", "fraction"])


def esed_problems(table: pd.DataFrame, frames: pd.DataFrame) -> list[Problem]:
    """The subjects whose ``esed`` images are not those of their ED and ES frames.

    Parameters
    ----------
    table
        Of subsets, with ``esed``.
    frames
        Columns Id, es and ed.
    """
    expected = _at_frames(table, frames)
    problems = []
    for name, images in table[table[ESED] != expected].groupby("Id"):
        told = some(map(str, sorted(table.loc[table[ESED] & (table["Id"] == name), "frame"].unique())))
        found = frames.loc[frames["Id"] == name, ["es", "ed"]].to_numpy().ravel()
        info = f"esed has frames {told or 'none'}; ES and ED are {some(map(str, found)) or 'unknown'}"
        problems.append(Problem(name, f"esed differs for {len(images)} image(s)", "kept as it is", "", info))
    return problems


def _published_form(images: pd.DataFrame) -> pd.DataFrame:
    """File, Id, frame and slice, sorted; images that share a file, or its name, get a name of their own."""
    table = images.rename(columns={"subject": "Id"})[[*PLACE, "image"]]
    table = table.sort_values(["Id", "slice", "frame"], ignore_index=True)
    files = table["image"].map(lambda path: Path(path).name)
    own = [f"{i}_slice{z:03d}_frame{t:03d}" for i, t, z in table[PLACE].itertuples(index=False)]
    files = files.mask(files.duplicated(keep=False), pd.Series(own, dtype=object))
    return table[PLACE].assign(file=files)[_IMAGE]


def _checked_sizes(sizes: Sequence[int] | None, n_subjects: int) -> tuple[int, ...]:
    """Numbers of subjects that decrease, from below all of them down to at least 1."""
    if sizes is None:
        return halvings(n_subjects)
    if any(a <= b for a, b in zip((n_subjects, *sizes), (*sizes, 0), strict=True)):
        raise ValueError(
            f"sizes must decrease, from below {n_subjects} (the training subjects) to 1 or more, "
            f"got {', '.join(map(str, sizes))}"
        )
    return tuple(sizes)


def _at_frames(table: pd.DataFrame, frames: pd.DataFrame) -> pd.Series:
    """Which images are of the ED or the ES frame of their subject."""
    wanted = {
        (i, frame) for i, es, ed in frames[["Id", "es", "ed"]].itertuples(index=False) for frame in (es, ed)
    }
    pairs = zip(table["Id"], table["frame"], strict=True)
    return pd.Series([pair in wanted for pair in pairs], index=table.index, dtype=bool)


def _truths(table: pd.DataFrame, name: str, path: Path) -> pd.Series:
    """A column of TRUE and FALSE as booleans."""
    values = table[name].astype(str).str.strip().str.upper()
    bad = ~values.isin(list(_TRUTHS))
    if bad.any():
        rows = [f"{file} ({value})" for file, value in table.loc[bad, ["file", name]].itertuples(index=False)]
        raise DataError(f"{path}: {name} must hold TRUE or FALSE, it does not for file {some(rows)}")
    if name == FULL:
        raise DataError(f"{path}: '{FULL}' names all images; give the subset another name")
    if not (values == "TRUE").any():
        raise DataError(f"{path}: the subset {name} is empty; leave its column out")
    return values.map(_TRUTHS).astype(bool)
