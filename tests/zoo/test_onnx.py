"""A model as ONNX: PyTorch's logits, one small file, and a description that another program can follow."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from cmrseg.cine import Cine
from cmrseg.models import ARCHITECTURES
from cmrseg.predict import Options, segment_cine
from cmrseg.preprocess import Preprocessing, network_images, network_input
from cmrseg.problems import DataError
from cmrseg.zoo import onnx as module
from cmrseg.zoo.manifest import load_model
from cmrseg.zoo.model_file import Model, ModelSpec, build_net
from cmrseg.zoo.onnx import TOLERANCE, export_onnx, measure_parity

for _package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(_package, reason=f"{_package} is not installed (pip install 'cmrseg[onnx]')")

pytestmark = pytest.mark.slow  # the exporter takes seconds

SPEC = ModelSpec(
    name="light2d_CE_toy_s1",
    architecture="light2d",
    labels=("BACKGROUND", "RV", "LV"),  # ids 0, 3, 1: not their positions
    preprocessing=Preprocessing(pixel_mm=1.5, size=64, neighbours=3),
    recipe="light2d_CE_toy_s1",
    arguments={"widths": [4, 8]},
    licence="CC0",
)
WAYS = {
    "neighbours": Preprocessing(pixel_mm=1.5, size=64, neighbours=3),
    "frames": Preprocessing(pixel_mm=1.5, size=64, neighbours=3, neighbours_in="time"),
    "single": Preprocessing(pixel_mm=1.5, size=64, low_percentile=2),
    "slice by slice": Preprocessing(
        pixel_mm=1.5, size=64, low_percentile=1, high_percentile=99, grey="slice_percentiles"
    ),
    "rgb": Preprocessing(pixel_mm=None, size=64, rgb=True),
    "whole image": Preprocessing(pixel_mm=None, size=96, rgb=True, resize="longer_side"),
    "whole PNG": Preprocessing(pixel_mm=None, size=96, rgb=True, resize="longer_side", grey="png"),
}


def random_model(**changes):
    torch.manual_seed(0)
    spec = replace(SPEC, **changes)
    net = build_net(spec).eval()
    for layer in net.modules():  # as if trained: statistics other than 0 and 1
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return Model(spec, net)


def normalise_activations(net):
    """Statistics of a forward pass: logits of hundreds would make float32 rounding exceed the limit."""
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    with torch.no_grad():
        net.train()(torch.randn(4, 3, 64, 96))
    net.eval()


@pytest.fixture(scope="module")
def toy():
    return random_model()


@pytest.fixture(scope="module")
def done(toy, tmp_path_factory):
    return export_onnx(toy, tmp_path_factory.mktemp("onnx") / "toy.onnx")


def run_example(export, study):
    """The masks that the example in the card makes of a study."""
    folder = export.file.parent
    np.save(folder / "study.npy", study)
    (code,) = re.findall(r"```python\n(.*?)```", export.card.read_text(), re.DOTALL)
    assert len(code.splitlines()) <= (22 if "255" in code else 20)
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return np.load(folder / "masks.npy")


def own_masks(model, study):
    """Our prediction of the same study, as the card says: without flips, pieces kept."""
    options = Options(flips=False, pieces="all", bf16=False)
    return segment_cine(cine_of(model, study), model, options).array.transpose(3, 2, 1, 0)


def cine_of(model, study):
    """A study on the pixels of the model, so that nothing is resampled."""
    pixel = model.spec.preprocessing.pixel_mm or 1.0
    return Cine(study.transpose(3, 2, 1, 0), (pixel, pixel, 8.0))


def balance(model, study):
    """Shift and scale the logits of random weights so that more than one label is the largest somewhere."""
    spec = model.spec.preprocessing
    images = network_input(network_images(cine_of(model, study), spec), slice(None))
    with torch.no_grad():
        sd, mean = torch.std_mean(model.net(torch.from_numpy(images)), (0, 2, 3))
        model.net.head.bias.sub_(mean).div_(sd)
        model.net.head.weight.div_(sd[:, None, None, None])


@pytest.mark.parametrize("name", ["r34", "r18", "v16", "sq11"])
def test_the_logits_of_the_paper_s_networks_are_those_of_pytorch(tmp_path, name):
    if name not in ARCHITECTURES:
        pytest.skip(f"{name} is not in the registry")
    model = random_model(
        architecture=name, arguments={}, preprocessing=Preprocessing(pixel_mm=None, size=64, rgb=True)
    )
    normalise_activations(model.net)
    before = {key: tensor.clone() for key, tensor in model.net.state_dict().items()}
    assert export_onnx(model, tmp_path / "m.onnx").parity.difference < TOLERANCE
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.net.state_dict().items())


def test_the_logits_of_the_embedded_model_are_those_of_pytorch(tmp_path):
    model = load_model()
    export = export_onnx(model, tmp_path / "m.onnx")
    weights = sum(p.numel() * 4 for p in model.net.parameters())
    assert export.parity.difference < TOLERANCE
    assert export.file.stat().st_size < 1.05 * weights


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (5, 3, 32, 160), (3, 3, 224, 64)])
def test_batch_and_size_are_free(toy, done, shape):
    assert measure_parity(toy.net, done.file, (shape,)).difference < TOLERANCE


def test_the_weights_are_in_the_file_and_nothing_of_this_machine(done):
    assert sorted(p.name for p in done.file.parent.iterdir() if p.suffix in (".onnx", ".md", ".data")) == [
        "toy.md",
        "toy.onnx",
    ]
    assert str(module.__file__).rsplit("/", 3)[0].encode() not in done.file.read_bytes()
    assert b"site-packages" not in done.file.read_bytes()


def test_the_metadata_say_how_to_use_it(done):
    from onnxruntime import InferenceSession

    session = InferenceSession(done.file, providers=["CPUExecutionProvider"])
    told = json.loads(session.get_modelmeta().custom_metadata_map["cmrseg"])
    assert [(i.name, i.type) for i in session.get_inputs()] == [("image", "tensor(float)")]
    assert [o.name for o in session.get_outputs()] == ["logits"]
    assert Preprocessing(**told["preprocessing"]) == SPEC.preprocessing
    assert told["output"] == {"name": "logits", "channels": ["BACKGROUND", "RV", "LV"], "ids": [0, 3, 1]}
    assert (told["name"], told["licence"]) == (SPEC.name, "CC0")


@pytest.mark.parametrize("way", WAYS)
def test_the_example_in_the_card_makes_our_masks(tmp_path, way):
    model = random_model(preprocessing=WAYS[way])
    columns = 96 if way.startswith("whole") else 70  # the example begins after resampling
    study = np.random.default_rng(1).gamma(2, 100, (2, 4, 45, columns)).astype(np.float32)
    balance(model, study)
    masks = run_example(export_onnx(model, tmp_path / "m.onnx"), study)
    np.testing.assert_array_equal(masks, own_masks(model, study))
    assert len(np.unique(masks)) > 1


@pytest.mark.parametrize("bad", ["other weights", "nan"])
def test_a_file_that_differs_is_not_left(tmp_path, monkeypatch, bad):
    model, write = random_model(), module._write
    if bad == "nan":
        torch.nn.init.constant_(model.net.head.bias, torch.nan)

    def written_from_others(net, *more):
        write(net, *more)
        with torch.no_grad():
            net.head.bias.add_(2e-4)

    monkeypatch.setattr(module, "_write", written_from_others)
    with pytest.raises(DataError, match=r"differ from PyTorch's.*was not written"):
        export_onnx(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_one_sentence_with_the_command(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(DataError, match=r"needs onnxscript; install with: pip install 'cmrseg\[onnx\]'"):
        export_onnx(toy, tmp_path / "m.onnx")


@pytest.mark.parametrize(("name", "opset"), [("m.pt", 18), ("m.onnx", 17)])
def test_another_suffix_or_an_old_opset_is_refused(toy, tmp_path, name, opset):
    with pytest.raises(ValueError, match="must"):
        export_onnx(toy, tmp_path / name, opset=opset)
