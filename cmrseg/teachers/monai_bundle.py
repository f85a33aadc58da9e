"""A MONAI bundle as a teacher, such as ventricular_short_axis_3label of MONAI's model zoo.

What the bundle's metadata leaves open is taken as in that bundle: pixels of any size, as the scanner gives
them; grey values of the study from its smallest to its largest, scaled to [0, 1]; axes in the order of the
NIfTI file (x first), as MONAI's own reader gives them. Images smaller than the network's window are padded
evenly, larger ones are covered by overlapping windows (MONAI's sliding windows), so nothing is cropped and
masks come back on the native grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from cmrseg.cine import Cine
from cmrseg.data.names import structure
from cmrseg.labels import STRUCTURES, Label
from cmrseg.models.device import default_device
from cmrseg.problems import DataError, first_line
from cmrseg.teachers.bundle_files import read_config, read_weights
from cmrseg.teachers.bundle_network import build_network
from cmrseg.teachers.teacher import Study, Teacher

_OPEN_SIDE = 32  # pixels; sides that the metadata leaves open are padded to a multiple
_OVERLAP = 0.25  # of neighbouring windows, MONAI's default


@dataclass(frozen=True)
class BundleFormat:
    """What a bundle's metadata says of its network.

    Attributes
    ----------
    window
        Side lengths of the input in pixels, 2 (slice by slice) or 3; 0 where the metadata leaves one open.
    value_range
        Grey values of the input, from the smallest to the largest of the study.
    labels
        `Label` of every output channel.
    """

    window: tuple[int, ...]
    value_range: tuple[float, float]
    labels: tuple[Label, ...]

    @property
    def scheme(self) -> str:
        """The structures with their channels, as a label scheme."""
        return ",".join(f"{label.name}={i}" for i, label in enumerate(self.labels) if label)


def monai_teacher(folder: Path, *, batch_size: int = 16) -> Teacher:
    """Teacher from the folder of a MONAI bundle.

    Parameters
    ----------
    folder
        Holds ``configs/inference.json`` (or yaml), ``configs/metadata.json`` and ``models/model.pt``.
    batch_size
        Slices per forward pass.

    Raises
    ------
    DataError
        If the bundle is incomplete, its weights are not what its checksum says, its network could run
        code, or its output has no left ventricle.
    """
    config, metadata = read_config(folder, "configs/inference"), read_config(folder, "configs/metadata")
    form = read_format(metadata, folder.name)
    net = build_network(config, folder.name)
    state, sha256, unverified = read_weights(folder, metadata)
    _load_state(net, state, folder.name)
    net = net.to(default_device()).eval()
    _check_output(net, form, folder.name)
    structures = tuple(s.name for s in STRUCTURES if s in form.labels)
    notes = (f"{unverified}; sha256 of its weights: {sha256}",) if unverified else ()

    def segment(study: Study, cine: Cine) -> Cine:
        return segment_with(net, form, cine, batch_size=batch_size)

    return Teacher("monai", str(folder), sha256, form.scheme, structures, segment, notes=notes)


def read_format(metadata: Mapping[str, Any], bundle: str) -> BundleFormat:
    """Input and output of a bundle's network, from ``network_data_format`` of its metadata.

    Parameters
    ----------
    metadata
        Of the bundle.
    bundle
        Name for messages.

    Raises
    ------
    DataError
        If it is incomplete, needs several input channels, or names no left ventricle.
    """
    form = metadata.get("network_data_format")
    form = form if isinstance(form, Mapping) else {}
    image, pred = _tensor(form, "inputs", "image", bundle), _tensor(form, "outputs", "pred", bundle)
    if image.get("num_channels", 1) != 1:
        raise DataError(f"{bundle} needs {image['num_channels']} input channels; a cine has one")
    window, values = image.get("spatial_shape"), image.get("value_range") or (0, 1)
    if not isinstance(window, list) or len(window) not in (2, 3):
        raise DataError(
            f"metadata of {bundle}: spatial_shape of the input must have 2 or 3 sides, is {window}"
        )
    if not _is_range(values):
        raise DataError(f"metadata of {bundle}: value_range of the input must be two numbers, is {values}")
    sides = tuple(side if isinstance(side, int) and side > 0 else 0 for side in window)
    return BundleFormat(sides, (float(values[0]), float(values[1])), _channels(pred, bundle))


def segment_with(net: nn.Module, form: BundleFormat, cine: Cine, *, batch_size: int = 16) -> Cine:
    """Segment all frames of a cine with the network of a bundle.

    Parameters
    ----------
    net
        In evaluation mode.
    form
        Its input and output.
    cine
        Intensities ``(x, y, z, t)``.
    batch_size
        Windows per forward pass.

    Returns
    -------
    Mask in `Label` ids on the same grid, ``uint8``.
    """
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    scaled = torch.from_numpy(_scaled(cine.array, form.value_range))
    ids = np.array([int(label) for label in form.labels], np.uint8)
    frames = []
    for frame in scaled.unbind(3):
        is_2d = len(form.window) == 2
        images = (frame.permute(2, 0, 1)[:, None] if is_2d else frame[None, None]).contiguous()
        classes = _classes(net, images.to(device), form.window, batch_size)
        frames.append(ids[classes.permute(1, 2, 0).numpy() if is_2d else classes[0].numpy()])
    return cine.with_array(np.ascontiguousarray(np.stack(frames, axis=3)))


@torch.inference_mode()
def _classes(net: nn.Module, images: Tensor, window: tuple[int, ...], batch_size: int) -> Tensor:
    """Most likely channel of every pixel, ``(b, *sides)`` on the CPU."""
    sides = images.shape[2:]
    roi = [w or math.ceil(n / _OPEN_SIDE) * _OPEN_SIDE for w, n in zip(window, sides, strict=True)]
    batch = batch_size if len(window) == 2 else 1
    return sliding_window_inference(images, roi, batch, net, overlap=_OVERLAP).argmax(1).cpu()


def _scaled(array: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Grey values of a study from its smallest and largest to a range; without contrast, the lowest."""
    low, high = float(array.min()), float(array.max())
    unit = (array - low) / (high - low) if high > low else np.zeros(array.shape)
    return (value_range[0] + unit * (value_range[1] - value_range[0])).astype(np.float32)


def _load_state(net: nn.Module, state: dict[str, Tensor], bundle: str) -> None:
    """Put the weights into the network; every tensor must fit."""
    try:
        net.load_state_dict(state)
    except RuntimeError:  # its message lists every tensor
        raise DataError(
            f"the weights of {bundle} do not fit its network_def: {len(state)} tensors of other names or "
            f"shapes than the {len(net.state_dict())} expected"
        ) from None


@torch.inference_mode()
def _check_output(net: nn.Module, form: BundleFormat, bundle: str) -> None:
    """Run the network once on nothing: it must take the input and give the channels of the metadata."""
    sides = [side or _OPEN_SIDE for side in form.window]
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    try:
        out = net(torch.zeros(1, 1, *sides, device=device))
    except Exception as error:  # a network may raise anything for an input of another kind
        raise DataError(
            f"the network of {bundle} does not take the input of its metadata ({first_line(error)})"
        ) from None
    expected = (1, len(form.labels), *sides)
    if not isinstance(out, Tensor) or tuple(out.shape) != expected:
        found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise DataError(f"the network of {bundle} gives {found}, its metadata says {expected}")


def _tensor(form: Mapping[str, Any], side: str, name: str, bundle: str) -> Mapping[str, Any]:
    """The input or output of a network: the one of the usual name, or the only one."""
    tensors = form.get(side)
    tensors = tensors if isinstance(tensors, Mapping) else {}
    found = tensors.get(name, next(iter(tensors.values())) if len(tensors) == 1 else None)
    if not isinstance(found, Mapping):
        raise DataError(f"metadata of {bundle} does not describe {name} in network_data_format.{side}")
    return found


def _channels(pred: Mapping[str, Any], bundle: str) -> tuple[Label, ...]:
    """`Label` of every output channel by the names in channel_def; what we do not know is background."""
    names = pred.get("channel_def")
    names = {str(k): str(v) for k, v in names.items()} if isinstance(names, Mapping) else {}
    if not names or set(names) != {str(i) for i in range(len(names))}:
        raise DataError(
            f"metadata of {bundle} does not name the channels 0, 1, ... of its output in channel_def"
        )
    labels = tuple(Label[structure(names[str(i)]) or "BACKGROUND"] for i in range(len(names)))
    if Label.LV not in labels:
        raise DataError(f"the output of {bundle} has no left ventricle: {', '.join(names.values())}")
    return labels


def _is_range(values: object) -> bool:
    """Whether it is two numbers, the smaller first."""
    return (
        isinstance(values, list | tuple)
        and len(values) == 2
        and all(isinstance(value, int | float) for value in values)
        and values[0] < values[1]
    )
