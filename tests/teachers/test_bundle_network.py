"""Networks of bundles: what is built, and what is refused before MONAI's parser sees it."""

import socket

import pytest
from monai.networks.nets import UNet

from cmrseg.problems import DataError
from cmrseg.teachers.bundle_network import build_network

NET = {
    "_target_": "UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 4,
    "channels": [4, 8],
    "strides": [2],
}
FETCHING = ("weights", "checkpoint", "repo", "path_or_repo_id", "cache_dir")


@pytest.fixture
def _no_connection(monkeypatch):
    def refuse(*_, **__):
        pytest.fail("a connection was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


def build(net, **more):
    return build_network({"network_def": net, **more}, "b")


@pytest.mark.parametrize("target", ["UNet", "monai.networks.nets.UNet", "monai.networks.nets.unet.UNet"])
def test_networks_of_monai_are_built(target):
    assert isinstance(build({**NET, "_target_": target}), UNet)


def test_layers_of_torch_are_built():
    net = build({"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 4, "kernel_size": 1})
    assert net.out_channels == 4


def test_references_to_plain_values_are_followed():
    net = build(
        {**NET, "out_channels": "@classes", "channels": "@sizes::unet"}, classes=3, sizes={"unet": [4, 8]}
    )
    assert net.out_channels == 3


def test_what_the_network_does_not_need_is_not_looked_at():
    build(NET, imports=["$import os"], evaluating="$os.abort()", network="$@network_def.to(@device)")


@pytest.mark.parametrize(
    "value",
    ["$__import__('os').abort()", " $1+1", "%/etc/passwd.json::x", "@#spatial_dims", "@::spatial_dims"],
)
def test_expressions_are_refused(value):
    with pytest.raises(DataError, match="expression"):
        build({**NET, "out_channels": value})


def test_expressions_in_what_is_referred_to_are_refused():
    with pytest.raises(DataError, match="expression"):
        build({**NET, "out_channels": "@classes"}, classes="@number", number="$print('ran')")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "scripts.net.MyNet",
        "torch.load",
        "LoadImage",
        "torch.nn.functional.relu",
        "torch.nn.functional.torch.load",
        "monai.networks.nets.unet.warnings.warn",
        "$monai.networks.nets.UNet",
        "@where",
        3,
    ],
)
def test_other_targets_are_refused(target):
    with pytest.raises(DataError, match=r"only networks of|expression"):
        build({**NET, "_target_": target}, where="os.system")


def test_targets_inside_arguments_are_refused():
    with pytest.raises(DataError, match=r"os\.system"):
        build({**NET, "act": {"_target_": "os.system", "command": "true"}})


@pytest.mark.parametrize(
    "key", ["_mode_", "_debug_", "_requires_", "pretrained", "pretrained_url", *FETCHING]
)
def test_arguments_that_run_or_fetch_something_are_refused(key):
    with pytest.raises(DataError, match=f"sets '{key}'"):
        build({**NET, key: "debug"})


@pytest.mark.usefixtures("_no_connection")
@pytest.mark.parametrize(
    "net",
    [
        {"_target_": "EfficientNetBN", "model_name": "efficientnet-b0"},
        {"_target_": "MILModel", "num_classes": 2},
        {"_target_": "ResNetFeatures", "model_name": "resnet10"},
        {"_target_": "monai.networks.nets.ResNetEncoder", "model_name": "resnet10"},
        {"_target_": "torch.nn.Sequential", "args": [{"_target_": "MILModel", "num_classes": 2}]},
    ],
)
def test_networks_that_fetch_weights_by_default_are_refused(net):
    with pytest.raises(DataError, match="fetches weights by default"):
        build(net)


@pytest.mark.usefixtures("_no_connection")
@pytest.mark.parametrize(
    "net",
    [
        {"_target_": "EfficientNetBN", "model_name": "efficientnet-b0", "pretrained": False},
        {
            "_target_": "VQVAE",
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 2,
            "use_checkpointing": True,
        },
    ],
)
def test_networks_that_fetch_nothing_are_built(net):
    assert build(net) is not None


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "no network_def"),
        ({"network_def": "$net"}, "no network_def"),
        ({"network_def": {"channels": 3}}, "is no network"),
        ({"network_def": {**NET, "out_channels": "@gone"}}, "refers to 'gone'"),
        ({"network_def": {**NET, "color": 1}}, "cannot be built"),
        ({"network_def": {**NET, "strides": []}}, "cannot be built"),
    ],
)
def test_definitions_that_build_nothing_are_told(config, said):
    with pytest.raises(DataError, match=said):
        build_network(config, "b")
