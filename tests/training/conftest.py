"""A data set of disks that a tiny network learns in seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.io.images import save_image, save_mask
from cmrseg.models.defaults import Stage
from cmrseg.preprocess import Preprocessing
from cmrseg.training.config import TrainConfig, train_config

SPACING = (1.5, 1.5, 8.0)
SIZE = 32


def ring(radius: float, *, right: bool) -> np.ndarray:
    """Cavity 1, wall 2 and, beside them, a right ventricle 3."""
    x, y = np.ogrid[:SIZE, :SIZE]
    r = np.hypot(x - 14, y - 16)
    mask = np.where(r <= radius, 1, np.where(r <= radius + 3, 2, 0)).astype(np.uint8)
    mask[(mask == 0) & (np.hypot(x - 25, y - 16) <= 5)] = 3 if right else 0
    return mask


def write_disks(
    folder: Path, *, splits=("train", "train", "train", "val"), right=True, seed=0, slices=2, hide=()
) -> Path:
    """Subjects of a few slices whose grey value follows the structure, in cmrseg's own layout.

    Structures to ``hide`` are seen in the images and not contoured.
    """
    rng = np.random.default_rng(seed)
    grey = np.array([0.1, 1.0, 0.4, 0.8])
    rows = []
    for number, split in enumerate(splits):
        name = f"s{number}"
        mask = np.stack([ring(rng.uniform(4, 7), right=right) for _ in range(slices)], axis=2)[..., None]
        image = (grey[mask] + rng.normal(0, 0.03, mask.shape)).astype(np.float32)
        save_image(Cine(image, SPACING), folder / name / "sa.nii.gz")
        mask[np.isin(mask, hide)] = 0
        save_mask(Cine(mask, SPACING), folder / name / "truth.nii.gz")
        rows.append(
            {"subject": name, "image": f"{name}/sa.nii.gz", "mask": f"{name}/truth.nii.gz", "split": split}
        )
    pd.DataFrame(rows).to_csv(folder / "catalog.csv", index=False)
    return folder


@pytest.fixture
def disks(tmp_path):
    """Three subjects to train with and one to validate."""
    return write_disks(tmp_path / "disks")


@pytest.fixture
def make_disks(tmp_path):
    """The same with other splits, or without a right ventricle."""
    return lambda name, **options: write_disks(tmp_path / name, **options)


@pytest.fixture
def tiny():
    """A function of overrides that gives a configuration which trains in seconds."""

    def config(recipe: str = "light2d_CE_disks_s1", **overrides) -> TrainConfig:
        given = {
            "schedule": (Stage(2, 1e-2),),
            "arguments": {"widths": [4, 8]},
            "preprocessing": Preprocessing(size=SIZE),
            "batch_size": 2,
            "ema_decay": 0.0,
            "bf16": False,
        }
        return replace(train_config(recipe), **{**given, **overrides})

    return config
