"""The ImageNet networks that others are made of: how each is built, and how its weights are found.

torchvision and MONAI are imported where they are used: opening a light U-Net needs neither, and they cost
seconds.

Notes
-----
Weights come from a file of the user's, or from where torchvision and timm keep theirs, by https and with the
hash in the file name checked. torchvision's DenseNets are stored under names from before PyTorch 0.4, and the
nets with squeeze and excitation under those of timm's `legacy_*`; MONAI has the same layers, while its own
loader leaves every block after the tenth out and asks by plain http.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from cmrseg.models.registry import Architecture
from cmrseg.problems import DataError, first_line

_HEADS = {"avgpool", "adaptive_avg_pool", "dropout", "classifier", "fc", "last_linear"}
_TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/"
_COUNTER = "num_batches_tracked"  # of batch norms; old files have none
Renames = tuple[tuple[str, str], ...]  # pattern and replacement
_OLD_DENSENET: Renames = ((r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2"),)
_LEGACY_SENET: Renames = (
    (r"^(layer[1-4]\.\d+\.conv\d)\.weight", r"\1.conv.weight"),
    (r"^(layer[1-4]\.\d+\.)bn(\d)", r"\1conv\2.adn.N"),
    (r"se_module\.fc1", "se_layer.fc.0"),
    (r"se_module\.fc2", "se_layer.fc.2"),
    (r"downsample\.0", "project.conv"),
    (r"downsample\.1", "project.adn.N"),
)


@dataclass(frozen=True)
class Backbone:
    """One ImageNet network.

    Attributes
    ----------
    classifier
        Makes the whole network with random weights.
    width
        Feature maps that it ends in.
    url
        Where its ImageNet weights are; the file name ends in its hash.
    renames
        From names of tensors in files to those of ``classifier``.
    closing_relu
        Whether the network rectifies its last feature maps outside of its layers.
    halvings
        How often an image is halved on the way.
    """

    classifier: Callable[[], nn.Module]
    width: int
    url: Callable[[], str]
    renames: Renames = ()
    closing_relu: bool = False
    halvings: int = 5

    def features(self) -> nn.Sequential:
        """Its layers before the pooling, by the names that they have in files; random weights.

        Returns
        -------
        Module from ``(b, 3, h, w)`` to ``(b, width, h / 2 ** halvings, w / 2 ** halvings)``, about.
        """
        children = self.classifier().named_children()
        features = nn.Sequential()
        for name, child in children:
            if name not in _HEADS:
                features.add_module(name, child)
        if self.closing_relu:
            features.add_module("closing_relu", nn.ReLU(inplace=True))
        return features

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a file by the names of the layers."""
        renamed = {}
        for name, tensor in state.items():
            for pattern, replacement in self.renames:
                name = re.sub(pattern, replacement, name)
            renamed[name] = tensor
        return renamed


def _torchvision(
    name: str, width: int, *, renames: Renames = (), closing_relu: bool = False, halvings: int = 5
) -> Backbone:
    """A classifier of torchvision."""

    def classifier() -> nn.Module:
        import torchvision

        return getattr(torchvision.models, name)(weights=None)

    def url() -> str:
        import torchvision

        return torchvision.models.get_model_weights(name).IMAGENET1K_V1.url

    return Backbone(classifier, width, url, renames, closing_relu, halvings)


def _senet(name: str, file: str) -> Backbone:
    """A classifier with squeeze and excitation of MONAI."""

    def classifier() -> nn.Module:
        from monai.networks import nets

        return getattr(nets, name)(spatial_dims=2, in_channels=3, num_classes=1000)

    return Backbone(classifier, 2048, lambda: f"{_TIMM}{file}", _LEGACY_SENET)


_densenet = partial(_torchvision, renames=_OLD_DENSENET, closing_relu=True)

BACKBONES: Mapping[str, Backbone] = MappingProxyType(
    {
        "r18": _torchvision("resnet18", 512),
        "r34": _torchvision("resnet34", 512),
        "r50": _torchvision("resnet50", 2048),
        "v11": _torchvision("vgg11_bn", 512),
        "v16": _torchvision("vgg16_bn", 512),
        "sq11": _torchvision("squeezenet1_1", 512, halvings=4),
        "alex": _torchvision("alexnet", 256),
        "mnv2": _torchvision("mobilenet_v2", 1280),
        "shuf": _torchvision("shufflenet_v2_x1_0", 1024),
        "dn121": _densenet("densenet121", 1024),
        "dn161": _densenet("densenet161", 2208),
        "dn169": _densenet("densenet169", 1664),
        "rx101": _torchvision("resnext101_64x4d", 2048),
        "sern101": _senet("SEResNet101", "v0.1-cadene/se_resnet101-7e38fcc6.pth"),
        "sern152": _senet("SEResNet152", "v0.1-cadene/se_resnet152-d17c99b7.pth"),
        "serx101": _senet("SEResNext101", "v0.1-weights/legacy_se_resnext101_32x4d-37725eac.pth"),
        "se154": _senet("SENet154", "v0.1-weights/legacy_senet154-e9eb9fe6.pth"),
    }
)


def load_imagenet(net: nn.Module, architecture: Architecture, file: Path | None = None) -> str:
    """Put ImageNet weights into the encoder of a network.

    A file whose batch norms were folded into the convolutions gives a weaker start: in training, batch norm
    divides by the batch's own spread, and the scale that was folded in is lost.

    Parameters
    ----------
    net
        Its encoder holds the layers of the backbone in their order, whatever it calls them.
    architecture
        Of the network.
    file
        State dict with the key names of torchvision or timm, whole or partial; downloaded when None.

    Returns
    -------
    Sentence that says how many tensors of the encoder were taken from where.

    Raises
    ------
    DataError
        If the weights cannot be downloaded or read, or none of them fits.
    """
    backbone = BACKBONES[architecture.backbone]
    state = backbone.renamed(_download(architecture.backbone) if file is None else _read(file))
    with torch.device("meta"):
        names = backbone.features().state_dict()
    taken, known = 0, 0
    for name, tensor in zip(names, architecture.encoder(net).state_dict().values(), strict=True):
        counts = not name.endswith(_COUNTER)
        known += counts
        if name in state and state[name].squeeze().shape == tensor.squeeze().shape:
            tensor.copy_(state[name].view_as(tensor))
            taken += counts
    if not taken:
        raise DataError(
            f"no tensor of {file or 'the download'} fits the encoder {architecture.backbone}; "
            "is it another network?"
        )
    source = file.name if file else "a download"
    return f"ImageNet encoder from {source}: {taken} of its {known} tensors"


def _download(name: str) -> dict[str, Tensor]:
    """Weights from where they are published, kept where torch keeps them; nothing of a pickle is run."""
    try:
        return torch.hub.load_state_dict_from_url(
            BACKBONES[name].url(), map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"ImageNet weights for {name} cannot be downloaded ({first_line(error)}); "
            "give a file with --imagenet FILE or start from random weights with --random"
        ) from None


def _read(file: Path) -> dict[str, Tensor]:
    """State dict of tensors only; nothing of a pickle is run."""
    if not file.exists():
        raise DataError(f"ImageNet weights {file} do not exist; check the path")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        return {k: v for k, v in state.items() if isinstance(v, Tensor)}
    except Exception as error:  # torch raises many kinds for damaged and for unsafe files
        raise DataError(f"{file} is no readable file of tensors ({first_line(error)})") from None
