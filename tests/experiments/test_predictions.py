"""Which images are shown, and which pixels count as errors."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from cmrseg.evaluation import evaluate_masks
from cmrseg.experiments.predictions import ERROR_KEY, error_map, pick_by_dice, prediction_figure
from cmrseg.labels import Label
from cmrseg.report.figures import COLOURS, Example

SLICES = 6


def example(subject="p1", shift=1, dice=0.8):
    truth = np.zeros((40, 30), np.uint8)
    truth[10:20, 10:20] = Label.MYO
    truth[12:18, 12:18] = Label.LV
    image = np.random.default_rng(0).random((40, 30))
    return Example(image, np.roll(truth, shift, 0), truth, subject, "ED", 3, dice, "high")


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.astype(np.uint8), np.diag([2.0, 2.0, 10.0, 1.0])), path)


@pytest.fixture
def evaluation(tmp_path):
    """Two subjects of six slices; the deeper into the stack, the fewer rows of the LV are found."""

    def evaluate(start, lost_rows, subjects=("A1", "B2")):
        for subject in ("A1", "B2"):
            truth = np.zeros((24, 24, SLICES))
            truth[4:16, 4:16] = 1
            pred = truth.copy()
            for z in range(SLICES):
                pred[4 : 4 + lost_rows[subject] + z, :, z] = 0
            save(truth * 20, tmp_path / "t" / subject / f"{subject}_sa_ED.nii.gz")
            save(truth, tmp_path / "t" / subject / f"{subject}_sa_ED_gt.nii.gz")
            if subject in subjects:
                save(pred, tmp_path / start / subject / f"{subject}_sa_ED_seg.nii.gz")
        return evaluate_masks(tmp_path / start, tmp_path / "t")

    return evaluate


def test_mid_ventricular_images_are_ranked_by_dice(evaluation):
    found = pick_by_dice({"TL2": evaluation("TL2", {"A1": 0, "B2": 5})}, by="TL2")["TL2"]
    # The middle third of six slices is slices 2 and 3; of four images the third best is the median.
    assert [(e.role, e.subject, e.slice) for e in found] == [
        ("high", "A1", 2), ("middle", "A1", 3), ("low", "B2", 3),
    ]  # fmt: skip
    assert found[0].dice == pytest.approx(2 * 10 / 22)  # 10 of 12 rows


def test_all_starts_show_the_same_images(evaluation):
    lost = {"TL2": {"A1": 0, "B2": 5}, "R": {"A1": 6, "B2": 1}}
    found = pick_by_dice({start: evaluation(start, rows) for start, rows in lost.items()}, by="TL2")
    shown = {start: [(e.subject, e.slice) for e in examples] for start, examples in found.items()}
    assert shown["R"] == shown["TL2"] == [("A1", 2), ("A1", 3), ("B2", 3)]
    assert found["R"][0].dice == pytest.approx(2 * 4 / 16)


def test_images_that_a_start_lacks_are_not_shown(evaluation):
    lost = {"A1": 0, "B2": 5}
    found = pick_by_dice(
        {"R": evaluation("R", lost, subjects=("A1",)), "TL2": evaluation("TL2", lost)}, by="TL2"
    )
    assert {e.subject for e in found["TL2"]} == {"A1"}


def test_an_image_is_not_shown_twice(evaluation):
    found = pick_by_dice({"R": evaluation("R", {"A1": 0, "B2": 0}, subjects=("A1",))}, by="R")["R"]
    assert [(e.role, e.slice) for e in found] == [("high", 2), ("low", 3)]


def test_an_unknown_start_is_refused(evaluation):
    with pytest.raises(ValueError, match="by must be one of R, got 'TL'"):
        pick_by_dice({"R": evaluation("R", {"A1": 0, "B2": 0})}, by="TL")


def test_errors_have_the_true_label_or_the_predicted_one_outside():
    predicted = np.array([[0, Label.LV, Label.RV, Label.MYO]], np.uint8)
    truth = np.array([[Label.MYO, Label.LV, 0, Label.LV]], np.uint8)
    assert error_map(predicted, truth).tolist() == [[Label.MYO, 0, Label.RV, Label.LV]]


def test_one_start_has_a_row_per_image():
    figure = prediction_figure({"TL2": [example(), example("p2", dice=0.7)]})
    assert titles(figure) == [
        "image", "truth", "TL2, Dice 0.80", "errors", "image", "truth", "TL2, Dice 0.70", "errors",
    ]  # fmt: skip
    assert [ax.get_ylabel() for ax in figure.axes[::4]] == ["high\np1\nED, slice 3", "high\np2\nED, slice 3"]


def test_several_starts_stand_beside_each_other():
    figure = prediction_figure({"R": [example(shift=3, dice=0.5)], "TL2": [example()]})
    assert titles(figure) == ["image", "R, Dice 0.50", "TL2, Dice 0.80", "truth", "errors", "errors"]


def test_a_perfect_prediction_has_no_error():
    *_, errors = prediction_figure({"TL2": [example(shift=0, dice=1.0)]}).axes
    assert len(np.unique(errors.images[0].get_array().reshape(-1, 3), axis=0)) == 1


def test_all_pictures_of_an_image_show_the_same_field():
    figure = prediction_figure({"R": [example(shift=8)], "TL2": [example(shift=0)]})
    assert len({ax.images[0].get_array().shape[:2] for ax in figure.axes}) == 1


def test_the_legend_names_the_structures_that_are_shown():
    texts = [t.get_text() for t in prediction_figure({"TL2": [example()]}).legends[0].get_texts()]
    assert texts == ["LV", "MYO", ERROR_KEY]
    assert COLOURS[Label.LV] != COLOURS[Label.MYO]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({}, "at least one image"),
        ({"R": []}, "at least one image"),
        ({"R": [example()], "TL2": [example("p2")]}, "the same images for every start, got others for TL2"),
        ({"R": [replace(example(), truth=None)]}, "with a truth"),
    ],
)
def test_bad_examples_are_refused(rows, told):
    with pytest.raises(ValueError, match=told):
        prediction_figure(rows)
