"""A model is one safetensors file whose metadata says everything that is needed to use it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from cmrseg import __version__
from cmrseg.data.augment import ONCE, Flips, flips_of
from cmrseg.io.atomic import atomic_path
from cmrseg.io.settings import record, told_of
from cmrseg.labels import Label
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError, first_line
from cmrseg.tasks import get_task

if TYPE_CHECKING:  # torch takes a second to import, and descriptions are read without it
    from torch import Tensor, nn

FORMAT_VERSION = 2  # of format 1, only the recipe's name told the flips
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")  # names become paths: no folder, no drive
MOST_TEXT = 200  # letters of a recipe or licence
_AXES = {-1, -2}
_KEY = "cmrseg"
_SHA256 = "sha256"
_DAMAGED = "copy or fetch it again"
_DESCRIPTION = f"it has a damaged description: {_DAMAGED}"


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
    flips
        Axes of the flips of an image that the training taught; prediction averages over them.
    task
        What the network computes, see `cmrseg.tasks`.
    dims
        Spatial dimensions of its images.
    """

    name: str
    architecture: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    recipe: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "unstated"
    training: Mapping[str, Any] = field(default_factory=dict)
    flips: Flips = ONCE
    task: str = "segmentation"
    dims: int = 2

    def __post_init__(self) -> None:
        if not PLAIN_NAME.fullmatch(self.name):
            raise ValueError(f"calls itself {self.name[:80]!r}, which cannot be a file name")
        get_task(self.task).check_labels(self.labels)
        if self.dims not in (2, 3):
            raise ValueError(f"dims must be 2 or 3 (spatial dimensions), got {self.dims}")
        check_line("recipe", self.recipe)
        check_line("licence", self.licence)
        if () not in self.flips or not {axis for flip in self.flips for axis in flip} <= _AXES:
            raise ValueError(f"flips must be () and axes of an image ({_AXES}), got {self.flips!r:.80}")

    @property
    def label_ids(self) -> tuple[Label, ...]:
        """`Label` of every output channel."""
        return tuple(Label[name] for name in self.labels)


@dataclass(frozen=True)
class Model:
    """A network and what it needs.

    Attributes
    ----------
    spec
        Description.
    net
        The network; of a regional model the baseline's.
    members
        Of a regional model its networks by role, see `cmrseg.zoo.regional`; empty for all others.
    """

    spec: ModelSpec
    net: nn.Module
    members: Mapping[str, Model] = field(default_factory=dict)


def single(model: Model, what: str) -> Model:
    """The model, if it is one network.

    Parameters
    ----------
    model
        Loaded.
    what
        What is to be done with it.

    Raises
    ------
    DataError
        If it is a regional model.
    """
    if model.members:
        raise DataError(f"{model.spec.name} is a regional model of several networks; {what} its files")
    return model


def check_line(name: str, text: str) -> None:
    """Check that a text is one short line without markup, as it is shown in terminals and pages.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not (isinstance(text, str) and len(text) <= MOST_TEXT and text.isprintable()) or set("<>") & set(text):
        raise ValueError(
            f"{name} must be one line of at most {MOST_TEXT} letters without < and >, got {str(text)[:40]!r}"
        )


def build_net(spec: ModelSpec) -> nn.Module:
    """The network of a specification, with random weights.

    Raises
    ------
    ValueError
        If the architecture is unknown or cannot be built from its arguments.
    """
    return _built(spec, spec.labels)


def _built(spec: ModelSpec, labels: Sequence[str]) -> nn.Module:
    from cmrseg.models import check_arguments, get_architecture

    architecture = get_architecture(spec.architecture)
    check_arguments(architecture, spec.arguments)
    outputs = get_task(spec.task).outputs(labels)
    return architecture.build(spec.preprocessing.channels, outputs, **spec.arguments)


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
    header[_SHA256] = _digest(header, tensors)
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
    with _opened(path, "np") as file:
        return _described(file, path)[0]


def read_model(path: Path) -> Model:
    """Rebuild a model through the registry; nothing in the file is executed.

    Returns
    -------
    Model with ``float32`` weights, in evaluation mode.

    Raises
    ------
    DataError
        As `read_spec`, or if the tensors do not fit the architecture, are not those that were written, or
        are not finite.
    """
    import torch

    with _opened(path, "pt") as file:
        spec, header = _described(file, path)
        try:
            with torch.device("meta"):  # shapes only: a file may claim layers that no memory holds
                net = build_net(spec)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{path} cannot be rebuilt ({first_line(error, 200)}); update cmrseg or fetch the file again"
            ) from None
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        state = {key: _own(tensor) for key, tensor in tensors.items()}
        digest = _digest(header, tensors)
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError:  # its message lists every tensor
        expected = len(net.state_dict())
        raise DataError(
            f"{path} does not fit its architecture {spec.architecture}: "
            f"it holds {len(state)} tensors of other names or shapes than the {expected} expected"
        ) from None
    if header.get(_SHA256, digest) != digest:  # models of before have none
        raise DataError(f"{path} is damaged: its content is not what its checksum says; {_DAMAGED}")
    if wrong := next((key for key, tensor in state.items() if not tensor.isfinite().all()), None):
        raise DataError(f"{path} holds weights that are no finite numbers ({wrong[:80]}); {_DAMAGED}")
    return Model(spec, net.eval())


def _opened(path: Path, framework: str) -> safe_open:
    """A file of tensors; close it."""
    try:
        return safe_open(path, framework=framework)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is no readable model file ({error}); copy or fetch it again") from None


def _described(file: safe_open, path: Path) -> tuple[ModelSpec, dict[str, Any]]:
    """The description in an open file, and the same as it was written."""
    text = (file.metadata() or {}).get(_KEY)
    if text is None:
        raise DataError(f"{path} holds tensors but no cmrseg description; it is not a cmrseg model")
    with told_of(path, _DESCRIPTION):
        return _spec(_header(text)), _header(text)


def _own(tensor: Tensor) -> Tensor:
    """A tensor in single precision with memory of its own: the file may be replaced meanwhile."""
    return (tensor.float() if tensor.is_floating_point() else tensor).clone()


def _header(text: str) -> dict[str, Any]:
    """The description in a file as it was written."""
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("the description is no table of names and values")
    return header


def _digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Checksum of a description and its tensors: a flipped bit in either changes what the model does."""
    import torch

    said = {name: value for name, value in header.items() if name != _SHA256}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


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
    wider = _built(spec, (*labels, "another")).state_dict()  # tells the output layer
    kept = [(labels.index(n), model.spec.labels.index(n)) for n in labels if n in model.spec.labels]
    to_rows, from_rows = ([pair[i] for pair in kept] for i in (0, 1))
    for key, tensor in new.items():
        if tensor.shape == wider[key].shape:
            tensor.copy_(old[key])
        else:
            tensor[torch.tensor(to_rows)] = old[key][torch.tensor(from_rows)]
    net.load_state_dict(new)
    return Model(spec, net)


def _spec(header: dict[str, Any]) -> ModelSpec:
    version = header.pop("format_version", 0)
    written_by = header.pop("cmrseg_version", "?")
    header.pop(_SHA256, None)
    if type(version) is not int or version > FORMAT_VERSION:
        raise ValueError(
            f"it was written by cmrseg {written_by} in model format {version}; "
            f"this is {__version__} and reads up to {FORMAT_VERSION}: update cmrseg"
        )
    if version < 2:
        header = {**header, "flips": flips_of(str(header.get("recipe")))}
    return record(ModelSpec, header)
