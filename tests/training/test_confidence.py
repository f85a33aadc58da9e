"""Training on a confidence set: who trains, who validates, and what a resumed run refuses."""

import json

import pandas as pd
import pytest
import torch

from cmrseg.models.defaults import Stage
from cmrseg.problems import DataError
from cmrseg.training import log
from cmrseg.training.fit import train
from cmrseg.training.log import Listener

RECIPE = "light2d_CE_p5_s1"


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch):
    monkeypatch.setattr("cmrseg.training.loaders.default_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(log, "CHECKPOINT_EVERY_S", -1.0)


@pytest.fixture
def data(make_disks):
    """Five subjects without splits."""
    return make_disks("curated", splits=("",) * 5)


@pytest.fixture
def folder(tmp_path):
    """Of s0 to s4 all but s1 lie within 5 %; s3 is an official validation examination."""
    ids = [f"s{i}" for i in range(5)] + ["77"]
    rows = {"Id": ids, "set": ["train", "train", "test", "validate", "train", "train"]}
    rows["confidence"] = [0.01, 0.2, 0.03, 0.04, 0.05, 0.0]
    (tmp_path / "sets").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "sets" / "confidence.tsv", sep="\t", index=False)
    return tmp_path / "sets"


def stop_after(epochs):
    def epoch(row):
        if row["epoch"] == epochs:
            raise KeyboardInterrupt

    return Listener(epoch=epoch)


def test_only_the_set_trains_and_the_official_examinations_validate(data, folder, tmp_path, tiny):
    said = []
    config = tiny(RECIPE, schedule=(Stage(1, 1e-2),))
    run = train(config, data, tmp_path / "out", confidence=folder, listener=Listener(note=said.append))
    splits = pd.read_csv(run.out / "splits.csv").set_index("subject")["split"].to_dict()
    assert splits == {"s0": "train", "s2": "train", "s3": "val", "s4": "train"}
    assert "confidence set p5: 3 train, 1 val" in said
    assert "1 subject(s) of the data are not in set p5: s1" in said
    assert "1 examination(s) of set p5 are not in the data: 77" in said
    given = json.loads((run.out / "config.json").read_text())["run"]
    assert len(given["confidence_sha256"]) == 64


def test_a_run_resumes_with_the_same_table_wherever_it_lies(data, folder, tmp_path, tiny):
    config = tiny(RECIPE)
    with pytest.raises(KeyboardInterrupt):
        train(config, data, tmp_path / "out", confidence=folder, listener=stop_after(1))
    moved = folder.rename(tmp_path / "moved")
    run = train(config, data, tmp_path / "out", confidence=moved, resume=True)
    assert len(pd.read_csv(run.out / "history.csv")) == 2


def test_another_table_or_none_cannot_go_on_with_a_run(data, folder, tmp_path, tiny):
    config = tiny(RECIPE, schedule=(Stage(1, 1e-2),))
    train(config, data, tmp_path / "with", confidence=folder)
    train(config, data, tmp_path / "without")
    with pytest.raises(DataError, match=r"with confidence_sha256 \w+, not none"):
        train(config, data, tmp_path / "with", resume=True)
    with pytest.raises(DataError, match=r"with confidence_sha256 none, not \w+"):
        train(config, data, tmp_path / "without", confidence=folder, resume=True)
    table = folder / "confidence.tsv"
    table.write_text(table.read_text().replace("0.03", "0.02"))
    with pytest.raises(DataError, match=r"with confidence_sha256 \w+, not \w+"):
        train(config, data, tmp_path / "with", confidence=folder, resume=True)


def test_a_recipe_without_a_set_is_refused_before_anything_is_written(data, folder, tmp_path, tiny):
    with pytest.raises(DataError, match="'disks' of the recipe is no confidence set"):
        train(tiny(), data, tmp_path / "out", confidence=folder)
    assert not (tmp_path / "out").exists()


def test_a_set_that_is_named_but_not_given_is_said(data, tmp_path, tiny):
    said = []
    train(tiny(RECIPE), data, tmp_path / "out", listener=Listener(note=said.append))
    assert "p5 names a confidence set, but without --confidence all of the data is used" in said
