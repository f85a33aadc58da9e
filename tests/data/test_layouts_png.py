"""PNG data sets: the paper's pairs and plain folders, and which files are slices of one subject."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from cmrseg.data.layouts import find_layout


def png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    return path


def read(root):
    return list(find_layout(root).read(root))


@pytest.mark.parametrize("suffix", ["", "-mask"])
def test_paper_layout_pairs_images_with_masks(tmp_path, suffix):
    image = "12_slice003_frame010" + ("-image" if suffix else "") + ".png"
    png(tmp_path / "images" / "val" / image)
    mask = png(tmp_path / "masks" / "val" / image.replace("-image", suffix))
    (file,) = read(tmp_path)
    assert (file.subject, file.slice, file.frame, file.split) == ("12", 3, 10, "val")
    assert (file.mask, file.labels) == (mask, "cmr-seg-tl")


def test_sunnybrook_names_are_subject_and_slice(tmp_path):
    png(tmp_path / "images" / "SC-HF-I-1-IM-0001-0059.png")
    (tmp_path / "masks").mkdir()
    (file,) = read(tmp_path)
    assert (file.subject, file.slice, file.split, file.mask) == ("SC-HF-I-1", 59, "", None)


@pytest.mark.parametrize(
    ("name", "subject", "number"), [("mouse_07", "mouse", 7), ("heart", "heart", 0), ("p1-12", "p1", 12)]
)
def test_any_other_png_is_named_by_itself(tmp_path, name, subject, number):
    png(tmp_path / f"{name}.png")
    (file,) = read(tmp_path)
    assert (file.subject, file.slice, file.frame) == (subject, number, 0)


@pytest.mark.parametrize("base", ["images/train", "plain", "training"])
def test_slices_that_are_only_numbers_belong_to_the_subject_of_their_folder(tmp_path, base):
    (tmp_path / "masks").mkdir()
    for folder in ("P1", "P2"):
        for name in ("001", "002"):
            png(tmp_path / base / folder / f"{name}.png")
    root = tmp_path if base.startswith("images") else tmp_path / base
    assert [(f.subject, f.slice) for f in read(root)] == [("P1", 1), ("P1", 2), ("P2", 1), ("P2", 2)]


def test_numbers_without_a_folder_are_subjects(tmp_path):
    for name in ("001", "002"):
        png(tmp_path / f"{name}.png")
    assert [(f.subject, f.slice) for f in read(tmp_path)] == [("001", 0), ("002", 0)]


def test_numbers_of_two_splits_are_different_subjects(tmp_path):
    (tmp_path / "masks").mkdir()
    for split in ("train", "val"):
        png(tmp_path / "images" / split / "001.png")
    assert [(f.subject, f.split) for f in read(tmp_path)] == [("train-001", "train"), ("val-001", "val")]


def test_folders_of_numbers_join_the_subject_once(tmp_path):
    for name in ("P1/001", "P1/img_01", "P2/img_01"):
        png(tmp_path / f"{name}.png")
    assert [f.subject for f in read(tmp_path)] == ["P1", "P1-img", "P2-img"]


def test_paper_images_of_one_name_in_two_subject_folders_are_two_subjects(tmp_path):
    (tmp_path / "masks").mkdir()
    for folder in ("P1", "P2"):
        png(tmp_path / "images" / "Training" / folder / "img_1.png")
    assert [(f.subject, f.split) for f in read(tmp_path)] == [("P1-img", "train"), ("P2-img", "train")]


def test_paper_folders_that_are_no_splits_are_subjects(tmp_path):
    (tmp_path / "masks").mkdir()
    for folder in ("P1", "P2"):
        png(tmp_path / "images" / folder / "1.png")
    assert [(f.subject, f.split) for f in read(tmp_path)] == [("P1", ""), ("P2", "")]


def test_images_and_masks_of_nifti_are_not_the_layout_of_the_paper(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(np.zeros((4, 4, 2), np.uint8), np.eye(4)), tmp_path / folder / "a.nii.gz")
    assert find_layout(tmp_path).name == "NIfTI files"
