"""One training epoch: fastai's stock PNG pipeline against cmrseg, same network and augmentation."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from fastai.callback import progress  # noqa: F401  (adds no_bar to Learner)
from fastai.learner import Learner
from fastai.vision.augment import PadMode, Resize, aug_transforms
from fastai.vision.data import SegmentationDataLoaders
from PIL import Image

from cmrseg.data.catalog import assign_splits, read_catalog
from cmrseg.labels import Label
from cmrseg.losses import get_loss
from cmrseg.models import get_architecture
from cmrseg.phantom import SCANNERS, make_study, random_spec
from cmrseg.preprocess import Preprocessing
from cmrseg.training.config import train_config
from cmrseg.training.images import read_training_images
from cmrseg.training.learner import build_learner
from cmrseg.training.loaders import field_size, make_loaders
from cmrseg.zoo.model_file import Model, ModelSpec, build_net

SIZE, BATCH, ROUNDS = 128, 16, 3
NAMES = tuple(label.name for label in Label)


def write_png(root: Path, subjects: int = 6) -> Path:
    """Synthetic studies as the paper's PNG pairs, 128 x 128."""
    rng = np.random.default_rng(0)
    for i in range(subjects):
        study = make_study(random_spec(rng, n_frames=4), SCANNERS["A"], i)
        split = "val" if i == 0 else "train"
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        grey = np.clip(study.cine.array / study.cine.array.max() * 255, 0, 255).astype(np.uint8)
        mask = np.where(study.mask.array == Label.RV, 0, study.mask.array).astype(np.uint8)
        for z, t in np.ndindex(grey.shape[2:]):
            name = f"{i:02d}_slice{z:03d}_frame{t:03d}.png"
            Image.fromarray(grey[:, :, z, t].T).save(root / "images" / split / name)
            Image.fromarray(mask[:, :, z, t].T).save(root / "masks" / split / name)
    return root


def stock(root: Path) -> Learner:
    """fastai as its documentation shows it."""
    augment = aug_transforms(
        do_flip=True, max_rotate=90, max_zoom=1.2, max_lighting=0.4, pad_mode=PadMode.Zeros
    )
    loaders = SegmentationDataLoaders.from_label_func(
        root,
        sorted((root / "images" / "train").glob("*.png")),
        lambda p: root / "masks" / "train" / p.name,
        codes=NAMES[:3],
        valid_pct=0.1,
        item_tfms=Resize(SIZE),
        batch_tfms=augment,
        bs=BATCH,
        num_workers=0,
    )
    net = get_architecture("light2d").build(3, 3)
    return Learner(loaders, net, loss_func=get_loss("CE"))


def ours(root: Path) -> Learner:
    """The same network, images and augmentation through cmrseg."""
    config = replace(
        train_config("light2d_CE_png_s2"),
        preprocessing=Preprocessing(pixel_mm=None, size=SIZE, neighbours=3),
        batch_size=BATCH,
    )
    catalog = assign_splits(read_catalog(root), seed=0)
    images = [
        read_training_images(catalog.select([s]), config.preprocessing, field_px=field_size(config))
        for s in ("train", "val")
    ]
    spec = ModelSpec(str(config.recipe), "light2d", NAMES[:3], config.preprocessing, str(config.recipe))
    return build_learner(Model(spec, build_net(spec)), make_loaders(*images, config), config)


def images_per_second(learn: Learner) -> float:
    """Speed of one pass over the training batches."""
    learn.create_opt()
    started = time.perf_counter()
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    return len(learn.dls.train) * BATCH / (time.perf_counter() - started)


def main() -> None:
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        root = write_png(Path(folder))
        sides = {"stock": stock(root), "cmrseg": ours(root)}
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, learn in sides.items():
                speeds[name].append(images_per_second(learn))
    for name, values in speeds.items():
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"{name}: {median(values):.1f} images/s (median of {ROUNDS}; {spread})")
    print(f"ratio cmrseg / stock: {median(speeds['cmrseg']) / median(speeds['stock']):.2f}")


if __name__ == "__main__":
    main()
