"""Keys of runs: what is finished stays, what has changed is noticed."""

import json
from dataclasses import make_dataclass, replace

import pytest

from cmrseg.experiments.keys import begin, finish, is_scored, masks_key, refuse_another, settings, sha256
from cmrseg.predict import AS_PUBLISHED, Options
from cmrseg.problems import DataError
from cmrseg.training.config import train_config
from cmrseg.training.options import TrainOptions


def test_a_key_depends_on_every_part_and_on_where_it_ends():
    assert sha256("a", "b") != sha256("a", "c")
    assert sha256("ab") != sha256("a", "b")


def test_masks_of_the_default_say_nothing_and_others_do():
    assert masks_key(Options()) == ()
    assert masks_key(AS_PUBLISHED) != ()


def test_a_field_that_is_added_with_a_default_changes_no_key():
    before = make_dataclass("Setup", [("epochs", int), ("lr", float, 0.1)], frozen=True)
    after = make_dataclass("Setup", [("epochs", int), ("lr", float, 0.1), ("new", str, "")], frozen=True)
    assert settings(before(3)) == settings(after(3))
    assert settings(after(3, new="x")) != settings(after(3))
    assert settings(before(3, lr=0.2)) != settings(before(3))


def test_the_key_of_a_configuration_names_what_is_unlike_the_defaults_only():
    config = train_config("light2d_CE_a_s1", TrainOptions(seed=5, structures=("LV",)))
    told = json.loads(settings(config))
    assert (told["recipe"], told["seed"], told["structures"]) == ("light2d_CE_a_s1", 5, ["LV"])
    assert not {"weights", "subset", "labels"} & set(told)
    assert settings(replace(config, weights="last")) != settings(config)
    assert settings(replace(config, schedule=config.schedule[:1] * 2)) != settings(config)


def test_a_run_is_scored_when_it_is_finished_with_the_same_key(tmp_path):
    begin(tmp_path, "key")
    assert not is_scored(tmp_path, "key")
    finish(tmp_path, "key")
    assert is_scored(tmp_path, "key")
    assert not is_scored(tmp_path, "another")


def test_a_run_goes_on_once_its_configuration_is_written(tmp_path):
    assert not begin(tmp_path, "key")
    (tmp_path / "config.json").write_text("{}")
    assert begin(tmp_path, "key")


def test_another_run_in_the_folder_is_refused(tmp_path):
    begin(tmp_path, "key")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match="other settings or data"):
        refuse_another(tmp_path, "another")
