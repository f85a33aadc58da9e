"""One table of all images: what is left out and why, splits, studies and where predictions go."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cmrseg.data.catalog import (
    COLUMNS,
    Catalog,
    assign_splits,
    load_volume_image,
    load_volume_mask,
    load_whole_image,
    prediction_path,
    read_catalog,
    structures_of,
)
from cmrseg.labels import Label
from cmrseg.problems import DataError


def nifti(path, array, zooms=(1.5, 1.6, 8.0, 0.05)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.asarray(array), np.eye(4))
    image.header.set_zooms(zooms[: array.ndim])
    nib.save(image, path)
    return path


def png(path, shape=(4, 4), value=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)
    return path


def acdc(root, subjects=("patient001",), frames=(1,), slices=2, label=1):
    for subject in subjects:
        for frame in frames:
            name = root / subject / f"{subject}_frame{frame:02d}"
            nifti(name.with_name(name.name + ".nii.gz"), np.arange(16.0 * slices).reshape(4, 4, slices))
            nifti(name.with_name(name.name + "_gt.nii.gz"), np.full((4, 4, slices), label, np.uint8))
    return root


def splits_csv(root, **splits):
    pd.DataFrame({"subject": list(splits), "split": list(splits.values())}).to_csv(
        root / "splits.csv", index=False
    )


def table_of(**splits):
    """A catalog with one image per subject, in these splits."""
    rows = [(s, 0, "", 0, f"{s}.png", "m.png", 1.0, 1.0, 8.0, split, "acdc") for s, split in splits.items()]
    return Catalog(pd.DataFrame(rows, columns=list(COLUMNS)))


def subjects_of(catalog):
    """Subjects by split."""
    return {k: set(v) for k, v in catalog.table.groupby("split")["subject"]}


# Reading


def test_one_row_per_image_with_the_spacing_of_the_header(tmp_path):
    table = read_catalog(acdc(tmp_path, slices=3)).table
    assert tuple(table.columns) == COLUMNS
    assert table["slice"].tolist() == [0, 1, 2]
    assert table.loc[0, ["dx", "dy", "dz"]].tolist() == pytest.approx([1.5, 1.6, 8.0])


def test_a_cine_has_a_row_per_slice_and_frame(tmp_path):
    nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 2, 3), np.float32))
    table = read_catalog(tmp_path).table
    assert list(zip(table["frame"], table["slice"], strict=True)) == [
        (t, z) for t in range(3) for z in range(2)
    ]


def test_a_single_file_is_a_data_set(tmp_path):
    catalog = read_catalog(nifti(tmp_path / "heart.nii.gz", np.zeros((4, 4, 2), np.float32)))
    assert catalog.table["subject"].unique().tolist() == ["heart"]


def test_a_curated_cine_alone_is_named_by_its_folder(tmp_path):
    path = nifti(tmp_path / "study7" / "sa.nii.gz", np.zeros((4, 4, 2, 2), np.float32))
    assert read_catalog(path).table["subject"].unique().tolist() == ["study7"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        read_catalog(tmp_path / "nowhere")


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        read_catalog(tmp_path)


def test_an_unknown_layout_is_told(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="no known data layout"):
        read_catalog(tmp_path)


def test_an_unknown_scheme_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="unknown label scheme"):
        read_catalog(tmp_path / "nowhere", labels="acdx")


def test_a_mask_of_another_shape_is_a_problem_and_the_others_go_on(tmp_path):
    acdc(tmp_path, ("patient001", "patient002"))
    nifti(tmp_path / "patient001" / "patient001_frame01_gt.nii.gz", np.zeros((4, 5, 2), np.uint8))
    catalog = read_catalog(tmp_path)
    (problem,) = catalog.problems
    assert (problem.study, problem.resolution) == ("patient001", "left out")
    assert "4 x 5 x 2 does not fit its image of shape 4 x 4 x 2" in problem.extra_info
    assert set(catalog.table["subject"]) == {"patient002"}


def test_a_damaged_file_is_a_problem_and_the_others_go_on(tmp_path):
    acdc(tmp_path, ("patient001", "patient002"))
    (tmp_path / "patient001" / "patient001_frame01.nii.gz").write_bytes(b"no image")
    catalog = read_catalog(tmp_path)
    assert [p.image for p in catalog.problems] == ["patient001_frame01.nii.gz"]
    assert set(catalog.table["subject"]) == {"patient002"}


def test_nothing_readable_tells_the_first_reason(tmp_path):
    acdc(tmp_path)
    (tmp_path / "patient001" / "patient001_frame01.nii.gz").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"patient001_frame01\.nii\.gz is no readable NIfTI"):
        read_catalog(tmp_path)


def test_a_file_that_catalog_csv_names_and_that_is_missing_is_a_problem(tmp_path):
    png(tmp_path / "b.png")
    pd.DataFrame({"subject": ["a", "b"], "image": ["a.png", "b.png"]}).to_csv(
        tmp_path / "catalog.csv", index=False
    )
    catalog = read_catalog(tmp_path)
    assert [p.study for p in catalog.problems] == ["a"]


def test_spacing_columns_of_catalog_csv_win_over_the_header(tmp_path):
    nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 2), np.float32))
    row = {"subject": ["a"], "image": ["a.nii.gz"], "dx": [0.2], "dy": [0.3], "dz": [1.0]}
    pd.DataFrame(row).to_csv(tmp_path / "catalog.csv", index=False)
    assert load_volume_image(*read_catalog(tmp_path).volumes()).spacing == (0.2, 0.3, 1.0)


def test_unknown_pixel_size_is_a_note(tmp_path):
    png(tmp_path / "a.png")
    assert any("pixel size unknown for 1 subject" in note for note in read_catalog(tmp_path).notes)


def test_the_scheme_that_a_user_names_replaces_that_of_the_layout(tmp_path):
    volume = read_catalog(acdc(tmp_path), labels="LV=1").volumes()[0]
    assert np.unique(load_volume_mask(volume).array).tolist() == [Label.LV]


# Splits


def test_splits_csv_is_honoured_and_may_have_other_names(tmp_path):
    acdc(tmp_path, ("patient001", "patient002"))
    splits_csv(tmp_path, patient001="train", patient002="scanner2")
    assert subjects_of(read_catalog(tmp_path)) == {"train": {"patient001"}, "scanner2": {"patient002"}}


def test_subjects_missing_in_splits_csv_are_told(tmp_path):
    acdc(tmp_path, ("patient001", "patient002"))
    splits_csv(tmp_path, patient001="train")
    catalog = read_catalog(tmp_path)
    assert subjects_of(catalog) == {"train": {"patient001"}, "": {"patient002"}}
    assert any("1 subject(s) are not in splits.csv" in n and "patient002" in n for n in catalog.notes)


def test_splits_csv_of_other_columns_is_refused(tmp_path):
    acdc(tmp_path)
    pd.DataFrame({"id": ["patient001"]}).to_csv(tmp_path / "splits.csv", index=False)
    with pytest.raises(DataError, match=r"splits\.csv needs the columns subject, split"):
        read_catalog(tmp_path)


def test_an_empty_splits_csv_is_told(tmp_path):
    acdc(tmp_path)
    (tmp_path / "splits.csv").touch()
    with pytest.raises(DataError, match=r"splits\.csv cannot be read"):
        read_catalog(tmp_path)


def test_one_split_can_be_read(tmp_path):
    acdc(tmp_path, ("patient001", "patient002"))
    splits_csv(tmp_path, patient001="train", patient002="val")
    assert set(read_catalog(tmp_path, splits=["val"]).table["subject"]) == {"patient002"}


def test_a_split_that_is_not_there_names_those_that_are():
    with pytest.raises(DataError, match="no images in split test; the data has: train, val"):
        table_of(a="train", b="val").select(["test"])


@pytest.mark.parametrize("n", [2, 3, 5, 6, 7, 20, 100])
def test_no_subject_is_lost_or_on_two_sides(n):
    names = {f"s{i}" for i in range(n)}
    parts = subjects_of(assign_splits(table_of(**dict.fromkeys(names, "")), seed=3))
    assert set().union(*parts.values()) == names
    assert sum(map(len, parts.values())) == n
    assert {"train", "val"} <= set(parts)


def test_a_split_is_the_same_for_the_same_seed_whatever_the_order_of_the_files():
    names = [f"s{i}" for i in range(30)]
    first = subjects_of(assign_splits(table_of(**dict.fromkeys(names, "")), seed=1))
    assert subjects_of(assign_splits(table_of(**dict.fromkeys(names[::-1], "")), seed=1)) == first
    assert subjects_of(assign_splits(table_of(**dict.fromkeys(names, "")), seed=2)) != first


def test_the_seed_is_told():
    assert "seed 5" in assign_splits(table_of(a="", b=""), seed=5).notes[-1]


def test_shares_are_fifteen_percent():
    parts = subjects_of(assign_splits(table_of(**{f"s{i}": "" for i in range(40)}), seed=0))
    assert {k: len(v) for k, v in parts.items()} == {"train": 28, "val": 6, "test": 6}


def test_splits_that_are_there_are_kept():
    catalog = table_of(a="train", b="val", c="other", d="")
    assert assign_splits(catalog, seed=0) is catalog


def test_a_missing_validation_split_is_taken_from_training_only():
    parts = subjects_of(assign_splits(table_of(a="train", b="train", c="train", d="test"), seed=0))
    assert parts["test"] == {"d"}
    assert len(parts["val"]) == 1


def test_one_subject_cannot_train_and_validate():
    with pytest.raises(DataError, match=r"1 subject\(s\) with masks"):
        assign_splits(table_of(a=""), seed=0)


def test_one_subject_is_enough_beside_a_validation_split():
    assert subjects_of(assign_splits(table_of(a="", b="val"), seed=0)) == {"train": {"a"}, "val": {"b"}}


def test_a_subject_on_two_sides_is_told(tmp_path):
    for split in ("train", "val"):
        for folder in ("images", "masks"):
            png(tmp_path / folder / split / f"7_slice00{len(split)}_frame000.png")
    assert any("more than one split" in note for note in read_catalog(tmp_path).notes)


# Volumes and studies


def test_frames_of_a_cine_are_one_study_and_files_of_single_frames_are_not(tmp_path):
    nifti(tmp_path / "cine.nii.gz", np.zeros((4, 4, 2, 3), np.float32))
    nifti(tmp_path / "still.nii.gz", np.zeros((4, 4, 2), np.float32))
    studies = read_catalog(tmp_path).studies()
    assert [(s[0].subject, len(s)) for s in studies] == [("cine", 3), ("still", 1)]


def test_the_frames_of_acdc_are_studies_of_their_own(tmp_path):
    studies = read_catalog(acdc(tmp_path, frames=(1, 12))).studies()
    assert [[v.frame for v in study] for study in studies] == [[1], [12]]


def test_frames_of_a_cine_are_loaded_in_the_order_asked_for(tmp_path):
    array = np.broadcast_to(np.arange(4, dtype=np.float32), (3, 3, 2, 4)).copy()
    nifti(tmp_path / "a.nii.gz", array)
    volumes = read_catalog(tmp_path).volumes()
    assert load_volume_image(volumes[3], volumes[1]).array[0, 0, 0].tolist() == [3, 1]


def test_the_whole_file_has_also_what_catalog_csv_does_not_name(tmp_path):
    nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 5, 3), np.float32))
    row = {
        "subject": ["a"],
        "image": ["a.nii.gz"],
        "frame": [2],
        "slice": [1],
        "dx": [2],
        "dy": [2],
        "dz": [9],
    }
    pd.DataFrame(row).to_csv(tmp_path / "catalog.csv", index=False)
    cine, frames = load_whole_image(*read_catalog(tmp_path).volumes())
    assert (cine.array.shape, cine.spacing, frames) == ((4, 4, 5, 3), (2, 2, 9), [0, 1, 2])


def test_the_whole_of_a_single_frame_keeps_its_number(tmp_path):
    for z in (2, 1):
        png(tmp_path / "png" / f"s_slice{z}_frame7.png", value=z)
    cine, frames = load_whole_image(*read_catalog(tmp_path / "png").volumes())
    assert (cine.array[0, 0, :, 0].tolist(), frames) == ([1, 2], [7])
    assert load_whole_image(*read_catalog(acdc(tmp_path / "nii", frames=(12,))).volumes())[1] == [12]


def test_png_slices_are_stacked_in_the_order_of_their_numbers(tmp_path):
    for z in (10, 9):
        png(tmp_path / f"s_slice{z}_frame0.png", value=z)
    (volume,) = read_catalog(tmp_path).volumes()
    assert volume.slices == (9, 10)
    assert load_volume_image(volume).array[0, 0, :, 0].tolist() == [9, 10]


def test_png_slices_of_different_size_are_told(tmp_path):
    png(tmp_path / "s_slice1_frame0.png", (4, 4))
    png(tmp_path / "s_slice2_frame0.png", (4, 5))
    (volume,) = read_catalog(tmp_path).volumes()
    with pytest.raises(DataError, match="slices of different size"):
        load_volume_image(volume)


def test_a_slice_that_the_file_does_not_have_is_told(tmp_path):
    nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 2), np.float32))
    pd.DataFrame({"subject": ["a"], "image": ["a.nii.gz"], "slice": [5]}).to_csv(
        tmp_path / "catalog.csv", index=False
    )
    with pytest.raises(DataError, match=r"slice 5 is not in a\.nii\.gz"):
        load_volume_image(*read_catalog(tmp_path).volumes())


def test_a_frame_that_the_file_does_not_have_is_told(tmp_path):
    nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 2, 3), np.float32))
    pd.DataFrame({"subject": ["a"], "image": ["a.nii.gz"], "frame": [7]}).to_csv(
        tmp_path / "catalog.csv", index=False
    )
    with pytest.raises(DataError, match=r"frame 7 is not in a\.nii\.gz"):
        load_volume_image(*read_catalog(tmp_path).volumes())


def test_a_label_outside_the_scheme_is_told_when_the_mask_is_loaded(tmp_path):
    (volume,) = read_catalog(acdc(tmp_path, label=9)).volumes()
    with pytest.raises(DataError, match="label values 9 are outside the scheme"):
        load_volume_mask(volume)


def test_a_volume_without_masks_is_told(tmp_path):
    png(tmp_path / "a.png")
    (volume,) = read_catalog(tmp_path).volumes()
    with pytest.raises(DataError, match="has no mask"):
        load_volume_mask(volume)


def test_only_labelled_images_are_kept_for_training(tmp_path):
    acdc(tmp_path, ("patient001", "patient002"))
    (tmp_path / "patient001" / "patient001_frame01_gt.nii.gz").unlink()
    assert set(read_catalog(tmp_path).with_masks().table["subject"]) == {"patient002"}


def test_structures_are_those_that_the_schemes_can_hold():
    assert structures_of(["cmr-seg-tl"]) == (Label.LV, Label.MYO)
    assert structures_of(["cmr-seg-tl", "RV=1"]) == (Label.LV, Label.MYO, Label.RV)


# Where predictions go


def test_predictions_of_cines_and_frames_have_names_of_their_own(tmp_path):
    cine = nifti(tmp_path / "x.nii.gz", np.zeros((4, 4, 2, 3), np.float32))
    still = nifti(tmp_path / "y.nii.gz", np.zeros((4, 4, 2), np.float32))
    assert prediction_path(tmp_path / "o", "s", cine) == tmp_path / "o" / "s" / "seg.nii.gz"
    assert prediction_path(tmp_path / "o", "s", still) == tmp_path / "o" / "s" / "y_seg.nii.gz"
    assert prediction_path(tmp_path / "o", "s", tmp_path / "z.png") == tmp_path / "o" / "s" / "z_seg.png"


@pytest.mark.parametrize("subject", ["..", ".", "", "../other", "a/b", "/etc"])
def test_a_subject_cannot_escape_the_folder(tmp_path, subject):
    with pytest.raises(DataError, match="cannot name a folder"):
        prediction_path(tmp_path / "o", subject, tmp_path / "z.png")


# Real images


@pytest.mark.parametrize(
    ("name", "images", "volumes"),
    [("acdc", 1552, 160), ("sunnybrook_png", 282, 30), ("mnms_vendorB", 404, 40)],
)
def test_real_data_sets_are_read_whole(test_data, name, images, volumes):
    catalog = read_catalog(test_data / name)
    assert not catalog.problems
    assert len(catalog.table) == images
    assert len(catalog.volumes()) == volumes


@pytest.mark.parametrize("name", ["acdc", "sunnybrook_png", "mnms_vendorB"])
def test_no_real_subject_is_on_two_sides(test_data, name):
    catalog = read_catalog(test_data / name)
    assert not any("more than one split" in note for note in catalog.notes)
    assert set(catalog.table["split"]) == {"train", "val", "test"}
