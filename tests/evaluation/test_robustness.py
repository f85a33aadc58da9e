"""Sweeps with a model of known answer: the grey values are the labels."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from cmrseg.data.catalog import Catalog, read_catalog
from cmrseg.data.distortions import DISTORTIONS
from cmrseg.evaluation.robustness import (
    chosen_distortions,
    measure_robustness,
    some_subjects,
    summarise_robustness,
)
from cmrseg.problems import DataError

MODEL = SimpleNamespace(spec=SimpleNamespace(labels=("BACKGROUND", "LV", "MYO")))
QUARTERS = DISTORTIONS["rotation"]


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.astype(np.uint8), np.diag([2.0, 2.0, 10.0, 1.0])), path)


@pytest.fixture
def data(tmp_path):
    """Two subjects in M&Ms layout whose LV halves from ED to ES."""
    for subject in ("A1", "B2"):
        for phase, height in (("ED", 8), ("ES", 4)):
            truth = np.zeros((24, 20, 2))
            truth[4 : 4 + height, 4:12] = 1
            truth[16:18, 4:12] = 2
            save(truth * 10, tmp_path / subject / f"{subject}_sa_{phase}.nii.gz")
            save(truth, tmp_path / subject / f"{subject}_sa_{phase}_gt.nii.gz")
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    """Shapes of what the model has seen; its answer is the grey value over 10."""
    seen = []

    def segment(image):
        seen.append(image.array.shape)
        return image.with_array(np.clip(np.rint(image.array / 10), 0, 3).astype(np.uint8))

    monkeypatch.setattr("cmrseg.evaluation.robustness.segmenter", lambda model, options: segment)
    return seen


def test_a_perfect_model_reaches_the_ceiling(data, calls):
    scores = measure_robustness(MODEL, read_catalog(data), distortions=[QUARTERS]).scores
    right = scores[scores["level"].isin([-180, -90, 0, 90, 180])]
    assert right["dice"].tolist() == [1.0] * len(right)
    assert scores["ceiling"].min() < 1
    assert set(scores["structure"]) == {"LV", "MYO"}  # RV is not the model's
    assert right.loc[right["structure"] == "LV", "ef_error"].abs().max() == 0
    assert scores.loc[scores["structure"] == "MYO", "ef_error"].isna().all()
    assert (20, 24, 2, 1) in calls


def test_a_lost_ventricle_is_an_error_of_100_points(data, monkeypatch):
    monkeypatch.setattr(
        "cmrseg.evaluation.robustness.segmenter",
        lambda model, options: lambda image: image.with_array(np.zeros_like(image.array, np.uint8)),
    )
    scores = measure_robustness(MODEL, read_catalog(data), distortions=[DISTORTIONS["noise"]]).scores
    lv = scores[scores["structure"] == "LV"]
    assert lv["dice"].eq(0).all()
    assert lv["ef_error"].isna().all()
    assert lv["ef_abs_error"].eq(100).all()


def test_untouched_images_are_segmented_once(data, calls):
    distortions = [DISTORTIONS["noise"], DISTORTIONS["ghosting"]]
    measure_robustness(MODEL, read_catalog(data), distortions=distortions)
    assert len(calls) == 2 * 2 * (7 + 6)


def test_a_run_goes_on_after_the_last_whole_subject(data, calls):
    catalog, distortions, saved = read_catalog(data), [DISTORTIONS["noise"]], []
    whole = measure_robustness(MODEL, catalog, distortions=distortions, save=saved.append)
    calls.clear()
    again = measure_robustness(MODEL, catalog, distortions=distortions, done=saved[0])
    assert len(calls) == 2 * 7
    pd.testing.assert_frame_equal(again.scores, whole.scores)


def test_earlier_scores_of_other_subjects_and_sweeps_are_left_out(data, calls):
    catalog = read_catalog(data)
    done = measure_robustness(MODEL, catalog, distortions=[DISTORTIONS["noise"], QUARTERS]).scores
    result = measure_robustness(MODEL, some_subjects(catalog, 1), distortions=[QUARTERS], done=done)
    assert set(result.scores["subject"]) == {"A1"}
    assert set(result.summary["sweep"]) == {"rotation"}


def test_a_subject_that_cannot_be_read_is_a_problem(data, calls):
    catalog = read_catalog(data)
    (data / "A1" / "A1_sa_ES.nii.gz").write_bytes(b"no image")
    result = measure_robustness(MODEL, catalog, distortions=[DISTORTIONS["noise"]])
    assert set(result.scores["subject"]) == {"B2"}
    assert [problem.study for problem in result.problems] == ["A1"]


def test_every_level_is_counted(data, calls):
    told = []
    catalog = read_catalog(data)
    measure_robustness(
        MODEL, catalog, distortions=[DISTORTIONS["noise"]], progress=lambda *count: told.append(count)
    )
    assert told == [(i, 14) for i in range(1, 15)]


def test_data_without_masks_are_refused(data, calls):
    for path in data.rglob("*_gt.nii.gz"):
        path.unlink()
    with pytest.raises(DataError, match="no masks in"):
        measure_robustness(MODEL, read_catalog(data))


def test_the_band_is_the_tenth_to_the_ninetieth_percentile():
    values = {"dice": np.linspace(0, 1, 11), "ceiling": 1.0, "ef_error": 0.0, "ef_abs_error": 2.0}
    scores = pd.DataFrame({"sweep": "noise", "level": 5.0, "unit": "%", "structure": "LV", **values})
    (row,) = summarise_robustness(scores).itertuples()
    assert (row.mean, row.low, row.high, row.n) == pytest.approx((0.5, 0.1, 0.9, 11))
    assert row.ef_abs_error == 2


def test_a_few_subjects_are_spread_over_the_list():
    table = pd.DataFrame({"subject": [f"s{i}" for i in range(9) for _ in range(2)]})
    assert some_subjects(Catalog(table), 3).table["subject"].unique().tolist() == ["s0", "s4", "s8"]
    assert len(some_subjects(Catalog(table), 20).table) == 18


def test_an_unknown_sweep_names_the_near_ones():
    with pytest.raises(DataError, match="did you mean rotation"):
        chosen_distortions(["rotate"])
