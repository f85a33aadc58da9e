"""Slices and stacks as a loader hands them out."""

import numpy as np
import pytest
import torch
from fastai.data.core import TfmdDL
from fastai.vision.augment import IntToFloatTensor

from cmrseg.data.augment import AUGMENTATIONS
from cmrseg.partial_labels import PADDING
from cmrseg.training.images import TrainingImages
from cmrseg.training.items import Slices, Stacks, pad_stacks


@pytest.fixture
def images():
    """A stack of two slices and one of three, in any order; grey values and masks number the slices."""
    places = (("b", 0, 2), ("a", 1, 0), ("a", 1, 1), ("b", 0, 0), ("b", 0, 1))
    numbers = torch.arange(5, dtype=torch.uint8)[:, None, None]
    return TrainingImages(
        (40 * numbers + 40).expand(5, 32, 32),
        (numbers % 4).expand(5, 32, 32),
        torch.arange(5)[:, None],
        places,
    )


def test_a_stack_has_the_slices_of_a_frame_in_their_order(images):
    stacks = Stacks(images, split_idx=0)
    assert [image[:, 0, 0].tolist() for image, _ in (stacks[0], stacks[1])] == [[80, 120], [160, 200, 40]]
    assert stacks[1][1][:, 0, 0].tolist() == [3, 0, 0]
    assert (len(stacks), len(Slices(images, split_idx=0))) == (2, 5)


def test_a_stack_is_drawn_as_often_as_its_slices_on_average(images):
    rows = np.array([3.0, 1.0, 2.0, 3.0, 6.0])
    assert Stacks(images, split_idx=0).weights(rows).tolist() == [1.5, 4.0]
    assert Slices(images, split_idx=0).weights(rows) is rows


def test_shorter_stacks_are_filled_up_with_what_nobody_counts(images):
    (short, mask), (long, _) = pad_stacks([Stacks(images, split_idx=0)[i] for i in (0, 1)])
    assert short.shape == long.shape == (3, 32, 32)
    assert torch.equal(short[2], short[1])
    assert (mask[2] == PADDING).all()
    assert (mask[:2] != PADDING).all()


@pytest.mark.parametrize("augmentation", ["s1", "s2", "s3", "s4"])
def test_every_augmentation_takes_stacks_and_keeps_what_nobody_counts(images, augmentation):
    torch.manual_seed(0)
    loader = TfmdDL(
        Stacks(images, split_idx=0),
        bs=2,
        before_batch=pad_stacks,
        after_batch=[IntToFloatTensor(), *AUGMENTATIONS[augmentation].transforms(32)],
    )
    shown, masks = loader.one_batch()
    assert shown.shape == masks.shape == (2, 3, 32, 32)
    padded = (masks == PADDING).flatten(2).any(dim=2)
    assert padded[0].any()
    assert padded.sum() <= (2 if augmentation in ("s3", "s4") else 1)  # the longer stack may lose a slice
