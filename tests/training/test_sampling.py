"""How often images are drawn."""

import numpy as np
import pytest
import torch

from cmrseg.problems import DataError
from cmrseg.training.callbacks import seed_everything
from cmrseg.training.images import TrainingImages
from cmrseg.training.loaders import make_loaders
from cmrseg.training.sampling import region_weights, sampling_weights

CPU = torch.device("cpu")


def images_of(contoured, data_sets=()):
    """A stack of slices, some with a contour."""
    masks = torch.tensor(contoured, dtype=torch.uint8)[:, None, None].repeat(1, 32, 32)
    places = tuple(("s", 0, z) for z in range(len(contoured)))
    grey = torch.zeros(len(masks), 32, 32, dtype=torch.uint8)
    return TrainingImages(grey, masks, torch.arange(len(masks))[:, None], places, data_sets=data_sets)


@pytest.mark.parametrize("ratio", [4, 20])
def test_the_chance_is_quadratic_and_least_in_the_middle(ratio):
    weights = region_weights(images_of([1] * 101), ratio)
    assert weights[0] / weights[50] == pytest.approx(ratio, rel=0.05)  # the centre of the first slice
    assert weights[25] / weights[50] == pytest.approx(1 + (ratio - 1) / 4, rel=0.05)
    assert weights == pytest.approx(weights[::-1])
    assert weights.mean() == pytest.approx(1)


def test_slices_without_a_contour_keep_their_share():
    weights = region_weights(images_of([0, 1, 1, 1, 0]), 20)
    assert weights[[0, 4]].tolist() == [1, 1]
    assert weights[1] == weights[3] > weights[2]
    assert weights[1:4].sum() == pytest.approx(3)


def test_what_is_unknown_is_no_contour():
    assert region_weights(images_of([68, 1, 1, 1, 68]), 4)[0] == 1  # RV was not contoured


def test_shares_do_not_ask_how_large_a_data_set_is(tiny):
    images = images_of([1] * 8, ("a",) * 6 + ("b",) * 2)
    weights = sampling_weights(images, tiny(shares=(1, 3)))
    assert weights[:6].sum() * 3 == pytest.approx(weights[6:].sum())


def test_every_image_is_seen_once_by_default(tiny):
    assert sampling_weights(images_of([1, 1]), tiny()) is None


def test_a_share_for_every_data_set(tiny):
    with pytest.raises(DataError, match=r"2 share\(s\) for 1 data set\(s\); name one each"):
        sampling_weights(images_of([1, 1]), tiny(shares=(1, 3)))


def test_batches_are_drawn_by_the_weights(tiny):
    images = images_of([1] * 60, ("a",) * 50 + ("b",) * 10)
    loaders = make_loaders(images, images, tiny(shares=(1, 9)), device=CPU)
    seed_everything(0)
    drawn = [row for _ in range(20) for row in loaders.train.get_idxs()]
    assert np.mean([row >= 50 for row in drawn]) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"shares": (1.0, 0.0)}, "shares must be positive"),
        ({"region_sampling": 0.5}, "region_sampling must be in"),
    ],
)
def test_numbers_that_cannot_be_drawn_with(tiny, setting, told):
    with pytest.raises(ValueError, match=told):
        tiny(**setting)
