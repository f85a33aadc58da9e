"""A 2D segmentation model as a MONAI bundle, that runs with MONAI and without cmrseg.

The bundle holds the network as TorchScript, with the normalisation of its input and the order of image axes
inside; what comes before (grey values, pixel size, padding, neighbouring slices) are transforms of MONAI in
``configs/inference.json``. Single pass, no flips and no anatomy rules: those are `cmrseg predict`'s.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cmrseg import __version__
from cmrseg.io.atomic import scratch_folder, write_text
from cmrseg.preprocess import DIVISOR, Preprocessing, normalise
from cmrseg.problems import DataError
from cmrseg.tasks import get_task
from cmrseg.zoo.model_file import Model, ModelSpec, build_net, single

TOLERANCE = 1e-4  # of the logits, between TorchScript and the network
_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
_MODULE = "cmrseg.zoo.bundle.bundle_network"


class BundleNetwork(nn.Module):
    """A network that takes padded slices with grey values in [0, 1] as MONAI has them, x first.

    Input ``(b, neighbours, x, y)``, output logits ``(b, labels, x, y)``.
    """

    def __init__(self, net: nn.Module, preprocessing: Preprocessing):
        super().__init__()
        self.net = net
        self._preprocessing = preprocessing

    def forward(self, images: Tensor) -> Tensor:
        """Logits of slices."""
        shown = normalise(images.transpose(-1, -2), self._preprocessing)
        return self.net(shown).transpose(-1, -2)


def bundle_network(
    architecture: str,
    arguments: Mapping[str, Any],
    labels: Sequence[str],
    preprocessing: Mapping[str, Any],
) -> BundleNetwork:
    """The network of a bundle with random weights, for MONAI's ``ckpt_export`` where cmrseg is installed.

    Parameters
    ----------
    architecture, arguments, labels, preprocessing
        As in the model file.
    """
    how = Preprocessing(**preprocessing)
    spec = ModelSpec("bundle", architecture, tuple(labels), how, "bundle", arguments)
    return BundleNetwork(build_net(spec), how).eval()


def export_bundle(model: Model, out: Path, *, card: str = "", data: str = "") -> Path:
    """Write a model as a MONAI bundle.

    Parameters
    ----------
    model
        From `cmrseg.zoo.load_model`.
    out
        Folder to make.
    card
        Markdown for ``docs/README.md``.
    data
        What the weights were trained on, for the metadata and ``docs/data_license.txt``.

    Returns
    -------
    The folder: ``configs/metadata.json``, ``configs/inference.json``, ``models/model.ts`` and ``model.pt``,
    ``docs/README.md``, ``docs/data_license.txt``, ``LICENSE``.

    Raises
    ------
    DataError
        If the folder is there, the model is none that MONAI's transforms can prepare images for, or
        TorchScript gives other logits.
    """
    spec, net = model.spec, single(model, "export").net.cpu().eval()
    _check(spec, out)
    wrapped = BundleNetwork(net, spec.preprocessing).eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out) as folder:
        (folder / "models").mkdir(parents=True)
        traced = _traced(wrapped, spec)
        torch.jit.save(traced, folder / "models" / "model.ts")
        torch.save(wrapped.state_dict(), folder / "models" / "model.pt")
        texts = {
            "configs/metadata.json": json.dumps(_metadata(spec, data), indent=2),
            "configs/inference.json": json.dumps(_inference(spec), indent=2),
            "docs/README.md": card or f"# {spec.name}\n",
            "docs/data_license.txt": f"Trained on: {data or 'not stated'}\nWeights: {spec.licence}\n",
            "LICENSE": f"The weights are licensed {spec.licence}.\n",
        }
        for name, text in texts.items():
            write_text(text + "\n" * (not text.endswith("\n")), folder / name)
        os.replace(folder, out)
    return out


def _check(spec: ModelSpec, out: Path) -> None:
    """Refuse what MONAI's transforms cannot do as we do, and a folder that is there."""
    how = spec.preprocessing
    if out.exists():
        raise DataError(f"{out} is there already; name a new folder for the bundle")
    if get_task(spec.task).gives != "masks" or spec.dims != 2:
        raise DataError(f"{spec.name} is no 2D segmentation model; bundles are written of these only")
    is_known = how.resize == "pixel_mm" and how.grey == "percentiles" and how.neighbours_in == "space"
    if not is_known or (how.rgb and how.neighbours != 1):
        raise DataError(
            f"{spec.name} sees images in a way that MONAI's transforms do not know (resize {how.resize}, "
            f"grey {how.grey}, neighbours in {how.neighbours_in}); export it with --onnx"
        )


def _traced(wrapped: BundleNetwork, spec: ModelSpec) -> torch.jit.ScriptModule:
    """The network as TorchScript, compared with itself on images of another size."""
    generator = torch.Generator().manual_seed(0)
    n = spec.preprocessing.neighbours
    shapes = [(2, n, 4 * DIVISOR, 3 * DIVISOR), (1, n, 5 * DIVISOR, 8 * DIVISOR)]
    first, other = (torch.rand(shape, generator=generator) for shape in shapes)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that become constants: that is compared
        traced = torch.jit.trace(wrapped, first, check_trace=False)
        difference = float((traced(other) - wrapped(other)).abs().max())
    if not difference < TOLERANCE:
        raise DataError(
            f"TorchScript gives other logits of {spec.name} (by {difference:.2g}), so no bundle was written"
        )
    return traced


def _metadata(spec: ModelSpec, data: str) -> dict[str, Any]:
    """What MONAI's specification asks for."""
    channels = {str(i): name.lower() for i, name in enumerate(spec.labels)}
    n = spec.preprocessing.neighbours
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"exported by cmrseg {__version__}"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"nibabel": version("nibabel")},
        "supported_apps": {},
        "name": spec.name,
        "task": "Segmentation of the heart in short-axis cine MRI",
        "description": f"{spec.architecture}, recipe {spec.recipe}; slices with {n - 1} neighbours",
        "authorship": "cmrseg",
        "copyright": f"weights {spec.licence}",
        "data_source": data or "not stated",
        "data_type": "nibabel",
        "image_classes": "single-channel short-axis stack, grey values of any scale",
        "label_classes": ", ".join(f"{i} {name}" for i, name in channels.items()),
        "pred_classes": ", ".join(f"{i} {name}" for i, name in channels.items()),
        "eval_metrics": dict(spec.training.get("metrics", {})),
        "intended_use": "Research use only. Not a medical device.",
        "references": ["https://doi.org/10.1007/978-3-319-75541-0_14"] * (spec.architecture == "light2d"),
        "network_data_format": {
            "inputs": {"image": _tensor("magnitude", n, [0, 1], {str(i): "slice" for i in range(n)})},
            "outputs": {"pred": _tensor("segmentation", len(channels), [0, 1], channels)},
        },
    }  # fmt: skip


def _tensor(form: str, channels: int, values: list[int], names: Mapping[str, str]) -> dict[str, Any]:
    """Description of an input or output."""
    return {
        "type": "image", "format": form, "modality": "MR", "num_channels": channels,
        "spatial_shape": [f"{DIVISOR}*n", f"{DIVISOR}*n"], "dtype": "float32", "value_range": values,
        "is_patch_data": False, "channel_def": dict(names),
    }  # fmt: skip


def _inference(spec: ModelSpec) -> dict[str, Any]:
    """The program that MONAI runs: every stack of a folder becomes a mask on its own grid."""
    how = spec.preprocessing
    network_def = {
        "_target_": _MODULE, "architecture": spec.architecture, "arguments": dict(spec.arguments),
        "labels": list(spec.labels), "preprocessing": asdict(how),
    }  # fmt: skip
    return {
        "imports": ["$import glob", "$import torch", "$from monai.data import MetaTensor"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/data'",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": "$sorted(glob.glob(@dataset_dir + '/*.nii*'))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": network_def,
        "network": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device).eval()",
        "preprocessing": {"_target_": "Compose", "transforms": _transforms(how)},
        "predict": (
            "$lambda item: {**item, 'pred': MetaTensor(torch.cat([@network(s[None].to(@device)).cpu() for "
            "s in item['image'].as_tensor().permute(3, 0, 1, 2)]).permute(1, 2, 3, 0), "
            "meta=item['image'].meta, applied_operations=item['image'].applied_operations)}"
        ),
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd", "keys": "pred", "transform": "@preprocessing",
                    "orig_keys": "image", "nearest_interp": False, "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {
                    "_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir",
                    "output_postfix": "seg", "separate_folder": False, "output_dtype": "$torch.uint8",
                    "resample": False,
                },
            ],
        },
        "run": [
            "$torch.set_grad_enabled(False)",
            "$[@postprocessing(@predict(@preprocessing({'image': path}))) for path in @datalist]",
        ],
    }  # fmt: skip


def _transforms(how: Preprocessing) -> list[dict[str, Any]]:
    """From a file to grey values in [0, 1], pixels of the model's size, whole halvings and neighbours."""
    reach = how.neighbours // 2
    steps: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {
            "_target_": "ScaleIntensityRangePercentilesd", "keys": "image", "lower": how.low_percentile,
            "upper": how.high_percentile, "b_min": 0.0, "b_max": 1.0, "clip": True,
        },
    ]  # fmt: skip
    if how.pixel_mm is not None:
        pixels = [how.pixel_mm, how.pixel_mm, -1.0]
        steps.append({"_target_": "Spacingd", "keys": "image", "pixdim": pixels, "mode": "bilinear"})
    steps.append({"_target_": "DivisiblePadd", "keys": "image", "k": [DIVISOR, DIVISOR, 1]})
    if reach:
        near = "x[..., (torch.arange(x.shape[-1]) + d).clamp(0, x.shape[-1] - 1)]"
        func = f"$lambda x: torch.cat([{near} for d in range({-reach}, {reach + 1})])"
        steps.append({"_target_": "Lambdad", "keys": "image", "func": func, "track_meta": True})
    return steps
