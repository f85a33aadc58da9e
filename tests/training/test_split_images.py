"""Training on a subset of the images: the others are not learned from, everything else stays."""

import json

import pandas as pd
import pytest
import torch

from cmrseg.data.subsets import draw_subsets, write_subsets
from cmrseg.problems import DataError
from cmrseg.training.fit import train
from cmrseg.training.log import Listener
from cmrseg.training.split_images import read_split_images, told_of_subset


@pytest.fixture
def subsets(disks, tiny, tmp_path):
    """A table with v1 and r1, and the images that it was drawn from."""
    images = read_split_images(disks, tiny(), tmp_path, Listener())
    table = draw_subsets(images.catalog.select(["train"]).table)
    return write_subsets(table, tmp_path / "subsets.tsv"), table


def test_only_the_images_of_the_subset_are_trained_on(disks, tiny, tmp_path, subsets):
    path, table = subsets
    chosen = read_split_images(disks, tiny(subset=f"{path}:v1"), tmp_path, Listener())
    rows = table.loc[table["v1"], ["Id", "frame", "slice"]]
    assert set(chosen.train.places) == set(rows.itertuples(index=False, name=None))
    assert len(chosen.train) == len(chosen.train.neighbours) == 2


def test_validation_and_classes_are_those_of_all_images(disks, tiny, tmp_path, subsets):
    whole = read_split_images(disks, tiny(), tmp_path, Listener())
    part = read_split_images(disks, tiny(subset=f"{subsets[0]}:r1"), tmp_path, Listener())
    assert part.labels == whole.labels
    assert torch.equal(part.valid.images, whole.valid.images)
    assert torch.equal(part.train.images, whole.train.images)


def test_a_run_remembers_its_subset(disks, tiny, tmp_path, subsets):
    path, _ = subsets
    config = tiny(subset=f"{path}:v1")
    run = train(config, disks, tmp_path / "out")
    told = json.loads((run.out / "config.json").read_text())
    assert told["subset"] == f"{path}:v1"
    assert told["run"]["subset_sha256"] == told_of_subset(config)["subset_sha256"]
    assert pd.read_csv(run.out / "history.csv")["images_seen"].iloc[0] == 2


def test_a_run_is_not_resumed_with_other_images(disks, tiny, tmp_path, subsets):
    path, table = subsets
    train(tiny(subset=f"{path}:v1"), disks, tmp_path / "out")
    write_subsets(table.assign(v1=~table["v1"]), path)
    with pytest.raises(DataError, match="subset_sha256"):
        train(tiny(subset=f"{path}:v1"), disks, tmp_path / "out", resume=True)


def test_images_that_the_data_lacks_are_refused(disks, tiny, tmp_path, subsets):
    path, table = subsets
    write_subsets(table.assign(Id=table["Id"].replace({"s0": "elsewhere"}), v1=True), path)
    with pytest.raises(DataError, match=r"2 of the 6 images of subset .* are no training images"):
        train(tiny(subset=f"{path}:v1"), disks, tmp_path / "out")


def test_an_unknown_subset_is_refused_by_name(disks, tiny, tmp_path, subsets):
    with pytest.raises(ValueError, match="unknown subset 'v2'"):
        train(tiny(subset=f"{subsets[0]}:v2"), disks, tmp_path / "out")
