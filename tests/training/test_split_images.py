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
from cmrseg.zoo.domain import read_domain


@pytest.fixture
def subsets(disks, tiny, tmp_path):
    """A table with v1 and r1, and the images that it was drawn from."""
    images = read_split_images([disks], tiny(), tmp_path, Listener())
    table = draw_subsets(images.catalog.select(["train"]).table)
    return write_subsets(table, tmp_path / "subsets.tsv"), table


def test_only_the_images_of_the_subset_are_trained_on(disks, tiny, tmp_path, subsets):
    path, table = subsets
    chosen = read_split_images([disks], tiny(subset=f"{path}:v1"), tmp_path, Listener())
    rows = table.loc[table["v1"], ["Id", "frame", "slice"]]
    assert set(chosen.train.places) == set(rows.itertuples(index=False, name=None))
    assert len(chosen.train) == len(chosen.train.neighbours) == 2


def test_validation_and_classes_are_those_of_all_images(disks, tiny, tmp_path, subsets):
    whole = read_split_images([disks], tiny(), tmp_path, Listener())
    part = read_split_images([disks], tiny(subset=f"{subsets[0]}:r1"), tmp_path, Listener())
    assert part.labels == whole.labels
    assert torch.equal(part.valid.images, whole.valid.images)
    assert torch.equal(part.train.images, whole.train.images)


def test_a_model_is_like_the_subjects_of_its_subset_alone(disks, tiny, tmp_path, subsets):
    path, table = subsets
    assert (table["Id"].nunique(), table.loc[table["v1"], "Id"].nunique()) == (3, 1)
    domain = read_domain(train(tiny(subset=f"{path}:v1"), disks, tmp_path / "out").model_file)
    assert (domain.studies, domain.data) == (1, "its 1 training subjects")


def test_structures_that_are_not_used_are_background_in_masks_and_evaluation(disks, tiny, tmp_path):
    said = []
    listener = Listener(note=said.append)
    whole = read_split_images([disks], tiny(), tmp_path, Listener())
    two = read_split_images([disks], tiny(structures=("LV", "MYO")), tmp_path, listener)
    assert (whole.labels, two.labels) == (("BACKGROUND", "LV", "MYO", "RV"), ("BACKGROUND", "LV", "MYO"))
    assert torch.equal(two.train.masks, whole.train.masks.where(whole.train.masks != 3, 0))
    assert {ref.labels for ref in two.catalog.volumes()} == {"cmrseg:LV,MYO"}
    assert said[-1:] == ["only the contours of LV, MYO are used; other structures are background"]


def test_a_structure_that_no_mask_shows_cannot_be_asked_for(make_disks, tiny, tmp_path):
    left = make_disks("left", right=False)
    with pytest.raises(DataError, match="no RV in the training masks; leave it out"):
        read_split_images([left], tiny(structures=("LV", "RV")), tmp_path, Listener())
    kept = read_split_images([left], tiny(structures=("LV", "RV")), tmp_path, Listener(), kept=("RV",))
    assert kept.labels == ("BACKGROUND", "LV", "RV")


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


def test_a_region_is_trained_and_validated_alone(tmp_path, tiny, make_disks):
    data = make_disks("stacks", slices=5)
    images = read_split_images(data, tiny(region="middle"), tmp_path / "run", Listener())
    assert len(images.train) == 3 * 3
    assert len(images.valid) == 3
    with pytest.raises(ValueError, match="region must be one of base, middle, apex, got 'mid'"):
        tiny(region="mid")
