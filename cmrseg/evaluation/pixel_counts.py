"""Pixel counts of images, added up to the volumes of examinations."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cmrseg.data.phases import extreme_frames
from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.data.tables import as_numbers, image_places, need_columns, read_published, refuse_repeats
from cmrseg.problems import DataError, Problem

VOLUME_COLUMNS = ("Id", "EDV_pixels", "ESV_pixels", "EF_percent", "ED_frame", "ES_frame")
_LV_NAMES = ("lv_pixels", "lv")  # the second in the paper's 7T table


def read_pixel_counts(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Pixel counts of images.

    Parameters
    ----------
    path
        Table with the columns file and lv_pixels (or lv); the names of the images end in
        ``<Id>-frame003-slice004.png`` or ``<Id>_slice000_frame001.png``, folders may come before.

    Returns
    -------
    Columns Id, frame, slice and pixels, and one problem per image whose name is not understood.

    Raises
    ------
    DataError
        If the table cannot be read, no name is understood, a count is no whole number from 0 on, or an
        image occurs twice.
    """
    table = read_published(path, text=["file"])
    column = next((name for name in _LV_NAMES if name in table), _LV_NAMES[0])
    need_columns(table, ["file", column], path)
    pixels = as_numbers(table, [column], path, key="file", whole=True)[column]
    places = image_places(table["file"])
    known = places["Id"].notna()
    if not known.any():
        raise DataError(
            f"{path}: no image name is understood, such as '{table['file'].iloc[0]}'; "
            "expected <Id>-frame003-slice004.png or <Id>_slice004_frame003.png"
        )
    images = places[known].assign(pixels=pixels)
    refuse_repeats(table["file"][known], path, repeated=images.duplicated(["Id", "frame", "slice"]))
    problems = [
        Problem(str(name), "name of the image not understood", NOT_EVALUATED, path.name)
        for name in table.loc[~known, "file"]
    ]
    return images, problems


def examination_volumes(images: pd.DataFrame, source: str) -> tuple[pd.DataFrame, list[Problem]]:
    """Volumes of the LV in pixels, and the ejection fraction, of every examination.

    Parameters
    ----------
    images
        Columns Id, frame, slice and pixels, see `read_pixel_counts`.
    source
        Name of the table, for the problems.

    Returns
    -------
    Columns `VOLUME_COLUMNS`: the largest and the smallest sum over the slices of a frame, in pixels; EF in
    percent, ``nan`` without any LV; and those two frames, the earlier where two are equal. An examination
    whose frames show different slices, or which has one frame only, is a problem instead.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, III.A.
    """
    volumes = extreme_frames(images)
    volumes["EF_percent"] = 100 * (1 - volumes["ESV_pixels"] / volumes["EDV_pixels"])
    problems = [
        Problem(name, reason, NOT_EVALUATED, source) for name, reason in volumes["reason"].items() if reason
    ]
    return volumes[volumes["reason"] == ""].reset_index()[list(VOLUME_COLUMNS)], problems
