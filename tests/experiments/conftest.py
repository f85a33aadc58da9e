"""A transfer-learning study that is done in a second: disks, and a tiny random base model."""

import pytest
import torch

from cmrseg.experiments.transfer_plan import TransferSetup
from cmrseg.preprocess import Preprocessing
from cmrseg.training.options import TrainOptions
from cmrseg.zoo.model_file import ModelSpec, build_net, save_model
from tests.training.conftest import disks, make_disks, tiny, write_disks  # noqa: F401

SPLITS = ("train", "train", "train", "train", "val", "test", "test")


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch):
    monkeypatch.setattr("cmrseg.training.loaders.default_device", lambda: torch.device("cpu"))


def write_model(path, *, architecture="light2d", size=32, **arguments):
    """A random base model file."""
    recipe = f"{architecture}_CE_base_s1"
    spec = ModelSpec(
        name=recipe,
        architecture=architecture,
        labels=("BACKGROUND", "LV", "MYO", "RV"),
        preprocessing=Preprocessing(pixel_mm=1.5, size=size, rgb=architecture != "light2d"),
        recipe=recipe,
        arguments=arguments,
        licence="CC BY 4.0",
    )
    torch.manual_seed(0)
    return save_model(spec, build_net(spec).state_dict(), path)


@pytest.fixture
def base(tmp_path):
    """A tiny light2d."""
    return write_model(tmp_path / "base.safetensors", widths=[4, 8])


@pytest.fixture
def data(tmp_path):
    """Disks of four subjects to train with, one to validate, two to test."""
    return write_disks(tmp_path / "disks", splits=SPLITS)


@pytest.fixture
def setup(base):
    """A function of overrides: one seed, all subjects and one of them, two epochs."""

    def make(**overrides):
        given = {"base": base, "sizes": (1,), "kinds": ("subjects",), "seeds": (0,)}
        given["options"] = TrainOptions(epochs=2, batch_size=2, lr=1e-2)
        return TransferSetup(**{**given, **overrides})

    return make
