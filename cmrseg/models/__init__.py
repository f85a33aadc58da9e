"""Network architectures; importing the package fills the registry."""

from cmrseg.models import fastai_unet, light3d, light_unet, quantifiers, region_nets
from cmrseg.models.registry import (
    ARCHITECTURES,
    Architecture,
    check_arguments,
    get_architecture,
    parameter_groups,
    register,
)

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "check_arguments",
    "fastai_unet",
    "get_architecture",
    "light3d",
    "light_unet",
    "parameter_groups",
    "quantifiers",
    "region_nets",
    "register",
]
