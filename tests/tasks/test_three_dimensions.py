"""A network of a few parameters over whole stacks, which only its architecture says."""

import re
from contextlib import chdir
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from cmrseg.cine import Cine
from cmrseg.data.catalog import read_catalog
from cmrseg.io.images import load_mask, save_image
from cmrseg.models import ARCHITECTURES, Architecture
from cmrseg.models.defaults import Stage
from cmrseg.partial_labels import PADDING
from cmrseg.predict import Options, open_network, predict, segment_cine, study_segmenter
from cmrseg.predict.slice_distance import strange_slice_distances
from cmrseg.preprocess import Preprocessing
from cmrseg.tasks.segmentation.training import DiceByStructure, SegmentationLoss
from cmrseg.training.config import train_config, transfer_config
from cmrseg.training.fit import finetune, train
from cmrseg.training.options import TrainOptions
from cmrseg.zoo.domain import TrainingDomain, with_domain
from cmrseg.zoo.manifest import resolve
from cmrseg.zoo.model_file import Model, ModelSpec, build_net, read_model, save_model
from cmrseg.zoo.onnx import export_onnx
from tests.training.conftest import write_disks

GREY = np.array([0.0, 1.0, 0.5], np.float32)  # background, LV, MYO
SPEC = ModelSpec(
    name="stacks",
    architecture="stacks",
    labels=("BACKGROUND", "LV", "MYO"),
    preprocessing=Preprocessing(pixel_mm=None, size=32, rgb=True, low_percentile=0, high_percentile=100),
    recipe="stacks_CE_x_s1",
    dims=3,
)


class Stacks(nn.Module):
    """Logits by the distance of a grey value from that of each class, but for the first slice of a stack."""

    def __init__(self, in_channels=3, classes=3):
        super().__init__()
        self.register_buffer("grey", torch.from_numpy(GREY))
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape))
        value = x[:, :1] * 0.229 + 0.485  # ImageNet's convention undone
        logits = -100 * (value - self.grey[:, None, None, None]).abs()
        first = torch.arange(x.shape[2])[:, None, None] == 0
        return torch.where(first & (torch.arange(3) == 1)[:, None, None, None], logits - 1000, logits)


class Learning(nn.Module):
    """Two convolutions over stacks, which learn."""

    def __init__(self, in_channels=1, classes=4):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv3d(in_channels, 8, 3, padding="same"), nn.ReLU())
        self.head = nn.Conv3d(8, classes, (1, 3, 3), padding="same")

    def forward(self, x):
        return self.head(self.encoder(x))


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    learning = Architecture("learning", Learning, lambda m: m.encoder, dims=3)
    monkeypatch.setitem(ARCHITECTURES, "learning", learning)
    monkeypatch.setitem(ARCHITECTURES, "stacks", Architecture("stacks", Stacks, lambda m: m, dims=3))


def ring(x=200, y=160, z=5, t=4, *, shift=1):
    """A small ring that moves along x from frame to frame and is wider in every slice."""
    px, py = np.ogrid[:x, :y]
    frames = []
    for frame in range(t):
        r = np.hypot(px - 60 - shift * frame, py - 90) * 1.4
        frames.append(np.stack([np.where(r <= 9 + k, 1, np.where(r <= 15 + k, 2, 0)) for k in range(z)], -1))
    return np.stack(frames, axis=-1).astype(np.uint8)


def expected(truth):
    """The mask of the network: it finds no LV in the first slice of a stack, and calls it muscle."""
    found = truth.copy()
    found[:, :, 0][found[:, :, 0] == 1] = 2
    return found


def cine_of(truth):
    return Cine(GREY[truth], (1.4, 1.4, 8.0))


@pytest.mark.parametrize("z", [1, 3, 12, 40])
def test_a_stack_of_any_number_of_slices_gives_a_mask_on_its_grid(z):
    net, truth = Stacks(), ring(61, 47, z, 2)
    options = Options(heart_crop=False, pieces="all")
    found = segment_cine(cine_of(truth), Model(SPEC, net), options)
    np.testing.assert_array_equal(found.array, expected(truth))
    assert net.seen[0] == (1 if 2 * z > 16 else 2, 3, z, 64, 64)


def test_a_stack_whose_slices_lie_elsewhere_than_those_of_the_training_is_told(tmp_path):
    domain = TrainingDomain("x", 2, {"slice_mm": (5.0, 8.0)}, (0.0,) * 19)
    truth = ring(61, 47, 3, 1)
    distances = {"a": 8.5, "b": 10.0, "c": 2.5}
    for name, distance in distances.items():
        save_image(Cine(GREY[truth], (1.4, 1.4, distance)), tmp_path / "in" / f"{name}.nii.gz")
    notes = {}
    for dims in (3, 2):
        spec = with_domain(replace(SPEC, dims=dims), domain)
        model = save_model(spec, Stacks().state_dict(), tmp_path / f"{dims}.safetensors")
        notes[dims] = strange_slice_distances(read_catalog(tmp_path / "in", masks=False), resolve(model))
    told = "2 of 3 stacks have another slice distance than the 5 to 8 mm that this 3D model was trained on: "
    assert notes[2] == []
    assert notes[3][0].startswith(f"{told}b (10 mm), c (2.5 mm); look at")
    run = predict(tmp_path / "in", tmp_path / "out", model=tmp_path / "3.safetensors")
    assert (run.notes[-1], run.problems) == (notes[3][0], [])


def test_masks_of_a_data_set_are_written_as_those_of_any_model(tmp_path):
    truth = ring(61, 47, 3, 2)
    save_image(cine_of(truth), tmp_path / "in" / "a.nii.gz")
    model = save_model(SPEC, Stacks().state_dict(), tmp_path / "stacks.safetensors")
    run = predict(tmp_path / "in", tmp_path / "out", model=model)
    found = load_mask(tmp_path / "out" / "a" / "seg.nii.gz", "cmrseg").array
    np.testing.assert_array_equal(found, expected(truth))
    assert run.summary["study"].tolist() == ["a"]


@pytest.mark.parametrize("shift", [1, 12])
def test_a_stack_is_shown_the_surroundings_of_its_heart_in_one_box(shift):
    net, truth = Stacks(), ring(shift=shift)
    found = segment_cine(cine_of(truth), Model(SPEC, net), Options(batch_size=5))
    np.testing.assert_array_equal(found.array, expected(truth))
    assert net.seen[0] == (1, 3, 5, 160, 224)
    assert {shape[2] for shape in net.seen} == {5}
    assert all(shape[3] * shape[4] < 160 * 224 for shape in net.seen[1:])


def test_flips_are_in_the_plane_and_come_back():
    spec = replace(SPEC, flips=((), (-1,), (-2,), (-2, -1)))
    found = study_segmenter(Model(spec, Stacks()))(cine_of(ring()))
    np.testing.assert_array_equal(found.mask.array, expected(ring()))
    assert set(found.agreement["dice"].dropna()) == {1.0}
    assert len(found.agreement) == 2 * 5 * 4


def test_it_trains_on_stacks_and_segments_on_the_native_grid(tmp_path):
    data = write_disks(tmp_path / "disks", splits=("train",) * 6 + ("val",), slices=3)
    spec = Preprocessing(size=32)
    settings = {"schedule": (Stage(12, 2e-2),), "preprocessing": spec, "batch_size": 2, "bf16": False}
    config = replace(train_config("learning_hybrid_disks_s1"), **settings)
    run = train(config, data, tmp_path / "run")
    model = read_model(run.model_file)
    assert (model.spec.dims, model.spec.task) == (3, "segmentation")
    assert model.spec.training["validation_dice"] > 0.4
    predict(data, tmp_path / "masks", model=run.model_file, splits=["val"])
    (written,) = (tmp_path / "masks" / "s6").glob("*seg.nii.gz")
    found, truth = (load_mask(path, "cmrseg").array for path in (written, data / "s6" / "truth.nii.gz"))
    assert found.shape == truth.shape == (32, 32, 3, 1)
    assert (found == truth).mean() > 0.8


def test_a_stack_model_is_tuned_to_other_data(tmp_path):
    spec = replace(SPEC, architecture="learning", preprocessing=Preprocessing(size=32), name="l_CE_x_s1")
    spec = replace(spec, recipe="learning_CE_x_s1")
    base = save_model(spec, Learning(classes=3).state_dict(), tmp_path / "base.safetensors")
    tuned = finetune(base, write_disks(tmp_path / "disks"), tmp_path / "run")
    assert read_model(tuned.model_file).spec.dims == 3


def test_light3d_goes_on_from_a_light2d_model(tmp_path):
    spec = Preprocessing(size=32)
    flat = replace(
        SPEC, architecture="light2d", dims=2, name="base", recipe="light2d_CE_x_s1", preprocessing=spec
    )
    flat = replace(flat, arguments={"widths": [4, 8]})
    base = save_model(flat, build_net(flat).state_dict(), tmp_path / "base.safetensors")
    data, options = write_disks(tmp_path / "disks", slices=3), TrainOptions(epochs=2, architecture="light3d")
    run = finetune(base, data, tmp_path / "run", config=transfer_config(flat, data, options))
    model = read_model(run.model_file)
    assert (model.spec.name, model.spec.dims) == ("light3d_CE_disks_s4", 3)
    assert model.spec.training["base"] == "base"
    assert predict(data, tmp_path / "out", model=run.model_file).problems == []


@pytest.mark.parametrize("slices", [1, 3])
def test_stacks_of_few_slices_train_with_strong_augmentation_and_checkpointing(tmp_path, slices):
    data = write_disks(tmp_path / "disks", slices=slices)
    config = replace(
        train_config("light3d_hybridlog_disks_s3"),
        schedule=(Stage(1, 1e-3),),
        preprocessing=Preprocessing(size=32),
        arguments={"widths": [4, 8]},
        checkpointing=True,
        class_weights={"BACKGROUND": 0.1},
    )
    run = train(config, data, tmp_path / "run")
    assert np.isfinite(run.state.rows[-1]["train_loss"])
    assert predict(data, tmp_path / "out", model=run.model_file).problems == []


def test_slices_that_fill_a_stack_up_cost_and_count_nothing():
    logits, targets = torch.randn(1, 3, 4, 8, 8), torch.randint(0, 3, (1, 4, 8, 8))
    targets[:, 3] = PADDING
    loss = SegmentationLoss("hybrid")
    assert loss(logits, targets) == loss(logits[:, :, :3], targets[:, :3])
    flat = logits[0, :, :3].movedim(1, 0)
    assert loss(logits, targets) == loss(flat, targets[0, :3])
    validator = DiceByStructure(SPEC.labels)
    validator.learn = SimpleNamespace(training=False, pred=logits, yb=(targets,))
    validator.after_batch()
    assert validator.counts.sum(axis=(1, 2)).tolist() == [64] * 3


@pytest.mark.parametrize("z", [1, 4])
def test_openvino_takes_stacks_of_any_number_of_slices(tmp_path, z):
    pytest.importorskip("openvino", reason="openvino is not installed (pip install 'cmrseg[openvino]')")
    spec = replace(SPEC, architecture="learning", preprocessing=Preprocessing(size=32))
    model = Model(spec, Learning(classes=3).eval())
    path = save_model(spec, model.net.state_dict(), tmp_path / "learning.safetensors")
    stack = np.random.default_rng(0).normal(size=(1, 1, z, 32, 64)).astype(np.float32)
    ours = open_network(path, Options(runtime="torch", bf16=False)).outputs(stack)
    theirs = open_network(path, Options(runtime="openvino", bf16=False)).outputs(stack)
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_onnx_takes_stacks_and_its_example_gives_the_masks(tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed (pip install 'cmrseg[onnx]')")
    spec = replace(SPEC, architecture="learning", preprocessing=Preprocessing(pixel_mm=None, size=32))
    model = Model(spec, Learning(classes=3).eval())
    done = export_onnx(model, tmp_path / "m.onnx")
    study = np.random.default_rng(0).normal(size=(40, 33, 3, 2)).astype(np.float32)
    np.save(tmp_path / "study.npy", study.transpose(3, 2, 1, 0))
    (code,) = re.findall(r"```python\n(.*?)```", done.card.read_text(), re.DOTALL)
    with chdir(tmp_path):
        exec(code, {})
    found = np.load(tmp_path / "masks.npy").transpose(3, 2, 1, 0)
    options = Options(flips=False, pieces="all", heart_crop=False, bf16=False)
    expected = segment_cine(Cine(study, (1.4, 1.4, 8.0)), model, options).array
    assert (found == expected).mean() > 0.999
