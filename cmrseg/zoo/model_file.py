"""A model is one safetensors file whose metadata says everything that is needed to use it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from cmrseg import __version__
from cmrseg.io.atomic import atomic_path
from cmrseg.labels import Label
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError

if TYPE_CHECKING:  # torch takes a second to import, and descriptions are read without it
    from torch import Tensor, nn

FORMAT_VERSION = 1
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")  # names become paths: no folder, no drive
_KEY = "cmrseg"


@dataclass(frozen=True)
class ModelSpec:
    """What is written into the file beside the weights.

    Attributes
    ----------
    name
        Of the model; the recipe for those trained from a recipe name.
    architecture, arguments
        Entry of the registry, and how it is built.
    labels
        Meaning of the output channels, background first.
    preprocessing
        From a cine to the network's input.
    recipe
        Recipe name of the training.
    licence
        Of the weights.
    training
        What else is known: base model, images seen, validation Dice, versions.
    """

    name: str
    architecture: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    recipe: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "unstated"
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label_ids(self) -> tuple[Label, ...]:
        """`Label` of every output channel."""
        return tuple(Label[name] for name in self.labels)


@dataclass(frozen=True)
class Model:
    """A network and what it needs."""

    spec: ModelSpec
    net: nn.Module


def build_net(spec: ModelSpec) -> nn.Module:
    """The network of a specification, with random weights."""
    from cmrseg.models import get_architecture

    architecture = get_architecture(spec.architecture)
    return architecture.build(spec.preprocessing.channels, len(spec.labels), **spec.arguments)


def save_model(spec: ModelSpec, state: Mapping[str, Tensor], path: Path, *, half: bool = False) -> Path:
    """Write a model file atomically.

    Parameters
    ----------
    spec
        Description.
    state
        State dict of the network.
    path
        Ends in ``.safetensors``.
    half
        Store floating-point tensors in half precision.

    Returns
    -------
    The path.
    """
    from safetensors.torch import save

    tensors = {
        k: (v.half() if half and v.is_floating_point() else v).contiguous().cpu() for k, v in state.items()
    }
    header = {"format_version": FORMAT_VERSION, "cmrseg_version": __version__, **asdict(spec)}
    content = save(tensors, metadata={_KEY: json.dumps(header)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)  # by Python, so that a full disk is an OSError
    return path


def read_spec(path: Path) -> ModelSpec:
    """Description of a model file, without its weights.

    Raises
    ------
    DataError
        If the file is no model, is damaged, or was written by a newer version.
    """
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(_KEY)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is no readable model file ({error}); copy or fetch it again") from None
    if text is None:
        raise DataError(f"{path} holds tensors but no cmrseg description; it is not a cmrseg model")
    try:
        return _spec(json.loads(text), path)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} has a damaged description ({error})") from None


def read_model(path: Path) -> Model:
    """Rebuild a model through the registry; nothing in the file is executed.

    Returns
    -------
    Model with ``float32`` weights, in evaluation mode.

    Raises
    ------
    DataError
        As `read_spec`, or if the tensors do not fit the architecture.
    """
    import torch

    spec = read_spec(path)
    try:
        with torch.device("meta"):  # shapes only: a file may claim layers that no memory holds
            net = build_net(spec)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0][:100]
        raise DataError(
            f"{path} cannot be rebuilt ({reason}); update cmrseg or fetch the file again"
        ) from None
    with safe_open(path, framework="pt") as file:
        state = {key: _own(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118 (no mapping)
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError:  # its message lists every tensor
        expected = len(net.state_dict())
        raise DataError(
            f"{path} does not fit its architecture {spec.architecture}: "
            f"it holds {len(state)} tensors of other names or shapes than the {expected} expected"
        ) from None
    return Model(spec, net.eval())


def _own(tensor: Tensor) -> Tensor:
    """A tensor in single precision with memory of its own: the file may be replaced meanwhile."""
    return (tensor.float() if tensor.is_floating_point() else tensor).clone()


def with_labels(model: Model, labels: tuple[str, ...]) -> Model:
    """The same model for other labels: output rows of common labels are kept, new ones start at random.

    Parameters
    ----------
    model
        Base model.
    labels
        Names of the new output channels, background first.

    Returns
    -------
    New model; every tensor but those of the output layer is the base's.
    """
    import torch

    if labels == model.spec.labels:
        return model
    spec = replace(model.spec, labels=labels)
    net = build_net(spec)
    old, new = model.net.state_dict(), net.state_dict()
    wider = build_net(replace(spec, labels=(*labels, "BACKGROUND"))).state_dict()  # tells the output layer
    kept = [(labels.index(n), model.spec.labels.index(n)) for n in labels if n in model.spec.labels]
    to_rows, from_rows = ([pair[i] for pair in kept] for i in (0, 1))
    for key, tensor in new.items():
        if tensor.shape == wider[key].shape:
            tensor.copy_(old[key])
        else:
            tensor[torch.tensor(to_rows)] = old[key][torch.tensor(from_rows)]
    net.load_state_dict(new)
    return Model(spec, net)


def _spec(header: dict[str, Any], path: Path) -> ModelSpec:
    version = header.pop("format_version", 0)
    written_by = header.pop("cmrseg_version", "?")
    if version > FORMAT_VERSION:
        raise DataError(
            f"{path} was written by cmrseg {written_by} in model format {version}; "
            f"this is {__version__} and reads up to {FORMAT_VERSION}: update cmrseg"
        )
    header["preprocessing"] = Preprocessing(**header["preprocessing"])
    header["labels"] = tuple(header["labels"])
    if not PLAIN_NAME.fullmatch(header["name"]):
        raise DataError(f"{path} calls itself {header['name'][:80]!r}, which cannot be a file name")
    if unknown := set(header["labels"]) - set(Label.__members__):
        raise DataError(
            f"{path} segments {', '.join(sorted(unknown))}, which this cmrseg does not know: update it"
        )
    return ModelSpec(**header)
