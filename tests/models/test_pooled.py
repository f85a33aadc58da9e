"""Networks that answer numbers of an image."""

import pytest
import torch
from torch import nn

from cmrseg.models import ARCHITECTURES, get_architecture, parameter_groups
from cmrseg.models.backbones import BACKBONES
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


@pytest.mark.parametrize("name", ["r18", "sq11"])
def test_a_mask_is_given_in_training_only(name):
    net = build_pooled(3, 11, backbone=name, mask_classes=4)
    images = torch.rand(2, 3, 96, 96)
    numbers, logits = net(images)
    assert (numbers.shape, logits.shape) == ((2, 11), (2, 4, 96, 96))
    with torch.inference_mode():
        assert net.eval()(images).shape == (2, 11)


def test_the_mask_teaches_the_encoder():
    net = build_pooled(3, 11, backbone="sq11", mask_classes=4)
    net(torch.rand(1, 3, 64, 64))[1].square().mean().backward()
    assert net.encoder.features[0].weight.grad.abs().sum() > 0
    assert net.head.weight.grad is None


def test_maps_are_halved_and_doubled_as_often():
    decoder = build_pooled(3, 11, backbone="r18", mask_classes=4).decoder
    doubled = [layer for layer in decoder if isinstance(layer, nn.Upsample)]
    assert len(doubled) == 5
    assert [layer.out_channels for layer in decoder if isinstance(layer, nn.Conv2d)] == [
        256,
        128,
        64,
        32,
        16,
        4,
    ]


@pytest.mark.parametrize("name", ["r18", "sq11", "alex", "mnv2", "shuf", "v11"])
def test_the_decoder_comes_back_to_about_the_size_of_the_image(name):
    with torch.device("meta"):
        features = BACKBONES[name].features().eval()(torch.zeros(1, 3, 224, 224))
    assert 192 <= features.shape[2] * 2 ** BACKBONES[name].halvings <= 224


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
