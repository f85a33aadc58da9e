"""fastai callbacks, on numbers that can be worked out by hand."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fastai.callback.core import CancelValidException
from torch import nn

from cmrseg.training.callbacks import (
    AverageWeights,
    ClipGradient,
    EpochSeed,
    ReducedPrecision,
    ValidateEvery,
    seed_everything,
)


def attach(callback, **attributes):
    """A callback with the parts of a learner that it asks for."""
    callback.learn = SimpleNamespace(**attributes)
    return callback


class OneWeight(nn.Module):
    """One weight and one counter, as batch norm has."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("steps", torch.tensor(0))


def averaged(decay, values):
    """Average after the weight has taken these values, one per step."""
    model = OneWeight()
    callback = attach(AverageWeights(decay), model=model, training=True)
    callback.before_fit()
    for step, value in enumerate(values, start=1):
        with torch.no_grad():
            model.weight.fill_(value)
            model.steps.fill_(step)
        callback.after_batch()
    return callback, model


def test_the_average_of_weights_in_closed_form():
    decay, values = 0.5, [1.0, 0.0, 3.0]
    expected = 0.0
    for step, value in enumerate(values, start=1):
        keep = min(decay, step / (step + 10))
        expected = keep * expected + (1 - keep) * value
    callback, _ = averaged(decay, values)
    assert callback.average["weight"].item() == pytest.approx(expected)


def test_a_weight_that_stays_is_its_own_average():
    callback, _ = averaged(0.99, [2.0] * 300)
    assert callback.average["weight"].item() == pytest.approx(2.0, abs=1e-4)


def test_counters_are_copied():
    callback, _ = averaged(0.9, [1.0, 1.0])
    assert callback.average["steps"].item() == 2


def test_the_average_is_validated_and_the_weights_come_back():
    callback, model = averaged(0.5, [1.0, 5.0])
    callback.before_validate()
    assert model.weight.item() == pytest.approx(callback.average["weight"].item())
    callback.after_validate()
    assert model.weight.item() == 5.0


def test_validation_batches_do_not_move_the_average():
    callback, model = averaged(0.5, [1.0])
    before = callback.average["weight"].clone()
    callback.learn.training = False
    with torch.no_grad():
        model.weight.fill_(100.0)
    callback.after_batch()
    assert torch.equal(callback.average["weight"], before)


@pytest.mark.parametrize(
    ("every", "first_epoch", "validated"),
    [(1, 0, [1, 2, 3, 4, 5]), (3, 0, [1, 3, 5]), (3, 4, [6, 9]), (100, 0, [1, 5]), (100, 7, [12])],
)
def test_first_last_and_every_so_many_epochs_are_validated(every, first_epoch, validated):
    callback = attach(ValidateEvery(every, first_epoch), n_epoch=5)
    due = []
    for epoch in range(5):
        callback.learn.epoch = epoch
        try:
            callback.before_validate()
        except CancelValidException:
            continue
        due.append(first_epoch + epoch + 1)
    assert due == validated


def test_a_validation_that_is_left_out_leaves_the_weights_alone():
    callback, model = averaged(0.5, [1.0, 5.0])
    callback.after_validate()
    assert model.weight.item() == 5.0


def test_a_gradient_is_clipped_to_its_norm():
    model = nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    attach(ClipGradient(1.0), model=model).before_step()
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, 0.8]]))


def drawn(seed, first_epoch, epoch):
    """What is drawn in one epoch, by every generator."""
    train = SimpleNamespace(rng=None)
    attach(EpochSeed(seed, first_epoch), epoch=epoch, dls=SimpleNamespace(train=train)).before_epoch()
    legacy = np.random.rand()  # noqa: NPY002 (what the callback seeds)
    return random.random(), legacy, torch.rand(1).item(), train.rng.random()


def test_an_epoch_draws_the_same_whatever_went_before():
    first = drawn(3, 0, 5)
    seed_everything(99)
    assert drawn(3, 5, 0) == first  # the first epoch of a second stage is the sixth of the run


def test_other_epochs_and_seeds_draw_otherwise():
    assert len({drawn(0, 0, 0), drawn(0, 0, 1), drawn(1, 0, 0)}) == 3


def test_the_network_runs_in_bfloat16_and_the_loss_in_float32():
    net = nn.Conv2d(1, 1, 1)
    callback = attach(ReducedPrecision(torch.channels_last), xb=(torch.ones(1, 1, 2, 2),))
    callback.before_batch()
    inside = net(callback.learn.xb[0])
    callback.learn.pred = inside
    callback.after_pred()
    assert inside.dtype == torch.bfloat16
    assert callback.learn.pred.dtype == net(torch.ones(1, 1, 2, 2)).dtype == torch.float32
