"""The examinations that all recipes of a search are scored on."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog
from cmrseg.experiments.scoring import CHOSE, TRAINED, ef_errors, fixed_examinations, roles, told_of_roles
from cmrseg.io.images import save_image, save_mask
from cmrseg.problems import DataError
from cmrseg.training.config import train_config

CONFIG = train_config("light2d_CE_p5_s4")


@pytest.fixture
def data(tmp_path):
    """Examinations 1 to 4 and a rotated version of 4; 3 has no mask."""
    folder, rows = tmp_path / "data", []
    for name in ("1", "2", "3", "4", "4_rot90"):
        save_image(Cine(np.ones((8, 8, 1, 1), np.float32), (1.5, 1.5, 8.0)), folder / name / "sa.nii.gz")
        save_mask(Cine(np.ones((8, 8, 1, 1), np.uint8), (1.5, 1.5, 8.0)), folder / name / "seg.nii.gz")
        mask = "" if name == "3" else f"{name}/seg.nii.gz"
        rows.append({"subject": name, "image": f"{name}/sa.nii.gz", "mask": mask, "frame": 0})
    pd.DataFrame(rows).to_csv(folder / "catalog.csv", index=False)
    return folder


@pytest.fixture
def truth(tmp_path):
    """True volumes as the challenge gave them: 1 and 9 to train, 3 and 4 to validate."""
    folder = tmp_path / "truth"
    folder.mkdir()
    (folder / "train.csv").write_text("Id,Systole,Diastole\n1,40,100\n9,40,100\n")
    (folder / "validate.csv").write_text("Id,Systole,Diastole\n3,40,100\n4,40,100\n")
    return folder


def test_all_with_a_truth_are_scored_and_the_others_told(data, truth):
    found = fixed_examinations(data, CONFIG, on="all", truth=truth)
    assert found.subjects == ["1", "3", "4_rot90"]
    assert found.which == "all with true volumes"
    assert [(p.study, p.problem) for p in found.problems] == [("2", "no true volumes")]


def test_the_official_validation_examinations_are_those_of_the_challenge(data, truth):
    found = fixed_examinations(data, CONFIG, on="validation", truth=truth)
    assert found.subjects == ["3", "4_rot90"]
    assert found.which == "the official validation examinations with true volumes"


def test_the_confidence_table_tells_the_official_sets_whatever_the_confidence(data, tmp_path):
    table = tmp_path / "confidence.tsv"
    table.write_text("Id\tset\tconfidence\n1\ttrain\t0.01\n2\tvalidate\t0.9\n4_rot90\tvalidate\t0.01\n")
    found = fixed_examinations(data, CONFIG, on="validation", confidence=table)
    assert found.subjects == ["2", "4_rot90"]


def test_without_true_volumes_those_with_masks_are_scored(data):
    assert fixed_examinations(data, CONFIG, on="all").subjects == ["1", "2", "4_rot90"]


def test_splits_beside_the_data_win(data, truth):
    (data / "splits.csv").write_text("subject,split\n1,val\n2,val\n3,train\n4,train\n4_rot90,train\n")
    found = fixed_examinations(data, CONFIG, on="validation", truth=truth)
    assert found.subjects == ["1"]
    assert found.which == "the validation examinations of the data with true volumes"


def test_no_examination_at_all_is_one_sentence(data, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("Id,Systole,Diastole\n77,40,100\n")
    with pytest.raises(DataError, match=r"no examination to score the recipes on .*knows none of 1, 2, 3"):
        fixed_examinations(data, CONFIG, on="all", truth=other)


def test_roles_are_those_of_the_split_of_the_run():
    table = pd.DataFrame({"subject": ["a", "a", "b", "c"], "split": ["train", "train", "val", "test"]})
    run = SimpleNamespace(catalog=Catalog(table))
    assert roles(run) == {"a": TRAINED, "b": CHOSE}
    assert roles(run, "last") == {"a": TRAINED}  # nothing was chosen


def test_roles_that_no_examination_has_are_not_told():
    table = pd.DataFrame({"recipe": ["a", "b"], "trained": [0, 0], "chose_epoch": [27, 92]})
    (sentence,) = told_of_roles(table)
    assert sentence.startswith("Of these examinations 27 to 92, by recipe, chose the epoch of the model")


def test_a_study_without_predicted_lv_is_off_by_100_points_and_an_unknown_one_has_no_error():
    summary = pd.DataFrame({"study": ["a", "b", "c"], "EF_percent": [55.0, np.nan, 60.0]})
    truth = pd.DataFrame({"Id": ["a", "b"], "set": "x", "ESV_ml": 40.0, "EDV_ml": 100.0, "EF_percent": 60.0})
    table = ef_errors(summary, truth)
    assert table["value"].tolist() == [5.0, 100.0]
    assert table["subject"].tolist() == ["a", "b"]
