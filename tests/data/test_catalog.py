"""One table of all images: what is left out and why, splits, studies and where predictions go."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cmrseg.cine import Cine
from cmrseg.data.catalog import (
    COLUMNS,
    load_volume_image,
    load_volume_mask,
    load_whole_image,
    prediction_path,
    read_catalog,
)
from cmrseg.io.images import save_image, save_mask
from cmrseg.labels import Label, structures_of
from cmrseg.problems import DataError


def nifti(path, array, zooms=(1.5, 1.6, 8.0, 0.05)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.asarray(array), np.eye(4))
    image.header.set_zooms(zooms[: array.ndim])
    nib.save(image, path)
    return path


def catalog_csv(root, **columns):
    pd.DataFrame(columns).to_csv(root / "catalog.csv", index=False)
    return root


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


# Two images of one slice


def test_a_second_image_of_the_same_slice_is_a_problem(tmp_path):
    acdc(tmp_path)
    first = tmp_path / "patient001" / "patient001_frame01.nii.gz"
    nifti(first.with_suffix(""), np.zeros((4, 4, 2), np.float32))
    catalog = read_catalog(tmp_path)
    (problem,) = catalog.problems
    assert (problem.study, problem.problem, problem.resolution) == (
        "patient001",
        "duplicate image",
        "left out",
    )
    assert len(catalog.table) == 2


def test_a_copy_in_another_folder_or_split_is_a_problem_and_the_others_go_on(tmp_path):
    for split in ("train", "val"):
        for folder in ("images", "masks"):
            png(tmp_path / folder / split / "7_slice001_frame000.png")
            png(tmp_path / folder / split / f"{split}_slice001_frame000.png")
    catalog = read_catalog(tmp_path)
    assert [p.problem for p in catalog.problems] == ["duplicate image"]
    assert "val" in catalog.problems[0].extra_info
    assert sorted(catalog.table["subject"]) == ["7", "train", "val"]


# What the data set may leave open


def test_a_mask_of_one_frame_fits_a_cine_when_the_frame_is_named(tmp_path):
    nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 2, 3), np.float32))
    nifti(tmp_path / "m.nii.gz", np.full((4, 4, 2), 2, np.uint8))
    catalog_csv(tmp_path, subject=["a"], image=["a.nii.gz"], mask=["m.nii.gz"], frame=[2])
    (volume,) = read_catalog(tmp_path).volumes()
    assert np.unique(load_volume_mask(volume).array).tolist() == [Label.MYO]
    catalog_csv(tmp_path, subject=["a"], image=["a.nii.gz"], mask=["m.nii.gz"])
    with pytest.raises(DataError, match="4 x 4 x 2 does not fit its image of shape 4 x 4 x 2 x 3"):
        read_catalog(tmp_path)


def test_every_frame_of_a_cine_may_have_a_mask_file_of_its_own(tmp_path):
    nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 2, 3), np.float32))
    for name, label in (("ed", 1), ("es", 2)):
        nifti(tmp_path / f"{name}.nii.gz", np.full((4, 4, 2), label, np.uint8))
    masks = ["ed.nii.gz", "es.nii.gz"]
    catalog_csv(tmp_path, subject=["a"] * 2, image=["a.nii.gz"] * 2, mask=masks, frame=[0, 2])
    (study,) = read_catalog(tmp_path).studies()
    assert load_volume_mask(*study).array[0, 0, 0].tolist() == [1, 2]


def test_a_spacing_that_catalog_csv_gives_in_part_is_completed_by_the_header(tmp_path):
    nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 2), np.float32))
    catalog_csv(tmp_path, subject=["a"], image=["a.nii.gz"], dx=[0.2], dy=[0.3])
    assert read_catalog(tmp_path).volumes()[0].spacing == (0.2, 0.3, 8.0)


def test_an_unknown_slice_distance_is_a_note(tmp_path):
    nifti(tmp_path / "a.nii.gz", np.zeros((4, 4), np.float32))
    notes = read_catalog(tmp_path).notes
    assert any("slice distance unknown for 1 subject" in note for note in notes)
    assert not any("pixel size" in note for note in notes)


def test_left_ventricles_without_a_name_can_be_named_by_the_user(tmp_path):
    nifti(tmp_path / "imagesTr" / "a_0000.nii.gz", np.zeros((4, 4, 2), np.float32))
    nifti(tmp_path / "labelsTr" / "a.nii.gz", np.ones((4, 4, 2), np.uint8))
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "blob": 1}}')
    with pytest.raises(DataError, match=r"names no left ventricle.*--labels"):
        read_catalog(tmp_path)
    (volume,) = read_catalog(tmp_path, labels="LV=1").volumes()
    assert np.unique(load_volume_mask(volume).array).tolist() == [Label.LV]


def test_a_single_file_of_another_kind_is_told(tmp_path):
    (tmp_path / "x.dcm").touch()
    with pytest.raises(DataError, match=r"x\.dcm is neither NIfTI nor PNG; DICOM folders"):
        read_catalog(tmp_path / "x.dcm")


def test_files_that_the_layout_does_not_name_are_a_note(tmp_path):
    nifti(acdc(tmp_path) / "patient001" / "patient001_4d.nii.gz", np.zeros((4, 4, 2, 3), np.float32))
    assert any("1 file(s) are left out" in note for note in read_catalog(tmp_path).notes)


# Volumes and studies


def test_frames_of_a_cine_are_one_study_and_files_of_single_frames_are_not(tmp_path):
    nifti(tmp_path / "cine.nii.gz", np.zeros((4, 4, 2, 3), np.float32))
    nifti(tmp_path / "still.nii.gz", np.zeros((4, 4, 2), np.float32))
    studies = read_catalog(tmp_path).studies()
    assert [(s[0].subject, len(s)) for s in studies] == [("cine", 3), ("still", 1)]


def test_a_cine_beside_single_frames_of_its_subject_stays_one_study(tmp_path):
    nifti(tmp_path / "cine.nii.gz", np.zeros((4, 4, 2, 3), np.float32))
    nifti(tmp_path / "ed.nii.gz", np.zeros((4, 4, 2), np.float32))
    images, frames = ["cine.nii.gz", "ed.nii.gz"], [np.nan, 1]
    catalog_csv(tmp_path, subject=["a", "a"], image=images, frame=frames, phase=["", "ED"])
    assert sorted(len(study) for study in read_catalog(tmp_path).studies()) == [1, 3]


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
    [
        ("acdc", 1902, 200),
        ("sunnybrook_png", 282, 30),
        ("mnms_vendorA", 1280, 110),
        ("mnms_vendorB", 1136, 110),
    ],
)
def test_real_data_sets_are_read_whole(test_data, name, images, volumes):
    catalog = read_catalog(test_data / name)
    assert not catalog.problems
    assert len(catalog.table) == images
    assert len(catalog.volumes()) == volumes


@pytest.mark.parametrize("name", ["sunnybrook_png", "mnms_vendorA", "mnms_vendorB"])
def test_no_real_subject_is_on_two_sides(test_data, name):
    catalog = read_catalog(test_data / name)
    assert not any("more than one split" in note for note in catalog.notes)
    assert {"train", "val"} <= set(catalog.table["split"]) <= {"train", "val", "test"}


def test_without_masks_one_that_does_not_fit_is_no_problem(tmp_path):
    for name, shape in (("sa", (4, 4, 2)), ("seg", (5, 5, 2))):
        (tmp_path / "s1").mkdir(exist_ok=True)
        image = nib.Nifti1Image(np.zeros(shape, np.uint8), np.diag([1.5, 1.5, 8, 1]))
        nib.save(image, tmp_path / "s1" / f"{name}.nii.gz")
    with pytest.raises(DataError, match="does not fit its image"):
        read_catalog(tmp_path)
    catalog = read_catalog(tmp_path, masks=False)
    assert catalog.problems == []
    assert not catalog.volumes()[0].has_masks
    assert not any("pseudo-label" in note for note in catalog.notes)


# What a table or a name leaves open


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("frame", np.inf, r"catalog\.csv, line 2: frame is inf, not a whole number"),
        ("frame", 0.5, r"line 2: frame is 0\.5"),
        ("slice", -3, r"line 2: slice is -3"),
        ("slice", 1e300, r"line 2: slice is 1e\+300"),
        ("dx", np.inf, r"line 2: dx is inf, not a length in mm"),
    ],
)
def test_a_number_that_counts_nothing_is_told_with_its_line(tmp_path, column, value, told):
    nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 2), np.float32))
    catalog_csv(tmp_path, subject=["a"], image=["a.nii.gz"], **{column: [value]})
    with pytest.raises(DataError, match=told):
        read_catalog(tmp_path)


@pytest.mark.parametrize(
    ("names", "phases"),
    [
        (("p_ED", "p_ES"), ["ED", "ES"]),
        (("ed/img", "es/img"), ["ED", "ES"]),
        (("p_frame01", "p_frame12"), ["", ""]),
    ],
)
def test_without_a_frame_ed_and_es_are_told_apart_by_their_files(tmp_path, names, phases):
    images = [f"{name}.nii.gz" for name in names]
    for number, image in enumerate(images):
        nifti(tmp_path / image, np.full((4, 4, 2), number, np.float32))
    catalog_csv(tmp_path, subject=["p", "p"], image=images)
    first, second = read_catalog(tmp_path).volumes()
    assert (first.phase, second.phase) == tuple(phases)
    assert (first.image.name, second.image.name) == tuple(image.split("/")[-1] for image in images)
    assert first.frame < second.frame


def test_without_a_frame_images_that_nothing_tells_apart_are_refused(tmp_path):
    for name in ("one", "two"):
        nifti(tmp_path / f"{name}.nii.gz", np.zeros((4, 4, 2), np.float32))
    catalog_csv(tmp_path, subject=["p", "p"], image=["one.nii.gz", "two.nii.gz"])
    with pytest.raises(DataError, match="several images of one slice and no frame; add the column frame"):
        read_catalog(tmp_path)


def test_masks_among_loose_images_are_not_segmented_and_told(tmp_path):
    noise = np.random.default_rng(0).integers(0, 200, (64, 64, 4)).astype(np.int16)
    nifti(tmp_path / "p1.nii.gz", noise)
    nifti(tmp_path / "p1_label.nii.gz", noise)
    drawn = np.kron(np.arange(4).reshape(2, 2, 1), np.ones((32, 32, 4))).astype(np.uint8)
    nifti(tmp_path / "p1_drawn.nii.gz", drawn)
    catalog = read_catalog(tmp_path, masks=False)
    assert set(catalog.table["subject"]) == {"p1"}
    assert any("masks by their names and are not segmented: p1_label.nii.gz" in n for n in catalog.notes)
    assert any("as masks do, and are not segmented: p1_drawn.nii.gz" in n for n in catalog.notes)


def test_other_slices_of_another_frame_are_read_where_they_are(tmp_path):
    """As many slices of two frames of one file, but not the same: as contours of ED and ES often are."""
    array = np.arange(4 * 4 * 5 * 2, dtype=np.float32).reshape(4, 4, 5, 2)
    mask = np.zeros((4, 4, 5, 2), np.uint8)
    for z in range(5):
        mask[: z % 3, 0, z] = 1
    save_image(Cine(array, (1.5, 1.5, 8.0)), tmp_path / "c.nii.gz")
    save_mask(Cine(mask, (1.5, 1.5, 8.0)), tmp_path / "m.nii.gz")
    rows = [
        ("a", t, z, "c.nii.gz", "m.nii.gz") for t, first in ((0, 0), (1, 2)) for z in range(first, first + 3)
    ]
    pd.DataFrame(rows, columns=["subject", "frame", "slice", "image", "mask"]).to_csv(
        tmp_path / "catalog.csv", index=False
    )
    catalog = read_catalog(tmp_path)
    volumes = catalog.volumes()
    assert [v.slices for v in volumes] == [(0, 1, 2), (2, 3, 4)]
    for (study,) in catalog.studies():
        expected = mask[:, :, list(study.slices), study.frame]
        np.testing.assert_array_equal(load_volume_mask(study).array[..., 0], expected)
    (cine,) = catalog.cines()
    assert load_whole_image(*cine)[0].array.shape == (4, 4, 5, 2)
