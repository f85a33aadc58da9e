"""Schedules as data."""

import pytest

from cmrseg.training.stages import LIGHT, PAPER, Stage, defaults_of


def test_the_papers_schedule():
    assert PAPER.base == (Stage(30, 1e-4, frozen=True), Stage(30, 1e-5, frozen=False))


@pytest.mark.parametrize("name", ["r18", "r34", "r50", "v16", "sq11"])
def test_fastai_unets_are_trained_as_in_the_paper(name):
    assert defaults_of(name) is PAPER


def test_light_unets_have_their_own_defaults():
    assert defaults_of("light2d") is LIGHT


@pytest.mark.parametrize(
    ("epochs", "lr", "message"),
    [
        (0, 1e-3, "at least 1 epoch, got 0"),
        (1, 0.0, "learning rate must be positive, got 0.0"),
        (1, -1.0, "lr|rate"),
    ],
)
def test_a_stage_that_learns_nothing_is_refused(epochs, lr, message):
    with pytest.raises(ValueError, match=message):
        Stage(epochs, lr)
