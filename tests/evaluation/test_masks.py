"""Evaluation of predictions whose errors are known, over small data sets in ACDC's layout."""

import math

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from cmrseg.data.catalog import read_catalog
from cmrseg.evaluation import METRIC_COLUMNS, SUMMARY_COLUMNS, evaluate_masks
from cmrseg.labels import Label
from cmrseg.problems import DataError

SHAPE = (20, 20, 2)
VOXEL_ML = 2 * 2 * 10 / 1000
ACDC = {Label.LV: 3, Label.MYO: 2, Label.RV: 1}


def heart(lv_rows):
    """LV of 10 voxels per row and slice, MYO of 20 and RV of 20 voxels per slice."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[:lv_rows, :10] = Label.LV
    mask[16:18, :10] = Label.MYO
    mask[18:, :10] = Label.RV
    return mask


def acdc(mask):
    """The same mask in ACDC's label ids."""
    return np.array([0, 3, 2, 1], np.uint8)[mask]


def save(array, path, zooms=(2.0, 2.0, 10.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, np.diag([*zooms[:3], 1.0]))
    image.header.set_zooms(zooms)
    nib.save(image, path)


def write_truth(root, *, subjects=("patient001", "patient002"), zooms=(2.0, 2.0, 10.0), info=True):
    """ED with 10 rows of LV, ES with 4: EF 60 %."""
    for subject in subjects:
        for frame, rows in ((1, 10), (12, 4)):
            name = root / subject / f"{subject}_frame{frame:02d}"
            save(np.ones(SHAPE, np.int16), name.with_name(name.name + ".nii.gz"), zooms)
            save(acdc(heart(rows)), name.with_name(name.name + "_gt.nii.gz"), zooms)
        if info:
            (root / subject / "Info.cfg").write_text("ED: 1\nES: 12\n")
    return root


def write_predictions(root, *, subjects=("patient001", "patient002"), rows=(10, 4)):
    for subject in subjects:
        for frame, lv in zip((1, 12), rows, strict=True):
            save(heart(lv), root / subject / f"{subject}_frame{frame:02d}_seg.nii.gz")
    return root


def value(evaluation, subject, structure, metric, frame=None):
    table = evaluation.metrics.query("subject == @subject and structure == @structure and metric == @metric")
    (found,) = table["value"] if frame is None else table.loc[table["frame"] == frame, "value"]
    return found


def test_perfect_predictions_have_perfect_scores(tmp_path):
    result = evaluate_masks(write_predictions(tmp_path / "p"), write_truth(tmp_path / "t"))
    assert tuple(result.metrics.columns) == METRIC_COLUMNS
    assert tuple(result.summary.columns) == SUMMARY_COLUMNS
    assert not result.problems
    dice = result.metrics[result.metrics["metric"].isin(["dice", "dice_image"])]
    assert (dice["value"] == 1).all()
    assert len(dice) == 2 * 2 * 3 * 2  # subjects, frames, structures, metrics
    assert (result.metrics.loc[~result.metrics.index.isin(dice.index), "value"] == 0).all()


def test_errors_are_predicted_minus_true(tmp_path):
    predictions = write_predictions(tmp_path / "p", rows=(8, 4))  # EF 50 % instead of 60 %
    result = evaluate_masks(predictions, write_truth(tmp_path / "t"))
    assert value(result, "patient001", "LV", "volume_error", 1) == pytest.approx(-40 * VOXEL_ML)
    assert value(result, "patient001", "LV", "dice", 1) == pytest.approx(2 * 80 / 180)
    assert value(result, "patient001", "LV", "ef_error") == pytest.approx(-10)
    assert value(result, "patient001", "LV", "ef_abs_error") == pytest.approx(10)
    assert value(result, "patient001", "MYO", "mass_error") == 0
    edv = result.measurements.query("structure == 'LV' and measure == 'EDV'")
    assert edv["true"].tolist() == pytest.approx([200 * VOXEL_ML] * 2)
    assert edv["predicted"].tolist() == pytest.approx([160 * VOXEL_ML] * 2)


def test_surface_distance_is_in_mm(tmp_path):
    predictions = write_predictions(tmp_path / "p", rows=(8, 4))
    result = evaluate_masks(predictions, write_truth(tmp_path / "t"))
    assert value(result, "patient001", "LV", "hd", 1) == pytest.approx(4.0)


def test_groups_are_all_then_splits_then_phases(tmp_path):
    truth = write_truth(tmp_path / "t")
    (truth / "splits.csv").write_text("subject,split\npatient001,val\npatient002,test\n")
    result = evaluate_masks(write_predictions(tmp_path / "p"), truth)
    assert list(dict.fromkeys(result.summary["group"])) == ["all", "test", "val", "ED", "ES"]
    counts = result.summary.query("structure == 'LV' and metric == 'dice'").set_index("group")["n"]
    assert counts.to_dict() == {"all": 4, "test": 2, "val": 2, "ED": 2, "ES": 2}


def test_splits_select_subjects(tmp_path):
    truth = write_truth(tmp_path / "t")
    (truth / "splits.csv").write_text("subject,split\npatient001,val\npatient002,test\n")
    result = evaluate_masks(write_predictions(tmp_path / "p"), truth, splits=("test",))
    assert set(result.metrics["subject"]) == {"patient002"}


def test_a_missing_prediction_is_a_problem_and_the_others_go_on(tmp_path):
    predictions = write_predictions(tmp_path / "p")
    (predictions / "patient001" / "patient001_frame12_seg.nii.gz").unlink()
    result = evaluate_masks(predictions, write_truth(tmp_path / "t"))
    (problem,) = result.problems
    assert (problem.study, problem.problem, problem.image) == (
        "patient001",
        "prediction missing",
        "patient001_frame12.nii.gz",
    )
    assert result.failed == ("patient001",)
    assert set(result.metrics["subject"]) == {"patient001", "patient002"}
    assert set(result.metrics.query("metric == 'ef_error'")["subject"]) == {"patient002"}


def test_a_prediction_on_another_grid_is_a_problem(tmp_path):
    predictions = write_predictions(tmp_path / "p")
    save(heart(10)[:, :-1], predictions / "patient002" / "patient002_frame01_seg.nii.gz")
    result = evaluate_masks(predictions, write_truth(tmp_path / "t"))
    (problem,) = result.problems
    assert "20 x 19 x 2" in problem.extra_info
    assert "20 x 20 x 2" in problem.extra_info
    assert result.failed == ("patient002",)


def test_a_damaged_prediction_is_a_problem(tmp_path):
    predictions = write_predictions(tmp_path / "p")
    (predictions / "patient002" / "patient002_frame01_seg.nii.gz").write_bytes(b"no image")
    assert evaluate_masks(predictions, write_truth(tmp_path / "t")).failed == ("patient002",)


def test_no_prediction_at_all_names_what_was_expected(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"patient001_frame01_seg\.nii\.gz"):
        evaluate_masks(tmp_path / "p", write_truth(tmp_path / "t"))


def test_a_second_reader_is_another_data_set(tmp_path):
    truth = write_truth(tmp_path / "t")
    result = evaluate_masks(write_truth(tmp_path / "reader2"), truth)
    assert (result.metrics.query("metric == 'dice'")["value"] == 1).all()


def test_the_truth_may_be_a_catalog(tmp_path):
    catalog = read_catalog(write_truth(tmp_path / "t"))
    result = evaluate_masks(write_predictions(tmp_path / "p"), catalog)
    assert (result.metrics.query("metric == 'dice'")["value"] == 1).all()


def test_a_copied_tree_of_masks_has_the_labels_of_the_truth(tmp_path):
    truth = write_truth(tmp_path / "t")
    copied = write_truth(tmp_path / "masks_only")
    for image in copied.rglob("*frame??.nii.gz"):
        image.unlink()
    result = evaluate_masks(copied, truth)
    assert (result.metrics.query("metric == 'dice'")["value"] == 1).all()


def test_the_scheme_of_predictions_can_be_named(tmp_path):
    predictions = write_predictions(tmp_path / "p")
    result = evaluate_masks(predictions, write_truth(tmp_path / "t"), predicted_labels="acdc")
    assert value(result, "patient001", "LV", "dice", 1) == 0


def test_a_lost_ventricle_is_an_error_of_100_points(tmp_path):
    predictions = write_predictions(tmp_path / "p", rows=(0, 0))
    result = evaluate_masks(predictions, write_truth(tmp_path / "t"))
    assert value(result, "patient001", "LV", "ef_abs_error") == 100
    assert math.isnan(value(result, "patient001", "LV", "ef_error"))
    assert math.isnan(value(result, "patient001", "LV", "hd", 1))


def test_frames_of_a_cine_without_contours_are_left_out_and_counted(tmp_path):
    frames = np.stack([heart(10), heart(6), heart(4)], axis=-1)
    contoured = frames.copy()
    contoured[..., 1] = 0
    for folder, name, array in (("t", "sa", frames), ("t", "truth", contoured), ("p", "seg", frames)):
        save(array, tmp_path / folder / "s1" / f"{name}.nii.gz", (2.0, 2.0, 10.0, 0.04))
    result = evaluate_masks(tmp_path / "p", tmp_path / "t")
    assert set(result.metrics["frame"].dropna()) == {0, 2}
    assert len(result.pairs) == 2
    assert any(note.startswith("1 frame(s) have no contour") for note in result.notes)
    assert result.measurements.query("structure == 'LV' and measure == 'EF'")["true"].item() == pytest.approx(
        60
    )


def test_nothing_that_can_be_evaluated_leaves_empty_tables(tmp_path):
    predictions = write_predictions(tmp_path / "p")
    for path in predictions.rglob("*_seg.nii.gz"):
        path.write_bytes(b"no image")
    result = evaluate_masks(predictions, write_truth(tmp_path / "t"))
    assert result.failed == ("patient001", "patient002")
    assert result.metrics.empty
    assert tuple(result.summary.columns) == SUMMARY_COLUMNS


@pytest.mark.slow  # starts two interpreters
def test_processes_change_nothing(tmp_path):
    predictions, truth = write_predictions(tmp_path / "p", rows=(8, 4)), write_truth(tmp_path / "t")
    one, two = (evaluate_masks(predictions, truth, jobs=jobs).metrics for jobs in (1, 2))
    assert one.equals(two)


def test_a_structure_without_truth_has_no_rows(tmp_path):
    truth = write_truth(tmp_path / "t", subjects=("patient001",))
    for path in truth.rglob("*_gt.nii.gz"):
        mask = np.asarray(nib.load(path).dataobj).copy()
        mask[mask == ACDC[Label.RV]] = 0
        save(mask, path)
    result = evaluate_masks(write_predictions(tmp_path / "p"), truth)
    assert set(result.metrics["structure"]) == {"LV", "MYO"}
    assert set(result.measurements["structure"]) == {"LV", "MYO"}


def test_frames_that_show_different_slices_have_no_ejection_fraction(tmp_path):
    for z, frame in ((0, 0), (1, 0), (0, 1)):
        name = f"7_slice{z:03d}_frame{frame:03d}.png"
        for folder in ("images", "masks"):
            path = tmp_path / "t" / folder / "test" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((heart(10)[..., 0] % 3).astype(np.uint8)).save(path)
    result = evaluate_masks(tmp_path / "t" / "masks", tmp_path / "t")
    assert "ef_error" not in set(result.metrics["metric"])
    assert set(result.summary["group"]) == {"all", "test"}
    assert any("different slices" in note for note in result.notes)


def test_subjects_without_a_structure_that_others_have_are_counted(tmp_path):
    truth = write_truth(tmp_path / "t")
    for path in (truth / "patient001").glob("*_gt.nii.gz"):
        mask = np.asarray(nib.load(path).dataobj).copy()
        mask[mask == ACDC[Label.RV]] = 0
        save(mask, path)
    result = evaluate_masks(write_predictions(tmp_path / "p"), truth)
    assert set(result.metrics.query("structure == 'RV'")["subject"]) == {"patient002"}
    assert "RV is contoured in 1 of 2 subjects and scored in those only" in result.notes


def test_phases_are_found_by_the_true_volume_where_none_is_named(tmp_path):
    truth = write_truth(tmp_path / "t", info=False)
    result = evaluate_masks(write_predictions(tmp_path / "p", rows=(8, 4)), truth)
    assert value(result, "patient001", "LV", "ef_error") == pytest.approx(-10)
    assert {"ED", "ES"} <= set(result.summary["group"])


def test_unknown_spacing_leaves_dice_and_ejection_fraction(tmp_path):
    truth = write_truth(tmp_path / "t", zooms=(1.0, 1.0, 1.0))
    result = evaluate_masks(write_predictions(tmp_path / "p", rows=(8, 4)), truth)
    assert value(result, "patient001", "LV", "ef_error") == pytest.approx(-10)
    assert math.isnan(value(result, "patient001", "LV", "volume_error", 1))
    assert math.isnan(value(result, "patient001", "LV", "hd95", 1))
    assert result.summary.query("metric == 'hd'")["n"].max() == 0


def test_a_structure_that_no_slice_of_a_stack_shows_was_not_contoured(tmp_path):
    stack = np.repeat(heart(10)[..., :1], 4, axis=2)
    for name, hidden in (("frame01", ()), ("frame12", (Label.MYO, Label.RV))):  # Sunnybrook's way at ES
        truth = np.where(np.isin(stack, hidden), 0, stack)
        path = tmp_path / "t" / "patient001" / f"patient001_{name}"
        save(np.ones(stack.shape, np.int16), path.with_name(path.name + ".nii.gz"))
        save(acdc(truth), path.with_name(path.name + "_gt.nii.gz"))
        save(stack, tmp_path / "p" / "patient001" / f"{path.name}_seg.nii.gz")
    (tmp_path / "t" / "patient001" / "Info.cfg").write_text("ED: 1\nES: 12\n")
    result = evaluate_masks(tmp_path / "p", tmp_path / "t")
    dice = result.metrics[result.metrics["metric"] == "dice"]
    assert set(zip(dice["structure"], dice["frame"], strict=True)) == {
        ("LV", 1), ("LV", 12), ("MYO", 1), ("RV", 1),
    }  # fmt: skip
    assert (dice["value"] == 1).all()
    assert (result.images["dice"] == 1).all()
    assert set(result.measurements.query("structure == 'RV'")["measure"]) == {"EDV"}


def test_a_stack_without_any_contour_is_left_out_and_told(tmp_path):
    stack = np.repeat(heart(10)[..., :1], 4, axis=2)
    for frame, truth in (("01", stack), ("12", np.zeros_like(stack))):
        path = tmp_path / "t" / "patient001" / f"patient001_frame{frame}"
        save(np.ones(stack.shape, np.int16), path.with_name(path.name + ".nii.gz"))
        save(acdc(truth), path.with_name(path.name + "_gt.nii.gz"))
        save(stack, tmp_path / "p" / "patient001" / f"{path.name}_seg.nii.gz")
    result = evaluate_masks(tmp_path / "p", tmp_path / "t")
    assert set(result.metrics["frame"].dropna()) == {1}
    assert any(note.startswith("1 frame(s) have no contour") for note in result.notes)


def test_swapped_arguments_are_recognised(tmp_path):
    truth, predicted = write_truth(tmp_path / "t"), write_predictions(tmp_path / "p")
    with pytest.raises(DataError, match="swapped, predicted masks come first and the data set second"):
        evaluate_masks(truth, predicted)


def test_a_data_set_is_not_its_own_prediction(tmp_path):
    truth = write_truth(tmp_path / "t")
    with pytest.raises(DataError, match="named as prediction and as truth"):
        evaluate_masks(truth, truth)
