"""ImageNet networks and their weights: every tensor of a file lands."""

import re
from pathlib import Path

import pytest
import torch

from cmrseg.models import Architecture
from cmrseg.models.backbones import BACKBONES, load_imagenet
from cmrseg.models.pooled import build_pooled
from cmrseg.problems import DataError

pytest.importorskip("torchvision")

SQUEEZENET = Architecture("squeeze", build_pooled, lambda net: net.encoder, backbone="sq11")
SENETS = {  # blocks, groups, maps of the 3 x 3 convolutions over those of a ResNet, layers of the stem
    "sern101": ((3, 4, 23, 3), 1, 1, 1),
    "sern152": ((3, 8, 36, 3), 1, 1, 1),
    "serx101": ((3, 4, 23, 3), 32, 2, 1),
    "se154": ((3, 8, 36, 3), 64, 4, 3),
}
LARGE = {"se154", "rx101", "dn161", "dn169", "sern152", "serx101"}
EVERY = [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in BACKBONES]


def of_meta(name, *, outputs=2):
    """A pooled network without numbers, which a file gives."""
    with torch.device("meta"):
        return build_pooled(3, outputs, backbone=name).to_empty(device="cpu")


def norm(name, maps):
    """Tensors of a batch norm by name, with their shapes."""
    return {f"{name}.{part}": (maps,) for part in ("weight", "bias", "running_mean", "running_var")}


def legacy_senet(name):
    """Tensors of timm's `legacy_*` networks before their classifier, by name, as Cadene published them."""
    blocks, groups, ratio, stem = SENETS[name]
    shapes, width = {}, 128 if stem == 3 else 64
    maps = (3, 64, 64, width) if stem == 3 else (3, width)
    for number in range(1, stem + 1):
        kernel = 3 if stem == 3 else 7
        shapes[f"layer0.conv{number}.weight"] = (maps[number], maps[number - 1], kernel, kernel)
        shapes |= norm(f"layer0.bn{number}", maps[number])
    for stage, n in enumerate(blocks, start=1):
        planes = 32 * 2**stage
        for place in range(n):
            block = f"layer{stage}.{place}"
            shapes |= _block(block, width, planes, groups, ratio)
            if place == 0:
                kernel = 3 if stem == 3 and stage > 1 else 1
                shapes[f"{block}.downsample.0.weight"] = (planes * 4, width, kernel, kernel)
                shapes |= norm(f"{block}.downsample.1", planes * 4)
            width = planes * 4
    return shapes


def _block(block, width, planes, groups, ratio):
    first, middle = (planes * 2, planes * 4) if groups == 64 else (planes * ratio,) * 2
    out = planes * 4
    shapes = {
        f"{block}.conv1.weight": (first, width, 1, 1),
        f"{block}.conv2.weight": (middle, first // groups, 3, 3),
        f"{block}.conv3.weight": (out, middle, 1, 1),
        f"{block}.se_module.fc1.weight": (out // 16, out, 1, 1),
        f"{block}.se_module.fc1.bias": (out // 16,),
        f"{block}.se_module.fc2.weight": (out, out // 16, 1, 1),
        f"{block}.se_module.fc2.bias": (out,),
    }
    for number, maps in enumerate((first, middle, out), start=1):
        shapes |= norm(f"{block}.bn{number}", maps)
    return shapes


def published(name):
    """Tensors of a published file before its classifier, by name: shapes."""
    if name in SENETS:
        return legacy_senet(name)
    with torch.device("meta"):
        state = BACKBONES[name].classifier().state_dict()
    # torchvision's DenseNets are stored under names of before: norm.1 for norm1.
    old = {re.sub(r"(denselayer\d+\.\w+?)(\d\.)", r"\1.\2", key): v.shape for key, v in state.items()}
    return {k: v for k, v in old.items() if not re.match(r"fc\.|classifier\.|.*num_batches", k)}


@pytest.mark.parametrize("name", EVERY)
def test_every_tensor_of_a_published_file_lands(tmp_path, name):
    shapes = published(name)
    state = {key: torch.full((1,), n).float().expand(shapes[key]) for n, key in enumerate(shapes, start=1)}
    torch.save({**state, "fc.weight": torch.zeros(1000, 1)}, tmp_path / "w.pth")
    net = of_meta(name)
    architecture = Architecture("pooled", build_pooled, lambda net: net.encoder, backbone=name)
    sentence = load_imagenet(net, architecture, tmp_path / "w.pth")
    assert sentence == f"ImageNet encoder from w.pth: {len(shapes)} of its {len(shapes)} tensors"
    landed = [v.flatten() for k, v in net.encoder.state_dict().items() if not k.endswith("tracked")]
    assert sorted(v[0].item() for v in landed) == list(range(1, len(shapes) + 1))
    assert all((v == v[0]).all() for v in landed)


@pytest.mark.parametrize("name", EVERY)
def test_features_are_as_many_as_the_table_says(name):
    with torch.device("meta"):
        features = BACKBONES[name].features().eval()(torch.zeros(1, 3, 224, 224))
    assert features.shape[:2] == (1, BACKBONES[name].width)
    assert features.shape[2] in (6, 7, 13)  # SqueezeNet halves four times


def test_features_are_those_that_the_classifier_sees():
    """DenseNet rectifies its last maps outside of its layers."""
    torch.manual_seed(0)
    whole, seen = BACKBONES["dn121"].classifier().eval(), []
    whole.classifier.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    ours = BACKBONES["dn121"].features().eval()
    ours.load_state_dict(
        {k: v for k, v in whole.state_dict().items() if not k.startswith("classifier")}, strict=True
    )
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        whole(image)
        torch.testing.assert_close(ours(image).mean((-2, -1)), seen[0])


@pytest.mark.parametrize("name", BACKBONES)
def test_weights_are_fetched_by_https_and_their_name_has_their_hash(name):
    assert re.fullmatch(r"https://.*-[0-9a-f]{8,}\.pth", BACKBONES[name].url())


def test_all_squeezenet_weights_are_in_the_encoder(test_data):
    file = test_data / "imagenet" / "squeezenet1_1_imagenet_caffe_notop_unit.pth"
    net = of_meta("sq11")
    assert "50 of its 50 tensors" in load_imagenet(net, SQUEEZENET, file)
    encoder = net.encoder.state_dict()
    for key, tensor in torch.load(file, weights_only=True).items():
        assert torch.equal(encoder.pop(key), tensor)
    assert not encoder


def test_a_partial_file_is_taken_as_far_as_it_fits(tmp_path):
    state = {"features.0.weight": torch.full((64, 3, 3, 3), 0.5), "classifier.1.bias": torch.zeros(9), "n": 3}
    torch.save(state, tmp_path / "w.pth")
    net = of_meta("sq11")
    assert "w.pth: 1 of its 50 tensors" in load_imagenet(net, SQUEEZENET, tmp_path / "w.pth")
    assert (net.encoder.features[0].weight == 0.5).all()


def test_a_file_of_another_network_is_refused(tmp_path):
    torch.save({"conv1.weight": torch.zeros(4)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"no tensor of .*other\.pth fits the encoder sq11"):
        load_imagenet(of_meta("sq11"), SQUEEZENET, tmp_path / "other.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.pth do not exist"):
        load_imagenet(of_meta("sq11"), SQUEEZENET, tmp_path / "nowhere.pth")


@pytest.mark.parametrize("error", [OSError("no network"), RuntimeError("invalid hash value")], ids=str)
def test_a_download_that_fails_says_what_to_do(monkeypatch, error):
    def fails(*_, **settings):
        assert settings["check_hash"]
        assert settings["weights_only"]
        raise error

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", fails)
    with pytest.raises(DataError, match=rf"sq11 cannot be downloaded \({error}\); give a file"):
        load_imagenet(of_meta("sq11"), SQUEEZENET)


class Trap:
    """Pickles as a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    torch.save({"features.0.weight": Trap(tmp_path / "sprung")}, tmp_path / "evil.pth")
    net = of_meta("sq11")
    before = net.encoder.features[0].weight.clone()
    with pytest.raises(DataError, match=r"evil\.pth is no readable file of tensors"):
        load_imagenet(net, SQUEEZENET, tmp_path / "evil.pth")
    assert not (tmp_path / "sprung").exists()
    assert torch.equal(net.encoder.features[0].weight.nan_to_num(), before.nan_to_num())


@pytest.mark.parametrize("content", [b"", b"no tensors", b"PK\x03\x04 cut"])
def test_a_damaged_file_is_told_in_one_sentence(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(DataError, match=r"w\.pth is no readable file of tensors") as caught:
        load_imagenet(of_meta("sq11"), SQUEEZENET, tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[torch.zeros(2)], torch.zeros(2)], ids=["list", "tensor"])
def test_tensors_without_names_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"w\.pth"):
        load_imagenet(of_meta("sq11"), SQUEEZENET, tmp_path / "w.pth")
