"""The network in an exported fastai learner, without running anything that it carries.

The learner is read as inert records (unpickler.py); its U-Net is compared with ours tensor by tensor
and layer by layer, and only an equal one is taken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cmrseg.labels import Label
from cmrseg.legacy.records import Record, brief
from cmrseg.legacy.settings import Settings, attribute, mapping, settings_of
from cmrseg.legacy.torch_file import TensorView, TorchFile, open_torch_file, tensor_view
from cmrseg.models import get_architecture
from cmrseg.models.fastai_unet import UNETS
from cmrseg.problems import DataError

_FASTAI_1 = ("fastai.basic_train", "fastai.basic_data", "fastai.data_block")
_MAX_PARTS = 10_000  # layers and tensors; a ResNet-50 U-Net has 1,000
_MAX_KEY = 500  # letters
_HARMLESS = "num_batches_tracked"  # counts batches; prediction does not read it
_CHANNELS = 3
_SHOWN = 8
_LAYER = re.compile(r"layers\.([0-9]{1,4})\.")
# What a layer computes beyond its tensors, with the value of old versions that did not write it.
_LAYER_OPTIONS = {
    "kernel_size": None,
    "stride": None,
    "padding": None,
    "padding_mode": "zeros",
    "dilation": None,
    "groups": None,
    "eps": None,
    "ceil_mode": None,
    "upscale_factor": None,
    "dense": None,
}
# Layers without effect on images whose sides are multiples of 32, and containers.
_NO_EFFECT = frozenset({"ToTensorBase", "ResizeToOrig", "Identity", "Dropout", "Sequential", "ModuleList"})


@dataclass(frozen=True)
class Learner:
    """A learner's network as one of ours, and how it was used.

    Attributes
    ----------
    architecture
        Our architecture that equals it, such as ``r34``.
    state
        Its tensors under our keys, floating-point ones as ``float32``.
    settings
        Labels, image size, loss and augmentation.
    """

    architecture: str
    state: dict[str, Tensor]
    settings: Settings


@dataclass(frozen=True)
class _Network:
    """The learner's network: its tensors by key, and its layers with their options, counted."""

    tensors: Mapping[str, TensorView]
    layers: Counter[tuple]


def read_learner(
    file: Path, *, architecture: str | None = None, labels: str | None = None, size: int | None = None
) -> Learner:
    """The learner in a file of fastai's ``Learner.export``, of which nothing is run.

    Parameters
    ----------
    file
        Written by any fastai 2 (or fastai2) with any torch; zip or stream format.
    architecture
        Such as ``r34``; by default the one that equals the learner's.
    labels, size
        Of the output channels and the training images, where the user knows them.

    Raises
    ------
    DataError
        If the file is no learner, is hostile or damaged, or holds another network than ours.
    """
    with open_torch_file(file) as content:
        learner = _find_learner(content)
        network = _read_network(_model_of(learner, file), file)
        name, net = _match(network, architecture, file)
        settings = settings_of(learner, content, _classes(network, file), labels=labels, size=size)
        return Learner(name, _state(content, network, net), settings)


def _find_learner(content: TorchFile) -> Record:
    """The learner itself; fastai 1 and other objects are refused."""
    path, root = content.path, content.content.root
    if any(g.module.startswith(_FASTAI_1) for g in content.content.globals):
        raise DataError(
            f"{path} is a learner of fastai 1, whose U-Net ends in x + relu(f(x)) where fastai 2 has "
            "relu(x + f(x)): its weights would give other masks here; export it again with fastai 2"
        )
    if attribute(root, "model") is not None and attribute(root, "dls") is not None:
        return root
    raise DataError(f"{path} holds no fastai learner; give the file that `Learner.export` wrote")


def _model_of(learner: Record, path: Path) -> Record:
    """The network's record, out of its wrapper for several GPUs."""
    model = attribute(learner, "model")
    if isinstance(model, Record) and model.name.endswith("DataParallel"):
        model = mapping(attribute(model, "_modules")).get("module")
    if not isinstance(model, Record):
        raise DataError(f"{path} holds a learner without a network")
    return model


def _modules(model: Record, path: Path) -> Iterator[tuple[str, Record, list[Mapping[str, Any]]]]:
    """All modules, parents first: prefix of the keys; children, parameters and buffers."""
    waiting, parts = [("", model)], 1
    while waiting:
        prefix, module = waiting.pop()
        groups = [mapping(attribute(module, name)) for name in ("_modules", "_parameters", "_buffers")]
        parts += sum(map(len, groups))  # counted before they are looked at: a layer may hold itself
        if parts > _MAX_PARTS or len(prefix) > _MAX_KEY:
            raise DataError(f"{path} holds more layers or longer names than any U-Net has; it was not read")
        yield prefix, module, groups
        waiting.extend((f"{prefix}{k}.", v) for k, v in groups[0].items() if isinstance(v, Record))


def _read_network(model: Record, path: Path) -> _Network:
    """Tensors and layers of a network's record."""
    tensors, layers = {}, []
    for prefix, module, (children, parameters, buffers) in _modules(model, path):
        for name, value in (*parameters.items(), *buffers.items()):
            key = f"{prefix}{name}"
            if (view := tensor_view(value, f"{path}: tensor {brief(key)}")) is not None:
                tensors[key] = view
        if not children:
            layers.append(_layer(module.name.rpartition(".")[2], module.attribute))
    return _Network(tensors, _counted(layers))


def _layers_of(net: nn.Module) -> Counter[tuple]:
    """Layers of one of our networks."""
    leaves = (m for m in net.modules() if not any(True for _ in m.children()))
    return _counted([_layer(type(m).__name__, vars(m).get) for m in leaves])


def _layer(kind: str, value_of: Callable[[str], Any]) -> tuple:
    """A layer as its kind and the options that change its result."""
    named = ((k, d if (v := value_of(k)) is None else v) for k, d in _LAYER_OPTIONS.items())
    return kind, *((k, v) for k, v in named if _is_plain(v))


def _is_plain(value: Any) -> bool:
    """Whether a value can be compared and printed."""
    if isinstance(value, tuple):
        return len(value) <= 3 and all(isinstance(v, int) and _is_plain(v) for v in value)
    if isinstance(value, int):
        return value.bit_length() < 64
    return isinstance(value, float) or (isinstance(value, str) and len(value) < _MAX_KEY)


def _counted(layers: list[tuple]) -> Counter[tuple]:
    return Counter(layer for layer in layers if layer[0] not in _NO_EFFECT)


def _match(network: _Network, architecture: str | None, path: Path) -> tuple[str, nn.Module]:
    """Our architecture that equals the learner's, and its network.

    Raises
    ------
    DataError
        If none is equal; the differences from the nearest are listed.
    """
    names = [get_architecture(architecture).name] if architecture else list(UNETS)
    classes, tried = _classes(network, path), []
    for name in names:
        with torch.device("meta"):  # keys and shapes only: takes no memory and little time
            net = get_architecture(name).build(_CHANNELS, classes)
        if not (found := _differences(network, net)):
            return name, net
        tried.append((found, name))
    found, name = min(tried, key=lambda pair: len(pair[0]))
    shown = "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
    raise DataError(f"{path} does not hold the {name} U-Net that unet_learner makes by default: {shown}")


def _differences(network: _Network, net: nn.Module) -> list[str]:
    """Everything that sets the learner's network apart from ours, but for counters of batches."""
    ours, theirs = _numbered(net.state_dict()), _numbered(network.tensors)
    shapes = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    missing = [f"missing {ours[k]}" for k in ours if k not in theirs and _HARMLESS not in k]
    unexpected = [f"unexpected {brief(theirs[k])}" for k in theirs if k not in ours and _HARMLESS not in k]
    other = [
        f"{theirs[k]} has shape {network.tensors[theirs[k]].size}, not {shapes[ours[k]]}"
        for k in theirs
        if k in ours and network.tensors[theirs[k]].size != shapes[ours[k]]
    ]
    expected = _layers_of(net)
    layers = [f"{n} x {_text(layer)} too many" for layer, n in (network.layers - expected).items()]
    lacking = [f"{n} x {_text(layer)} too few" for layer, n in (expected - network.layers).items()]
    return missing + unexpected + other + layers + lacking


def _text(layer: tuple) -> str:
    kind, *options = layer
    return f"{brief(kind)}({', '.join(f'{k}={v}' for k, v in options)})"[:120]


def _numbered(keys: Iterable[str]) -> dict[str, str]:
    """Keys with their layers counted anew -> keys as they are.

    fastai 2.0 has no ResizeToOrig, so that its last layers bear lower numbers; only those with tensors count.
    """
    split = {key: key.split(".", 2) for key in keys}
    layered = {k: s for k, s in split.items() if len(s) == 3 and s[0] == "layers" and s[1].isdecimal()}
    order = {
        text: i for i, text in enumerate(sorted({s[1] for s in layered.values()}, key=lambda t: (len(t), t)))
    }
    return {f"layers.{order[s[1]]}.{s[2]}" if (s := layered.get(k)) else k: k for k in split}


def _classes(network: _Network, path: Path) -> int:
    """Rows of the last layer."""
    numbered = _numbered(network.tensors)
    numbers = [match[1] for key in numbered if (match := _LAYER.match(key))]
    last = max(map(int, numbers), default=0)
    key = numbered.get(f"layers.{last}.0.bias")
    rows = network.tensors[key].size if key else ()
    if len(rows) != 1 or not 2 <= rows[0] <= len(Label):
        raise DataError(f"{path} holds no U-Net of unet_learner that segments 2 to {len(Label)} classes")
    return rows[0]


def _state(content: TorchFile, network: _Network, net: nn.Module) -> dict[str, Tensor]:
    """The learner's tensors under our keys, floating-point ones as ``float32``."""
    theirs, ours = _numbered(network.tensors), net.state_dict()
    state = {}
    for number, key in _numbered(ours).items():
        view = network.tensors.get(theirs.get(number, ""))
        made = torch.zeros(ours[key].shape) if view is None else content.tensor(view)  # a counter of batches
        state[key] = made.to(ours[key].dtype)
    return state
