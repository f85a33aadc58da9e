"""One study: our segmentation against fastai's `get_preds` with a ResNet-34 U-Net, and `cmrseg predict`.

All sides segment the same slices in one run, in turn. Wall time is what a person waits; processor time hardly
depends on who else uses the machine. Dice is that with our own masks in float32 on the whole field.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from cmrseg.cine import Cine
from cmrseg.io.images import load_image
from cmrseg.metrics.overlap import confusion_counts, dice
from cmrseg.phantom import SCANNERS, make_study, random_spec
from cmrseg.predict import Options, open_network, segmenter
from cmrseg.preprocess import Preprocessing, to_unit_range
from cmrseg.zoo.manifest import DEFAULT_MODEL

SIZE = 256
SIDES = {
    "torch float32, whole field": Options(runtime="torch", bf16=False, heart_crop=False),
    "torch bfloat16, whole field": Options(runtime="torch", heart_crop=False),
    "torch bfloat16, around the heart": Options(runtime="torch"),
    "OpenVINO bfloat16, whole field": Options(runtime="openvino", heart_crop=False),
    "OpenVINO bfloat16, around the heart": Options(runtime="openvino"),
    "the same, without flips": Options(runtime="openvino", flips=False),
}
Times = tuple[float, float]  # seconds: wall, processor


def main() -> None:
    told = _arguments()
    cine = load_image(told.cine) if told.cine else _phantom()
    x, y, n_slices, n_frames = cine.array.shape
    n = n_slices * n_frames
    print(f"{n_slices} slices of {x} x {y} pixels in {n_frames} frames: {n} images")
    images = min(told.slices, n)
    plain = tuple(seconds * n / images for seconds in _timed(_plain(cine, images)))
    scaled = "" if images == n else f" (from {images} images)"
    _show(f"fastai get_preds, r34, float32{scaled}", plain, plain)
    _ours(cine, plain, told.rounds)
    if told.dicom:
        _command(told.dicom)


def _arguments() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cine", type=Path, help="NIfTI (x y z t); a phantom by default")
    parser.add_argument("--dicom", type=Path, help="DICOM folder of a study, for the whole command")
    parser.add_argument("--slices", type=int, default=10**6, help="images for fastai, 16 or more; scaled up")
    parser.add_argument("--rounds", type=int, default=2, help="of ours, the fastest counts")
    return parser.parse_args()


def _phantom() -> Cine:
    """A synthetic study of 20 frames."""
    return make_study(random_spec(np.random.default_rng(0), n_frames=20), SCANNERS["A"], 0).cine


def _plain(cine: Cine, n: int) -> Callable[[], object]:
    """What a fastai user would write: PNG files, `unet_learner`, `get_preds`; weights are random."""
    from fastai.vision.all import DataBlock, ImageBlock, MaskBlock, resnet34, unet_learner

    folder = Path(tempfile.mkdtemp())
    unit = to_unit_range(cine.array, Preprocessing()).transpose(3, 2, 1, 0)
    files = [folder / f"{number:04d}.png" for number in range(n)]
    for file, image in zip(files, unit.reshape(-1, *unit.shape[2:]), strict=False):
        Image.fromarray((image * 255).astype(np.uint8)).resize((SIZE, SIZE)).save(file)
    block = DataBlock(
        (ImageBlock, MaskBlock(range(4))),
        get_y=lambda file: np.zeros((SIZE, SIZE), np.uint8),
        splitter=lambda items: (range(len(items)), range(len(items))),
    )
    loaders = block.dataloaders(files, bs=16, num_workers=0)
    learner = unet_learner(loaders, resnet34, pretrained=False, n_out=4)
    return lambda: learner.get_preds(dl=loaders.test_dl(files, num_workers=0))


def _ours(cine: Cine, plain: Times, rounds: int) -> None:
    """All our ways to segment the cine."""
    reference = None
    for name, options in SIDES.items():
        segment = segmenter(open_network(DEFAULT_MODEL, options), options)
        masks: list[np.ndarray] = []
        times = [_timed(lambda: masks.append(segment(cine).array)) for _ in range(rounds)]  # noqa: B023
        reference = masks[-1] if reference is None else reference
        scores = dice(confusion_counts(masks[-1], reference))
        _show(name, min(times, key=lambda pair: pair[1]), plain, *scores)


def _command(dicom: Path) -> None:
    """`cmrseg predict` as a person calls it, in a process of its own; it prints its seconds by step."""
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, "-m", "cmrseg", "predict", str(dicom), str(Path(folder) / "out")]
        wall, processor = _timed(lambda: print(subprocess.run(call, capture_output=True, text=True).stdout))
    print(f"whole command: {wall:.1f} s, {processor:.1f} s of processor time")


def _timed(work: Callable[[], object]) -> Times:
    """Seconds of wall and of processor time, child processes included."""
    start, before = time.perf_counter(), _processor()
    work()
    return time.perf_counter() - start, _processor() - before


def _processor() -> float:
    """Processor time so far."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def _show(name: str, times: Times, plain: Times, *scores: float) -> None:
    """A line of the table."""
    wall, processor = (p / t for p, t in zip(plain, times, strict=True))
    dices = "; Dice LV {:.4f} MYO {:.4f} RV {:.4f}".format(*scores) if scores else ""
    print(
        f"{name:44s} {times[0]:7.2f} s wall {times[1]:7.2f} s processor, "
        f"{wall:5.1f} and {processor:5.1f} times as fast{dices}",
        flush=True,
    )


if __name__ == "__main__":
    main()
