"""Slices to regions of the heart: targets, scores, a run from disks to regions.csv."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cmrseg.cine import Cine
from cmrseg.models import ARCHITECTURES, Architecture, register
from cmrseg.models.defaults import Stage
from cmrseg.models.light_unet import LIGHT
from cmrseg.predict import Options, predict
from cmrseg.preprocess import Preprocessing
from cmrseg.tasks import get_task
from cmrseg.tasks.region import CLASSES
from cmrseg.tasks.region_training import RegionScores
from cmrseg.training.config import train_config
from cmrseg.training.fit import train
from cmrseg.training.log import Listener
from cmrseg.training.split_images import read_split_images
from cmrseg.zoo.model_file import read_model
from tests.training.conftest import write_disks

REGION = get_task("region")


class Grey(nn.Module):
    """Regions from a few features of the whole image."""

    def __init__(self, in_channels, outputs):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(in_channels, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2))
        self.head = nn.Linear(8, outputs)

    def forward(self, images):
        return self.head(self.encoder(images).mean(dim=(2, 3)))


@pytest.fixture
def grey():
    """A tiny classifier in the registry."""
    register(Architecture("grey", Grey, lambda net: net.encoder, defaults=LIGHT, task="region"))
    yield
    del ARCHITECTURES["grey"]


def tiny(**overrides):
    """A configuration that trains in a second."""
    given = {"schedule": (Stage(2, 1e-2),), "preprocessing": Preprocessing(size=32), "batch_size": 2}
    return replace(train_config("grey_CE_disks_s1"), **given, **overrides)


def masks_of(areas):
    """Slices of 10 x 10 pixels with so many of them contoured."""
    masks = torch.zeros(len(areas), 100, dtype=torch.uint8)
    for mask, area in zip(masks, areas, strict=True):
        mask[:area] = 1
    return masks.view(-1, 10, 10)


def test_the_target_is_told_by_the_stack_whatever_the_order_of_its_rows():
    areas = [0, 9, 40, 60, 80, 90, 68]  # apex first; the first slice shows no heart
    order = [3, 0, 6, 1, 5, 2, 4]
    places = [("s", 2, z) for z in order]
    prepared = REGION.prepare(masks_of(areas)[order], places)
    found = dict(zip(order, REGION.target(prepared).tolist(), strict=True))
    assert [CLASSES[found[z]] for z in range(7)] == [
        "non-cardiac", "apex", "middle", "middle", "middle", "middle", "base",
    ]  # fmt: skip


def test_frames_and_subjects_are_stacks_of_their_own():
    prepared = REGION.prepare(masks_of([9, 5, 1] * 2), [("s", f, z) for f in (0, 1) for z in range(3)])
    assert REGION.target(prepared).tolist() == [1, 2, 3] * 2


def test_what_was_not_contoured_shows_no_heart():
    masks = masks_of([9, 5, 1, 0])
    masks[masks == 0] = 68  # a structure that this reader left out
    assert REGION.target(REGION.prepare(masks, [("s", 0, z) for z in range(4)])).tolist() == [1, 2, 3, 0]


def test_augmentation_leaves_the_target():
    prepared = REGION.prepare(masks_of([9, 5, 1]), [("s", 0, z) for z in range(3)])
    prepared[:, :4] = 0  # a rotation brings zeros in
    assert REGION.target(prepared).tolist() == [1, 2, 3]


def test_regions_of_a_mask_are_one_or_zero():
    stack = masks_of([9, 5, 1, 0]).numpy().transpose(2, 1, 0)[..., None]
    truth = REGION.truth(Cine(stack, (1.0, 1.0, 8.0)), CLASSES)
    assert truth.shape == (1, 4, 4)
    assert truth[0].argmax(axis=1).tolist() == [1, 2, 3, 0]


def test_the_loss_is_the_cross_entropy_plain_or_weighted():
    outputs, targets = torch.zeros(2, 4), torch.tensor([0, 1])
    outputs[0, 0] = 1.0
    each = -np.log([np.e / (np.e + 3), 1 / 4])
    assert float(REGION.loss("CE")(outputs, targets)) == pytest.approx(each.mean())
    weighted = REGION.loss("CE", (0.1, 0.3, 0.3, 0.3))
    assert float(weighted(outputs, targets)) == pytest.approx((0.1 * each[0] + 0.3 * each[1]) / 0.4)
    with pytest.raises(ValueError, match="regions are learnt with the loss CE, got DICE"):
        REGION.loss("DICE")


def test_other_outputs_are_refused():
    with pytest.raises(ValueError, match="regions must be non-cardiac, base, middle, apex, got base"):
        REGION.check_labels(("base",))


def test_scores_are_those_of_a_count_by_hand():
    scores = RegionScores(CLASSES)
    scores.pairs = [torch.tensor([[0, 0], [1, 2], [2, 2]]), torch.tensor([[3, 3], [2, 1], [2, 2]])]
    assert scores.counts().tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 2, 0], [0, 0, 0, 1]]
    found = scores.scores()
    assert found["recall"] == pytest.approx(4 / 6)
    assert found["precision"] == pytest.approx((1 + 0 + 3 * 2 / 3 + 1) / 6)
    assert scores.scores(slice(0, 2))["recall"] == 0.5


@pytest.mark.usefixtures("grey")
def test_class_weights_go_by_the_names_of_the_regions():
    config = tiny(class_weights={"BASE": 3.0})
    assert config.weights_of(CLASSES) == pytest.approx((1 / 6, 3 / 6, 1 / 6, 1 / 6))
    with pytest.raises(ValueError, match="class_weights names 'LV'"):
        tiny(class_weights={"LV": 3.0})


@pytest.mark.usefixtures("grey")
def test_a_run_from_contours_to_a_table(tmp_path):
    data = write_disks(tmp_path / "disks", slices=5)
    run = train(tiny(), data, tmp_path / "run")
    history = pd.read_csv(run.out / "history.csv")
    assert history["precision"].between(0, 1).all()
    spec = read_model(run.model_file).spec
    assert (spec.task, spec.labels) == ("region", CLASSES)
    assert spec.training["validation_recall"] == pytest.approx(history["recall"].max(), abs=1e-4)
    kept = predict(data, tmp_path / "out", model=run.model_file, options=Options(flips=False)).kept
    table = pd.read_csv(tmp_path / "out" / "regions.csv")
    assert list(table) == ["study", "frame", "slice", "region", *CLASSES]
    assert len(table) == 4 * 5
    assert table[list(CLASSES)].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert (table[list(CLASSES)].idxmax(axis=1) == table["region"]).all()
    assert len(kept.shown[1]) == 4


@pytest.mark.usefixtures("grey")
def test_a_subset_keeps_the_regions_of_the_whole_stack(tmp_path):
    data = write_disks(tmp_path / "disks", slices=5)
    subset = tmp_path / "subsets.tsv"
    rows = {"file": ["a", "b"], "Id": ["s0", "s0"], "frame": [0, 0], "slice": [1, 2], "v1": [True, True]}
    pd.DataFrame(rows).to_csv(subset, sep="\t", index=False)
    config = tiny(subset=f"{subset}:v1")
    images = read_split_images(data, config, tmp_path / "run", Listener())
    assert REGION.target(images.train.masks).tolist() == [2, 2]  # middle, as of five slices
