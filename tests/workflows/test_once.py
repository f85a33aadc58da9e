"""What was read, loaded or scored is not read, loaded or scored again within one command."""

from collections import Counter
from copy import deepcopy

import pytest
import torch

from cmrseg.data.catalog import read_catalog
from cmrseg.evaluation import masks
from cmrseg.experiments.transfer import transfer_study
from cmrseg.preprocess import Preprocessing
from cmrseg.training import split_images
from cmrseg.training.images import read_training_images
from cmrseg.training.options import TrainOptions
from cmrseg.workflows.train import finetune
from cmrseg.zoo import domain, resolved
from tests.experiments.conftest import _on_cpu, base, data, setup  # noqa: F401

ONE_EPOCH = TrainOptions(epochs=1, batch_size=2, lr=1e-2)


@pytest.fixture
def counted(monkeypatch):
    """How often models are loaded, splits and subjects read, and volumes scored."""
    counts = Counter()

    def count(module, name, key):
        original = getattr(module, name)

        def spy(*given, **options):
            counts[key(*given)] += 1
            return original(*given, **options)

        monkeypatch.setattr(module, name, spy)

    count(resolved, "read_model", lambda path: f"load {path.name}")
    count(split_images, "read_training_images", lambda catalog, *_: "read " + catalog.table["split"].iloc[0])
    count(domain, "_load", lambda study: f"measure {study[0].subject}")
    count(masks, "_score_study", lambda pairs: f"score {pairs[0][1].masks[0]}")
    return counts


def test_finetune_loads_its_base_once_and_scores_every_mask_once(base, data, counted, tmp_path):  # noqa: F811
    finetune(base, data, tmp_path / "out", options=ONE_EPOCH)
    assert set(counted.values()) == {1}
    loaded = {name for name in counted if name.startswith("load")}
    assert loaded == {"load base.safetensors", "load model.safetensors"}
    scored = [name for name in counted if name.startswith("score")]
    assert len(scored) == 2 * (1 + 2)  # base and tuned, one validation subject and two test subjects


def test_a_study_reads_its_data_once_and_scores_every_mask_once(setup, data, counted, tmp_path):  # noqa: F811
    study = transfer_study(data, tmp_path / "out", setup=setup(options=ONE_EPOCH))
    for folder in (tmp_path / "out" / "base", *(run.folder for run in study.done)):
        assert len(study.evaluation(folder).pairs) == 2  # as the report asks
    assert len(study.done) == 4
    loads = {name: n for name, n in counted.items() if name.startswith("load")}
    assert loads == {"load base.safetensors": 1, "load model.safetensors": 4}
    others = {name: n for name, n in counted.items() if name not in loads}
    assert set(others.values()) == {1}
    assert {"read train", "read val", "measure s0", "measure s3"} <= set(others)
    assert sum(name.startswith("score") for name in others) == 5 * 2


def test_images_are_the_same_in_another_process(data):  # noqa: F811
    catalog = read_catalog(data).select(["train"])
    images = read_training_images(catalog, Preprocessing(pixel_mm=1.5, size=32), field_px=32)
    there = deepcopy(images)  # goes the way of pickle
    assert torch.equal(there.images, images.images)
    assert torch.equal(there.masks, images.masks)
    assert (there.places, there.problems) == (images.places, images.problems)
