"""Network architectures; importing the package fills the registry."""

from torch import nn

from cmrseg.models import fastai_unet
from cmrseg.models.light_unet import LightUNet
from cmrseg.models.registry import ARCHITECTURES, Architecture, get_architecture, parameter_groups, register

__all__ = ["ARCHITECTURES", "Architecture", "fastai_unet", "get_architecture", "parameter_groups", "register"]


def _encoder(model: nn.Module) -> nn.Module:
    return model.encoder


register(Architecture("light2d", LightUNet, _encoder))
