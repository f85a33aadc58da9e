"""Networks over slices become networks over stacks, or over the frames of a cycle, and keep their weights.

References
----------
Carreira, Zisserman, CVPR 2017, doi:10.1109/CVPR.2017.502 (inflation); Gessert, Schlaefer, STACOM 2019;
Patravali, Jain, Chilamkurthy, STACOM 2017, doi:10.1007/978-3-319-75541-0_14 (pooling of 1 x 2 x 2).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNELS = ("mean", "centre")
_UPSAMPLING = {"bilinear": "trilinear", "nearest": "nearest"}


class InflatedConv(nn.Conv3d):
    """A convolution over stacks whose ends are repeated, as there is no slice beyond them.

    Parameters
    ----------
    layer
        2D convolution that it looks like in every slice of a stack of equal ones.
    depth
        Length of its kernel across slices; that of a kernel of one pixel stays 1.
    kernel
        As of `inflate`.
    """

    def __init__(self, layer: nn.Conv2d, depth: int, kernel: str = "mean") -> None:
        depth = 1 if layer.kernel_size == (1, 1) else depth
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            (depth, *layer.kernel_size),
            stride=(1, *layer.stride),
            padding=(0, *layer.padding),
            dilation=(1, *layer.dilation),
            groups=layer.groups,
            bias=layer.bias is not None,
            device=layer.weight.device,
            dtype=layer.weight.dtype,
        )
        with torch.no_grad():
            if kernel == "mean":
                self.weight.copy_(layer.weight[:, :, None].expand_as(self.weight) / depth)
            else:
                self.weight.zero_()[:, :, depth // 2] = layer.weight
            if layer.bias is not None:
                self.bias.copy_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(b, channels, z, h, w)``, as many slices as they were."""
        ends = self.kernel_size[0] // 2
        return super().forward(F.pad(x, (0, 0, 0, 0, ends, ends), mode="replicate") if ends else x)


def inflate(network: nn.Module, depth: int = 3, *, kernel: str = "mean") -> nn.Module:
    """A copy of a network over slices that works on stacks, with the weights of the original.

    The slices of a stack are never pooled, strided or interpolated, so that any number of them goes in and
    comes out. Of a stack of equal slices every slice is answered as the original answers it. State dicts keep
    their keys.

    Parameters
    ----------
    network
        2D network; whatever it does to pixels it does by modules.
    depth
        Odd length of kernels across slices.
    kernel
        ``mean``: kernels are copied ``depth`` times and divided by it (Carreira and Zisserman), made for the
        frames of a film, which hardly differ. ``centre``: they become the middle of the kernel and the rest
        starts at 0, so that the slices of any stack are answered as the original answers each of them.

    Returns
    -------
    Network from ``(b, c, z, h, w)``.

    Raises
    ------
    ValueError
        If ``depth`` is even or not positive, there is no such kernel, or a layer has no counterpart.
    """
    if depth < 1 or depth % 2 == 0:
        raise ValueError(f"depth must be an odd number of slices, got {depth}")
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, got '{kernel}'")
    return _inflated(deepcopy(network), depth, kernel)


def _inflated(layer: nn.Module, depth: int, kernel: str) -> nn.Module:
    """A layer over stacks; those that hold others stay and hold theirs."""
    for name, child in layer.named_children():
        setattr(layer, name, _inflated(child, depth, kernel))
    if isinstance(layer, nn.Conv2d):
        return InflatedConv(layer, depth, kernel).train(layer.training)
    for kind, make in _COUNTERPARTS.items():
        if isinstance(layer, kind):
            return make(layer).train(layer.training)
    if type(layer).__name__.endswith("2d") and type(layer).__module__.startswith("torch.nn"):
        raise ValueError(f"{type(layer).__name__} has no counterpart over stacks")
    return layer


def _norm(kind: type[nn.Module]) -> Callable[[nn.Module], nn.Module]:
    """Norms over one more dimension, with the statistics that were learned."""

    def make(layer: nn.Module) -> nn.Module:
        names = ("eps", "momentum", "affine", "track_running_stats")
        norm = kind(layer.num_features, **{name: getattr(layer, name) for name in names})
        device = next((tensor.device for tensor in layer.state_dict().values()), None)
        norm = norm if device is None else norm.to(device)
        norm.load_state_dict(layer.state_dict(), assign=True)
        return norm

    return make


def _max_pool(layer: nn.MaxPool2d) -> nn.MaxPool3d:
    kernel, stride, padding, dilation = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    return nn.MaxPool3d((1, *kernel), (1, *stride), (0, *padding), (1, *dilation), ceil_mode=layer.ceil_mode)


def _average_pool(layer: nn.AvgPool2d) -> nn.AvgPool3d:
    kernel, stride, padding = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (layer.kernel_size, layer.stride, layer.padding)
    )
    return nn.AvgPool3d((1, *kernel), (1, *stride), (0, *padding), layer.ceil_mode, layer.count_include_pad)


def _adaptive_pool(layer: nn.AdaptiveAvgPool2d) -> nn.AdaptiveAvgPool3d:
    """To one number over slices too, as squeeze and excitation weighs whole maps; else slice by slice."""
    size = layer.output_size
    pair = (size, size) if isinstance(size, int) or size is None else tuple(size)
    return nn.AdaptiveAvgPool3d(1 if pair == (1, 1) else (None, *pair))


def _upsample(layer: nn.Upsample) -> nn.Upsample:
    if layer.size is not None or layer.mode not in _UPSAMPLING:
        raise ValueError(f"upsampling by {layer.mode} to {layer.size} has no counterpart over stacks")
    factor = layer.scale_factor
    factors = (1.0, *factor) if isinstance(factor, tuple) else (1.0, factor, factor)
    return nn.Upsample(scale_factor=factors, mode=_UPSAMPLING[layer.mode], align_corners=layer.align_corners)


_COUNTERPARTS: dict[type[nn.Module], Callable[[nn.Module], nn.Module]] = {
    nn.BatchNorm2d: _norm(nn.BatchNorm3d),
    nn.InstanceNorm2d: _norm(nn.InstanceNorm3d),
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    nn.Upsample: _upsample,
    nn.Dropout2d: lambda layer: nn.Dropout3d(layer.p),
}
