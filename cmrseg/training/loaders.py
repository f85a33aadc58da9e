"""fastai `DataLoaders` over images in memory, so that `show_batch` and `lr_find` work from a notebook."""

from __future__ import annotations

import math

import torch
from fastai.data.core import DataLoaders, TfmdDL
from fastai.torch_core import TensorImage, TensorMask
from fastai.vision.augment import IntToFloatTensor
from fasttransform import DisplayedTransform

from cmrseg.data.augment import AUGMENTATIONS, FIELD_RATIO
from cmrseg.models.device import default_device
from cmrseg.preprocess import DIVISOR, Preprocessing, normalise
from cmrseg.training.config import TrainConfig
from cmrseg.training.images import TrainingImages
from cmrseg.training.recipe import Recipe


class SegmentationItems:
    """Indexable pairs of image and mask, as fastai's loaders want them.

    Parameters
    ----------
    images
        What is indexed.
    split_idx
        0 for training, 1 for validation: fastai augments batches by it.
    """

    def __init__(self, images: TrainingImages, *, split_idx: int) -> None:
        self.data, self.split_idx = images, split_idx

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> tuple[TensorImage, TensorMask]:
        image = self.data.images[self.data.neighbours[row]]
        return TensorImage(image), TensorMask(self.data.masks[row])


class NormaliseInput(DisplayedTransform):
    """The model's own normalisation, as the last batch transform; decoding makes it viewable."""

    order = 99

    def __init__(self, spec: Preprocessing) -> None:
        super().__init__()
        self.spec = spec

    def encodes(self, images: TensorImage) -> TensorImage:
        """Network input."""
        return TensorImage(normalise(images.as_subclass(torch.Tensor), self.spec))

    def decodes(self, images: TensorImage) -> TensorImage:
        """The middle slice, viewable."""
        low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
        middle = images.shape[-3] // 2
        return ((images - low) / (high - low + 1e-5))[..., middle : middle + 1, :, :]


def field_size(config: TrainConfig) -> int:
    """Height and width of the stored images: wider than the training size when the augmentation crops."""
    ratio = FIELD_RATIO[Recipe.parse(config.recipe).augmentation]
    return math.ceil(config.preprocessing.size * ratio / DIVISOR) * DIVISOR


def make_loaders(
    train: TrainingImages, valid: TrainingImages, config: TrainConfig, *, device: torch.device | None = None
) -> DataLoaders:
    """Loaders of augmented training batches and plain validation batches.

    Parameters
    ----------
    train, valid
        Masks hold class numbers, see `TrainingImages.with_classes`.
    config
        Batch size, augmentation, preprocessing.
    device
        Where batches go; a GPU when there is one.

    Returns
    -------
    Batches of ``(b, channels, h, w)`` network input and ``(b, h, w)`` classes.
    """
    augmentation = AUGMENTATIONS[Recipe.parse(config.recipe).augmentation]
    plain = [IntToFloatTensor(), NormaliseInput(config.preprocessing)]
    batch_size = min(config.batch_size, len(train))
    augmented = [*augmentation(config.preprocessing.size), *plain]
    train_loader = TfmdDL(
        SegmentationItems(train, split_idx=0),
        bs=batch_size,
        shuffle=True,
        drop_last=True,
        after_batch=augmented,
        num_workers=0,
    )
    valid_loader = TfmdDL(
        SegmentationItems(valid, split_idx=1), bs=config.batch_size, after_batch=plain, num_workers=0
    )
    loaders = DataLoaders(train_loader, valid_loader, device=device or default_device())
    for loader in loaders:
        _ = loader.n_inp  # fastai draws random numbers to find this out: not within an epoch, that is seeded
    return loaders
