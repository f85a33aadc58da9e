"""Learners of the installed fastai, with random weights."""

from __future__ import annotations

import numpy as np
import torch
from fastai.callback.progress import CSVLogger
from fastai.data.block import DataBlock
from fastai.data.transforms import Normalize, get_image_files
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.data import ImageBlock, MaskBlock
from fastai.vision.learner import unet_learner
from PIL import Image
from torchvision.models import resnet18

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CODES = np.array(["background", "left_ventricle", "myocardium"])


def same_path(path):
    """Mask of an image: itself."""
    return path


def make_learner(folder, backbone=resnet18):
    """A U-Net learner with random weights."""
    folder.mkdir()
    Image.fromarray(np.zeros((80, 64), np.uint8)).save(folder / "0.png")
    Image.fromarray(np.zeros((80, 64), np.uint8)).save(folder / "1.png")
    block = DataBlock(
        blocks=(ImageBlock, MaskBlock(codes=CODES)),
        get_items=get_image_files,
        get_y=same_path,
        item_tfms=Resize(64, method="pad", pad_mode="zeros"),
        batch_tfms=[
            *aug_transforms(do_flip=True),
            Normalize.from_stats(*IMAGENET, cuda=False),
        ],
    )
    loaders = block.dataloaders(folder, bs=1, num_workers=0, device=torch.device("cpu"))
    torch.manual_seed(0)
    learner = unet_learner(loaders, backbone, n_out=3, pretrained=False, path=folder, cbs=[CSVLogger()])
    for tensor in learner.model.state_dict().values():  # as if trained: no statistics of zero and one
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.add_(torch.rand_like(tensor) * 0.1)
    return learner
