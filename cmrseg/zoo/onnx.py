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
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cmrseg.io.atomic import atomic_path, write_text
from cmrseg.preprocess import DIVISOR, Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo.model_file import Model, ModelSpec
from cmrseg.zoo.onnx_card import METADATA_KEY, card, description

TOLERANCE = 1e-4  # of the logits, absolute
OPSET = 18  # the oldest that PyTorch's exporter writes, so the one that most programs read
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_MOST_STEPS = 256  # of 32 pixels; the exporter asks for a limit
Shape = tuple[int, ...]


@dataclass(frozen=True)
class OnnxExport:
    """What an export wrote.

    Attributes
    ----------
    file, card
        The ONNX file, and the Markdown beside it.
    difference
        Largest absolute difference of the logits from PyTorch's.
    """

    file: Path
    card: Path
    difference: float


def export_onnx(model: Model, path: Path, *, opset: int = OPSET) -> OnnxExport:
    """Write a model as ONNX with input ``image`` and output ``logits``, and compare it with PyTorch.

    The batch size is free, and so are height and width in multiples of 32 pixels.

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
    The files and the largest difference of the logits.

    Raises
    ------
    ValueError
        If the suffix or ``opset`` is another.
    DataError
        If a package is missing, or the logits differ by `TOLERANCE` or more; then nothing is written.
    """
    _check(path, opset)
    spec, net = model.spec, model.net.cpu().eval()
    with atomic_path(path) as temporary:
        _write(net, spec, temporary, opset)
        difference = largest_difference(net, temporary, _shapes(spec.preprocessing))
        if not difference < TOLERANCE:  # nan is refused too
            raise DataError(
                f"the ONNX logits of {spec.name} differ from PyTorch's by {difference:.2g} "
                f"(allowed: less than {TOLERANCE:.0e}), so {path} was not written; try another --opset"
            )
    text = card(spec, path.name, difference, allowed=TOLERANCE)
    return OnnxExport(path, write_text(text, path.with_suffix(".md")), difference)


def largest_difference(net: nn.Module, file: Path, shapes: Sequence[Shape]) -> float:
    """Largest absolute difference between the logits of PyTorch and of ONNX Runtime, both on the CPU.

    Parameters
    ----------
    net
        The network, on the CPU, in evaluation mode.
    file
        The same as ONNX.
    shapes
        Of the inputs ``(b, c, h, w)``, which are drawn from a standard normal distribution.

    Returns
    -------
    The difference; nan where either has logits that are no numbers.
    """
    from onnxruntime import InferenceSession

    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    differences = []
    for shape in shapes:
        image = random.standard_normal(shape, np.float32)
        with torch.inference_mode():
            ours = net(torch.from_numpy(image)).numpy()
        (theirs,) = session.run(["logits"], {"image": image})
        differences.append(np.abs(ours - theirs).max())
    return float(np.max(differences))


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
            (torch.zeros(_shapes(spec.preprocessing)[0]),),
            dynamo=True,
            verbose=False,
            opset_version=opset,
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=(_free_axes(),),
        )
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces with the paths of this machine
    program.model.metadata_props[METADATA_KEY] = json.dumps(description(spec))
    program.save(path, external_data=False)


def _free_axes() -> dict[int, object]:
    """Any batch size; height and width in steps of what the network can halve."""
    height, width = (torch.export.Dim(name, min=1, max=_MOST_STEPS) for name in ("height", "width"))
    return {0: torch.export.Dim("batch", min=1), 2: DIVISOR * height, 3: DIVISOR * width}


def _shapes(spec: Preprocessing) -> tuple[Shape, ...]:
    """Inputs to compare with; the first is exported too: the exporter would join axes of equal length."""
    return (2, spec.channels, 2 * DIVISOR, 3 * DIVISOR), (1, spec.channels, spec.size, spec.size)


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
