"""``cmrseg zoo export``."""

from __future__ import annotations

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
    opset: Annotated[int, typer.Option(help="Version of the ONNX operators, 18 or newer.")] = 18,
) -> None:
    """Write models into one verified file for machines without a network, or one model as ONNX."""
    if onnx and monai:
        raise ValueError("--onnx and --monai write different things; name one of them")
    if monai:
        _bundle(models, out)
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


def _bundle(models: list[str], out: Path) -> None:
    """One model as a MONAI bundle."""
    from cmrseg.zoo.bundle import export_bundle
    from cmrseg.zoo.manifest import load_model, read_card, read_manifest

    if len(models) > 1:
        raise ValueError(f"--monai writes one model to --out, got {', '.join(models)}")
    entry = read_manifest().get(models[0])
    card, data = (read_card(models[0]), entry.trained_on) if entry else ("", "")
    folder = export_bundle(load_model(ready(models[0])), out, card=card, data=data)
    note(f"{folder}: put stacks (.nii.gz) into a folder DATA and call, in {folder.name}/:")
    note(
        "python -m monai.bundle run --config_file configs/inference.json --meta_file configs/metadata.json "
        "--dataset_dir DATA --output_dir OUT"
    )
