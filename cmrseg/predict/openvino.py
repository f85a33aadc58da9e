"""Networks computed by OpenVINO on the processor, from a copy that is converted once and kept.

Where the copy is there, torch is not imported.

Notes
-----
OpenVINO is imported with its telemetry blocked. The copy is compared with PyTorch before it is kept in
``CMRSEG_HOME``; where OpenVINO cannot be used, torch computes and a warning says so. It is asked once in
the thread that opens it, before its workers ask: two first questions at a time wait for each other.
"""

from __future__ import annotations

import errno
import json
import sys
import threading
import warnings
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cmrseg import __version__
from cmrseg.io.atomic import atomic_path, remove_leftovers, write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.io.home import home
from cmrseg.io.lock import alone
from cmrseg.io.settings import read_json
from cmrseg.parallel import cores
from cmrseg.predict.ready import INSTALL, Network
from cmrseg.preprocess import DIVISOR
from cmrseg.problems import DataError, first_line
from cmrseg.tasks import get_task
from cmrseg.zoo.model_file import Model
from cmrseg.zoo.resolved import ResolvedModel

TOLERANCE = 1e-4  # of the outputs, absolute, both in float32
MOST_WORKERS = 8  # each needs memory for its own batch
_SIDES, _OTHER_SIDES = (2 * DIVISOR, 3 * DIVISOR, DIVISOR), (4 * DIVISOR, 3 * DIVISOR, DIVISOR)
_RECORD, _LOCK = "copy.json", ".cmrseg.lock"


def openvino_network(model: ResolvedModel, *, bf16: bool = True) -> Network:
    """A model file that OpenVINO computes.

    Parameters
    ----------
    model
        From `cmrseg.zoo.manifest.resolve`; its converted copy lies in `cmrseg.io.home.home`.
    bf16
        Compute in bfloat16 where the processor has it.

    Returns
    -------
    Network that several threads may ask at a time, on all processor cores that this process may use.

    Raises
    ------
    DataError
        If the model cannot be read, or OpenVINO cannot compute it as PyTorch does.
    """
    openvino = _silent_openvino()
    core, threads = openvino.Core(), cores()
    workers = min(threads, MOST_WORKERS)
    fast = bf16 and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if fast else "f32",
        "NUM_STREAMS": workers,
        "INFERENCE_NUM_THREADS": threads,
    }
    copy = converted(model)
    try:
        compiled = core.compile_model(core.read_model(copy), "CPU", settings)
    except RuntimeError as error:
        raise _cannot_compute(model.path.stem, error) from None
    local = threading.local()  # a request is one thread's own

    def outputs(images: np.ndarray) -> np.ndarray:
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()
        images = np.ascontiguousarray(images)
        return local.request.infer({0: images}, share_inputs=True)[0]

    runtime = f"OpenVINO {version('openvino')}, cpu, {'bfloat16' if fast else 'float32'}"
    network = Network(model.spec, outputs, workers, runtime)
    ask_once(network)
    return network


def ask_once(network: Network) -> None:
    """Ask a network for the first time in this thread, before others may ask it.

    OpenVINO fills tables at its first question. Two threads that do so at a time wait for each other:
    one holds Python's lock and wants the table, the other holds the table and wants the lock.
    """
    _silent_openvino().Type.f32.to_dtype()
    sides = (2 * DIVISOR,) * network.spec.dims
    network.outputs(np.zeros((1, network.spec.preprocessing.channels, *sides), np.float32))


def converted(model: ResolvedModel) -> Path:
    """The converted copy of a model file; made, compared with PyTorch and kept where there is none.

    Parameters
    ----------
    model
        From `cmrseg.zoo.manifest.resolve`.

    Returns
    -------
    Path of the ``.xml`` file, the ``.bin`` file with the weights beside it.

    Raises
    ------
    DataError
        If OpenVINO does not compute the model as PyTorch does, or the copy cannot be kept.
    """
    made_of = {"model": model.sha256, "openvino": version("openvino"), "cmrseg": __version__}
    folder = home() / "openvino" / f"{model.path.stem}-{made_of['model'][:12]}-{made_of['openvino']}"
    copy = folder / "model.xml"
    if _is_whole(copy, made_of):
        return copy
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / _LOCK):
            if not _is_whole(copy, made_of):  # another process may have been faster
                remove_leftovers(folder)
                _convert(model.load(), copy)
                record = made_of | {"sha256": sha256_of([copy, copy.with_suffix(".bin")])}
                write_text(json.dumps(record, indent=1), folder / _RECORD)
    except OSError as error:
        raise DataError(
            f"OpenVINO's copy of {model.path.name} cannot be kept in {folder} ({error.strerror}); "
            "name another folder in CMRSEG_HOME"
        ) from None
    return copy


def _is_whole(copy: Path, made_of: dict[str, str]) -> bool:
    """Whether a copy is there, of this model by these versions, and as it was written."""
    files = [copy, copy.with_suffix(".bin")]
    try:
        record = read_json(copy.with_name(_RECORD), "it is made again")
        return record == made_of | {"sha256": sha256_of(files)}
    except (OSError, ValueError):
        return False


def _convert(model: Model, copy: Path) -> None:
    """Write a model with its task's closing layer in OpenVINO's own format, once both compute the same."""
    from torch import nn

    net = nn.Sequential(model.net, get_task(model.spec.task).activation()).eval()
    channels, dims = model.spec.preprocessing.channels, model.spec.dims
    try:
        converted = _translated(net, channels, dims)
        difference = _difference(net, converted, channels, dims)
    except (RuntimeError, TypeError, ValueError) as error:
        raise _cannot_compute(model.spec.name, error) from None
    if not difference < TOLERANCE:  # nan is refused too
        raise DataError(
            f"the outputs of {model.spec.name} by OpenVINO differ from PyTorch's by {difference:.2g} "
            f"(allowed: less than {TOLERANCE:.0e}); use torch"
        )
    openvino = _silent_openvino()
    with atomic_path(copy) as xml, atomic_path(copy.with_suffix(".bin")) as weights:
        try:
            openvino.serialize(converted, xml, weights)
            openvino.Core().read_model(xml, weights)  # a full disk may have cut it off without a word
        except RuntimeError:
            raise OSError(errno.EIO, "it is not written whole, the disk may be full") from None


def _cannot_compute(name: str, error: Exception) -> DataError:
    """That OpenVINO does not take a model."""
    return DataError(f"OpenVINO cannot compute {name} ({first_line(error)}); use torch")


def _translated(net: Any, channels: int, dims: int) -> Any:
    """A PyTorch network as one of OpenVINO, for any batch and any size."""
    _silent_openvino()
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(1, channels, *_SIDES[:dims])
    reader = FrontEndManager().load_by_framework("pytorch")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # OpenVINO reads what torch.export gives less well
        traced = TorchScriptPythonDecoder(
            net, example_input=(example,)
        )  # the reader keeps no reference to it
    converted = reader.convert(reader.load(traced))
    converted.reshape([-1, channels, *[-1] * dims])
    return converted


def _difference(net: Any, converted: Any, channels: int, dims: int) -> float:
    """Largest absolute difference between two networks on an image of another size than the example."""
    import torch

    image = np.random.default_rng(0).standard_normal((2, channels, *_OTHER_SIDES[:dims]), np.float32)
    with torch.inference_mode():
        ours = net(torch.from_numpy(image)).numpy()
    compiled = _silent_openvino().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return float(np.abs(compiled(image)[0] - ours).max())


def _silent_openvino() -> ModuleType:
    """The package, kept from reporting to Google Analytics that it is imported and used."""
    sys.modules.setdefault("openvino_telemetry", None)  # it takes its own silent stand-in then
    try:
        import openvino
    except ImportError as error:
        raise DataError(f"OpenVINO cannot be loaded ({error}); {INSTALL}") from None
    return openvino
