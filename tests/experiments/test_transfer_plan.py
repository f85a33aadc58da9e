"""Which runs a transfer-learning study consists of."""

from dataclasses import replace

import pandas as pd
import pytest

from cmrseg.experiments import transfer_plan
from cmrseg.experiments.transfer import plan_study
from cmrseg.experiments.transfer_plan import STARTS, TransferSetup, as_many_images, possible_starts
from cmrseg.models.defaults import Stage
from cmrseg.problems import DataError
from cmrseg.training.log import Listener
from cmrseg.training.options import TrainOptions
from cmrseg.zoo.model_file import read_spec
from tests.experiments.conftest import write_model


@pytest.fixture
def plan(data, setup, tmp_path):
    """A function of overrides of the set-up: the runs by name."""

    def make(**overrides):
        planned = plan_study(data, tmp_path / "out", setup=setup(**overrides), listener=Listener())
        return {run.name: run for run in planned.runs}

    return make


# Runs


def test_every_start_gets_every_subset_and_seed(plan):
    runs = plan(sizes=None, kinds=("subjects", "random"), seeds=(0, 1))
    subsets = ("full", "v2", "v1", "r2", "r1")
    expected = {f"{start}_{name}_seed{seed}" for start in ("R", "TL2") for name in subsets for seed in (0, 1)}
    assert set(runs) == expected
    assert (runs["R_v2_seed0"].subjects, runs["R_v2_seed0"].images) == (2, 4)
    assert (runs["R_full_seed1"].subjects, runs["R_full_seed1"].images) == (4, 8)


@pytest.mark.slow  # builds a residual network
def test_starts_differ_in_their_weights_only(base, setup, monkeypatch, data, tmp_path):
    model = write_model(tmp_path / "r18.safetensors", architecture="r18", size=64)
    monkeypatch.setattr(transfer_plan, "load_imagenet", lambda *_: "ImageNet weights")
    given = setup(base=model, starts=STARTS)
    runs = plan_study(data, tmp_path / "out", setup=given, listener=Listener()).runs
    first = {run.start: run.config for run in runs if run.subset == "full"}
    assert {start: c.start for start, c in first.items()} == {
        "R": "random", "TL": "imagenet", "TL2": "base model"
    }  # fmt: skip
    alike = {repr(replace(config, start="", licence="")) for config in first.values()}
    assert len(alike) == 1
    assert first["R"].preprocessing == read_spec(model).preprocessing


def test_random_weights_do_not_carry_the_licence_of_the_base_model(plan):
    runs = plan()
    assert runs["R_full_seed0"].config.licence == "unstated"
    assert runs["TL2_full_seed0"].config.licence == "CC BY 4.0"


def test_all_runs_see_as_many_images_and_validate_as_often(plan):
    runs = plan(sizes=None, options=TrainOptions(epochs=12, batch_size=2)).values()
    assert {run.images_to_see for run in runs} == {96}
    validations = {
        sum(stage.epochs for stage in run.config.schedule) // run.config.validate_every for run in runs
    }
    assert validations == {12}


@pytest.mark.parametrize("images", [1, 15, 16, 20, 66, 120, 246])
def test_scaled_epochs_stay_within_one_epoch_per_stage(images, tiny):
    config = tiny(batch_size=16, schedule=(Stage(3, 1e-3, frozen=True), Stage(37, 1e-3)))
    scaled = as_many_images(config, images, 246)
    size = min(16, images)
    epoch = images // size * size  # of whole batches
    for stage, given in zip(scaled.schedule, config.schedule, strict=True):
        assert abs(stage.epochs * epoch - given.epochs * 240) <= epoch / 2
        assert (stage.lr, stage.frozen) == (given.lr, given.frozen)


def test_the_key_changes_with_what_changes_the_run_only(plan, base):
    key = plan()["TL2_v1_seed0"].key
    assert plan(kinds=("subjects", "random"), seeds=(0, 1))["TL2_v1_seed0"].key == key
    assert plan(sizes=(2, 1))["TL2_v1_seed0"].key == key
    assert plan(options=TrainOptions(epochs=3, batch_size=2, lr=1e-2))["TL2_v1_seed0"].key != key
    write_model(base, widths=[4, 12])
    assert plan()["TL2_v1_seed0"].key != key


# Starts


def starts_of(setup, model):
    said = []
    return possible_starts(setup, read_spec(model), Listener(note=said.append)), said


def test_imagenet_falls_away_where_there_are_no_weights(setup, base):
    starts, said = starts_of(setup(), base)
    assert starts == ("R", "TL2")
    assert said == ["TL falls away: there are no ImageNet weights for light2d"]


@pytest.mark.slow  # builds a residual network
def test_imagenet_falls_away_where_weights_cannot_be_had(setup, tmp_path, monkeypatch):
    model = write_model(tmp_path / "r18.safetensors", architecture="r18", size=64)

    def offline(*_):
        raise DataError("weights of r18 cannot be downloaded; name a file")

    monkeypatch.setattr(transfer_plan, "load_imagenet", offline)
    starts, said = starts_of(setup(base=model), model)
    assert starts == ("R", "TL2")
    assert said == ["TL falls away: weights of r18 cannot be downloaded"]
    with pytest.raises(DataError, match="cannot be downloaded"):
        starts_of(setup(base=model, starts=("TL",)), model)


@pytest.mark.parametrize("asked", [{"starts": ("TL", "TL2")}, {"imagenet": "weights.pth"}])
def test_imagenet_that_is_asked_for_must_be_there(setup, base, asked):
    with pytest.raises(DataError, match="no ImageNet weights for light2d"):
        starts_of(setup(**asked), base)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"starts": ("T2",)}, "unknown 'T2'"),
        ({"starts": ("R", "R")}, "once"),
        ({"kinds": ("subject",)}, "subjects"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"sizes": (1,), "subsets": "subsets.tsv"}, "not both"),
    ],
)
def test_wrong_set_ups_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TransferSetup(**wrong)


def test_a_plan_writes_its_tables_only(plan, tmp_path):
    plan()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["splits.csv", "subsets.tsv"]


def test_without_named_splits_every_run_has_the_same_one(data, setup, tmp_path):
    table = pd.read_csv(data / "catalog.csv").drop(columns="split")
    table.to_csv(data / "catalog.csv", index=False)
    given = setup(seeds=(3, 4), sizes=())
    plan = plan_study(data, tmp_path / "out", setup=given, listener=Listener())
    splits = pd.read_csv(tmp_path / "out" / "splits.csv", dtype=str)
    counts = splits["split"].value_counts()
    assert {run.subjects for run in plan.runs} == {counts["train"]}
    again = plan_study(data, tmp_path / "out", setup=setup(seeds=(4, 3), sizes=()), listener=Listener())
    assert {run.key for run in again.runs} == {run.key for run in plan.runs}
