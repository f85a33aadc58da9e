"""A network that is ready to be asked, whatever computes it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cmrseg.io.home import home
from cmrseg.predict.options import Options
from cmrseg.problems import DataError
from cmrseg.zoo.manifest import FOLDER, model_path
from cmrseg.zoo.model_file import Model, ModelSpec, read_model

RUNTIMES = ("auto", "torch", "openvino")
INSTALL = "install it with: pip install 'cmrseg[openvino]'"
EMBEDDED = FOLDER / "embedded"


@dataclass(frozen=True)
class Network:
    """A network that is ready to be asked.

    Attributes
    ----------
    spec
        Of the model.
    probabilities
        From images ``(b, c, h, w)`` to class probabilities ``(b, classes, h, w)``, both ``float32``.
    workers
        How many threads may ask at a time.
    runtime
        What computes it, with its version and precision.
    """

    spec: ModelSpec
    probabilities: Callable[[np.ndarray], np.ndarray]
    workers: int
    runtime: str


def open_network(model: str | Path | Model, options: Options | None = None) -> Network:
    """Make a model ready to be asked.

    Parameters
    ----------
    model
        Name of a model of the zoo, a model file, or a model from `cmrseg.zoo.load_model`, which is torch's.
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
    path = model_path(model)
    if _by_openvino(path, options.runtime):
        from cmrseg.predict.openvino import openvino_network

        try:
            return openvino_network(path, bf16=options.bf16)
        except DataError as error:
            if options.runtime == "openvino":
                raise
            logging.getLogger(__name__).warning("%s; torch computes the model now", error)
    return torch_network(read_model(path), bf16=options.bf16)


def torch_network(model: Model, *, bf16: bool = True) -> Network:
    """A model that PyTorch computes, on the GPU where there is one.

    Parameters
    ----------
    model
        From `cmrseg.zoo.load_model`.
    bf16
        Compute in bfloat16 where the processor has it.
    """
    import torch

    from cmrseg.models.device import default_device, has_fast_bf16

    device = default_device()
    net = model.net.to(device, memory_format=torch.channels_last).eval()
    fast = bf16 and has_fast_bf16(device)

    @torch.inference_mode()
    def probabilities(images: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast):
            logits = net(batch)
        return logits.float().softmax(1).cpu().numpy()

    runtime = f"torch {torch.__version__}, {device.type}, {'bfloat16' if fast else 'float32'}"
    return Network(model.spec, probabilities, workers=1, runtime=runtime)


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
