"""A model made ready to be asked, by torch or by OpenVINO."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cmrseg.io.home import home
from cmrseg.predict.ready import INSTALL, Network
from cmrseg.problems import DataError
from cmrseg.tasks import get_task
from cmrseg.tasks.options import Options
from cmrseg.tasks.segmentation.by_region import BASELINE
from cmrseg.zoo.manifest import FOLDER, resolve
from cmrseg.zoo.model_file import Model, ModelSpec
from cmrseg.zoo.resolved import ModelName

RUNTIMES = ("auto", "torch", "openvino")
EMBEDDED = FOLDER / "embedded"


def open_network(model: ModelName | Model, options: Options | None = None) -> Network:
    """Make a model ready to be asked.

    Parameters
    ----------
    model
        Name of a model of the zoo, a model file, a resolved model, or a model from `cmrseg.zoo.load_model`,
        which is torch's.
    options
        Of them ``runtime`` and ``bf16`` are used.

    Raises
    ------
    DataError
        If the model cannot be loaded, or OpenVINO is asked for and cannot compute it.
    ValueError
        If there is no such runtime, or OpenVINO is asked for and the model is no name or file.
    """
    options = options or Options()
    if options.runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}, got '{options.runtime}'")
    if isinstance(model, Model):
        if options.runtime == "openvino":
            raise ValueError("the runtime 'openvino' needs the name or the file of a model, got a loaded one")
        return torch_network(model, bf16=options.bf16)
    found = resolve(model)
    if found.members:
        return _regional(found.spec, {role: open_network(m, options) for role, m in found.members.items()})
    if _by_openvino(found.path, options.runtime):
        from cmrseg.predict.openvino import openvino_network

        try:
            return openvino_network(found, bf16=options.bf16)
        except DataError as error:
            if options.runtime == "openvino":
                raise
            logging.getLogger(__name__).warning("%s; torch computes the model now", error)
    return torch_network(found.load(), bf16=options.bf16)


def torch_network(model: Model, *, bf16: bool = True) -> Network:
    """A model that PyTorch computes, on the GPU where there is one.

    Parameters
    ----------
    model
        From `cmrseg.zoo.load_model`.
    bf16
        Compute in bfloat16 where the processor has it.
    """
    if model.members:
        return _regional(model.spec, {role: torch_network(m, bf16=bf16) for role, m in model.members.items()})
    import torch

    from cmrseg.models.device import default_device, has_fast_bf16, memory_format

    device = default_device()
    order, activation = memory_format(model.spec.dims), get_task(model.spec.task).activation()
    net = model.net.to(device, memory_format=order).eval()
    fast = bf16 and has_fast_bf16(device)

    @torch.inference_mode()
    def outputs(images: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(images).to(device, memory_format=order)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast):
            said = net(batch)
        return activation(said.float()).cpu().numpy()

    runtime = f"torch {torch.__version__}, {device.type}, {'bfloat16' if fast else 'float32'}"
    return Network(model.spec, outputs, workers=1, runtime=runtime)


def _regional(spec: ModelSpec, members: Mapping[str, Network]) -> Network:
    """The networks of a regional model as one."""
    return replace(members[BASELINE], spec=spec, members=members)


def _by_openvino(path: Path, runtime: str) -> bool:
    """Whether OpenVINO is to compute the model of a file."""
    installed = find_spec("openvino") is not None
    if runtime == "openvino" and not installed:
        raise DataError(f"OpenVINO is not installed; {INSTALL}")
    if runtime != "auto":
        return runtime == "openvino"
    # Models that are trained for a moment are not worth a converted copy; torch alone knows what a GPU can.
    of_the_zoo = path.is_relative_to(EMBEDDED) or path.is_relative_to(home())
    return installed and of_the_zoo and shutil.which("nvidia-smi") is None
