"""What a network is shown in two and in three dimensions."""

import numpy as np
import pytest
import torch
from fastai.torch_core import TensorImage

from cmrseg.cine import Cine
from cmrseg.preprocess import Preprocessing, by_slice, network_images, network_input, normalise
from cmrseg.training.loaders import NormaliseInput

CINE = Cine(np.random.default_rng(0).normal(size=(40, 50, 3, 2)).astype(np.float32), (1.5, 1.5, 8.0))
PLAIN, RGB, NEAR = Preprocessing(), Preprocessing(rgb=True), Preprocessing(neighbours=3)


@pytest.mark.parametrize("spec", [PLAIN, RGB, NEAR])
def test_a_stack_shows_the_slices_of_a_frame_as_a_2d_network_sees_them(spec):
    flat, stacks = (network_images(CINE, spec, dims=dims) for dims in (2, 3))
    shown = network_input(stacks, np.arange(2))
    assert shown.shape == (2, spec.channels, 3, 64, 64)
    np.testing.assert_array_equal(by_slice(shown), network_input(flat, np.arange(6)))


def test_a_stack_answers_for_its_slices_in_their_order():
    stacks = network_images(CINE, PLAIN, dims=3)
    assert stacks.answered(np.array([1])).tolist() == [3, 4, 5]
    assert (stacks.depth, network_images(CINE, PLAIN).depth) == (3, 1)


@pytest.mark.parametrize("spec", [PLAIN, RGB, NEAR])
def test_training_normalises_stacks_as_prediction_does(spec):
    stacks = network_images(CINE, spec, dims=3)
    shown = TensorImage(stacks.slices.reshape(2, 3, 64, 64))
    trained = NormaliseInput(spec, dims=3).encodes(shown).as_subclass(torch.Tensor)
    np.testing.assert_allclose(trained, network_input(stacks, np.arange(2)), atol=1e-5)


def test_slices_that_pad_a_stack_change_nothing_of_the_others():
    stack = torch.from_numpy(network_images(CINE, PLAIN).slices[None, None, :3])
    padded = torch.cat([stack, stack[:, :, -1:]], dim=2)
    torch.testing.assert_close(normalise(padded, PLAIN)[:, :, :3], normalise(stack, PLAIN))
