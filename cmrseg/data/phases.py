"""End-diastole and end-systole: the frames of the largest and of the smallest left ventricle."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from cmrseg.data.catalog import Catalog, load_volume_mask
from cmrseg.labels import Label
from cmrseg.problems import DataError, Problem, left_out

_NO_FRAMES = "no ED and ES frame"


def extreme_frames(images: pd.DataFrame) -> pd.DataFrame:
    """The largest and the smallest LV of every examination, and the frames that show them.

    Parameters
    ----------
    images
        Columns Id, frame, slice and pixels (LV); every image once.

    Returns
    -------
    By Id: EDV_pixels and ESV_pixels, the largest and the smallest sum over the slices of a frame; ED_frame
    and ES_frame, the earlier where two are equal; and the reason why they cannot be trusted, empty where
    they can.
    """
    examinations = images.groupby("Id", sort=True)
    n_frames = examinations["frame"].nunique()
    sums = images.groupby(["Id", "frame"], sort=True)["pixels"].sum().reset_index()
    found = pd.DataFrame(index=n_frames.index)
    for name, pick in (("ED", "idxmax"), ("ES", "idxmin")):
        rows = sums.loc[sums.groupby("Id")["pixels"].agg(pick)]
        found[f"{name}V_pixels"] = rows["pixels"].to_numpy()
        found[f"{name}_frame"] = rows["frame"].to_numpy()
    # No image occurs twice, so that every frame shows every slice only if there are so many images.
    uneven = examinations.size() != n_frames * examinations["slice"].nunique()
    reasons = uneven.map({True: "frames show different slices", False: ""}).astype(str)
    return found.assign(reason=reasons.mask(n_frames < 2, "only one frame"))


def ed_es_of_pixels(pixels: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Frames of end-diastole and end-systole from the LV pixels of every image.

    Parameters
    ----------
    pixels
        Columns Id, frame, slice and pixels (LV); every image once. A frame without any LV was not contoured
        and does not count.

    Returns
    -------
    Columns Id, es and ed: the frames of the smallest and of the largest LV, the earlier where two are
    equal. A subject without any LV, with one frame only, or whose frames show different slices is a
    problem instead.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.D.
    """
    contoured = pixels.groupby(["Id", "frame"])["pixels"].transform("sum") > 0
    found = extreme_frames(pixels[contoured])
    reasons = found["reason"].reindex(sorted(pixels["Id"].unique()), fill_value="no LV in any image")
    problems = [Problem(name, reason, _NO_FRAMES) for name, reason in reasons.items() if reason]
    good = found[found["reason"] == ""]
    frames = pd.DataFrame({"Id": good.index, "es": good["ES_frame"], "ed": good["ED_frame"]})
    return frames.astype({"es": int, "ed": int}).reset_index(drop=True), problems


def ed_es_of_catalog(catalog: Catalog) -> tuple[pd.DataFrame, list[Problem]]:
    """Frames of end-diastole and end-systole of the subjects of a data set.

    Parameters
    ----------
    catalog
        Data set. Frames that it names ED and ES are taken; the masks of the other subjects are read, each
        file once.

    Returns
    -------
    Columns Id, es and ed, by Id; and the subjects whose frames cannot be told, with the reason.
    """
    named = _named_frames(catalog.table)
    others = catalog.table[~catalog.table["subject"].isin(named["Id"])]
    pixels, problems = _lv_pixels(replace(catalog, table=others))
    measured, unclear = ed_es_of_pixels(pixels)
    frames = [table for table in (named, measured) if not table.empty]
    both = pd.concat(frames) if frames else named
    return both.sort_values("Id", ignore_index=True), [*problems, *unclear]


def _named_frames(table: pd.DataFrame) -> pd.DataFrame:
    """Frames of the subjects of which the data set names one ED and one ES frame."""
    named = table.loc[table["phase"].isin(["ED", "ES"]), ["subject", "phase", "frame"]].drop_duplicates()
    clear = named[~named.duplicated(["subject", "phase"], keep=False)]
    by_phase = {p.lower(): clear[clear["phase"] == p].set_index("subject")["frame"] for p in ("ES", "ED")}
    return pd.DataFrame(by_phase).dropna().astype(int).rename_axis("Id").reset_index()


def _lv_pixels(catalog: Catalog) -> tuple[pd.DataFrame, list[Problem]]:
    """LV pixels of the images of all subjects whose masks can be read; the others are problems."""
    rows, problems = [], {}
    contoured = catalog.with_masks()
    for name in sorted(set(catalog.table["subject"]) - set(contoured.table["subject"])):
        problems[name] = Problem(name, "no masks", _NO_FRAMES)
    for study in contoured.studies():
        try:
            mask = load_volume_mask(*study).array
        except DataError as error:
            problems.setdefault(study[0].subject, left_out(study[0].subject, study[0].image, error))
            continue
        counts = (mask == Label.LV).sum(axis=(0, 1))  # (z, t)
        for ref, of_frame in zip(study, counts.T, strict=True):
            rows += [(ref.subject, ref.frame, z, n) for z, n in zip(ref.slices, of_frame, strict=True)]
    pixels = pd.DataFrame(rows, columns=["Id", "frame", "slice", "pixels"])
    return pixels[~pixels["Id"].isin(problems)], list(problems.values())
