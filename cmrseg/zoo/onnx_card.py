"""What other programs must know of a model in ONNX: as JSON for them, as Markdown for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cmrseg import __version__
from cmrseg.preprocess import DIVISOR, IMAGENET_MEAN, IMAGENET_SD, Preprocessing
from cmrseg.tasks import get_task
from cmrseg.zoo.model_file import ModelSpec

METADATA_KEY = "cmrseg"
_EXAMPLE = """\
import numpy as np
import onnxruntime

study = np.load("study.npy")  # frames, slices (in order), rows, columns; {pixels}
{unit}
rows, columns = study.shape[2:]
down, right = {padding}
border = (0, 0), (0, 0), (down // 2, down - down // 2), (right // 2, right - right // 2)
slices = np.arange(study.shape[1])
{near}  # as channels
session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
{start}
for t, frame in enumerate(unit := np.pad(unit, border)):
    image = {shown}
    {normalise}
    ({output},) = session.run(["{output}"], {{"image": {image}.astype(np.float32)}})
    {each}
{end}
"""
_CARD = """\
# {name} as ONNX

Written by cmrseg {version}. Architecture {architecture}, recipe `{recipe}`.
Licence of the weights: {licence}. For research only.

- Input `image`: float32, ({axes}); height and width are multiples of {divisor}.
- Output `{output}`: float32, {meaning}.
- Parity with PyTorch on the CPU when it was written: largest difference from the {output} in double precision
  {difference:.1e} (allowed: less than {allowed:.1e}); of PyTorch itself in single precision {rounding:.1e}.

## Preprocessing

{steps}

The same as JSON is in the file's metadata under `{key}`.

## Example

`{file}` lies in the current folder; needs `numpy` and `onnxruntime`.

```python
{example}```

{closing}
"""


def description(spec: ModelSpec) -> dict[str, Any]:
    """What a program must know to use the file; it is the JSON in its metadata.

    Parameters
    ----------
    spec
        Of the model.
    """
    exported = get_task(spec.task).exported(spec.labels)
    return {
        "cmrseg_version": __version__,
        "name": spec.name,
        "architecture": spec.architecture,
        "recipe": spec.recipe,
        "licence": spec.licence,
        "input": {"name": "image", "axes": _axes(spec), "multiple_of": DIVISOR},
        "output": {"name": exported.name, "channels": list(spec.labels), **exported.facts},
        "preprocessing": asdict(spec.preprocessing),
        "steps": _steps(spec.preprocessing),
    }


def _steps(spec: Preprocessing) -> list[str]:
    """The preprocessing in words, in order."""
    grey = (
        f"Scale the grey values of the whole study (all slices and frames) from percentiles "
        f"{spec.low_percentile} and {spec.high_percentile} to 0 and 1, and clip"
    )
    if spec.grey == "slice_percentiles":
        grey = (
            f"Scale the grey values of every slice of every frame from its own percentiles "
            f"{spec.low_percentile} and {spec.high_percentile} to 0 and 1, and clip"
        )
    if spec.grey == "png":
        grey = (
            "Divide grey values that are whole numbers from 0 to 255 by 255; stretch any others first, slice "
            "by slice, from the smallest to the largest value over 0 to 255, and round"
        )
    resample, pad = "Keep the pixels of the file", f"multiples of {DIVISOR} pixels"
    if spec.resize == "longer_side":
        resample = (
            f"Resample every slice bilinearly so that its longer side has {spec.size} pixels "
            "(shape kept, antialiased where it shrinks)"
        )
        pad = f"{spec.size} x {spec.size} pixels"
    if spec.pixel_mm is not None:
        resample = (
            f"Resample every slice bilinearly to pixels of {spec.pixel_mm} mm in the plane "
            "(edges of the field of view kept, antialiased where it shrinks)"
        )
    channels = "Give the slice as the channel"
    if spec.neighbours > 1:
        channels = (
            f"Give {spec.neighbours} neighbouring slices of the frame in their order as channels, "
            "the slice itself in the middle, the first and the last one repeated at the ends"
            if spec.neighbours_in == "space"
            else f"Give the slice at {spec.neighbours} frames in their order as channels, its own in the "
            "middle; the first frame of the cycle follows the last"
        )
    scale = "Subtract the mean over all pixels and channels of the image, divide by the sd (n - 1) + 1e-5"
    if spec.rgb:
        repeat = "Repeat the channel three times, " if spec.neighbours == 1 else ""
        scale = f"{repeat}subtract {list(IMAGENET_MEAN)} and divide by {list(IMAGENET_SD)}, by channel"
    return [
        grey,
        resample,
        f"Pad with 0 to {pad}, evenly; of an odd number the larger half comes last",
        channels,
        scale[0].upper() + scale[1:],
    ]


def _axes(spec: ModelSpec) -> list[str]:
    """Axes of the input."""
    return ["batch", "channel", *["slice"] * (spec.dims - 2), "row", "column"]


def card(spec: ModelSpec, file: str, *, difference: float, rounding: float, allowed: float) -> str:
    """The description as Markdown, with an example that runs.

    Parameters
    ----------
    spec
        Of the model.
    file
        Name of the ONNX file.
    difference, rounding, allowed
        Largest difference of the logits from PyTorch's in double precision, that of PyTorch in single
        precision, and what the first has to stay below.
    """
    exported = get_task(spec.task).exported(spec.labels)
    lengths = {"channel": spec.preprocessing.channels, "slice": "slices", "row": "height", "column": "width"}
    return _CARD.format(
        **asdict(spec),
        version=__version__,
        axes=", ".join(str(lengths.get(axis, axis)) for axis in _axes(spec)),
        output=exported.name,
        meaning=exported.meaning,
        closing=exported.closing,
        divisor=DIVISOR,
        difference=difference,
        rounding=rounding,
        allowed=allowed,
        steps="\n".join(f"{i}. {step}." for i, step in enumerate(_steps(spec.preprocessing), start=1)),
        key=METADATA_KEY,
        file=file,
        example=_example(spec, file),
    )


def _example(spec: ModelSpec, file: str) -> str:
    """Python that asks the network about a study."""
    exported, is_stack = get_task(spec.task).exported(spec.labels), spec.dims == 3
    name, each, preprocessing = exported.name, exported.each, spec.preprocessing
    if preprocessing.rgb:
        mean, sd = (f"np.reshape({list(values)}, (3, 1, 1))" for values in (IMAGENET_MEAN, IMAGENET_SD))
        normalise = f"image = (image - {mean}) / {sd}"
    else:
        axes = "axis=(1, 2, 3), keepdims=True"
        normalise = f"sd = image.std({axes}, ddof=1)\n    image = (image - image.mean({axes})) / (sd + 1e-5)"
    reach = preprocessing.neighbours // 2
    near = f"near = np.clip(slices[:, None] + np.arange({-reach}, {reach + 1}), 0, slices[-1])"
    shown = "frame[near]"
    if preprocessing.neighbours_in == "time":
        near = f"near = np.arange({-reach}, {reach + 1})"
        shown = "unit[(t + near) % len(unit)].swapaxes(0, 1)"
    return _EXAMPLE.format(
        pixels=_pixels(preprocessing),
        unit=_unit(preprocessing),
        padding=f"-rows % {DIVISOR}, -columns % {DIVISOR}"
        if preprocessing.resize == "pixel_mm"
        else f"{preprocessing.size} - rows, {preprocessing.size} - columns",
        near=near,
        shown=shown,
        file=file,
        normalise=normalise,
        output=name,
        image="image.swapaxes(0, 1)[None]" if is_stack else "image",
        start=exported.start,
        each=f"{name} = {name}[0].swapaxes(0, 1)\n    {each}" if is_stack else each,
        end=exported.end,
    )


def _pixels(spec: Preprocessing) -> str:
    """What pixels a study needs before the example."""
    if spec.resize == "longer_side":
        return f"{spec.size} pixels along the longer side"
    return "pixels as they are" if spec.pixel_mm is None else f"{spec.pixel_mm} mm"


def _unit(spec: Preprocessing) -> str:
    """Python that scales the grey values of a study."""
    if spec.grey != "png":
        by_slice = ", (2, 3), keepdims=True" if spec.grey == "slice_percentiles" else ""
        span = "np.maximum(high - low, 1e-12)" if by_slice else "(high - low)"
        return (
            f"low, high = np.percentile(study, [{spec.low_percentile}, {spec.high_percentile}]{by_slice})\n"
            f"unit = np.clip((study - low) / {span}, 0, 1).astype(np.float32)"
        )
    return (
        "low, high = study.min((2, 3), keepdims=True), study.max((2, 3), keepdims=True)\n"
        "if low.min() >= 0 and high.max() <= 255 and not np.any(study % 1):\n"
        "    low, high = 0, 255\n"
        "unit = np.float32(np.round((study - low) / np.maximum(high - low, 1e-12) * 255) / 255)"
    )
