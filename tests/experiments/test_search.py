"""The parameter search: what is tried, what wins, what is kept; once with real training of a tiny network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.data.catalog import Catalog
from cmrseg.experiments import search as studies
from cmrseg.experiments.scoring import ALL, CHOSE, SCORE_COLUMNS, TRAINED, VALIDATION, Examinations, Scored
from cmrseg.experiments.search import PAPER_START, PAPER_STEPS, SearchSetup, Step, search
from cmrseg.io.images import save_image, save_mask
from cmrseg.predict import AS_PUBLISHED, Options
from cmrseg.problems import DataError, Problem
from cmrseg.training.options import TrainOptions

ROLES = (TRAINED, CHOSE, "")
PROBLEM = Problem("s9", "unreadable", "left out")
EF_ERRORS = {  # points; the loss of the best architecture decides the second step
    "v16_CE_p5_s1": 4.1,
    "r34_CE_p5_s1": 3.6,
    "r50_CE_p5_s1": 3.7,
    "r34_DICE_p5_s1": 3.9,
    "r34_focal_p5_s1": 3.75,
    "r34_CE_p10_s1": 3.77,
    "r34_CE_p15_s1": 3.73,
}


@pytest.fixture
def trained(monkeypatch):
    """Recipes in the order in which they are trained; their scores are those of the table above."""
    recipes = []

    class Run:
        problems = ()

        def __init__(self, out: Path) -> None:
            self.out = out

    def train(config, data, out, *, resume, listener, **settings):
        recipes.append((str(config.recipe), resume))
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text("{}")
        return Run(out)

    def score(run, config, examinations, options):
        recipe = str(config.recipe)
        errors = EF_ERRORS[recipe] + np.array([-1.0, 0.0, 1.0])
        rows = [
            (recipe, f"s{n}", "LV", "ef_abs_error", error, "points", role)
            for n, (error, role) in enumerate(zip(errors, ROLES, strict=True))
        ]
        return Scored(pd.DataFrame(rows, columns=list(SCORE_COLUMNS)), [PROBLEM])

    def fixed(data, config, **settings):
        return Examinations(Catalog(pd.DataFrame({"subject": ["s0", "s1", "s2"]})), "all with true volumes")

    monkeypatch.setattr(studies, "train", train)
    monkeypatch.setattr(studies, "score_run", score)
    monkeypatch.setattr(studies, "fixed_examinations", fixed)
    return recipes


def names(trained):
    return [recipe for recipe, _ in trained]


def test_the_paper_search_tries_seven_recipes_and_ends_with_the_published_one(trained, tmp_path):
    run = search(tmp_path / "data", tmp_path / "out", start=PAPER_START, steps=PAPER_STEPS)
    assert names(trained) == list(EF_ERRORS)
    assert run.best == "r34_CE_p5_s1"
    assert run.table.groupby("step", sort=False)["best"].sum().tolist() == [1, 1, 1]
    assert run.table["step"].tolist() == ["1 architecture"] * 3 + ["2 loss"] * 3 + ["3 train_set"] * 3


def test_statistics_are_those_of_the_subjects(trained, tmp_path):
    run = search(tmp_path / "data", tmp_path / "out", steps=[Step("loss", ("CE",))])
    row = run.table.iloc[0]
    assert row[["mean", "sd", "median", "iqr", "n"]].tolist() == pytest.approx([3.6, 1.0, 3.6, 1.0, 3])


def test_the_best_of_a_step_goes_on(trained, tmp_path):
    steps = [Step("architecture", ("v16",)), Step("architecture", ("r50", "r34"))]
    assert (
        search(tmp_path / "data", tmp_path / "out", start="v16_CE_p5_s1", steps=steps).best == "r34_CE_p5_s1"
    )


def test_a_list_of_recipes_is_one_step(trained, tmp_path):
    run = search(
        tmp_path / "data", tmp_path / "out", steps=[Step("recipe", ("r50_CE_p5_s1", "v16_CE_p5_s1"))]
    )
    assert names(trained) == ["r50_CE_p5_s1", "v16_CE_p5_s1"]
    assert run.best == "r50_CE_p5_s1"


def test_settings_of_a_listed_network_need_not_suit_the_start(trained, tmp_path, monkeypatch):
    (tmp_path / "train.toml").write_text("arguments = {widths = [4, 8]}\n")  # r34, the start, has none
    monkeypatch.setitem(EF_ERRORS, "light2d_CE_p5_s1", 4.0)
    steps = [Step("recipe", ("light2d_CE_p5_s1",))]
    setup = SearchSetup(TrainOptions(tmp_path / "train.toml"))
    search(tmp_path / "data", tmp_path / "out", steps=steps, setup=setup)
    assert names(trained) == ["light2d_CE_p5_s1"]


def test_a_second_call_trains_nothing_and_finds_the_same(trained, tmp_path):
    first = search(tmp_path / "data", tmp_path / "out")
    count = len(trained)
    again = search(tmp_path / "data", tmp_path / "out")
    assert len(trained) == count
    pd.testing.assert_frame_equal(first.table, again.table)


def test_problems_are_told_by_the_second_call_too(trained, tmp_path):
    steps = [Step("loss", ("CE",))]
    assert search(tmp_path / "data", tmp_path / "out", steps=steps).problems == [PROBLEM]
    assert search(tmp_path / "data", tmp_path / "out", steps=steps).problems == [PROBLEM]
    assert (tmp_path / "out" / "problems.tsv").exists()


def test_a_run_with_other_settings_is_refused(trained, tmp_path):
    steps = [Step("loss", ("CE",))]
    search(tmp_path / "data", tmp_path / "out", steps=steps)
    with pytest.raises(DataError, match="trained with other settings or data; name another --out"):
        search(
            tmp_path / "data",
            tmp_path / "out",
            steps=steps,
            setup=SearchSetup(options=TrainOptions(epochs=4)),
        )


def test_another_truth_is_scored_again_without_training(trained, tmp_path, monkeypatch):
    truth = tmp_path / "truth.csv"
    truth.write_text("Id,Systole,Diastole\ns0,40,100\n")
    steps, setup = [Step("loss", ("CE",))], SearchSetup(truth=truth)
    search(tmp_path / "data", tmp_path / "out", steps=steps, setup=setup)
    search(tmp_path / "data", tmp_path / "out", steps=steps, setup=setup)
    truth.write_text("Id,Systole,Diastole\ns0,50,100\n")
    search(tmp_path / "data", tmp_path / "out", steps=steps, setup=setup)
    assert trained == [("r34_CE_p5_s1", False), ("r34_CE_p5_s1", True)]


def test_masks_as_published_are_scored_again_without_training(trained, tmp_path, monkeypatch):
    given, score = [], studies.score_run
    monkeypatch.setattr(studies, "score_run", lambda *a: given.append(a[-1]) or score(*a))
    for as_published in (False, True, True):
        setup = SearchSetup(as_published=as_published)
        search(tmp_path / "data", tmp_path / "out", steps=[Step("loss", ("CE",))], setup=setup)
    assert given == [Options(), AS_PUBLISHED]
    assert trained == [("r34_CE_p5_s1", False), ("r34_CE_p5_s1", True)]  # resumed: finished, nothing to do


def test_a_run_that_was_stopped_goes_on(trained, tmp_path):
    steps = [Step("loss", ("CE",))]
    search(tmp_path / "data", tmp_path / "out", steps=steps)
    (tmp_path / "out" / "r34_CE_p5_s1" / "scores.key").unlink()
    search(tmp_path / "data", tmp_path / "out", steps=steps)
    assert trained[-1] == ("r34_CE_p5_s1", True)


@pytest.mark.parametrize("second", [Step("augmentation", ("s99",)), Step("size", ("big",))])
def test_what_is_wrong_is_told_before_the_first_training(trained, tmp_path, second):
    with pytest.raises(ValueError, match=r"s99|big"):
        search(tmp_path / "data", tmp_path / "out", steps=[Step("loss", ("CE",)), second])
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        search(tmp_path / "data", tmp_path / "out", setup=SearchSetup(truth=tmp_path / "nowhere.csv"))
    assert trained == []


def test_what_scored_examinations_were_to_the_model_is_told(trained, tmp_path):
    run = search(tmp_path / "data", tmp_path / "out", steps=[Step("loss", ("CE", "DICE"))])
    assert run.table[["trained", "chose_epoch"]].to_numpy().tolist() == [[1, 1], [1, 1]]
    same, learned, chose = run.sentences
    assert same == "All recipes are scored on the same 3 examinations: all with true volumes."
    assert learned.startswith("Of these examinations 1 were trained on")
    assert chose.startswith("Of these examinations 1 chose the epoch of the model")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, VALIDATION), ({"truth": Path("t.csv")}, ALL), ({"truth": Path("t.csv"), "by": "dice"}, VALIDATION)],
)
def test_true_volumes_score_all_examinations_and_masks_those_that_validate(settings, expected):
    assert SearchSetup(**settings).scored_on == expected
    assert SearchSetup(**settings, on=ALL).scored_on == ALL
    with pytest.raises(ValueError, match="on must be all or validation, got 'test'"):
        SearchSetup(**settings, on="test")


def test_without_the_deciding_score_the_way_out_is_told(trained, tmp_path):
    with pytest.raises(DataError, match=r"has no dice .*--by dice"):
        search(
            tmp_path / "data", tmp_path / "out", steps=[Step("loss", ("CE",))], setup=SearchSetup(by="dice")
        )


@pytest.mark.parametrize(
    ("part", "choices", "message"),
    [("los", ("CE",), "no part 'los'.*loss"), ("loss", (), "at least one choice")],
)
def test_wrong_steps(part, choices, message):
    with pytest.raises(ValueError, match=message):
        Step(part, choices)


def test_a_wrong_choice_is_named():
    with pytest.raises(ValueError, match="unknown loss 'CEE'"):
        Step("loss", ("CEE",)).candidates(PAPER_START)


def write_beating_disks(folder: Path) -> Path:
    """Four subjects of two frames whose cavity shrinks: an EF can be measured."""
    x, y = np.ogrid[:32, :32]
    r = np.hypot(x - 16, y - 16)
    rows = []
    for number, split in enumerate(["train", "train", "train", "val"]):
        frames = [np.where(r <= a, 1, np.where(r <= a + 3, 2, 0)) for a in (7 - number / 4, 4)]
        mask = np.stack([np.repeat(f[..., None], 2, axis=2) for f in frames], axis=3).astype(np.uint8)
        image = np.array([0.1, 1.0, 0.4], np.float32)[mask]
        save_image(Cine(image, (1.5, 1.5, 8.0)), folder / f"s{number}" / "sa.nii.gz")
        save_mask(Cine(mask, (1.5, 1.5, 8.0)), folder / f"s{number}" / "truth.nii.gz")
        rows += [
            {"subject": f"s{number}", "image": f"s{number}/sa.nii.gz", "mask": f"s{number}/truth.nii.gz",
             "frame": frame, "phase": phase, "split": split}
            for frame, phase in enumerate(("ED", "ES"))
        ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "catalog.csv", index=False)
    return folder


@pytest.mark.slow
def test_a_tiny_network_is_searched_for_real(tmp_path):
    data = write_beating_disks(tmp_path / "data")
    config = tmp_path / "train.toml"
    config.write_text(
        "batch_size = 4\nbf16 = false\narguments = {widths = [4, 8]}\npreprocessing = {size = 32}\n"
    )
    truth = tmp_path / "truth.csv"
    pd.DataFrame({"Id": [f"s{n}" for n in range(4)], "Systole": 40.0, "Diastole": 100.0}).to_csv(
        truth, index=False
    )
    setup = SearchSetup(TrainOptions(config, epochs=1), None, truth)
    run = search(
        data,
        tmp_path / "out",
        start="light2d_CE_disks_s1",
        steps=[Step("loss", ("CE", "hybrid"))],
        setup=setup,
    )
    assert set(run.scores["metric"]) == {"dice", "ef_abs_error"}
    assert run.table[["n", "trained", "chose_epoch"]].to_numpy().tolist() == [[4, 3, 1], [4, 3, 1]]
    roles = run.scores[run.scores["metric"] == "ef_abs_error"].drop_duplicates("subject").set_index("subject")
    assert roles["role"].to_dict() == {"s0": TRAINED, "s1": TRAINED, "s2": TRAINED, "s3": CHOSE}
    assert (tmp_path / "out" / "search.csv").exists()
    assert run.best in {"light2d_CE_disks_s1", "light2d_hybrid_disks_s1"}
