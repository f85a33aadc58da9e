"""The whole chain on synthetic studies of two scanners, offline, in minutes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.evaluation import Evaluation
from cmrseg.evaluation.masks_report import masks_report, pick_examples
from cmrseg.io.atomic import write_table
from cmrseg.io.images import save_image, save_mask
from cmrseg.io.in_use import LOCK, USER, works_in
from cmrseg.models.defaults import Stage
from cmrseg.phantom import SCANNERS, PhantomStudy, Scanner, make_study, random_spec
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.report.figures import overlay_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import write
from cmrseg.training.config import TrainConfig, train_config, transfer_config
from cmrseg.training.fit import TrainingRun, finetune, train
from cmrseg.training.log import Listener
from cmrseg.workflows.train import before_after, evaluate_model
from cmrseg.zoo.manifest import load_model

RECIPE = "light2d_hybrid_scannerA_s3"
MARKER = ".cmrseg-demo"


@dataclass(frozen=True)
class DemoSize:
    """How much the demo makes and trains; the defaults take about two minutes on two cores."""

    subjects_a: int = 14
    subjects_b: int = 12
    epochs_base: int = 24
    epochs_transfer: int = 30
    n_frames: int = 10
    widths: tuple[int, ...] = (12, 24, 48, 96)
    image_px: int = 96
    pixel_mm: float = 2.0


@dataclass(frozen=True)
class DemoResult:
    """Scores before and after fine-tuning, and where the report is."""

    table: pd.DataFrame
    report: Path


@works_in("out", "demo")
def run_demo(out: Path, *, size: DemoSize | None = None, listener: Listener | None = None) -> DemoResult:
    """Make studies, train on scanner A, fine-tune to the 7T scanner, predict and evaluate there.

    Parameters
    ----------
    out
        Folder for everything; an earlier demo in it is replaced.
    size
        How much.
    listener
        Who is told how it goes.

    Raises
    ------
    DataError
        If ``out`` holds something else than an earlier demo.
    """
    size, listener = size or DemoSize(), listener or Listener()
    _fresh_folder(out)
    listener.note("synthetic cine studies of two scanners, with volumes that are known")
    data_a = write_studies(out / "scannerA", SCANNERS["A"], size.subjects_a, size, seed=1)
    data_b = write_studies(out / "scanner7T", SCANNERS["7T"], size.subjects_b, size, seed=2)
    listener.note(f"training {RECIPE} on scanner A")
    base = train(_config(size), data_a, out / "base", listener=listener)
    listener.note("fine-tuning to the 7T scanner")
    transfer = transfer_config(load_model(base.model_file).spec, data_b)
    transfer = replace(transfer, schedule=(Stage(size.epochs_transfer, 2e-3),))
    tuned = finetune(base.model_file, data_b, out / "finetuned", config=transfer, listener=listener)
    listener.note("predicting and evaluating the 7T test subjects")
    before = evaluate_model(tuned, base.model_file, out / "predicted_before", split="test")
    return _report(before, tuned, out)


def write_studies(folder: Path, scanner: Scanner, n: int, size: DemoSize, *, seed: int) -> Path:
    """Write synthetic studies in cmrseg's own layout, end-diastole and end-systole contoured.

    Returns
    -------
    The folder, with ``<study>/sa.nii.gz``, ``<study>/truth.nii.gz``, catalog.csv and splits.csv.
    """
    rng = np.random.default_rng(seed)
    rows, splits = [], []
    for i in range(n):
        name = f"{folder.name}{i + 1:02d}"
        spec = replace(random_spec(rng), n_frames=size.n_frames)
        study = make_study(spec, scanner, seed * 1000 + i)
        save_image(study.cine, folder / name / "sa.nii.gz")
        save_mask(study.mask, folder / name / "truth.nii.gz")
        rows += _rows(name, study)
        splits.append({"subject": name, "split": ("train", "test", "train", "val", "train", "test")[i % 6]})
    write_table(pd.DataFrame(rows), folder / "catalog.csv")
    write_table(pd.DataFrame(splits), folder / "splits.csv")
    return folder


def _rows(name: str, study: PhantomStudy) -> list[dict[str, object]]:
    """Catalog rows of the two frames that a reader would contour."""
    volumes = (study.mask.array == 1).sum(axis=(0, 1, 2))
    frames = {"ED": int(volumes.argmax()), "ES": int(volumes.argmin())}
    return [
        {
            "subject": name,
            "frame": f,
            "phase": p,
            "image": f"{name}/sa.nii.gz",
            "mask": f"{name}/truth.nii.gz",
        }
        for p, f in frames.items()
    ]


def _config(size: DemoSize) -> TrainConfig:
    """A network small enough for a demo."""
    return replace(
        train_config(RECIPE),
        schedule=(Stage(size.epochs_base, 4e-3),),
        arguments={"widths": list(size.widths)},
        preprocessing=Preprocessing(pixel_mm=size.pixel_mm, size=size.image_px),
        batch_size=8,
        ema_decay=0.98,
    )


def _fresh_folder(out: Path) -> None:
    """An empty folder that is marked as the demo's."""
    there = [path for path in out.iterdir() if path.name not in (LOCK, USER)]
    if there and out / MARKER not in there:
        raise DataError(f"{out} is not empty and not an earlier demo; name another folder with --out")
    for path in there:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (out / MARKER).touch()


def _report(before: Evaluation, tuned: TrainingRun, out: Path) -> DemoResult:
    """Predict with the fine-tuned model, evaluate, and write the report with both scores."""
    after = evaluate_model(tuned, tuned.model_file, out / "predicted", split="test")
    table = before_after(before, after)
    lead = [
        Section("Before and after fine-tuning", tables=[Table(table, "Test subjects of the new scanner")]),
        Section("The base model on the new scanner", pictures=[_overlay(before, "before")]),
    ]
    title = "cmrseg demo: a model taught a new scanner (synthetic studies)"
    page = write(masks_report(after, title=title, lead=lead, provenance={"recipe": RECIPE}), out)
    return DemoResult(table, page)


def _overlay(evaluation: Evaluation, name: str) -> Picture:
    """Best, median and worst images of an evaluation."""
    return Picture(overlay_figure(pick_examples(evaluation)), "Best, median and worst image.", name)
