"""One training on several data sets, each with its layout, labels, splits and structures."""

from dataclasses import replace

import pandas as pd
import pytest

from cmrseg.data.together import subject_in
from cmrseg.partial_labels import FIRST_CODE
from cmrseg.problems import DataError, Problem
from cmrseg.training.fit import train
from cmrseg.training.images import join_images
from cmrseg.training.log import Listener
from cmrseg.training.split_images import read_split_images


@pytest.fixture
def both(make_disks):
    """One set with an RV, and one in which nobody contoured it although it is seen."""
    return [make_disks("whole"), make_disks("left", hide=(3,), slices=4, splits=("train", "val"))]


def test_a_structure_that_a_set_does_not_contour_is_unknown_there(both, tiny, tmp_path):
    found = read_split_images(both, tiny(), tmp_path, Listener())
    assert found.labels == ("BACKGROUND", "LV", "MYO", "RV")
    unknown = (found.train.masks >= FIRST_CODE).flatten(1).any(dim=1).tolist()
    assert unknown == [name == "left" for name in found.train.data_sets]
    assert found.train.data_sets == ("whole",) * 6 + ("left",) * 4


def test_rows_show_their_own_images(both, tiny, tmp_path):
    found = read_split_images(both, tiny(), tmp_path, Listener()).train
    alone = read_split_images(both[1:], tiny(), tmp_path, Listener()).train
    assert found.places[6:] == tuple((subject_in("left", s), t, z) for s, t, z in alone.places)
    assert (found.images[found.neighbours[6:, 0]] == alone.images[alone.neighbours[:, 0]]).all()


def test_a_scheme_for_every_set(both, tiny, tmp_path):
    swapped = read_split_images(both, tiny(labels="+LV=2,MYO=1,RV=3"), tmp_path, Listener()).train
    plain = read_split_images(both, tiny(), tmp_path, Listener()).train
    assert ((swapped.masks == 1) == (plain.masks == 1)).flatten(1).all(1).tolist() == [True] * 6 + [False] * 4
    with pytest.raises(DataError, match=r"3 label schemes for 2 data set\(s\)"):
        read_split_images(both, tiny(labels="acdc+mnms+acdc"), tmp_path, Listener())


def test_scores_are_told_of_every_set_and_their_mean_chooses_the_epoch(both, tiny, tmp_path):
    run = train(tiny(), both, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "history_by_data.csv")
    assert table["data"].tolist() == ["whole", "left"] * 2
    assert table["images"].tolist() == [2, 4] * 2
    assert table.loc[table["data"] == "left", "dice_RV"].isna().all()
    columns = ["dice_LV", "dice_MYO", "dice_RV"]
    scores = table.assign(score=table[columns].mean(axis=1)).groupby("epoch")["score"].mean()
    assert run.state.best_score == pytest.approx(scores.max())
    assert run.state.best_epoch == scores.idxmax()


def test_splits_stay_per_set_and_a_resumed_run_has_them(both, tiny, tmp_path):
    (both[1] / "catalog.csv").write_text((both[1] / "catalog.csv").read_text().replace("val", "train"))
    run = train(tiny(), both, tmp_path / "out")
    splits = pd.read_csv(tmp_path / "out" / "splits.csv", index_col="subject")["split"]
    assert {name[:4] for name in splits.index[splits == "val"]} == {"whol", "left"}
    other = read_split_images(both, tiny(seed=5), tmp_path / "out", Listener())
    assert dict(run.catalog.table[["subject", "split"]].to_numpy()) == splits.to_dict()
    assert {s for s, _, _ in other.valid.places} == set(splits.index[splits == "val"])


def test_what_was_left_out_is_named_with_its_set(both, tiny, tmp_path):
    found = [read_split_images([root], tiny(), tmp_path, Listener()).train for root in both]
    damaged_part = replace(found[0], problems=(Problem("s0", "unreadable", "left out"),))
    joined = join_images({"whole": damaged_part, "left": found[1]})
    assert [problem.study for problem in joined.problems] == ["whole_s0"]
