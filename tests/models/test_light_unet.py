"""The light U-Net: shapes, size, export and what a transfer learner freezes."""

import json

import pytest
import torch

from cmrseg.models.light_unet import LightUNet

SMALL = (4, 8, 16)


@pytest.mark.parametrize(("h", "w"), [(16, 24), (32, 4)])
def test_logits_have_the_size_of_the_image(h, w):
    net = LightUNet(3, 4, widths=SMALL)
    assert net(torch.zeros(2, 3, h, w)).shape == (2, 4, h, w)


def test_default_fits_in_four_megabytes_of_half_floats():
    parameters = sum(p.numel() for p in LightUNet().parameters())
    assert parameters * 2 < 4e6


@pytest.mark.parametrize("options", [{}, {"norm": "instance"}, {"residual": True}, {"dropout": 0.5}])
def test_every_parameter_gets_a_gradient(options):
    net = LightUNet(1, 2, widths=SMALL, **options)
    net(torch.randn(2, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_encoder_can_be_frozen_alone():
    net = LightUNet(1, 4, widths=SMALL)
    encoder = {id(p) for p in net.encoder.parameters()}
    rest = {id(p) for part in (net.decoder, net.head) for p in part.parameters()}
    assert not encoder & rest
    assert encoder | rest == {id(p) for p in net.parameters()}


def test_options_survive_json():
    options = json.loads(json.dumps({"widths": SMALL, "norm": "instance", "residual": True, "dropout": 0.1}))
    weights = LightUNet(1, 4, widths=SMALL, norm="instance", residual=True, dropout=0.1).state_dict()
    LightUNet(1, 4, **options).load_state_dict(weights)


def test_whole_field_agrees_with_itself_shifted_by_the_stride():
    torch.manual_seed(0)
    net = LightUNet(1, 2, widths=(4, 8)).eval()
    image = torch.zeros(1, 1, 64, 64)
    image[..., 20:40, 20:40] = 1
    moved = net(image.roll((2, 2), dims=(2, 3)))
    torch.testing.assert_close(moved[..., 16:48, 16:48], net(image)[..., 14:46, 14:46])


@pytest.mark.slow
def test_exports_with_dynamic_height_and_width():
    net = LightUNet(1, 4, widths=SMALL).eval()
    h, w = torch.export.Dim("h", min=2, max=128), torch.export.Dim("w", min=2, max=128)
    image = torch.randn(2, 1, 32, 48)
    program = torch.export.export(net, (image,), dynamic_shapes=({2: 4 * h, 3: 4 * w},))
    torch.testing.assert_close(program.module()(image), net(image))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (8, 0)}, "widths must be positive"),
        ({"widths": (8,)}, "at least 2 levels"),
        ({"norm": "layer"}, "norm must be one of batch, instance, got 'layer'"),
        ({"in_channels": 0}, "in_channels"),
    ],
)
def test_refuses_what_cannot_be_built(arguments, message):
    with pytest.raises(ValueError, match=message):
        LightUNet(**arguments)
