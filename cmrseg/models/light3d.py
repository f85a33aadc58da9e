"""The light 3D U-Net: the light 2D one with every operation replaced by its counterpart over stacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from cmrseg.models.inflate import InflatedConv, inflate
from cmrseg.models.light_unet import LIGHT, LightUNet
from cmrseg.models.registry import Architecture, register

DEPTH = 3  # slices that a kernel covers
# A stack is as many images as it has slices.
LIGHT_3D = replace(LIGHT, batch_size=2, transfer_batch_size=2)


def build_light3d(
    in_channels: int = 1,
    classes: int = 4,
    *,
    widths: Sequence[int] = (16, 32, 64, 128, 256),
    norm: str = "batch",
    residual: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """Light 3D U-Net with convolutions of 3 x 3 x 3, pooling and upsampling of 1 x 2 x 2.

    Parameters
    ----------
    in_channels, classes, widths, norm, residual, dropout
        As of `LightUNet`.

    Returns
    -------
    Module from ``(b, in_channels, z, h, w)`` to logits ``(b, classes, z, h, w)``, for any number of slices.

    References
    ----------
    Patravali, Jain, Chilamkurthy, STACOM 2017, doi:10.1007/978-3-319-75541-0_14.
    """
    net = inflate(
        LightUNet(in_channels, classes, widths=widths, norm=norm, residual=residual, dropout=dropout), DEPTH
    )
    for layer in net.modules():
        if isinstance(layer, InflatedConv):
            layer.reset_parameters()  # random in all three dimensions, not one random slice three times
    return net


def _encoder(model: nn.Module) -> nn.Module:
    return model.encoder


register(Architecture("light3d", build_light3d, _encoder, defaults=LIGHT_3D, dims=3, inflated_from="light2d"))
