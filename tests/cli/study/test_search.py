"""``cmrseg study search``: its arguments, its screen, its page."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from cmrseg.cli.study import app
from cmrseg.data.catalog import Catalog
from cmrseg.experiments import search as studies
from cmrseg.experiments.scoring import CHOSE, SCORE_COLUMNS, Examinations, Scored


@pytest.fixture
def seen(monkeypatch):
    """Configurations that would be trained; no training, made-up scores that prefer CE."""
    configs = []

    class Run:
        problems = ()

    def train(config, data, out, *, resume, listener, **settings):
        configs.append((config, settings))
        out.mkdir(parents=True, exist_ok=True)
        return Run()

    def score(run, config, examinations, options):
        recipe = str(config.recipe)
        worse = 0.0 if "_CE_" in recipe else 1.0
        rows = [
            (recipe, f"s{n}", "LV", metric, value, "", CHOSE)
            for n in range(3)
            for metric, value in (("ef_abs_error", 3 + n + worse), ("dice", 0.9 - worse / 10))
        ]
        return Scored(pd.DataFrame(rows, columns=list(SCORE_COLUMNS)), [])

    monkeypatch.setattr(studies, "train", train)

    def fixed(data, config, **settings):
        catalog = Catalog(pd.DataFrame({"subject": ["s0", "s1", "s2"]}))
        return Examinations(catalog, "the validation examinations of the data with masks")

    monkeypatch.setattr(studies, "score_run", score)
    monkeypatch.setattr(studies, "fixed_examinations", fixed)
    return configs


@pytest.fixture
def run(tmp_path):
    def call(*arguments):
        given = ["search", "--data", tmp_path / "data", "--out", tmp_path / "out", *arguments]
        return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(a) for a in given])

    return call


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--step", "loss=CE,DICE"], "leave the others out"),
        (["--by", "dice"], "leave the others out"),
        ([], "name at least one"),
        (["--recipes", "light2d_CE_a_s1"], "light2d_CE_a_s1 is none"),
    ],
)
def test_folds_are_for_networks_for_indices_and_take_nothing_of_a_search_by_steps(run, given, says, tmp_path):
    result = run("--folds", 3, *given)
    assert says in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_the_steps_that_are_given_are_searched_and_shown_in_80_columns(run, seen, tmp_path):
    result = run(
        "--from", "light2d_DICE_a_s4", "--step", "loss=DICE,CE", "--step", "augmentation=s3,s4", "--epochs", 2
    )
    assert result.exit_code == 0, result.output
    tried = [str(config.recipe) for config, _ in seen]
    assert tried == ["light2d_DICE_a_s4", "light2d_CE_a_s4", "light2d_CE_a_s3"]
    assert "best recipe: light2d_CE_a_s3" in result.output
    said = " ".join(result.output.split())
    assert "scored on the same 3 examinations: the validation examinations of the data with masks" in said
    assert "Of these examinations 3 chose the epoch of the model" in said
    assert max(len(line) for line in result.output.splitlines() if line[:1] in "┏┃┡│└") <= 80
    assert all(sum(stage.epochs for stage in config.schedule) == 2 for config, _ in seen)
    for name in ("search.csv", "scores.csv", "search.png", "report.html"):
        assert (tmp_path / "out" / name).stat().st_size > 0


def test_recipes_are_compared_by_dice(run, seen, tmp_path):
    result = run("--recipes", "light2d_DICE_a_s4, light2d_CE_a_s4", "--by", "dice")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "search.csv")
    assert table.loc[table["best"], "recipe"].tolist() == ["light2d_CE_a_s4"]


def test_confidence_sets_are_handed_to_the_training(run, seen, tmp_path):
    (tmp_path / "confidence.tsv").write_text("Id\n")
    run("--recipes", "light2d_CE_p5_s4", "--confidence", tmp_path)
    assert seen[0][1] == {"confidence": tmp_path}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--step", "los=CE"), "no part 'los'"),
        (("--step", "loss"), "at least one choice"),
        (("--recipes", "light2d_CE_a_s4", "--step", "loss=CE"), "either --recipes or --step"),
        (("--by", "luck"), "by must be one of"),
        (("--on", "test"), "on must be all or validation"),
        (("--recipes", "r34_CE_p5"), "has 3 parts"),
    ],
)
def test_wrong_arguments_are_told(run, seen, arguments, message):
    result = run(*arguments)
    assert isinstance(result.exception, ValueError)
    assert message in str(result.exception)
