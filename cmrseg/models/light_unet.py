"""The light 2D U-Net: small enough for a laptop, embedded in the package."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmrseg.models.defaults import Stage, TrainDefaults
from cmrseg.models.registry import Architecture, register

LIGHT = TrainDefaults(
    base=(Stage(100, 3e-3),),
    transfer=(Stage(3, 1e-3, frozen=True), Stage(37, 1e-3)),
    # One scanner writes its images in one orientation: s3's rotations and flips only cost accuracy there.
    transfer_augmentation="s4",
    batch_size=16,
    transfer_batch_size=16,
    weight_decay=0.02,
    ema_decay=0.99,
    gradient_clip=5.0,
    size=160,
    pixel_mm=1.5,
)
NORMS = ("batch", "instance")
MOST_LEVELS = 6  # images are padded to multiples of 32 pixels, which can be halved five times


class LightUNet(nn.Module):
    """Light 2D U-Net; neighbouring slices may be given as input channels.

    Every contraction block doubles the feature maps and halves the image, every expanding block
    concatenates the features of its level. A 1 x 1 convolution narrows the deep features before they are
    upsampled bilinearly: on a CPU the full-resolution layers cost most of the time.

    Parameters
    ----------
    in_channels
        Input channels: 1, or N neighbouring slices.
    classes
        Output classes, background included.
    widths
        Feature maps of every level, full resolution first; the last one is the base layer.
    norm
        ``"batch"`` or ``"instance"``.
    residual
        Add each block's input to its output, which lets deeper nets train at high learning rates.
    dropout
        Probability of zeroing a whole feature map of the base layer while training.

    Raises
    ------
    ValueError
        If a channel count is no positive number, there are fewer than 2 or more than 6 levels, or there is
        no such norm.

    References
    ----------
    Patravali, Jain, Chilamkurthy, STACOM 2017, doi:10.1007/978-3-319-75541-0_14.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        *,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        norm: str = "batch",
        residual: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check(in_channels, classes, widths, norm)
        self.encoder = LightEncoder(in_channels, widths, norm=norm, residual=residual, dropout=dropout)
        self.decoder = LightDecoder(widths, norm=norm, residual=residual)
        self.head = nn.Conv2d(widths[0], classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Class logits of every pixel.

        Parameters
        ----------
        images
            Shape ``(b, c, h, w)``; ``h`` and ``w`` divisible by ``2 ** (len(widths) - 1)``.

        Returns
        -------
        Logits, shape ``(b, classes, h, w)``.
        """
        return self.head(self.decoder(self.encoder(images)))


class LightEncoder(nn.Module):
    """The contracting side: one block per level, max pooling between them."""

    def __init__(
        self, in_channels: int, widths: Sequence[int], *, norm: str, residual: bool, dropout: float
    ) -> None:
        super().__init__()
        inputs = (in_channels, *widths[:-1])
        self.blocks = nn.ModuleList(
            ConvBlock(i, o, norm=norm, residual=residual) for i, o in zip(inputs, widths, strict=True)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of every level, full resolution first, each ``(b, width, h / 2**level, w / 2**level)``."""
        features = [self.blocks[0](images)]
        for block in self.blocks[1:]:
            features.append(block(self.pool(features[-1])))
        features[-1] = self.dropout(features[-1])
        return features


class LightDecoder(nn.Module):
    """The expanding side: narrow, double the size, concatenate the skip, convolve."""

    def __init__(self, widths: Sequence[int], *, norm: str, residual: bool) -> None:
        super().__init__()
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.narrow = nn.ModuleList(nn.Conv2d(deep, wide, kernel_size=1) for deep, wide in steps)
        self.blocks = nn.ModuleList(
            ConvBlock(2 * wide, wide, norm=norm, residual=residual) for _, wide in steps
        )
        self.upsample = nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features ``(b, widths[0], h, w)`` from those of every level."""
        x = features[-1]
        for skip, narrow, block in zip(features[-2::-1], self.narrow, self.blocks, strict=True):
            x = block(torch.cat([skip, self.upsample(narrow(x))], dim=1))
        return x


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions, each with norm and ReLU, optionally around a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, norm: str, residual: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
        self.norm1 = _norm(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.norm2 = _norm(norm, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, kernel_size=1) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(b, outputs, h, w)`` of ``(b, inputs, h, w)``."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return F.relu(y)


def _norm(name: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if name == "batch" else nn.InstanceNorm2d(channels, affine=True)


def _check(in_channels: int, classes: int, widths: Sequence[int], norm: str) -> None:
    """Refuse sizes that no layer can have."""
    if not isinstance(widths, Sequence) or not 2 <= len(widths) <= MOST_LEVELS:
        raise ValueError(f"widths must name at least 2 levels and at most {MOST_LEVELS}, got {widths!r:.60}")
    if not all(type(n) is int and n > 0 for n in (in_channels, classes, *widths)):
        raise ValueError(
            f"in_channels, classes and widths must be positive whole numbers (channels), "
            f"got {in_channels}, {classes}, {tuple(widths)}"
        )
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got '{norm}'")


def _encoder(model: nn.Module) -> nn.Module:
    return model.encoder


register(Architecture("light2d", LightUNet, _encoder, defaults=LIGHT))
