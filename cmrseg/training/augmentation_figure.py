"""What an augmentation makes of a training image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from fastai.torch_core import TensorImage, TensorMask
from fasttransform import Pipeline
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cmrseg.data.augment import AUGMENTATIONS
from cmrseg.data.catalog import Catalog
from cmrseg.labels import Label
from cmrseg.preprocess import Preprocessing
from cmrseg.report.figures import blank_figure, draw_contours
from cmrseg.training.config import TrainConfig, train_config
from cmrseg.training.images import read_training_images
from cmrseg.training.loaders import field_size

_PANEL = 1.6  # inches


def augmentation_figure(
    catalog: Catalog,
    augmentations: Sequence[str] = tuple(AUGMENTATIONS),
    *,
    preprocessing: Preprocessing | None = None,
    n: int = 5,
    seed: int = 0,
) -> Figure:
    """One image as it is stored for training, and random versions of it with the contours that move along.

    Parameters
    ----------
    catalog
        The image is the slice of its first study with masks that shows most of the left ventricle.
    augmentations
        One row each.
    preprocessing
        Pixel size and size of the training images; those of ``light2d`` by default.
    n
        Versions per augmentation.
    seed
        Of the random draws.

    Returns
    -------
    Figure with ``n + 1`` columns.

    Raises
    ------
    DataError
        If no image has a mask.
    ValueError
        If there is no such augmentation.
    """
    figure = blank_figure(_PANEL * (n + 1), _PANEL * len(augmentations) + 0.2)
    axes = figure.subplots(len(augmentations), n + 1, squeeze=False)
    for row, name in zip(axes, augmentations, strict=True):
        config = train_config(f"light2d_CE_any_{name}")
        config = replace(config, preprocessing=preprocessing or config.preprocessing)
        image, mask = _largest_lv(catalog, config)
        pipeline = Pipeline(AUGMENTATIONS[name].transforms(config.preprocessing.size), split_idx=0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            images, masks = pipeline(
                (TensorImage(image.repeat(n, 1, 1, 1)), TensorMask(mask.repeat(n, 1, 1)))
            )
        _draw(row[0], image[0], mask)
        for ax, *version in zip(row[1:], images[:, 0], masks, strict=True):
            _draw(ax, *version)
        row[0].set_ylabel(name, rotation=0, labelpad=12, fontsize=12)
    axes[0, 0].set_title("as stored", fontsize=9)
    return figure


def _largest_lv(catalog: Catalog, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """Image, 0 to 1, ``(1, h, w)``, and mask in `Label` ids, ``(h, w)``, of the slice with the largest LV."""
    masked = catalog.with_masks()
    of_first = masked.table["subject"].isin(masked.table["subject"].head(1))
    found = read_training_images(
        replace(masked, table=masked.table[of_first]), config.preprocessing, field_px=field_size(config)
    )
    row = int((found.masks == Label.LV).sum((1, 2)).argmax())
    place = found.neighbours[row, found.neighbours.shape[1] // 2]
    return found.images[place][None].float() / 255, found.masks[row].long()


def _draw(ax: Axes, image: Tensor, mask: Tensor) -> None:
    """An image with its contours."""
    ax.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1)
    draw_contours(ax, mask.numpy().T)
    ax.set(xticks=[], yticks=[])
