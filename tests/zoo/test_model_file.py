"""A model is one file: what goes in comes out, and a faulty file is one sentence."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cmrseg.labels import Label
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo.model_file import (
    FORMAT_VERSION,
    Model,
    ModelSpec,
    build_net,
    read_model,
    read_spec,
    save_model,
    with_labels,
)

SPEC = ModelSpec(
    name="light2d_CE_toy_s1",
    architecture="light2d",
    labels=("BACKGROUND", "LV", "MYO", "RV"),
    preprocessing=Preprocessing(pixel_mm=2.0, size=64, neighbours=3),
    recipe="light2d_CE_toy_s1",
    arguments={"widths": [4, 8]},
    licence="CC0",
    training={"images": 7},
)


@pytest.fixture
def state():
    torch.manual_seed(0)
    return build_net(SPEC).state_dict()


@pytest.fixture
def file(tmp_path, state):
    return save_model(SPEC, state, tmp_path / "m.safetensors")


def header_of(path):
    with safe_open(path, framework="pt") as content:
        return json.loads(content.metadata()["cmrseg"])


def with_header(path, state, **changes):
    """The file again with another description."""
    header = {**header_of(path), **changes}
    save_file(dict(state), path, metadata={"cmrseg": json.dumps(header)})
    return path


def assert_refused(path, match):
    with pytest.raises(DataError, match=match) as caught:
        read_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_description_comes_back(file):
    assert read_spec(file) == SPEC


def test_the_weights_come_back_bit_by_bit(file, state):
    loaded = read_model(file).net.state_dict()
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[k], state[k]) for k in state)


def test_a_model_is_read_in_evaluation_mode(file):
    assert not read_model(file).net.training


def test_half_precision_halves_the_file_and_is_read_as_float32(tmp_path, file, state):
    half = save_model(SPEC, state, tmp_path / "h.safetensors", half=True)
    loaded = read_model(half).net.state_dict()
    assert half.stat().st_size < 0.8 * file.stat().st_size
    for key, tensor in state.items():
        assert loaded[key].dtype == tensor.dtype
        torch.testing.assert_close(loaded[key], tensor, rtol=1e-3, atol=1e-6)


def test_channels_last_weights_are_stored_as_they_are(tmp_path, state):
    turned = {
        k: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in state.items()
    }
    loaded = read_model(save_model(SPEC, turned, tmp_path / "m.safetensors")).net.state_dict()
    assert all(torch.equal(loaded[k], state[k]) for k in state)


def test_label_ids_are_those_of_the_channels():
    assert replace(SPEC, labels=("BACKGROUND", "MYO")).label_ids == (Label.BACKGROUND, Label.MYO)


def test_a_failed_write_keeps_the_old_file(file, monkeypatch):
    before = file.read_bytes()

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cmrseg.io.atomic.os.replace", fail)
    with pytest.raises(OSError, match="No space left"):
        save_model(SPEC, {"w": torch.zeros(2)}, file)
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_newer_format_asks_for_an_update(file, state):
    with_header(file, state, format_version=FORMAT_VERSION + 1, cmrseg_version="9.0")
    assert_refused(file, rf"written by cmrseg 9\.0 in model format {FORMAT_VERSION + 1}.*update cmrseg")


def test_a_newer_format_is_told_before_its_unknown_keys(file, state):
    with_header(file, state, format_version=FORMAT_VERSION + 1, of_the_future=1)
    assert_refused(file, "update cmrseg")


def test_tensors_without_description_are_no_model(tmp_path, state):
    save_file(dict(state), tmp_path / "m.safetensors")
    assert_refused(tmp_path / "m.safetensors", "no cmrseg description")


@pytest.mark.parametrize("keep", [0, 4, 100, -100])
def test_a_truncated_file_is_told(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    assert_refused(file, "no readable model file")


def test_a_missing_file_is_told(tmp_path):
    assert_refused(tmp_path / "nowhere.safetensors", "no readable model file")


def test_a_file_of_another_kind_is_told(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"\x80\x04pickled" * 100)
    assert_refused(tmp_path / "m.safetensors", "no readable model file")


def test_tensors_of_another_network_are_told(file, state):
    with_header(file, state, arguments={"widths": [4, 16]})
    assert_refused(file, "does not fit its architecture light2d")


def test_an_unknown_architecture_is_told(file, state):
    with_header(file, state, architecture="light9d")
    assert_refused(file, "light9d")


@pytest.mark.parametrize("width", [10**6, 10**12, 10**30])
def test_layers_that_no_memory_holds_are_refused_before_they_are_made(file, state, width):
    with_header(file, state, arguments={"widths": [4, width]})
    assert_refused(file, "does not fit its architecture|cannot be rebuilt")


def test_a_name_that_is_a_path_is_refused(file, state):
    with_header(file, state, name="../../toy")
    assert_refused(file, r"calls itself '\.\./\.\./toy', which cannot be a file name")


def test_a_model_that_is_read_does_not_lie_in_its_file(file, state):
    net = read_model(file).net
    with file.open("r+b") as content:  # changed in place, not replaced
        content.seek(-8, 2)
        content.write(bytes(8))
    assert all(torch.equal(tensor, state[key]) for key, tensor in net.state_dict().items())


def test_arguments_that_the_architecture_does_not_take_are_told(file, state):
    with_header(file, state, arguments={"colour": "red"})
    assert_refused(file, "colour")


@pytest.mark.parametrize(
    "change",
    [
        {"preprocessing": {"size": 63}},
        {"preprocessing": None},
        {"labels": None},
        {"unknown": 1},
        {"format_version": "one"},
    ],
    ids=str,
)
def test_a_damaged_description_is_told(file, state, change):
    with_header(file, state, **change)
    assert_refused(file, "damaged description")


@pytest.mark.parametrize("text", ["{", "[]", "null", "[" * 10**5])
def test_a_description_that_is_no_json_object_is_told(file, state, text):
    save_file(dict(state), file, metadata={"cmrseg": text})
    assert_refused(file, "damaged description")


# Other labels


@pytest.fixture
def base(file):
    return read_model(file)


def head(model):
    return (
        model.net.head.weight[:, 0, 0, 0].detach()
        if model.net.head.weight.shape[1] == 1
        else model.net.head.weight
    )


def test_the_same_labels_are_the_same_model(base):
    assert with_labels(base, SPEC.labels) is base


def test_dropped_labels_leave_the_rows_of_the_others(base):
    fewer = with_labels(base, ("BACKGROUND", "RV"))
    assert fewer.spec.labels == ("BACKGROUND", "RV")
    assert torch.equal(head(fewer), head(base)[[0, 3]])
    assert torch.equal(fewer.net.head.bias, base.net.head.bias[[0, 3]])


def test_new_labels_start_at_random_beside_the_old_rows(base):
    two = with_labels(base, ("BACKGROUND", "MYO"))
    four = with_labels(two, ("BACKGROUND", "LV", "MYO", "RV"))
    assert torch.equal(head(four)[[0, 2]], head(base)[[0, 2]])
    assert not torch.equal(head(four)[[1, 3]], head(base)[[1, 3]])


def test_labels_in_another_order_take_their_rows_along(base):
    swapped = with_labels(base, ("BACKGROUND", "RV", "MYO", "LV"))
    assert torch.equal(head(swapped), head(base)[[0, 3, 2, 1]])


def test_every_other_tensor_is_the_bases(base):
    fewer = with_labels(base, ("BACKGROUND", "LV")).net.state_dict()
    for key, tensor in base.net.state_dict().items():
        assert key.startswith("head") or torch.equal(fewer[key], tensor)


def test_the_base_is_left_alone(base, state):
    with_labels(base, ("BACKGROUND", "LV"))
    assert isinstance(base, Model)
    assert all(torch.equal(v, state[k]) for k, v in base.net.state_dict().items())


@pytest.mark.parametrize(
    "labels",
    [
        ["BACKGROUND"],
        ["LV", "MYO", "RV"],
        ["LV", "MYO", "BACKGROUND"],
        ["BACKGROUND", "LV", "LV"],
        ["BACKGROUND", *["LV"] * 299],
        ["BACKGROUND", "ATRIUM", "LV"],
        "LV",
        {"LV": 1},
        [],
        [1, 2, 3],
    ],
)
def test_labels_that_make_no_sense_are_refused(file, state, labels):
    with_header(file, state, labels=labels)
    assert_refused(file, "labels|does not know")


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": 7},
        {"recipe": "x" * 1000},
        {"licence": "<script>alert(1)</script>"},
        {"licence": "a\nb"},
        {"licence": "\x1b[2J"},
        {"training": [1]},
        {"arguments": [1]},
        {"arguments": {"widths": [1] * 14}},
        {"arguments": {"widths": "abc"}},
        {"arguments": {"widths": [4, 8.5]}},
        {"arguments": {"width": [4, 8]}},
        {"name": None},
        {"preprocessing": {"pixel_mm": 1e-6}},
        {"preprocessing": {"neighbours": 20_001}},
        {"preprocessing": {"low_percentile": 99.0, "high_percentile": 1.0}},
        {"preprocessing": {"rgb": "no"}},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_description_that_makes_no_sense_is_refused(file, state, changes):
    with_header(file, state, **changes)
    assert_refused(file, "|".join(changes) + "|cannot be rebuilt|widths|must be")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused(file, state, value):
    key = next(key for key, tensor in state.items() if tensor.is_floating_point())
    wrong = {**state, key: state[key].clone()}
    wrong[key].view(-1)[0] = value
    save_model(SPEC, wrong, file)
    assert_refused(file, "no finite numbers")


def test_every_flipped_bit_of_the_weights_is_noticed(file):
    whole = file.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    for place in range(begin, len(whole), 997):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        file.write_bytes(damaged)
        assert_refused(file, "is damaged")


def test_a_description_that_was_changed_by_accident_is_noticed(file):
    file.write_bytes(file.read_bytes().replace(rb"pixel_mm\": 2.0", rb"pixel_mm\": 3.0"))
    assert_refused(file, "is damaged")


def test_a_model_of_before_there_were_checksums_is_read(file, state):
    header = {key: value for key, value in header_of(file).items() if key != "sha256"}
    save_file(dict(state), file, metadata={"cmrseg": json.dumps(header)})
    assert read_model(file).spec == SPEC
