"""How many images examinations have, from the tables that tell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cmrseg.data.tables import as_numbers, image_places, numbers_of, read_published, refuse_repeats, some
from cmrseg.problems import DataError

STUDIES = "studies.tsv"
_SHAPE = ["slices", "phases"]


def read_image_counts(path: Path) -> pd.Series:
    """Number of images (slices x phases) of every examination.

    Parameters
    ----------
    path
        Table with one row per image and its name in the column file, such as the published pixel counts
        (``245-frame003-slice004.png``), or ``studies.tsv`` of `cmrseg curate` (study, slices, phases).

    Returns
    -------
    Counts by Id; examinations that could not be curated have none.

    Raises
    ------
    DataError
        If the table cannot be read, tells no numbers of images, or names one twice.
    """
    table = read_published(path, text=("file", "study"))
    if "file" in table:
        return _counted(table, path)
    if not {"study", *_SHAPE} <= set(table.columns):
        found = some(map(str, table.columns), shown=12)
        raise DataError(
            f"{path} tells no numbers of images: needed are the columns file (one row per image) or study, "
            f"slices, phases (studies.tsv of `cmrseg curate`); it has: {found}"
        )
    known = table[table[_SHAPE].apply(numbers_of).notna().all(axis=1)]
    refuse_repeats(known["study"], path)
    shape = as_numbers(known, _SHAPE, path, key="study", whole=True)
    return pd.Series(shape.prod(axis=1).to_numpy(int), index=known["study"])


def _counted(table: pd.DataFrame, path: Path) -> pd.Series:
    """Rows of every examination, of a table with one row per image."""
    places = image_places(table["file"]).dropna()
    if places.empty:
        raise DataError(
            f"{path}: no image name is understood, such as '{table['file'].iloc[0]}'; "
            "expected <Id>-frame003-slice004.png or <Id>_slice004_frame003.png"
        )
    refuse_repeats(table["file"][places.index], path, repeated=places.duplicated())
    return places.groupby("Id").size()
