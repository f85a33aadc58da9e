"""Cross-validation of networks for indices: folds of patients, answers of subjects that were not seen."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from cmrseg.data.splits import draw_folds
from cmrseg.evaluation.indices import MEAN
from cmrseg.experiments import folds as module
from cmrseg.experiments.ensembles import read_predictions, search_ensembles
from cmrseg.experiments.folds import FoldSetup, cross_validate
from cmrseg.metrics.indices import INDICES
from cmrseg.problems import DataError
from cmrseg.training.options import TrainOptions
from cmrseg.workflows.experiments import search_in_folds
from tests.training.conftest import write_disks

RECIPES = ("sq11-2D_MSE_disks_s5_64", "mnv2-2D_MSE_disks_s5_64")


def setup(n: int = 2, *recipes: str) -> FoldSetup:
    return FoldSetup(recipes or RECIPES, n, TrainOptions(start="random", epochs=1))


@pytest.fixture
def data(tmp_path):
    """Six subjects: the last is the first under another name, the one before is of the test split."""
    folder = write_disks(tmp_path / "disks", splits=("",) * 5 + ("test", ""))
    shutil.copyfile(folder / "s0" / "sa.nii.gz", folder / "s6" / "sa.nii.gz")
    shutil.copyfile(folder / "s0" / "truth.nii.gz", folder / "s6" / "truth.nii.gz")
    return folder


@pytest.mark.parametrize("n", [2, 5])
def test_folds_are_nearly_equal_and_hold_every_patient_once(n):
    drawn = draw_folds([f"p{number}" for number in range(13)] * 2, n, seed=1)
    assert len(drawn) == 13
    counts = np.bincount(list(drawn.values()))[1:]
    assert counts.max() - counts.min() <= 1
    assert drawn != draw_folds(drawn, n, seed=2)


def test_more_folds_than_patients_are_refused():
    with pytest.raises(ValueError, match=r"n must be from 1 to the number of patients \(2\), got 3"):
        draw_folds(["a", "b"], 3, seed=0)


@pytest.mark.slow
def test_every_subject_is_answered_by_models_that_have_not_seen_it(data, tmp_path, monkeypatch):
    out = tmp_path / "search"
    run = search_in_folds(data, out, setup())
    folds = dict(run.folds.itertuples(index=False))
    assert set(folds) == {"s0", "s1", "s2", "s3", "s4", "s6"}  # not the test subject
    assert folds["s0"] == folds["s6"]  # twins
    for fold in (1, 2):
        splits = pd.read_csv(out / RECIPES[0] / f"fold_{fold}" / "splits.csv").dropna()
        by_split = splits.groupby("split")["subject"].agg(set)
        assert by_split["test"] == {s for s, number in folds.items() if number == fold}
        assert {"train", "val"} <= set(by_split.index)
        model = pd.read_csv(out / RECIPES[0] / f"fold_{fold}" / "answers" / "indices.csv")
        assert set(model["study"]) == by_split["test"]
    values, told = read_predictions(out)
    assert told == {subject: str(fold) for subject, fold in folds.items()}
    assert values.groupby("method").size().to_dict() == dict.fromkeys(RECIPES, 6 * 2)
    assert values[list(INDICES)].notna().all(axis=None)
    assert len(search_ensembles(values, told).members) > 0
    assert (out / "report.html").is_file()

    def fail(*arguments, **options):
        raise AssertionError("a finished run is trained again")

    monkeypatch.setattr(module, "train", fail)
    again = cross_validate(data, out, setup())
    pd.testing.assert_frame_equal(again.evaluation.errors, run.evaluation.errors)
    with pytest.raises(DataError, match="holds other folds"):
        cross_validate(data, out, setup(3))


def test_who_knows_nothing_answers_the_mean_of_the_other_folds(data, tmp_path, monkeypatch):
    def answered(config, catalog, folder, splits, listener):
        wanted = splits.loc[splits["split"] == "test", "subject"]
        rows = [(subject, 0, number) for subject in wanted for number in range(2)]
        table = pd.DataFrame(rows, columns=["subject", "frame", "slice"])
        return table.assign(**dict.fromkeys(INDICES, 1.0))

    monkeypatch.setattr(module, "_answered", answered)
    run = cross_validate(data, tmp_path / "search", setup(3, RECIPES[0]))
    values = run.evaluation.values
    mean = values[values["method"] == MEAN].merge(run.folds)
    for fold, part in mean.groupby("fold"):
        others = mean.loc[mean["fold"] != fold, "cavity_area_mm2_true"].mean()
        assert part["cavity_area_mm2"].tolist() == pytest.approx([others] * len(part))


def test_fewer_patients_than_folds_are_refused(data, tmp_path):
    with pytest.raises(DataError, match=r"5 patient\(s\) of .* too few for 6 folds"):
        cross_validate(data, tmp_path / "search", setup(6))
