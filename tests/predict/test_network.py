"""What computes a network, and that it computes the same."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from cmrseg.io.checksum import sha256_of
from cmrseg.models import get_architecture
from cmrseg.predict import Options, open_network, segment_cine
from cmrseg.predict import network as network_module
from cmrseg.predict import openvino as openvino_module
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo.manifest import DEFAULT_MODEL, resolve
from cmrseg.zoo.model_file import ModelSpec, read_model, save_model

SPEC = ModelSpec(
    name="small",
    architecture="light2d",
    labels=("BACKGROUND", "LV", "MYO"),
    preprocessing=Preprocessing(neighbours=3),
    recipe="light2d_hybrid_x_s3",
    flips=((), (-1,), (-2,), (-2, -1)),
    arguments={"widths": [8, 16]},
)
OPENVINO = Options(runtime="openvino", bf16=False)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("cmrseg.models.device.default_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(network_module.shutil, "which", lambda name: None)  # no GPU


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    net = get_architecture("light2d").build(3, 3, **SPEC.arguments)
    return save_model(SPEC, net.state_dict(), tmp_path / "small.safetensors")


@pytest.fixture
def images():
    return np.random.default_rng(0).standard_normal((2, 3, 64, 96)).astype(np.float32)


@pytest.fixture
def openvino():
    if find_spec("openvino") is None:  # to import it here would report that to its makers
        pytest.skip("OpenVINO is an optional extra")


def copies(tmp_path):
    return list((tmp_path / "home" / "openvino").glob("*/model.xml"))


def test_torch_gives_the_softmax_of_the_logits(model, images):
    found = open_network(model, Options(runtime="torch", bf16=False)).outputs(images)
    with torch.inference_mode():
        expected = read_model(model).net(torch.from_numpy(images)).softmax(1)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_there_is_no_other_runtime(model):
    with pytest.raises(ValueError, match="runtime must be one of auto, torch, openvino, got 'onnx'"):
        open_network(model, Options(runtime="onnx"))


def test_a_missing_openvino_is_told_with_the_command(model, monkeypatch):
    monkeypatch.setattr(network_module, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'cmrseg\[openvino\]'"):
        open_network(model, OPENVINO)
    assert open_network(model).runtime.startswith("torch")


def test_openvino_gives_the_probabilities_of_torch(openvino, model, images):
    ours, torchs = (
        open_network(model, Options(runtime=r, bf16=False)).outputs(images) for r in ("openvino", "torch")
    )
    np.testing.assert_allclose(ours, torchs, atol=1e-5)


def test_openvino_takes_flipped_images_and_any_size(openvino, model, images):
    network = open_network(model, OPENVINO)
    whole = network.outputs(images)
    np.testing.assert_array_equal(network.outputs(images[:, :, :, ::-1][:, :, :, ::-1]), whole)
    assert network.outputs(images[:1, :, :32, :32]).shape == (1, 3, 32, 32)


def test_a_model_is_converted_once(openvino, model, images, tmp_path, monkeypatch):
    first = open_network(model, OPENVINO).outputs(images)
    monkeypatch.setattr(openvino_module, "_convert", lambda *_: pytest.fail("converted again"))
    np.testing.assert_array_equal(open_network(model, OPENVINO).outputs(images), first)
    assert len(copies(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["weights", "record", "structure"])
def test_a_damaged_copy_is_made_again(openvino, model, images, tmp_path, damage):
    first = open_network(model, OPENVINO).outputs(images)
    (copy,) = copies(tmp_path)
    weights, record = copy.with_suffix(".bin"), copy.with_name("copy.json")
    file = {"weights": weights, "record": record, "structure": copy}[damage]
    file.write_bytes(file.read_bytes()[:-100])
    np.testing.assert_array_equal(open_network(model, OPENVINO).outputs(images), first)
    assert json.loads(record.read_text())["model"] == sha256_of([model])


def test_another_model_of_the_same_name_has_its_own_copy(openvino, model, images, tmp_path):
    open_network(model, OPENVINO)
    state = {key: value * 2 for key, value in read_model(model).net.state_dict().items()}
    save_model(SPEC, state, model)
    changed = open_network(model, OPENVINO).outputs(images)
    expected = open_network(model, Options(runtime="torch", bf16=False)).outputs(images)
    np.testing.assert_allclose(changed, expected, atol=1e-5)
    assert len(copies(tmp_path)) == 2


def test_what_openvino_computes_otherwise_is_refused_and_not_kept(openvino, model, tmp_path, monkeypatch):
    monkeypatch.setattr(openvino_module, "_difference", lambda *_: 0.5)
    with pytest.raises(DataError, match=r"outputs of small by OpenVINO differ .* by 0\.5"):
        open_network(model, OPENVINO)
    assert not copies(tmp_path)


def test_by_itself_torch_takes_over_where_openvino_cannot(openvino, monkeypatch, caplog):
    def refuse(path):
        raise DataError("no copy")

    monkeypatch.setattr(openvino_module, "converted", refuse)
    assert open_network(DEFAULT_MODEL).runtime.startswith("torch")
    assert "no copy; torch computes the model now" in caplog.text


def test_a_home_that_cannot_be_written_is_told(openvino, model, tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(DataError, match=r"cannot be kept in .*; name another folder in CMRSEG_HOME"):
        open_network(model, OPENVINO)


@pytest.mark.parametrize("cut", [False, True])
def test_a_full_disk_leaves_no_copy_and_the_work_to_torch(openvino, tmp_path, monkeypatch, caplog, cut):
    package, write = openvino_module._silent_openvino(), openvino_module._silent_openvino().serialize

    def full(converted, xml, weights):
        if not cut:
            raise RuntimeError("basic_ios::clear: iostream error")
        write(converted, xml, weights)
        os.truncate(weights, 100)

    monkeypatch.setattr(package, "serialize", full)
    assert open_network(DEFAULT_MODEL, Options(bf16=False)).runtime.startswith("torch")
    assert "cannot be kept" in caplog.text
    assert "torch computes the model now" in caplog.text
    assert not copies(tmp_path)
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def test_a_copy_that_openvino_does_not_read_leaves_the_work_to_torch(openvino, tmp_path, monkeypatch, caplog):
    (tmp_path / "model.xml").write_text("<net/>")
    monkeypatch.setattr(openvino_module, "converted", lambda path: tmp_path / "model.xml")
    assert open_network(DEFAULT_MODEL, Options(bf16=False)).runtime.startswith("torch")
    assert "OpenVINO cannot compute" in caplog.text


def test_of_two_that_come_at_a_time_one_converts(openvino, model, monkeypatch):
    made = []

    def convert(model, copy):
        made.append(copy)
        time.sleep(0.1)
        for path in (copy, copy.with_suffix(".bin")):
            path.touch()

    monkeypatch.setattr(openvino_module, "_convert", convert)
    found = resolve(model)
    threads = [threading.Thread(target=openvino_module.converted, args=(found,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_loaded_model_is_torchs(model):
    with pytest.raises(ValueError, match="needs the name or the file of a model"):
        open_network(read_model(model), OPENVINO)
    assert open_network(read_model(model)).runtime.startswith("torch")


def test_by_itself_openvino_computes_models_of_the_zoo_and_torch_all_others(openvino, model, monkeypatch):
    monkeypatch.setattr(openvino_module, "openvino_network", lambda model, bf16: model.path.stem)
    assert open_network(DEFAULT_MODEL) == DEFAULT_MODEL
    assert open_network(model).runtime.startswith("torch")
    monkeypatch.setattr(network_module.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert open_network(DEFAULT_MODEL).runtime.startswith("torch")


@pytest.mark.slow
def test_a_converted_model_needs_no_torch_and_nobody_is_told(openvino, model, tmp_path):
    code = (
        "import sys; from cmrseg.predict import Options, open_network; "
        f"open_network({str(model)!r}, Options(runtime='openvino')); print('torch' in sys.modules)"
    )
    (tmp_path / "user").mkdir()
    env = os.environ | {"HOME": str(tmp_path / "user"), "CI": ""}  # telemetry keeps an id of the user there
    calls = [subprocess.run([sys.executable, "-c", code], check=True, env=env, stdout=-1) for _ in range(2)]
    assert [call.stdout.split() for call in calls] == [[b"True"], [b"False"]]
    assert not list((tmp_path / "user").iterdir())


def test_a_network_has_been_asked_before_other_threads_may_ask(openvino, model, monkeypatch):
    asked, ask = [], openvino_module.ask_once
    monkeypatch.setattr(openvino_module, "ask_once", asked.append)
    assert asked == [open_network(model, Options(runtime="openvino", bf16=False))]
    ask(replace(asked[0], outputs=asked.append))
    assert asked[1].shape[1] == 3


def test_one_thread_at_a_time_asks_torch(model):
    assert open_network(model, Options(runtime="torch")).workers == 1


@pytest.mark.slow
def test_threads_that_ask_at_once_do_not_wait_for_each_other(openvino, model):
    code = (
        "import sys, threading, numpy; from cmrseg.predict import Options, open_network\n"
        f"network = open_network({str(model)!r}, Options(runtime='openvino', bf16=False))\n"
        "sys.setswitchinterval(1e-6); both = threading.Barrier(2)\n"
        "images = numpy.zeros((1, 3, 64, 64), numpy.float32)\n"
        "ask = lambda: (both.wait(), network.outputs(images))\n"
        "threads = [threading.Thread(target=ask) for _ in range(2)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]"
    )
    for _ in range(3):  # without the first question some of them hang
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.slow
def test_masks_of_a_real_cine_hardly_depend_on_what_computes_them(openvino, test_data):
    from cmrseg.io.images import load_image

    study = test_data / "acdc" / "patient001"
    if not study.is_dir():
        pytest.skip("no ACDC data")
    cine = load_image(sorted(study.glob("*_frame01.nii.gz"))[0])
    both_options = (Options(runtime=name, flips=False) for name in ("openvino", "torch"))
    ours, torchs = (segment_cine(cine, DEFAULT_MODEL, options).array for options in both_options)
    for label in (1, 2, 3):
        both = ((ours == label) & (torchs == label)).sum()
        assert 2 * both / ((ours == label).sum() + (torchs == label).sum()) > 0.998
