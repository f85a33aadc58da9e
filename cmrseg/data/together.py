"""Several data sets as one: each keeps its layout, label scheme and splits, and its subjects their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cmrseg.data.catalog import Catalog
from cmrseg.problems import DataError


def data_set_names(roots: Sequence[Path]) -> list[str]:
    """What data sets are called: as their folders, with the folder above where two have one name.

    Raises
    ------
    DataError
        If there is none, or one is named twice.
    """
    places = [root.resolve() for root in roots]
    if not places:
        raise DataError("no data set is named; name one with --data")
    if twice := [str(root) for root, count in Counter(places).items() if count > 1]:
        raise DataError(f"{twice[0]} is named twice as --data; name it once")
    counts = Counter(place.name for place in places)
    names = [
        place.name if counts[place.name] == 1 else f"{place.parent.name}_{place.name}" for place in places
    ]
    if len(set(names)) < len(names):
        raise DataError("two data sets have folders of the same name in folders of the same name; rename one")
    return names


def subject_in(data_set: str, subject: str) -> str:
    """A subject's name among those of several data sets."""
    return f"{data_set}_{subject}"


def join_catalogs(catalogs: Mapping[str, Catalog]) -> Catalog:
    """One table of the images of several data sets; a single one stays as it is.

    Parameters
    ----------
    catalogs
        By the names of the data sets, see `data_set_names`. Their splits are kept.

    Returns
    -------
    Catalog with the column ``data`` and with subjects as `subject_in` names them; notes say whose they are.
    """
    if len(catalogs) == 1:
        return next(iter(catalogs.values()))
    tables = [
        catalog.table.assign(data=name, subject=[subject_in(name, s) for s in catalog.table["subject"]])
        for name, catalog in catalogs.items()
    ]
    problems = [
        replace(problem, study=subject_in(name, problem.study))
        for name, catalog in catalogs.items()
        for problem in catalog.problems
    ]
    notes = [f"{name}: {note}" for name, catalog in catalogs.items() for note in catalog.notes]
    return Catalog(pd.concat(tables, ignore_index=True), problems, notes)
