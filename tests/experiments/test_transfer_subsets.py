"""The subsets of a transfer-learning study."""

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.data.subsets import read_subsets
from cmrseg.experiments.transfer import plan_study
from cmrseg.io.images import save_image, save_mask
from cmrseg.problems import DataError
from cmrseg.training.log import Listener
from tests.training.conftest import SPACING, ring


def write_cines(folder, contoured):
    """Three subjects with cines of two slices; `contoured` gives the radius of the LV by frame."""
    rows = []
    for number, split in enumerate(("train", "train", "val")):
        name = f"s{number}"
        frames = [ring(contoured[t], right=True) if t in contoured else np.zeros((32, 32)) for t in range(5)]
        mask = np.stack([np.stack([frame] * 2, axis=2) for frame in frames], axis=3).astype(np.uint8)
        save_image(Cine(mask.astype(np.float32) + 1, SPACING), folder / name / "sa.nii.gz")
        save_mask(Cine(mask, SPACING), folder / name / "truth.nii.gz")
        rows.append((name, f"{name}/sa.nii.gz", f"{name}/truth.nii.gz", split))
    table = pd.DataFrame(rows, columns=["subject", "image", "mask", "split"])
    table.to_csv(folder / "catalog.csv", index=False)
    return folder


@pytest.fixture
def tables(setup, tmp_path):
    """A function of data and overrides: tables of subsets, and what was said."""

    def make(data, **overrides):
        said = []
        plan_study(data, tmp_path / "out", setup=setup(**overrides), listener=Listener(note=said.append))
        return [read_subsets(path) for path in sorted((tmp_path / "out").glob("subsets*.tsv"))], said

    return make


def names(table):
    return [column for column in table if column not in ("file", "Id", "frame", "slice")]


def test_every_seed_draws_its_own_subjects(tables, data):
    found, _ = tables(data, seeds=(0, 1, 2, 3, 4, 5))
    assert len(found) == 6
    assert len({table.loc[table["v1"], "Id"].iloc[0] for table in found}) > 1


def test_kinds_choose_the_subsets_without_changing_them(tables, data):
    (both,), _ = tables(data, kinds=("subjects", "random"))
    (chance,), _ = tables(data, kinds=("random",))
    assert (names(both), names(chance)) == (["v1", "r1"], ["r1"])
    assert chance["r1"].equals(both["r1"])


def test_frames_without_contours_are_in_no_subset(tables, tmp_path):
    (table,), _ = tables(write_cines(tmp_path / "cines", {0: 7, 1: 6, 3: 4}), kinds=("esed",))
    assert sorted(table["frame"].unique()) == [0, 1, 3]
    assert sorted(table.loc[table["esed"], "frame"].unique()) == [0, 3]
    assert table["esed"].sum() == table["r_esed"].sum() == 2 * 2 * 2
    frames = pd.read_csv(tmp_path / "out" / "esed_frames.tsv", sep="\t")
    assert frames.to_numpy().tolist() == [["s0", 3, 0], ["s1", 3, 0]]


@pytest.mark.parametrize(
    ("contoured", "sentence"),
    [
        ({0: 7, 3: 4}, "esed falls away: ED and ES are all frames that are contoured"),
        ({0: 7}, "esed falls away: no training subject has ED and ES frames (only one frame)"),
    ],
)
def test_esed_falls_away_where_it_is_no_real_subset(tables, tmp_path, contoured, sentence):
    (table,), said = tables(write_cines(tmp_path / "cines", contoured), kinds=("subjects", "esed"))
    assert names(table) == ["v1"]
    assert sentence in said


@pytest.fixture
def given(data, setup, tables, tmp_path):
    """A function that changes the drawn table; the table file that is then given."""

    def make(change):
        (table,), _ = tables(data, sizes=(2, 1))
        path = tmp_path / "given.tsv"
        change(table).replace({True: "TRUE", False: "FALSE"}).to_csv(path, sep="\t", index=False)
        return path

    return make


def test_a_given_table_is_used_for_all_seeds(data, setup, given, tmp_path):
    path = given(lambda table: table.rename(columns={"v1": "young"}))
    chosen = setup(subsets=path, sizes=None, kinds=("subjects",), seeds=(0, 1))
    runs = plan_study(data, tmp_path / "out", setup=chosen, listener=Listener()).runs
    assert {(run.subset, run.seed) for run in runs} == {
        (name, seed) for name in ("full", "v2", "young") for seed in (0, 1)
    }
    assert {run.config.subset.rpartition(":")[0] for run in runs} == {str(tmp_path / "out" / "subsets.tsv")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.replace({"Id": {"s0": "s9"}}), "2 of the 8 images .* leave their rows out"),
        (lambda table: table.rename(columns={"v1": "../v1"}), r"not \.\./v1; rename"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(data, setup, given, tmp_path, change, message):
    chosen = setup(subsets=given(change), sizes=None)
    with pytest.raises(DataError, match=message):
        plan_study(data, tmp_path / "out", setup=chosen, listener=Listener())


def test_a_subject_without_ed_and_es_is_a_problem_of_esed_only(tables, data, setup, tmp_path):
    cines = write_cines(tmp_path / "cines", {0: 7, 1: 6, 3: 4})
    mask = np.zeros((32, 32, 2, 5), np.uint8)
    mask[..., 0] = ring(6, right=True)[..., None]
    save_mask(Cine(mask, SPACING), cines / "s1" / "truth.nii.gz")
    for kinds, expected in ((("esed",), ["s1"]), (("subjects",), [])):
        plan = plan_study(cines, tmp_path / "out", setup=setup(kinds=kinds), listener=Listener())
        assert [problem.study for problem in plan.problems] == expected
