"""Several processes train one model: each has its part of every batch, all hold the same weights."""

import os
import socket
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from cmrseg.data.catalog import read_catalog
from cmrseg.parallel import map_studies
from cmrseg.problems import DataError
from cmrseg.training.callbacks import seed_everything
from cmrseg.training.config import TrainConfig
from cmrseg.training.fit import STATE, train
from cmrseg.training.images import read_training_images
from cmrseg.training.loaders import field_size, make_loaders
from cmrseg.training.ranks import part_of_batch, together
from cmrseg.zoo.model_file import read_model

CPU = torch.device("cpu")


@pytest.fixture
def as_rank(monkeypatch):
    """A function that makes this process one of two."""

    def become(rank: int) -> None:
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", str(rank))

    return become


@pytest.mark.parametrize("weighted", [False, True])
def test_two_processes_share_the_images_of_an_epoch(disks, tiny, as_rank, weighted):
    config = tiny(region_sampling=4.0 if weighted else 1.0)
    images = read_training_images(
        read_catalog(disks, splits=["train"]), config.preprocessing, field_px=field_size(config)
    )
    seed_everything(5)
    whole = list(make_loaders(images, images, config, device=CPU).train.get_idxs())
    parts = []
    for rank in (0, 1):
        as_rank(rank)
        loader = make_loaders(images, images, config, device=CPU).train
        seed_everything(5)
        parts.append(loader.get_idxs())
        assert loader.bs == 1
        assert len(list(loader)) == len(loader) == 3
    assert [len(part) for part in parts] == [3, 3]
    if not weighted:  # drawn with replacement otherwise
        assert sorted(parts[0] + parts[1]) == sorted(whole) == list(range(6))


def test_a_batch_that_cannot_be_shared_is_refused(as_rank):
    assert part_of_batch(3) == 3
    as_rank(0)
    assert part_of_batch(4) == 2
    with pytest.raises(DataError, match="3 images cannot be shared by 2 processes"):
        part_of_batch(3)


def trained_as(rank: int, *, port: int, config: TrainConfig, data: Path, out: Path) -> tuple[dict, int, bool]:
    """Weights that one of two processes ends with, images seen, and whether it wrote where it was told."""
    told = {
        "RANK": rank,
        "WORLD_SIZE": 2,
        "LOCAL_RANK": rank,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    os.environ.update({name: str(value) for name, value in told.items()})
    with together(out, STATE) as folder:
        run = train(config, data, folder)
        history = pd.read_csv(folder / "history.csv")
        net = read_model(run.model_file).net
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    return weights, int(history["images_seen"].iloc[-1]), folder == out


@pytest.mark.slow  # starts interpreters
def test_two_processes_end_with_the_same_weights_and_one_of_them_writes(disks, tiny, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tiny(ema_decay=0.5, gradient_clip=1.0)
    work = partial(trained_as, port=port, config=config, data=disks, out=tmp_path / "out")
    (first, seen, wrote), (second, seen_too, wrote_too) = map_studies(work, [0, 1], jobs=2)
    assert (wrote, wrote_too) == (True, False)
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert seen == seen_too == 12  # two epochs of six images
    for name, value in first.items():
        assert (value == second[name]).all(), name
    alone = read_model(train(config, disks, tmp_path / "alone").model_file).net.state_dict()
    difference = max(float((torch.tensor(first[name]) - alone[name]).abs().max()) for name in alone)
    assert 0 < difference < 0.5  # the same way, but batch normalisation saw half of every batch
