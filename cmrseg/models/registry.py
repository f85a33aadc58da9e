"""The architectures by name: how each is built, what its encoder is, how it is trained by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from cmrseg.labels import near_matches

Builder = Callable[..., nn.Module]  # (in_channels, classes, **arguments) -> network


@dataclass(frozen=True)
class Architecture:
    """One entry of the registry.

    Attributes
    ----------
    name
        As in a recipe name, such as ``r34`` or ``light2d``.
    build
        Makes the network, with random weights, from input channels, classes and arguments.
    encoder
        The part that is frozen in transfer learning.
    rgb
        Whether the input follows ImageNet's three-channel convention.
    imagenet
        Whether torchvision has ImageNet weights for the encoder.
    arguments
        Default arguments of ``build``.
    """

    name: str
    build: Builder
    encoder: Callable[[nn.Module], nn.Module]
    rgb: bool = False
    imagenet: bool = False
    arguments: Mapping[str, object] = field(default_factory=dict)


ARCHITECTURES: dict[str, Architecture] = {}


def register(architecture: Architecture) -> Architecture:
    """Add an architecture under its name."""
    ARCHITECTURES[architecture.name] = architecture
    return architecture


def get_architecture(name: str) -> Architecture:
    """Architecture by name.

    Raises
    ------
    ValueError
        If there is none of that name; near matches are named.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture '{name}'; {near_matches(name, sorted(ARCHITECTURES))}")
    return ARCHITECTURES[name]


def parameter_groups(model: nn.Module, architecture: Architecture) -> list[list[nn.Parameter]]:
    """Encoder parameters, then all others: fastai's splitter for freezing."""
    encoder = list(architecture.encoder(model).parameters())
    ids = {id(p) for p in encoder}
    return [encoder, [p for p in model.parameters() if id(p) not in ids]]
