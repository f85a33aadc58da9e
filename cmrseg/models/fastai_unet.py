"""fastai's `DynamicUnet` around torchvision encoders, as a plain module.

fastai and torchvision are imported where they are used: predicting with the light U-Net needs neither,
and they cost seconds.

Notes
-----
`DynamicUnet` ends in a layer that casts to fastai's tensor type, which breaks export and compilation: it is
dropped. A U-Net is built on a dummy of 64 x 64 pixels; the size only decides where its encoder halves.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from cmrseg.models.backbones import BACKBONES
from cmrseg.models.defaults import PAPER, PAPER_LARGE
from cmrseg.models.registry import Architecture, register

_BUILD_SIZE = (64, 64)  # only decides where the encoder halves; the network takes any multiple of 32


def build_fastai_unet(
    in_channels: int, classes: int, *, backbone: str, skip_connections: bool = True
) -> nn.Module:
    """U-Net with a torchvision encoder and random weights.

    Parameters
    ----------
    in_channels
        Input channels.
    classes
        Output classes, background included.
    backbone
        ``r18``, ``r34``, ``r50``, ``v16`` or ``sq11``.
    skip_connections
        False leaves the encoder of ``v16`` and ``sq11`` in one layer, as `unet_learner` does: `DynamicUnet`
        looks for halvings between layers and then makes no skip connections.

    Returns
    -------
    Module from ``(b, in_channels, h, w)`` to logits ``(b, classes, h, w)``; h and w divisible by 32. The
    closing layer that casts to fastai's tensor type is dropped: it breaks torch.compile, export and ONNX.
    """
    from fastai.layers import ToTensorBase
    from fastai.vision.learner import create_body
    from fastai.vision.models.unet import DynamicUnet

    features = BACKBONES[backbone].features()
    body = create_body(features, n_in=in_channels, pretrained=False, cut=len(features))
    if skip_connections and len(body) == 1:  # of SqueezeNet and VGG it makes one layer
        body = body[0]
    model = DynamicUnet(body, classes, _BUILD_SIZE)
    if isinstance(model.layers[-1], ToTensorBase):
        model.layers = model.layers[:-1]
    return model


def _encoder(model: nn.Module) -> nn.Module:
    return model.layers[0]


UNETS = {"r18": PAPER, "r34": PAPER, "sq11": PAPER, "r50": PAPER_LARGE, "v16": PAPER_LARGE}
for _name, _defaults in UNETS.items():
    register(
        Architecture(
            _name,
            partial(build_fastai_unet, backbone=_name, skip_connections=_name != "v16"),
            _encoder,
            rgb=True,
            backbone=_name,
            # Learners of fastai, and model files of before, hold a VGG without and do not say so.
            arguments={"skip_connections": True} if _name == "v16" else {},
            defaults=_defaults,
        )
    )
