"""Features that are computed again give the same gradients and the same statistics."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from cmrseg.models.checkpointing import checkpoint_blocks
from cmrseg.models.light3d import build_light3d


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_and_running_statistics_stay_what_they_are(frozen):
    torch.manual_seed(0)
    plain = build_light3d(1, 4, widths=(4, 8)).train()
    for layer in plain.encoder.modules():
        if frozen and isinstance(layer, nn.Conv3d):
            layer.requires_grad_(False)
    lean = deepcopy(plain)
    checkpoint_blocks(lean)
    for net in (plain, lean):
        torch.manual_seed(1)
        net(torch.randn(2, 1, 3, 16, 16)).square().mean().backward()
    for (name, one), two in zip(plain.named_parameters(), lean.parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None), name
        if one.grad is not None:
            torch.testing.assert_close(one.grad, two.grad)
    for one, two in zip(plain.state_dict().values(), lean.state_dict().values(), strict=True):
        if one.is_floating_point():
            torch.testing.assert_close(one, two)
    assert list(plain.state_dict()) == list(lean.state_dict())


def test_fewer_features_are_kept():
    kept = {}
    for lean in (False, True):
        net = build_light3d(1, 4, widths=(4, 8)).train()
        if lean:
            checkpoint_blocks(net)
        sizes = []

        def keep(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            net(torch.randn(1, 1, 4, 32, 32))
        kept[lean] = sum(sizes)
    assert kept[True] < kept[False] / 2


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match="only the blocks of light2d and light3d"):
        checkpoint_blocks(nn.Sequential(nn.Conv2d(1, 1, 1)))
