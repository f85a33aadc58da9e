"""What other programs must know of a model in ONNX: as JSON for them, as Markdown for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cmrseg import __version__
from cmrseg.preprocess import DIVISOR, IMAGENET_MEAN, IMAGENET_SD, Preprocessing
from cmrseg.zoo.model_file import ModelSpec

METADATA_KEY = "cmrseg"
_EXAMPLE = """\
import numpy as np
import onnxruntime

study = np.load("study.npy")  # frames, slices (in order), rows, columns; {pixels}
low, high = np.percentile(study, [{low}, {high}])
unit = np.clip((study - low) / (high - low), 0, 1).astype(np.float32)
rows, columns = study.shape[2:]
top, left = -rows % {divisor} // 2, -columns % {divisor} // 2
border = (0, 0), (0, 0), (top, -rows % {divisor} - top), (left, -columns % {divisor} - left)
slices = np.arange(study.shape[1])
near = np.clip(slices[:, None] + np.arange({first}, {stop}), 0, slices[-1])  # as channels
session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
masks = np.zeros(study.shape, np.uint8)
for t, frame in enumerate(np.pad(unit, border)):
    image = frame[near]
    {normalise}
    (logits,) = session.run(["logits"], {{"image": image.astype(np.float32)}})
    masks[t] = np.uint8({ids})[logits.argmax(1)][:, top : top + rows, left : left + columns]
np.save("masks.npy", masks)
"""
_CARD = """\
# {name} as ONNX

Written by cmrseg {version}. Architecture {architecture}, recipe `{recipe}`.
Licence of the weights: {licence}. For research only.

- Input `image`: float32, (batch, {channels}, height, width); height and width are multiples of {divisor}.
- Output `logits`: float32, on the pixels of the input, with the channels {labels}; the largest is the answer.
- Parity with PyTorch on the CPU when it was written: largest difference from the logits in double precision
  {difference:.1e} (allowed: less than {allowed:.1e}); of PyTorch itself in single precision {rounding:.1e}.

## Preprocessing

{steps}

The same as JSON is in the file's metadata under `{key}`.

## Example

`{file}` lies in the current folder; needs `numpy` and `onnxruntime`.

```python
{example}```

The masks are those of `cmrseg predict` before it averages over flips and keeps the largest piece of every
structure. Where pixels were resampled, resample the softmax of the logits back, not the labels.
"""


def description(spec: ModelSpec) -> dict[str, Any]:
    """What a program must know to use the file; it is the JSON in its metadata.

    Parameters
    ----------
    spec
        Of the model.
    """
    return {
        "cmrseg_version": __version__,
        "name": spec.name,
        "architecture": spec.architecture,
        "recipe": spec.recipe,
        "licence": spec.licence,
        "input": {"name": "image", "axes": ["batch", "channel", "row", "column"], "multiple_of": DIVISOR},
        "output": {"name": "logits", "channels": list(spec.labels), "ids": _ids(spec)},
        "preprocessing": asdict(spec.preprocessing),
        "steps": _steps(spec.preprocessing),
    }


def _steps(spec: Preprocessing) -> list[str]:
    """The preprocessing in words, in order."""
    resample = "Keep the pixels of the file"
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
        )
    scale = "Subtract the mean over all pixels and channels of the image, divide by the sd (n - 1) + 1e-5"
    if spec.rgb:
        repeat = "Repeat the channel three times, " if spec.neighbours == 1 else ""
        scale = f"{repeat}subtract {list(IMAGENET_MEAN)} and divide by {list(IMAGENET_SD)}, by channel"
    return [
        f"Scale the grey values of the whole study (all slices and frames) from percentiles "
        f"{spec.low_percentile} and {spec.high_percentile} to 0 and 1, and clip",
        resample,
        f"Pad with 0 to multiples of {DIVISOR} pixels, evenly; of an odd number the larger half comes last",
        channels,
        scale[0].upper() + scale[1:],
    ]


def _ids(spec: ModelSpec) -> list[int]:
    return [int(label) for label in spec.label_ids]


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
    outputs = (f"{i} {name}" for i, name in enumerate(spec.labels))
    return _CARD.format(
        **{**asdict(spec), "labels": ", ".join(outputs)},
        version=__version__,
        channels=spec.preprocessing.channels,
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
    """Python that makes the masks of a study."""
    preprocessing = spec.preprocessing
    if preprocessing.rgb:
        mean, sd = (f"np.reshape({list(values)}, (3, 1, 1))" for values in (IMAGENET_MEAN, IMAGENET_SD))
        normalise = f"image = (image - {mean}) / {sd}"
    else:
        axes = "axis=(1, 2, 3), keepdims=True"
        normalise = f"sd = image.std({axes}, ddof=1)\n    image = (image - image.mean({axes})) / (sd + 1e-5)"
    return _EXAMPLE.format(
        pixels="pixels as they are" if preprocessing.pixel_mm is None else f"{preprocessing.pixel_mm} mm",
        low=preprocessing.low_percentile,
        high=preprocessing.high_percentile,
        divisor=DIVISOR,
        first=-(preprocessing.neighbours // 2),
        stop=preprocessing.neighbours // 2 + 1,
        file=file,
        normalise=normalise,
        ids=_ids(spec),
    )
