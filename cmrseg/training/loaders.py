"""fastai `DataLoaders` over images in memory, so that `show_batch` and `lr_find` work from a notebook.

Notes
-----
fastai dispatches transforms by type hints: ``encodes(self, batch: tuple)`` is silently never called on the
batches of a loader. ``tests/training/test_loaders.py`` fails if an augmentation stops reaching the batches.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from fastai.callback.data import WeightedDL
from fastai.data.core import DataLoaders, TfmdDL
from fastai.torch_core import TensorImage, TensorMask
from fastai.vision.augment import IntToFloatTensor
from fasttransform import DisplayedTransform, ItemTransform
from torch import Tensor

from cmrseg.models.device import default_device
from cmrseg.preprocess import DIVISOR, Preprocessing, neighbour_table, normalise
from cmrseg.tasks import Task, get_task
from cmrseg.training.config import TrainConfig
from cmrseg.training.images import TrainingImages
from cmrseg.training.items import ITEMS, TensorNumbers, pad_stacks
from cmrseg.training.ranks import part_of_batch, shared
from cmrseg.training.sampling import sampling_weights


class Targets(DisplayedTransform):
    """What the network should answer, made of masks that were warped with their images."""

    order = 98

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def encodes(self, masks: TensorMask) -> Tensor:
        """Targets of a batch."""
        return self.task.target(masks)


class NumbersFirst(ItemTransform):
    """Numbers that stand beside images and masks, as the first target."""

    order = 97

    def encodes(self, batch):  # type hints would be taken for dispatch
        """Of a batch with numbers images, numbers and masks; any other as it is."""
        if not isinstance(batch[-1], TensorNumbers):
            return batch
        images, masks, numbers = batch
        return images, numbers.as_subclass(torch.Tensor)[:, 0], masks


class NormaliseInput(DisplayedTransform):
    """The model's own normalisation, as the last batch transform; decoding makes it viewable."""

    order = 99

    def __init__(self, spec: Preprocessing, *, dims: int = 2) -> None:
        super().__init__()
        self.spec, self.dims = spec, dims

    def encodes(self, images: TensorImage) -> TensorImage:
        """Network input; the slices of a stack, channels until now, become a dimension."""
        images = images.as_subclass(torch.Tensor)
        if self.dims == 3:
            near = torch.from_numpy(neighbour_table(images.shape[1], 1, self.spec.neighbours))
            images = images[:, near].transpose(1, 2)
        return TensorImage(normalise(images, self.spec))

    def decodes(self, images: TensorImage) -> TensorImage:
        """The middle slice, viewable."""
        images = images[:, images.shape[1] // 2] if self.dims == 3 else images
        low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
        middle = images.shape[-3] // 2
        return ((images - low) / (high - low + 1e-5))[..., middle : middle + 1, :, :]


def field_size(config: TrainConfig) -> int:
    """Height and width of the stored images: wider than the training size when the augmentation crops."""
    return math.ceil(config.preprocessing.size * config.recipe.images.field_ratio / DIVISOR) * DIVISOR


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
    Batches of ``(b, channels, h, w)`` network input, or ``(b, channels, z, h, w)`` in 3D, and the targets of
    the task, such as ``(b, h, w)`` or ``(b, z, h, w)`` classes.
    """
    network = config.recipe.network
    dims, task = network.dims, get_task(network.task)
    closing = [Targets(task), NormaliseInput(config.preprocessing, dims=dims)]
    plain = [IntToFloatTensor(), NumbersFirst(), *closing]
    training, validation = ITEMS[dims](train, split_idx=0), ITEMS[dims](valid, split_idx=1)
    augmented = [*config.recipe.images.transforms(config.preprocessing.size), *plain]
    weights = sampling_weights(train, config)
    make = shared(TfmdDL)
    if weights is not None:
        make = partial(shared(WeightedDL), wgts=training.weights(weights))
    same_size = {"before_batch": pad_stacks} if dims == 3 else {}
    train_loader = make(
        training,
        bs=part_of_batch(min(config.batch_size, len(training))),
        shuffle=True,
        drop_last=True,
        after_batch=augmented,
        num_workers=0,
        **same_size,
    )
    valid_loader = TfmdDL(validation, bs=config.batch_size, after_batch=plain, num_workers=0, **same_size)
    loaders = DataLoaders(train_loader, valid_loader, device=device or default_device())
    for loader in loaders:
        _ = loader.n_inp  # fastai draws random numbers to find this out: not within an epoch, that is seeded
    return loaders
