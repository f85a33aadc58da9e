"""Networks that answer numbers of an image."""

import pytest
import torch
from torch import nn

from cmrseg.models import ARCHITECTURES, get_architecture, parameter_groups
from cmrseg.models.defaults import PAPER
from cmrseg.models.pooled import Pooled, build_pooled, register_pooled

pytest.importorskip("torchvision")


def test_numbers_are_a_linear_function_of_the_mean_features():
    net = Pooled(nn.Identity(), 3, 2)
    images = torch.rand(4, 3, 8, 6)
    with torch.no_grad():
        weight = net.head.weight[:, :, 0, 0]
        torch.testing.assert_close(net(images), images.mean((2, 3)) @ weight.T + net.head.bias)


@pytest.mark.parametrize("name", ["r18", "sq11", "mnv2", "shuf"])
def test_images_of_any_size_give_numbers(name):
    net = build_pooled(3, 13, backbone=name).eval()
    with torch.inference_mode():
        assert net(torch.zeros(2, 3, 64, 96)).shape == (2, 13)


def test_an_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match=r"backbone must be one of .*dn121.*, got 'dn12'"):
        build_pooled(3, 2, backbone="dn12")


def test_grey_input_is_refused():
    with pytest.raises(ValueError, match="3 input channels, got 1"):
        build_pooled(1, 2, backbone="sq11")


def test_the_encoder_is_frozen_and_the_head_is_not(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "sq11-what", None)  # taken out again afterwards
    register_pooled("what", task="counting", backbones=("sq11",), defaults=PAPER)
    architecture = get_architecture("sq11-what")
    assert (architecture.task, architecture.backbone, architecture.rgb) == ("counting", "sq11", True)
    net = architecture.build(3, 4)
    encoder, rest = parameter_groups(net, architecture)
    assert [p.shape for p in rest] == [(4, 512, 1, 1), (4,)]
    assert len(encoder) == 50
