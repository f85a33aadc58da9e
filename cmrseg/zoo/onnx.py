"""A model as one ONNX file for other programs, with its preprocessing described and its logits checked.

The network is exported, the preprocessing is not: other programs have their own readers and resampling. What
they must do lies as JSON in the file's metadata and, with a runnable example, as Markdown beside it.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cmrseg.io.atomic import atomic_path, write_text
from cmrseg.preprocess import DIVISOR
from cmrseg.problems import DataError
from cmrseg.tasks import get_task
from cmrseg.zoo.model_file import Model, ModelSpec, single
from cmrseg.zoo.onnx_card import METADATA_KEY, card, description

TOLERANCE = 1e-4  # of the outputs, absolute
_OWN_ROUNDING = 2  # times the rounding of PyTorch itself, where that is more
OPSET = 18  # the oldest that PyTorch's exporter writes, so the one that most programs read
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_MOST_STEPS = 256  # of 32 pixels; the exporter asks for a limit
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Parity:
    """Largest absolute differences from the outputs of PyTorch in double precision.

    Attributes
    ----------
    difference
        Of ONNX Runtime.
    rounding
        Of PyTorch itself in single precision.
    """

    difference: float
    rounding: float

    @property
    def allowed(self) -> float:
        """What the difference must stay below."""
        return max(TOLERANCE, _OWN_ROUNDING * self.rounding)


@dataclass(frozen=True)
class OnnxExport:
    """What an export wrote.

    Attributes
    ----------
    file, card
        The ONNX file, and the Markdown beside it.
    parity
        How near its outputs are to the network's.
    """

    file: Path
    card: Path
    parity: Parity


def export_onnx(model: Model, path: Path, *, opset: int = OPSET) -> OnnxExport:
    """Write a model as ONNX with input ``image`` and what its task answers, and compare it with PyTorch.

    The batch size is free, and so are height and width in multiples of 32 pixels, and the slices of a stack.

    The outputs are compared with those that PyTorch computes in double precision, and must be nearer than
    `TOLERANCE` to them. Two programs in single precision cannot be asked for more: of an r34 at 256 x 256
    pixels each is 0.5e-4 (trained, cardiac images) to 1.1e-4 (random weights) from the true logits and up to
    1.6e-4 from the other, and no level of graph optimisation, folding of batch norms or change of PyTorch's
    backend brings them nearer. Where PyTorch's own rounding is more than half the tolerance, twice that
    rounding is allowed.

    Parameters
    ----------
    model
        From `cmrseg.zoo.load_model`.
    path
        Ends in ``.onnx``; a description of the same name that ends in ``.md`` is written beside it.
    opset
        Version of the ONNX operators, 18 or newer.

    Returns
    -------
    The files, and how near the outputs are.

    Raises
    ------
    ValueError
        If the suffix or ``opset`` is another.
    DataError
        If a package is missing, it is a regional model, or the outputs differ by more than that; then nothing
        is written.
    """
    _check(path, opset)
    spec, net = model.spec, single(model, "export").net.cpu().eval()
    with atomic_path(path) as temporary:
        _write(net, spec, temporary, opset)
        parity = measure_parity(net, temporary, _shapes(spec))
        if not parity.difference < parity.allowed:  # nan is refused too
            raise DataError(
                f"the ONNX {output_name(spec)} of {spec.name} differ from PyTorch's by "
                f"{parity.difference:.2g} (allowed: less than {parity.allowed:.2g}), so {path} was "
                "not written; try another --opset"
            )
    text = card(spec, path.name, **asdict(parity), allowed=parity.allowed)
    return OnnxExport(path, write_text(text, path.with_suffix(".md")), parity)


def measure_parity(net: nn.Module, file: Path, shapes: Sequence[Shape]) -> Parity:
    """How near the outputs of ONNX Runtime are to those of PyTorch, both on the CPU.

    Parameters
    ----------
    net
        The network, on the CPU, in evaluation mode.
    file
        The same as ONNX.
    shapes
        Of the inputs ``(b, c, h, w)`` or ``(b, c, z, h, w)``, drawn from a standard normal distribution.

    Returns
    -------
    The differences; nan where either has outputs that are no numbers.
    """
    from onnxruntime import InferenceSession

    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    images = [random.standard_normal(shape, np.float32) for shape in shapes]
    ours = [_outputs(net, image) for image in images]
    theirs = [session.run(None, {"image": image})[0] for image in images]
    net.double()
    true = [_outputs(net, image.astype(np.float64)) for image in images]
    net.float()  # the very weights it had
    difference, rounding = (
        float(np.max([np.abs(a - b).max() for a, b in zip(found, true, strict=True)]))
        for found in (theirs, ours)
    )
    return Parity(difference, rounding)


def _outputs(net: nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return net(torch.from_numpy(image)).numpy()


def _check(path: Path, opset: int) -> None:
    """Refuse what cannot be written, before anything is computed."""
    if path.suffix != ".onnx":
        raise ValueError(f"the name of an ONNX file must end in .onnx, got {path}")
    if opset < OPSET:
        raise ValueError(f"opset must be {OPSET} or newer, got {opset}")
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise DataError(
            f"ONNX export needs {' and '.join(missing)}; install with: pip install 'cmrseg[onnx]'"
        )


def _write(net: nn.Module, spec: ModelSpec, path: Path, opset: int) -> None:
    """The network as ONNX with its weights inside."""
    with _quiet():
        program = torch.onnx.export(
            net,
            (torch.zeros(_shapes(spec)[0]),),
            dynamo=True,
            verbose=False,
            opset_version=opset,
            input_names=["image"],
            output_names=[output_name(spec)],
            dynamic_shapes=(_free_axes(spec.dims),),
        )
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces with the paths of this machine
    program.model.metadata_props[METADATA_KEY] = json.dumps(description(spec))
    program.save(path, external_data=False)


def output_name(spec: ModelSpec) -> str:
    """What the task of a model calls its outputs."""
    return get_task(spec.task).exported(spec.labels).name


def _free_axes(dims: int) -> dict[int, object]:
    """Any batch size and number of slices; height and width in steps of what the network can halve."""
    height, width = (torch.export.Dim(name, min=1, max=_MOST_STEPS) for name in ("height", "width"))
    slices = {2: torch.export.Dim("slices", min=1)} if dims == 3 else {}
    return {0: torch.export.Dim("batch", min=1), **slices, dims: DIVISOR * height, dims + 1: DIVISOR * width}


def _shapes(spec: ModelSpec) -> tuple[Shape, ...]:
    """Inputs to compare with; the first is exported too: the exporter would join axes of equal length."""
    channels, size, more = spec.preprocessing.channels, spec.preprocessing.size, spec.dims - 2
    return (2, channels, *[5] * more, 2 * DIVISOR, 3 * DIVISOR), (1, channels, *[3] * more, size, size)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's advice to its own developers from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
