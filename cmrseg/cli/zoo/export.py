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
    out: Annotated[Path, typer.Option(help="models.zip, or model.onnx with --onnx.")],
    onnx: Annotated[
        bool, typer.Option("--onnx", help="One model for other programs, compared with PyTorch.")
    ] = False,
    opset: Annotated[int, typer.Option(help="Version of the ONNX operators, 18 or newer.")] = 18,
) -> None:
    """Write models into one verified file for machines without a network, or one model as ONNX."""
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
