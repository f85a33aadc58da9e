"""Files of LVQuan18 and LVQuan19, built by their description, become a data set with indices in mm."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from cmrseg.curation.lvquan import curate_lvquan
from cmrseg.data.catalog import load_volume_image, load_volume_mask, read_catalog
from cmrseg.io.lvquan import lvquan_files
from cmrseg.labels import Label
from cmrseg.metrics.indices import AREA_COLUMNS, DIMENSIONS, THICKNESSES
from cmrseg.problems import DataError
from cmrseg.tasks.quantification.truth import true_indices
from tests.curation.lvquan import FRAMES, write_dig, write_patient

PIXELS_MM = (0.7, 1.0, 1.7)


def patients(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_patient(folder / f"patient{n}.mat", 64, mm, **changes)
        for n, mm in enumerate(PIXELS_MM, start=1)
    ]


@pytest.mark.parametrize("in_mm", [False, True])
def test_the_unit_of_lvquan19_is_found_and_its_indices_come_out_in_mm(tmp_path, in_mm):
    told = patients(tmp_path / "source", in_mm=in_mm)
    run = curate_lvquan(tmp_path / "source", tmp_path / "out")
    assert run.studies["status"].tolist() == ["ok"] * 3
    assert ("mm2" if in_mm else "pixels") in run.notes[0].split("the files have")[1]
    table = pd.read_csv(tmp_path / "out" / "indices.csv").set_index("subject")
    for number, (mm, of_file) in enumerate(zip(PIXELS_MM, told, strict=True), start=1):
        rows, factor = table.loc[f"patient{number}"], 1 if in_mm else mm
        assert len(rows) == FRAMES
        np.testing.assert_allclose(rows[list(AREA_COLUMNS)].T, of_file["areas"] * factor**2, atol=1e-3)
        np.testing.assert_allclose(rows[list(DIMENSIONS)].T, of_file["dims"] * factor, atol=1e-3)
        np.testing.assert_allclose(rows[list(THICKNESSES)].T, of_file["rwt"] * factor, atol=1e-3)
        assert (rows["phase"] == "systole").tolist() == of_file["lv_phase"][0].astype(bool).tolist()


def test_image_and_mask_lie_on_each_other_and_the_catalog_knows_the_table(tmp_path):
    told = patients(tmp_path / "source")[2]
    curate_lvquan(tmp_path / "source", tmp_path / "out")
    catalog = read_catalog(tmp_path / "out")
    study = catalog.studies()[-1]
    image, mask = load_volume_image(*study), load_volume_mask(*study)
    assert image.spacing == pytest.approx((1.7, 1.7, np.nan), nan_ok=True)  # no ml of a single slice
    np.testing.assert_array_equal(image.array[:, :, 0], told["image"].transpose(1, 0, 2))
    np.testing.assert_array_equal(mask.array[:, :, 0] == Label.LV, told["endo"].transpose(1, 0, 2))
    np.testing.assert_array_equal(mask.array[:, :, 0] > 0, told["epi"].transpose(1, 0, 2))
    assert set(catalog.table["labels"].unique()) == {"cmrseg:LV,MYO"}  # what the RV is nobody says
    indices, problems = true_indices(catalog)
    assert len(indices) == 3 * FRAMES
    assert problems == []


def test_lvquan18_becomes_mm_by_the_pixel_size_and_the_ratio_of_every_subject(tmp_path):
    path = tmp_path / "cardiac-dig.mat"
    told = write_dig(path, [1.2, 0.8], [0.9, 2.0])
    run = curate_lvquan(path, tmp_path / "out")
    assert run.studies["dx"].tolist() == pytest.approx([1.2 * 0.9, 0.8 * 2.0])
    table = pd.read_csv(tmp_path / "out" / "indices.csv").set_index("subject")
    for number, (mm, of_file) in enumerate(zip((1.08, 1.6), told, strict=True), start=1):
        rows = table.loc[f"sub-{number}"]
        np.testing.assert_allclose(rows[list(AREA_COLUMNS)].T, of_file["areas"] * mm**2, atol=1e-3)
        np.testing.assert_allclose(rows[list(THICKNESSES)].T, of_file["rwt"] * mm, atol=1e-3)


def test_masks_that_resizing_made_grey_are_binary_again(tmp_path):
    told = patients(tmp_path / "clean")[0]
    grey = np.clip(told["endo"] * 255.0 - 30, 0, None)
    patients(tmp_path / "source", endo=grey)
    curate_lvquan(tmp_path / "source", tmp_path / "out")
    mask = load_volume_mask(*read_catalog(tmp_path / "out").studies()[0])
    np.testing.assert_array_equal(mask.array[:, :, 0] == Label.LV, told["endo"].transpose(1, 0, 2))


@pytest.mark.parametrize("what", ["areas", "dims"])
def test_a_unit_that_the_masks_do_not_confirm_is_refused(tmp_path, what):
    factor = {"areas": 64**-2, "dims": 1 / 64}[what]
    told = write_patient(tmp_path / "patient1.mat", 64, 1.4)
    write_patient(tmp_path / "patient1.mat", 64, 1.4, **{what: told[what] * factor})
    with pytest.raises(DataError, match=r"are not in pixels or mm2?: they are .* no indices\.csv"):
        curate_lvquan(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out" / "indices.csv").exists()


def test_indices_without_masks_are_refused_and_images_alone_are_not(tmp_path):
    write_patient(tmp_path / "patient1.mat", 64, 1.4, endo=None, epi=None)
    with pytest.raises(DataError, match="nothing tells whether the areas"):
        curate_lvquan(tmp_path, tmp_path / "out")
    nothing = dict.fromkeys(("endo", "epi", "areas", "dims", "rwt", "lv_phase"))
    write_patient(tmp_path / "patient1.mat", 64, 1.4, **nothing)
    run = curate_lvquan(tmp_path, tmp_path / "test_set")
    assert run.studies["status"].tolist() == ["ok"]
    assert not (tmp_path / "test_set" / "indices.csv").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": None}, "has no image, so it is none of LVQuan"),
        ({"pix_spacing": None}, "has no pix_spacing"),
        ({"image": np.zeros((4, 4))}, "rows x columns x frames, got 4 x 4"),
        ({"image": np.zeros((64, 64, 7))}, "has 7 frames and no ratio"),
        ({"image": np.full((64, 64, 20), np.nan)}, "no numbers"),
        ({"endo": np.zeros((32, 32, 20))}, "its endo is 32 x 32 x 20, its images 64 x 64 x 20"),
        ({"areas": np.zeros((2, 19))}, "its areas is 2 x 19, not 2 x 20"),
        ({"rwt": np.full((6, 20), "a")}, "no numbers"),
        ({"lv_phase": np.full((1, 20), 3)}, "lv_phase is not 0 or 1"),
        ({"pix_spacing": np.array([[0.0]])}, "pixel size is not one positive number"),
        ({"pix_spacing": np.array([[1.0, 1.5]])}, "pixel size is not one positive number"),
        ({"pix_spacing": np.array([[40.0]])}, "pixels are 40 mm wide"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_a_bad_file_is_one_sentence_and_the_others_are_made(tmp_path, changes, says):
    patients(tmp_path / "source")
    write_patient(tmp_path / "source" / "patient4.mat", 64, 1.4, **changes)
    run = curate_lvquan(tmp_path / "source", tmp_path / "out")
    assert run.failed == 1
    (reason,) = run.studies.loc[run.studies["status"] == "failed", "reason"]
    assert says in reason
    assert "\n" not in reason
    assert str(tmp_path) not in (tmp_path / "out" / "studies.tsv").read_text()
    assert run.studies["status"].tolist() == ["ok"] * 3 + ["failed"]
    assert (tmp_path / "out" / "indices.csv").is_file()


def test_a_subject_without_some_numbers_does_not_hide_the_unit_of_the_others(tmp_path):
    told = patients(tmp_path / "source")[1]
    unknown = told["areas"] * np.nan
    write_patient(tmp_path / "source" / "patient2.mat", 64, 1.0, areas=unknown)
    curate_lvquan(tmp_path / "source", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "indices.csv").set_index("subject")["cavity_area_mm2"]
    assert table["patient2"].isna().all()
    assert table["patient1"].notna().all()


ODD = (
    np.zeros((0, 0)), np.zeros((0, 0, 20)), np.zeros((2, 2, 20)), np.full((2, 20), np.inf), np.array(["a"]),
    np.array([[1j]]), np.full((64, 64, 20), -1.0), np.array([[1e300]]), np.bool_(True),
)  # fmt: skip


@pytest.mark.parametrize("name", ["image", "endo", "epi", "areas", "dims", "rwt", "lv_phase", "pix_spacing"])
def test_hostile_values_are_told_and_never_a_traceback(tmp_path, name):
    for number, value in enumerate(ODD):
        write_patient(tmp_path / "patient1.mat", 64, 1.4, **{name: value})
        with suppress(DataError):
            run = curate_lvquan(tmp_path, tmp_path / f"out{number}")
            assert not run.studies["reason"].str.contains("\n").any()


def test_damaged_bytes_are_told_and_never_a_traceback(tmp_path):
    write_patient(path := tmp_path / "patient1.mat", 64, 1.4)
    right, rng = path.read_bytes(), np.random.default_rng(0)
    for number in range(40):
        damaged = bytearray(right)
        damaged[rng.integers(len(right))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged) if number % 2 else right[: int(rng.integers(len(right)))])
        with suppress(DataError):
            curate_lvquan(tmp_path, tmp_path / "out")


def test_a_subject_whose_table_contradicts_its_mask_is_a_row_of_the_problems(tmp_path):
    told = patients(tmp_path / "source")[0]
    write_patient(tmp_path / "source" / "patient1.mat", 64, 0.7, areas=told["areas"] * 1.5)
    problems = curate_lvquan(tmp_path / "source", tmp_path / "out").problems
    assert problems[["study", "extra_info"]].values.tolist() == [
        ["patient1", "its areas are +50% beside those of its masks"]
    ]


def test_a_mask_that_somebody_has_corrected_is_kept(tmp_path):
    patients(tmp_path / "source")
    curate_lvquan(tmp_path / "source", tmp_path / "out")
    truth = tmp_path / "out" / "patient2" / "truth.nii.gz"
    theirs = (tmp_path / "out" / "patient1" / "truth.nii.gz").read_bytes()
    truth.write_bytes(theirs)
    problems = curate_lvquan(tmp_path / "source", tmp_path / "out").problems
    assert truth.read_bytes() == theirs
    assert problems["study"].tolist() == ["patient2"]


def test_contours_of_segment_among_dicom_files_are_no_lvquan(tmp_path):
    savemat(tmp_path / "patient1.mat", {"setstruct": np.zeros(2)})
    assert lvquan_files(tmp_path) == []
