"""Less memory in training: features are computed again for the gradient instead of being kept.

References
----------
Chen, Xu, Zhang, Guestrin, arXiv:1604.06174 (2016).
"""

from __future__ import annotations

import math
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from cmrseg.models.light_unet import ConvBlock


def checkpoint_blocks(network: nn.Module) -> None:
    """Keep only what goes into the blocks of a light net, in 2D or 3D; gradients stay what they are.

    A batch norm sees every batch twice and moves its averages twice; its momentum is lowered so that both
    steps together are the one that it would have made.

    Parameters
    ----------
    network
        Changed in place; its state dict keeps its keys.

    Raises
    ------
    ValueError
        If it has no such blocks.
    """
    blocks = [layer for layer in network.modules() if isinstance(layer, ConvBlock)]
    if not blocks:
        raise ValueError("only the blocks of light2d and light3d can be checkpointed; leave it out")
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]
        for norm in block.modules():
            if isinstance(norm, _BatchNorm) and norm.momentum is not None:
                norm.momentum = 1 - math.sqrt(1 - norm.momentum)
