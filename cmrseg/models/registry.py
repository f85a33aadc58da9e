"""The architectures by name: how each is built, what its encoder is, how it is trained by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature

from torch import nn

from cmrseg.labels import near_matches
from cmrseg.models.defaults import PAPER, TrainDefaults

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
    backbone
        Whose ImageNet weights the encoder can start from, see `cmrseg.models.backbones`; empty: nobody's.
    arguments
        Default arguments of ``build``.
    defaults
        How it is trained when nothing else is said; the paper's values where an architecture has none.
    dims
        Spatial dimensions of an image: 2 for slices, 3 for volumes.
    task
        What it computes, see `cmrseg.tasks`.
    inflated_from
        2D architecture whose weights it can start from, see `cmrseg.models.inflate`.
    learns_masks
        Whether it gives a mask while it is trained, whatever its task answers.
    """

    name: str
    build: Builder
    encoder: Callable[[nn.Module], nn.Module]
    rgb: bool = False
    backbone: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    defaults: TrainDefaults = PAPER
    dims: int = 2
    task: str = "segmentation"
    inflated_from: str = ""
    learns_masks: bool = False

    def check_neighbours(self, neighbours_in: str) -> None:
        """Refuse neighbours in time of a network over stacks, whose channels are slices beside each other.

        Raises
        ------
        ValueError
            If there are some.
        """
        if self.dims == 3 and neighbours_in == "time":
            raise ValueError(f"{self.name} sees stacks; neighbours in time are for 2D networks")


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


def check_arguments(architecture: Architecture, arguments: Mapping[str, object]) -> None:
    """Check that an architecture takes some arguments.

    Raises
    ------
    ValueError
        If it knows no argument of one of the names; near matches are named.
    """
    _, _, *taken = signature(architecture.build).parameters.values()  # after input channels and classes
    known = [parameter.name for parameter in taken]
    unknown = next((name for name in arguments if name not in known), None)
    if unknown is not None and all(p.kind is not Parameter.VAR_KEYWORD for p in taken):
        hint = near_matches(unknown, known)
        raise ValueError(f"the architecture {architecture.name} takes no argument '{unknown}'; {hint}")


def parameter_groups(model: nn.Module, architecture: Architecture) -> list[list[nn.Parameter]]:
    """Encoder parameters, then all others: fastai's splitter for freezing."""
    encoder = list(architecture.encoder(model).parameters())
    ids = {id(p) for p in encoder}
    return [encoder, [p for p in model.parameters() if id(p) not in ids]]
