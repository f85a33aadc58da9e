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
from pathlib import Path

import torch
from torch import nn

from cmrseg.models.defaults import PAPER_LARGE
from cmrseg.models.registry import Architecture, register
from cmrseg.problems import DataError, first_line

_BUILD_SIZE = (64, 64)  # only decides where the encoder halves; the network takes any multiple of 32
_TORCHVISION_NAMES = {
    "r18": "resnet18", "r34": "resnet34", "r50": "resnet50", "v16": "vgg16_bn", "sq11": "squeezenet1_1",
}  # fmt: skip


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
    import torchvision
    from fastai.layers import ToTensorBase
    from fastai.vision.models.unet import DynamicUnet

    arch = getattr(torchvision.models, _TORCHVISION_NAMES[backbone])
    body = _body(arch(weights=None), backbone, in_channels, in_one_layer=not skip_connections)
    model = DynamicUnet(body, classes, _BUILD_SIZE)
    if isinstance(model.layers[-1], ToTensorBase):
        model.layers = model.layers[:-1]
    return model


def load_imagenet(model: nn.Module, backbone: str, file: Path | None = None) -> str:
    """Put ImageNet weights into the encoder of a U-Net.

    A file whose batch norms were folded into the convolutions gives a weaker start: in training, batch norm
    divides by the batch's own spread, and the scale that was folded in is lost.

    Parameters
    ----------
    model
        From `build_fastai_unet` with three input channels.
    backbone
        Its backbone.
    file
        State dict with torchvision's key names, whole or partial; downloaded by torchvision when None.

    Returns
    -------
    Sentence that says how many tensors were taken from where.

    Raises
    ------
    DataError
        If the weights cannot be downloaded or read, or none of them fits.
    """
    import torchvision

    arch = getattr(torchvision.models, _TORCHVISION_NAMES[backbone])
    state = _download(backbone) if file is None else _read(file)
    classifier = arch(weights=None)
    known = classifier.state_dict()
    fitting = {k: v for k, v in state.items() if k in known and v.shape == known[k].shape}
    if not fitting:
        raise DataError(
            f"no tensor of {file or 'the download'} fits the encoder {backbone}; is it another network?"
        )
    classifier.load_state_dict(fitting, strict=False)
    encoder = model.layers[0]
    encoder.load_state_dict(_body(classifier, backbone, 3, in_one_layer=len(encoder) == 1).state_dict())
    source = file.name if file else "torchvision"
    return f"ImageNet encoder from {source}: {len(fitting)} of {len(state)} tensors fit"


def _body(classifier: nn.Module, backbone: str, in_channels: int, *, in_one_layer: bool) -> nn.Module:
    """The layers of a classifier that become the encoder; of SqueezeNet and VGG fastai makes one layer."""
    import torchvision
    from fastai.vision.learner import create_body, model_meta

    cut = model_meta[getattr(torchvision.models, _TORCHVISION_NAMES[backbone])]["cut"]
    body = create_body(classifier, n_in=in_channels, pretrained=False, cut=cut)
    return body[0] if len(body) == 1 and not in_one_layer else body


def _download(backbone: str) -> dict[str, torch.Tensor]:
    """torchvision's weights; it checks the hash in the file name."""
    import torchvision

    weights = torchvision.models.get_model_weights(_TORCHVISION_NAMES[backbone]).IMAGENET1K_V1
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise DataError(
            f"ImageNet weights for {backbone} cannot be downloaded ({error}); "
            "give a file with --imagenet FILE or start from random weights with --random"
        ) from None


def _read(file: Path) -> dict[str, torch.Tensor]:
    """State dict of tensors only; nothing of a pickle is run."""
    if not file.exists():
        raise DataError(f"ImageNet weights {file} do not exist; check the path")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        return {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    except Exception as error:  # torch raises many kinds for damaged and for unsafe files
        raise DataError(f"{file} is no readable file of tensors ({first_line(error)})") from None


def _encoder(model: nn.Module) -> nn.Module:
    return model.layers[0]


for _name in ("r18", "r34", "sq11"):
    register(
        Architecture(_name, partial(build_fastai_unet, backbone=_name), _encoder, rgb=True, imagenet=True)
    )
register(
    Architecture(
        "r50",
        partial(build_fastai_unet, backbone="r50"),
        _encoder,
        rgb=True,
        imagenet=True,
        defaults=PAPER_LARGE,
    )
)
# Learners of fastai, and model files of before, hold a VGG without skip connections and do not say so.
register(
    Architecture(
        "v16",
        partial(build_fastai_unet, backbone="v16", skip_connections=False),
        _encoder,
        rgb=True,
        imagenet=True,
        arguments={"skip_connections": True},
        defaults=PAPER_LARGE,
    )
)
