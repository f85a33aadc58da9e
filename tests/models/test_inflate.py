"""A network over stacks that was one over slices."""

import pytest
import torch
from torch import nn

from cmrseg.models import get_architecture
from cmrseg.models.inflate import inflate
from cmrseg.models.light_unet import LightUNet
from cmrseg.models.pooled import build_pooled

SMALL = {"widths": (4, 8, 16)}


@pytest.fixture
def flat():
    """A small light net that has learned statistics."""
    torch.manual_seed(0)
    net = LightUNet(1, 4, **SMALL, residual=True, dropout=0.3)
    net.train()(torch.randn(4, 1, 32, 32))
    return net.eval()


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("depth", [1, 3, 5])
@torch.inference_mode()
def test_a_stack_of_equal_slices_is_answered_as_its_slice(depth, norm):
    torch.manual_seed(0)
    net = LightUNet(1, 4, **SMALL, norm=norm).eval()
    image = torch.randn(2, 1, 32, 64)
    stack = inflate(net, depth)(image[:, :, None].expand(-1, -1, 6, -1, -1))
    torch.testing.assert_close(stack, net(image)[:, :, None].expand_as(stack), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_kernels_in_the_centre_answer_the_slices_of_any_stack_as_the_original(flat):
    stack = torch.randn(1, 1, 5, 32, 32)
    found = inflate(flat, kernel="centre")(stack)
    expected = flat(stack[0].transpose(0, 1)).transpose(0, 1)[None]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_statistics_shortcuts_and_dropout_are_inflated_too(flat):
    image = torch.randn(1, 1, 32, 32)
    stack = inflate(flat)(image[:, :, None].expand(-1, -1, 3, -1, -1))
    torch.testing.assert_close(stack, flat(image)[:, :, None].expand_as(stack), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("slices", [1, 2, 3, 40])
@torch.inference_mode()
def test_any_number_of_slices_goes_in_and_comes_out(flat, slices):
    assert inflate(flat)(torch.randn(1, 1, slices, 32, 32)).shape == (1, 4, slices, 32, 32)


def test_state_dicts_keep_their_keys_and_the_original_stays(flat):
    before = {key: tensor.clone() for key, tensor in flat.state_dict().items()}
    deep = inflate(flat)
    assert list(deep.state_dict()) == list(before)
    assert all(torch.equal(flat.state_dict()[key], tensor) for key, tensor in before.items())


def test_stacks_are_told_apart_by_their_neighbours(flat):
    stack = torch.randn(1, 1, 3, 32, 32)
    with torch.inference_mode():
        here, there = (inflate(flat)(s)[:, :, 0] for s in (stack, stack[:, :, [0, 2, 1]]))
    assert not torch.allclose(here, there)


def test_an_even_depth_and_a_layer_without_counterpart_are_refused(flat):
    with pytest.raises(ValueError, match="depth must be an odd number of slices, got 2"):
        inflate(flat, 2)
    with pytest.raises(ValueError, match="kernel must be one of mean, centre, got 'sum'"):
        inflate(flat, kernel="sum")
    with pytest.raises(ValueError, match="FractionalMaxPool2d has no counterpart"):
        inflate(nn.Sequential(nn.FractionalMaxPool2d(2, 2)))


def test_light3d_is_the_light_net_over_stacks():
    light3d, light2d = get_architecture("light3d"), get_architecture("light2d")
    assert (light3d.dims, light3d.inflated_from) == (3, "light2d")
    deep, flat = light3d.build(1, 4), light2d.build(1, 4)
    assert list(deep.state_dict()) == list(flat.state_dict())
    assert deep.encoder.blocks[-1].conv1.weight.shape == (256, 128, 3, 3, 3)
    assert light3d.encoder(deep) is deep.encoder
    kernel = deep.encoder.blocks[0].conv2.weight
    assert not torch.equal(kernel[:, :, 0], kernel[:, :, 1])  # random weights are random across slices


@pytest.mark.parametrize(
    "name", ["sq11", "dn121", *(pytest.param(n, marks=pytest.mark.slow) for n in ("r18", "mnv2", "sern101"))]
)
def test_a_network_for_numbers_answers_every_frame_of_a_still_cine_as_in_2d(name):
    pytest.importorskip("torchvision")
    torch.manual_seed(0)
    flat = build_pooled(3, 11, backbone=name).eval().double()  # random weights make large numbers
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        answer = flat(image)
        cine = inflate(flat)(image[:, :, None].expand(-1, -1, 5, -1, -1))
    assert cine.shape == (1, 5, 11)
    torch.testing.assert_close(cine, answer[:, None].expand_as(cine), rtol=1e-5, atol=1e-5)


def test_pools_are_averaged_slice_by_slice():
    stack = torch.rand(1, 2, 3, 8, 8)
    pool = nn.AvgPool2d(3, 2, 1, ceil_mode=True)
    by_slice = torch.stack([pool(stack[:, :, z]) for z in range(3)], dim=2)
    torch.testing.assert_close(inflate(nn.Sequential(pool))(stack), by_slice)
    by_slice = torch.stack([nn.AdaptiveAvgPool2d(2)(stack[:, :, z]) for z in range(3)], dim=2)
    torch.testing.assert_close(inflate(nn.Sequential(nn.AdaptiveAvgPool2d(2)))(stack), by_slice)
