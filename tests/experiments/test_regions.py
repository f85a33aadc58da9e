"""A study of regions: what it trains, what the bound is made of, and the whole way on disks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cmrseg.cine import Cine
from cmrseg.data.catalog import VolumeRef, read_catalog
from cmrseg.evaluation.region_classes import region_counts
from cmrseg.experiments.regions import (
    ClassifierPlan,
    RegionSetup,
    gap_table,
    plan_arms,
    region_study,
    true_regions,
)
from cmrseg.experiments.regions_report import region_study_report
from cmrseg.io.images import save_mask
from cmrseg.models.light_unet import LIGHT
from cmrseg.models.registry import ARCHITECTURES, Architecture, register
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.tasks.region import CLASSES
from cmrseg.training.config import train_config
from cmrseg.training.images import TrainingImages
from cmrseg.training.log import Listener
from cmrseg.training.options import TrainOptions
from cmrseg.training.split_images import SplitImages
from cmrseg.workflows.experiments import regions
from cmrseg.zoo.manifest import resolve
from cmrseg.zoo.model_file import ModelSpec, build_net, save_model
from tests.training.conftest import write_disks


def images_of(stacks, slices):
    """So many stacks of slices that all show a heart, base first."""
    masks = torch.zeros(stacks * slices, 8, 8, dtype=torch.uint8)
    for row in range(len(masks)):
        masks[row].view(-1)[: slices - row % slices] = 1
    places = tuple((f"s{n}", 0, z) for n in range(stacks) for z in range(slices))
    train = TrainingImages(masks, masks, torch.arange(len(masks))[:, None], places)
    return SplitImages(None, train, train, ("BACKGROUND", "LV"))


def test_all_segmenters_see_the_same_number_of_images():
    config = train_config("light2d_CE_x_s1", TrainOptions(epochs=30, batch_size=4))
    arms = plan_arms(config, images_of(8, 10), RegionSetup(), Path("out"))
    assert [arm.name for arm in arms] == ["all", "ratio4", "ratio20", "base", "middle", "apex"]
    assert [arm.images for arm in arms] == [80, 80, 80, 16, 48, 16]
    shown = [sum(s.epochs for s in arm.config.schedule) * arm.images for arm in arms]
    assert shown == [2400] * 6
    assert [arm.config.region for arm in arms] == ["", "", "", "base", "middle", "apex"]
    assert [arm.config.region_sampling for arm in arms] == [1, 4, 20, 1, 1, 1]


def test_a_region_that_no_image_shows_is_told():
    config = train_config("light2d_CE_x_s1")
    with pytest.raises(DataError, match="no training image shows the base"):
        plan_arms(config, images_of(2, 1), RegionSetup(), Path("out"))


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("r18", ClassifierPlan("r18")),
        ("sq11:random", ClassifierPlan("sq11", random=True)),
        ("v11:weighted:random", ClassifierPlan("v11", random=True, weighted=True)),
    ],
)
def test_classifiers_are_spelled_with_their_start(text, plan):
    assert ClassifierPlan.parse(text) == plan


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("r19", "unknown classifier 'r19'; did you mean r18"),
        ("r18:fast", "comes :random or :weighted, got 'fa"),
    ],
)
def test_unknown_classifiers_are_told(text, told):
    with pytest.raises(ValueError, match=told):
        ClassifierPlan.parse(text)


def test_the_bound_knows_the_regions_of_the_frames_that_were_contoured(tmp_path):
    mask = np.zeros((8, 8, 4, 1), np.uint8)
    for z, side in enumerate((0, 6, 4, 2)):
        mask[:side, :side, z] = 1
    path = save_mask(Cine(mask, (1.0, 1.0, 8.0)), tmp_path / "m.nii.gz")
    ref = VolumeRef("s", 2, "ED", "test", "cmrseg", (1.0, 1.0, 8.0), (0, 1, 2, 3), (path,) * 4, (path,) * 4)
    regions = true_regions((ref,), Cine(np.zeros((8, 8, 4, 1)), (1.0, 1.0, 8.0)))
    assert [CLASSES[n] for n in regions[0].argmax(axis=1)] == ["non-cardiac", "base", "middle", "apex"]


def test_gaps_are_those_of_a_count_by_hand():
    rows = [
        (method, structure, region, mean)
        for method, apex in (("one", 70.0), ("two", 80.0))
        for structure, shift in (("LV", 0.0), ("RV", 2.0))
        for region, mean in (("base", 80 + shift), ("middle", 90 + shift), ("apex", apex + shift))
    ]
    table = gap_table(pd.DataFrame(rows, columns=["method", "structure", "region", "mean"]))
    assert table["apex_gap"].tolist() == [20, 10]
    assert table["apex_closed_percent"].tolist() == [0, 50]
    assert table["base_closed_percent"].tolist() == [0, 0]


def test_regions_are_counted_where_contours_tell_them(tmp_path):
    data = write_disks(tmp_path / "disks", slices=5, splits=("val",))
    catalog = read_catalog(data)
    said = ["base", "middle", "apex", "middle", "non-cardiac"]
    rows = {"study": "s0", "frame": 0, "slice": range(5), "region": said}
    pd.DataFrame(rows).to_csv(tmp_path / "regions.csv", index=False)
    counts, problems = region_counts(tmp_path, catalog)
    assert problems == []
    assert counts.sum() == 5
    assert counts[2].tolist() == [0, 0, 2, 1]  # of three middle slices one was called apex
    assert counts[:, 1].sum() == counts[:, 0].sum() == 1


class Tiny(torch.nn.Module):
    """Regions from a mean."""

    def __init__(self, in_channels, outputs):
        super().__init__()
        self.encoder = torch.nn.Conv2d(in_channels, 4, 3)
        self.head = torch.nn.Linear(4, outputs)

    def forward(self, images):
        return self.head(self.encoder(images).mean(dim=(2, 3)))


@pytest.fixture
def classifier():
    """A tiny network in place of ResNet18."""
    before = ARCHITECTURES["r18-region"]
    register(Architecture("r18-region", Tiny, lambda net: net.encoder, defaults=LIGHT, task="region"))
    yield
    ARCHITECTURES["r18-region"] = before


@pytest.fixture
def setup(tmp_path):
    """A study of tiny networks that train for a moment."""
    spec = ModelSpec(
        "tiny", "light2d", ("BACKGROUND", "LV", "MYO", "RV"), Preprocessing(size=32), "light2d_CE_x_s1",
        arguments={"widths": [4, 8]},
    )  # fmt: skip
    base = save_model(spec, build_net(spec).state_dict(), tmp_path / "tiny.safetensors")
    plan = ClassifierPlan("r18", random=True, weighted=True)
    options = TrainOptions(epochs=1, batch_size=2)
    return RegionSetup(base, (plan,), options=options, classifier_epochs=1)


@pytest.mark.slow  # seven short trainings, twice
@pytest.mark.usefixtures("classifier")
def test_several_data_sets_and_seeds(tmp_path, setup):
    splits = ("train",) * 2 + ("val", "test")
    data = [write_disks(tmp_path / name, slices=5, splits=splits) for name in ("one", "two")]
    random = replace(setup, ratios=(), options=replace(setup.options, start="random"))
    found = regions(data, tmp_path / "out", random, seeds=(0, 1))
    assert [set(study.by_data) for study in found] == [{"one", "two"}] * 2
    subjects = {name: set(each.slices["subject"]) for name, each in found[0].by_data.items()}
    assert subjects == {"one": {"one_s2", "one_s3"}, "two": {"two_s2", "two_s3"}}
    table = pd.read_csv(tmp_path / "out" / "seeds.csv")
    assert set(table["seed"]) == {0, 1}
    assert "Over seeds" in (tmp_path / "out" / "report.html").read_text()
    seeds = [(tmp_path / "out" / f"seed{n}" / "splits.csv").read_text() for n in (0, 1)]
    assert seeds[0] == seeds[1]


@pytest.mark.slow  # short trainings
@pytest.mark.usefixtures("classifier")
def test_a_study_that_was_stopped_goes_on(tmp_path, setup):
    data = write_disks(tmp_path / "disks", slices=5, splits=("train",) * 2 + ("val", "test"))
    setup = replace(setup, ratios=(), options=replace(setup.options, epochs=2))
    batches = []

    def stop(images):
        batches.append(images)
        if len(batches) == 12:  # in the second network
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        region_study([data], tmp_path / "out", setup, listener=Listener(batch=stop))
    assert sorted(path.parent.name for path in (tmp_path / "out").glob("*/model.safetensors")) == ["all"]
    found = region_study([data], tmp_path / "out", setup)
    assert found.arms["arm"].tolist() == ["all", "base", "middle", "apex"]
    assert resolve(found.regional).members["base"].spec.training["region"] == "base"


@pytest.mark.slow  # seven short trainings
@pytest.mark.usefixtures("classifier")
def test_the_whole_way_and_once_more(tmp_path, setup):
    data = write_disks(tmp_path / "disks", slices=5, splits=("train",) * 3 + ("val", "test"))
    found = region_study([data], tmp_path / "out", setup)
    assert list(found.evaluation.slices["method"].unique()) == [
        "baseline", "ratio4", "ratio20", "classified regions", "true regions",
    ]  # fmt: skip
    assert resolve(found.regional).members["apex"].spec.training["images"] == 3
    assert found.classifiers["class"].tolist() == [*CLASSES, "weighted"]
    assert "Table 2" in str(region_study_report([found], {}).sections)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/model.safetensors")}
    again = region_study([data], tmp_path / "out", setup)
    assert again.by_data == {}
    assert again.evaluation.table3.equals(found.evaluation.table3)
    assert written == {path: path.stat().st_mtime_ns for path in written}  # nothing was trained twice
    with pytest.raises(DataError, match="was trained with other settings or data"):
        region_study([data], tmp_path / "out", replace(setup, options=replace(setup.options, epochs=2)))
