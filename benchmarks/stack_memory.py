"""Peak memory of a training step and of a prediction with light3d, by the number of slices of the stack.

    python benchmarks/stack_memory.py                # the poster's network (256 maps in the base layer)
    python benchmarks/stack_memory.py --slices 4,8,12,24 --field 160

Each measurement is a process of its own; what it needs before the step (torch, weights) is told apart. The
last column is what a slice more costs (least squares), and how far the measurements lie from that line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import numpy as np

WHAT = ("training", "training, checkpointed", "prediction")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", default="4,8,12,24")
    parser.add_argument("--field", type=int, default=160, help="side of the images in pixels")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(*measured(given.one[0], int(given.one[1]), given.field))
        return
    slices = [int(n) for n in given.slices.split(",")]
    print(f"MB beyond torch and weights, one stack of {given.field} x {given.field} pixels, float32")
    print("what | " + " | ".join(f"{n} slices" for n in slices) + " | a slice more")
    for what in WHAT:
        peaks = [in_a_process(what, n, given.field) for n in slices]
        slope, start = np.polyfit(slices, peaks, 1)
        off = max(abs(start + slope * n - peak) / peak for n, peak in zip(slices, peaks, strict=True))
        told = " | ".join(f"{peak:.0f}" for peak in peaks)
        print(f"{what} | {told} | {slope:.0f} (line: within {100 * off:.0f} %)", flush=True)


def in_a_process(what: str, slices: int, field: int) -> float:
    """Peak of one measurement in MB, less what was there before."""
    call = [sys.executable, __file__, "--field", str(field), "--one", what, str(slices)]
    before, after = subprocess.run(call, check=True, capture_output=True, text=True).stdout.split()[-2:]
    return float(after) - float(before)


def measured(what: str, slices: int, field: int) -> tuple[float, float]:
    """Peak memory of this process in MB before the step and after it."""
    import torch

    from cmrseg.cine import Cine
    from cmrseg.models.checkpointing import checkpoint_blocks
    from cmrseg.models.device import peak_memory_mb
    from cmrseg.predict import Options, segment_cine
    from cmrseg.preprocess import Preprocessing
    from cmrseg.tasks import get_task
    from cmrseg.zoo.model_file import Model, ModelSpec, build_net

    spec = ModelSpec(
        name="memory",
        architecture="light3d",
        labels=("BACKGROUND", "LV", "MYO", "RV"),
        preprocessing=Preprocessing(size=field),
        recipe="light3d_hybridlog_x_s3",
        dims=3,
    )
    net = build_net(spec)
    images = torch.rand(1, 1, slices, field, field)
    before = peak_memory_mb()
    if what == "prediction":
        cine = Cine(images[0, 0].permute(2, 1, 0)[..., None].numpy(), (1.5, 1.5, 8.0))
        segment_cine(cine, Model(spec, net), Options(runtime="torch", bf16=False, flips=False))
        return before, peak_memory_mb()
    if what == "training, checkpointed":
        checkpoint_blocks(net)
    optimizer = torch.optim.AdamW(net.train().parameters())
    targets = torch.randint(0, 4, (1, slices, field, field))
    get_task("segmentation").loss("hybridlog")(net(images), targets).backward()
    optimizer.step()
    return before, peak_memory_mb()


if __name__ == "__main__":
    main()
