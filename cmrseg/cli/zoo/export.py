"""``cmrseg zoo export``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note
from cmrseg.cli.zoo.get import ready


def export(
    models: Annotated[
        list[str], typer.Argument(metavar="NAME|FILE...", help="Models of the zoo, or model files.")
    ],
    out: Annotated[Path, typer.Option(help="models.zip, model.onnx with --onnx, or the folder of a bundle.")],
    onnx: Annotated[
        bool, typer.Option("--onnx", help="One model for other programs, compared with PyTorch.")
    ] = False,
    monai: Annotated[
        bool, typer.Option("--monai", help="One 2D model as a MONAI bundle, which runs without cmrseg.")
    ] = False,
    hf: Annotated[
        bool, typer.Option("--hf", help="One model as the folder of a Hugging Face repository.")
    ] = False,
    opset: Annotated[int, typer.Option(help="Version of the ONNX operators, 18 or newer.")] = 18,
) -> None:
    """Write models into one verified file for machines without a network, or one model as ONNX."""
    if sum((onnx, monai, hf)) > 1:
        raise ValueError("--onnx, --monai and --hf write different things; name one of them")
    if monai or hf:
        _folder(models, out, _bundle if monai else _hugging_face)
        return
    if not onnx:
        from cmrseg.zoo.archive import export_models

        members = export_models([ready(model) for model in models], out)
        files = ", ".join(f"{m.path} ({m.bytes / 1e6:.1f} MB)" for m in members)
        note(f"{out} holds {files}; on the other machine: cmrseg zoo import {out.name}")
        return
    from cmrseg.zoo.manifest import load_model
    from cmrseg.zoo.onnx import export_onnx

    if len(models) > 1:
        raise ValueError(f"--onnx writes one model to --out, got {', '.join(models)}")
    done = export_onnx(load_model(ready(models[0])), out, opset=opset)
    note(f"{done.file}, {done.file.stat().st_size / 1e6:.1f} MB; how to use it: {done.card}")
    parity = done.parity
    note(f"largest difference of the outputs: {parity.difference:.1e} (allowed: < {parity.allowed:.1e})")


def _folder(models: list[str], out: Path, write: Callable[[str, Path], None]) -> None:
    """One model as a folder for other programs."""
    if len(models) > 1:
        raise ValueError(f"a folder holds one model, got {', '.join(models)}")
    ready(models[0])
    write(models[0], out)


def _bundle(model: str, out: Path) -> None:
    """A MONAI bundle."""
    from cmrseg.zoo.bundle import export_bundle
    from cmrseg.zoo.describe import model_card
    from cmrseg.zoo.manifest import load_model, read_manifest

    entry = read_manifest().get(model)
    data = entry.trained_on if entry else ""
    folder = export_bundle(load_model(model), out, card=model_card(model), data=data)
    note(f"{folder}: put stacks (.nii.gz) into a folder DATA and call, in {folder.name}/:")
    note(
        "python -m monai.bundle run --config_file configs/inference.json --meta_file configs/metadata.json "
        "--dataset_dir DATA --output_dir OUT"
    )


def _hugging_face(model: str, out: Path) -> None:
    """The folder of a Hugging Face repository."""
    from cmrseg.publishing.hugging_face import export_hugging_face

    note(f"{export_hugging_face(model, out)}: upload it with `hf upload USER/NAME {out}`")
