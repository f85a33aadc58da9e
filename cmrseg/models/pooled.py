"""Numbers or a class of an image: the features of an ImageNet network, their mean, one linear layer.

References
----------
Lin, Chen, Yan, ICLR 2014, arXiv:1312.4400 (global average pooling); Gessert, Schlaefer, STACOM 2019 (the
decoder that regularises).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from cmrseg.models.backbones import BACKBONES
from cmrseg.models.defaults import TrainDefaults
from cmrseg.models.registry import Architecture, register


class Pooled(nn.Module):
    """A backbone whose features are averaged over the image, and a convolution of one pixel on them.

    The convolution is a linear layer that works on any number of frames, see `cmrseg.models.inflate`.

    Parameters
    ----------
    encoder
        Features of images.
    width
        Feature maps that it gives.
    outputs
        Numbers to answer.
    """

    def __init__(self, encoder: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Numbers ``(b, outputs)`` of images ``(b, 3, h, w)``; ``(b, n, outputs)`` of ``n`` frames."""
        return self.numbers(self.encoder(images))

    def numbers(self, features: Tensor) -> Tensor:
        """Numbers from features."""
        means = features.mean(dim=(-2, -1), keepdim=True)
        return self.head(means)[..., 0, 0].movedim(1, -1)


class Regularised(Pooled):
    """A pooled network that while it is trained also segments, so that its features know where the heart is.

    Parameters
    ----------
    encoder, width, outputs
        As of `Pooled`.
    classes
        Of the mask, background included.
    halvings
        How often the encoder halves an image: as often the decoder doubles its maps.
    """

    def __init__(self, encoder: nn.Module, width: int, outputs: int, *, classes: int, halvings: int) -> None:
        from torchvision.models.resnet import BasicBlock

        super().__init__(encoder, width, outputs)
        stages: list[nn.Module] = []
        for _ in range(halvings):
            width, wide = width // 2, width
            upsampled = nn.Conv2d(wide, width, 1), nn.Upsample(scale_factor=2.0, mode="nearest")
            stages += [*upsampled, BasicBlock(width, width)]
        self.decoder = nn.Sequential(*stages, nn.Conv2d(width, classes, 1))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """As `Pooled`; in training also logits of a mask, ``(b, classes, h, w)`` as large as the images."""
        features = self.encoder(images)
        if not self.training:
            return self.numbers(features)
        logits = self.decoder(features)
        if logits.shape[-2:] != images.shape[-2:]:  # SqueezeNet's pools round up
            logits = F.interpolate(logits, images.shape[-2:], mode="bilinear")
        return self.numbers(features), logits


def build_pooled(in_channels: int, outputs: int, *, backbone: str, mask_classes: int = 0) -> nn.Module:
    """Network from an image to some numbers, with random weights.

    Parameters
    ----------
    in_channels
        Three, as ImageNet's.
    outputs
        Numbers of an image: indices, or one for every class.
    backbone
        Name in `cmrseg.models.backbones.BACKBONES`.
    mask_classes
        Classes of a mask that the network also gives while it is trained, see `Regularised`; 0 for none.

    Returns
    -------
    Module from ``(b, 3, h, w)`` to ``(b, outputs)``; 64 pixels or more each way.

    Raises
    ------
    ValueError
        If there is no such backbone, or the input has not three channels.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, got '{backbone}'")
    if in_channels != 3:
        raise ValueError(f"an ImageNet network has 3 input channels, got {in_channels}")
    found = BACKBONES[backbone]
    if mask_classes:
        return Regularised(
            found.features(), found.width, outputs, classes=mask_classes, halvings=found.halvings
        )
    return Pooled(found.features(), found.width, outputs)


def register_pooled(
    suffix: str, *, task: str, backbones: Iterable[str], defaults: TrainDefaults, mask_classes: int = 0
) -> None:
    """Add networks for a task: the backbone ``sq11`` becomes the architecture ``sq11-suffix``.

    Parameters
    ----------
    suffix
        Of their names, which tells them from U-Nets around the same backbones.
    task
        What they compute, see `cmrseg.tasks`.
    backbones
        Names in `cmrseg.models.backbones.BACKBONES`.
    defaults
        How they are trained.
    mask_classes
        As of `build_pooled`.
    """
    for name in backbones:
        build = partial(build_pooled, backbone=name, mask_classes=mask_classes)
        register(
            Architecture(
                f"{name}-{suffix}",
                build,
                _encoder,
                rgb=True,
                backbone=name,
                defaults=defaults,
                task=task,
                learns_masks=bool(mask_classes),
            )
        )


def _encoder(net: nn.Module) -> nn.Module:
    return net.get_submodule("encoder")
