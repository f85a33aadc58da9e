"""End-diastole and end-systole from LV pixels, of tables and of data sets."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cmrseg.data import catalog as catalogs
from cmrseg.data.catalog import read_catalog
from cmrseg.data.phases import ed_es_of_catalog, ed_es_of_pixels
from cmrseg.evaluation.pixel_counts import read_pixel_counts
from cmrseg.labels import Label

COLUMNS = ["Id", "frame", "slice", "pixels"]


def curve(name, pixels):
    """Images of two slices whose LV pixels add up to those given for every frame."""
    return [(name, t, z, n - n // 4 if z else n // 4) for t, n in enumerate(pixels) for z in (0, 1)]


def find(*rows):
    frames, problems = ed_es_of_pixels(pd.DataFrame(rows, columns=COLUMNS))
    return frames.to_dict("records"), [(p.study, p.problem) for p in problems]


def nifti_pair(root, name, sizes):
    """A 4D cine and its mask, whose LV has so many pixels at every frame."""
    mask = np.zeros((8, 8, 2, len(sizes)), np.uint8)
    for t, n in enumerate(sizes):
        mask[..., t].reshape(-1)[:n] = Label.LV
    for file, array in ((f"{name}_sa.nii.gz", mask.astype(np.float32)), (f"{name}_sa_gt.nii.gz", mask)):
        (root / name).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.diag([1.5, 1.5, 8, 1])), root / name / file)


def png_pairs(root, name, sizes, split="train"):
    """One slice per frame in the paper's layout."""
    for t, n in enumerate(sizes):
        pixels = np.zeros((8, 8), np.uint8)
        pixels.reshape(-1)[:n] = 1
        for kind in ("image", "mask"):
            folder = root / f"{kind}s" / split
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{name}_slice000_frame{t:03d}-{kind}.png")


# Tables


def test_the_largest_and_the_smallest_sum_over_slices_decide():
    assert find(*curve("17", [80, 100, 40, 60])) == ([{"Id": "17", "es": 2, "ed": 1}], [])


def test_the_first_of_equal_frames_is_taken():
    assert find(*curve("17", [80, 100, 100, 40, 40])) == ([{"Id": "17", "es": 3, "ed": 1}], [])


def test_a_frame_without_any_lv_was_not_contoured():
    assert find(*curve("17", [0, 100, 0, 40])) == ([{"Id": "17", "es": 3, "ed": 1}], [])


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (curve("x", [0, 0, 0]), "no LV in any image"),
        (curve("x", [0, 7, 0]), "only one frame"),
        ([*curve("x", [8, 4]), ("x", 1, 2, 5)], "frames show different slices"),
    ],
)
def test_a_subject_whose_frames_cannot_be_told_is_a_problem_and_the_others_go_on(rows, problem):
    frames, problems = find(*rows, *curve("A1D0Q7", [9, 5]))
    assert frames == [{"Id": "A1D0Q7", "es": 1, "ed": 0}]
    assert problems == [("x", problem)]


def test_the_published_frames_of_all_contoured_volunteers_are_found(test_data):
    folder = test_data.parent / "reference" / "cmr-seg-tl" / "7T"
    if not folder.is_dir():
        pytest.skip(f"no published tables at {folder}")
    images, unread = read_pixel_counts(folder / "pixel_counts_by_class.tsv")
    frames, problems = ed_es_of_pixels(images)
    theirs = pd.read_csv(folder / "esed_frames.tsv", sep="\t", dtype={"Id": str})
    contoured = theirs[~theirs["Id"].duplicated(keep=False)]  # without LV, all frames are equal
    assert unread == []
    assert len(frames) == 22
    assert frames.to_numpy().tolist() == contoured.to_numpy().tolist()
    assert [(p.study, p.problem) for p in problems] == [("24", "no LV in any image")]


# Data sets


def test_frames_that_the_data_set_names_are_taken_without_a_look_at_the_masks(tmp_path, monkeypatch):
    for phase in ("ED", "ES"):
        for end in ("", "_gt"):
            image = nib.Nifti1Image(np.ones((4, 4, 2), np.uint8), np.diag([1.5, 1.5, 8, 1]))
            nib.save(image, tmp_path / f"A1D0Q7_sa_{phase}{end}.nii.gz")
    catalog = read_catalog(tmp_path)
    monkeypatch.setattr("cmrseg.data.phases.load_volume_mask", None)
    frames, problems = ed_es_of_catalog(catalog)
    assert frames.to_dict("records") == [{"Id": "A1D0Q7", "es": 1, "ed": 0}]
    assert problems == []


def test_frames_of_a_cine_are_told_by_its_mask(tmp_path):
    nifti_pair(tmp_path, "B1", [0, 20, 30, 10])
    frames, _ = ed_es_of_catalog(read_catalog(tmp_path))
    assert frames.to_dict("records") == [{"Id": "B1", "es": 3, "ed": 2}]


def test_named_and_measured_subjects_come_in_one_order(tmp_path):
    nifti_pair(tmp_path, "C", [20, 30, 10])
    nifti_pair(tmp_path, "A", [20, 10, 30])
    nifti_pair(tmp_path, "B", [30, 20, 10])
    catalog = read_catalog(tmp_path)
    phase = catalog.table["frame"].map({0: "ES", 1: "ED"}).where(catalog.table["subject"] == "B", "")
    catalog.table["phase"] = phase.fillna("")
    frames, _ = ed_es_of_catalog(catalog)
    assert frames.to_numpy().tolist() == [["A", 1, 2], ["B", 0, 1], ["C", 2, 1]]


def test_a_phase_that_is_named_twice_is_measured(tmp_path):
    nifti_pair(tmp_path, "B", [30, 20, 10])
    catalog = read_catalog(tmp_path)
    catalog.table["phase"] = catalog.table["frame"].map({0: "ED", 1: "ES", 2: "ED"})
    frames, _ = ed_es_of_catalog(catalog)
    assert frames.to_numpy().tolist() == [["B", 2, 0]]


def test_every_png_mask_is_read_once(tmp_path, monkeypatch):
    png_pairs(tmp_path, "17", [20, 30, 10])
    catalog = read_catalog(tmp_path)
    read, load_mask = [], catalogs.load_mask
    monkeypatch.setattr(
        catalogs, "load_mask", lambda path, *more, **told: read.append(path) or load_mask(path, *more, **told)
    )
    frames, _ = ed_es_of_catalog(catalog)
    assert frames.to_numpy().tolist() == [["17", 2, 1]]
    assert len(read) == len(set(read)) == 3


def test_subjects_without_masks_or_with_unreadable_ones_are_problems_and_the_others_go_on(tmp_path):
    for name in ("17", "18", "19"):
        png_pairs(tmp_path, name, [20, 30, 10])
    catalog = read_catalog(tmp_path)
    catalog.table.loc[catalog.table["subject"] == "18", "mask"] = ""
    for t in (1, 2):
        (tmp_path / "masks" / "train" / f"19_slice000_frame00{t}-mask.png").write_bytes(b"no picture")
    frames, problems = ed_es_of_catalog(catalog)
    assert frames.to_numpy().tolist() == [["17", 2, 1]]
    assert [(p.study, p.problem) for p in problems] == [("18", "no masks"), ("19", "unreadable")]
