"""Schedules as data."""

from dataclasses import replace

import pytest

from cmrseg.models import ARCHITECTURES, get_architecture
from cmrseg.models.defaults import PAPER, PAPER_LARGE, Stage
from cmrseg.models.light_unet import LIGHT


def defaults_of(name):
    return get_architecture(name).defaults


def test_the_papers_schedule():
    assert PAPER.base == (Stage(30, 1e-4, frozen=True), Stage(30, 1e-5, frozen=False))


@pytest.mark.parametrize("name", ["r18", "r34", "r50", "v16", "sq11"])
def test_fastai_unets_are_trained_as_in_the_paper(name):
    large = name in ("r50", "v16")
    assert defaults_of(name) is (PAPER_LARGE if large else PAPER)
    assert defaults_of(name).base == PAPER.base


@pytest.mark.parametrize(("name", "images"), [("r18", 32), ("r34", 32), ("sq11", 32), ("r50", 8), ("v16", 8)])
def test_batches_are_as_large_as_the_authors_and_8_in_every_transfer(name, images):
    assert (defaults_of(name).batch_size, defaults_of(name).transfer_batch_size) == (images, 8)


def test_light_unets_have_their_own_defaults():
    assert {name for name in ARCHITECTURES if name.startswith("light")} == {"light2d", "light3d"}
    assert defaults_of("light2d") is LIGHT
    assert (LIGHT.batch_size, LIGHT.transfer_batch_size) == (16, 16)


def test_light_nets_over_stacks_are_trained_alike_with_fewer_at_a_time():
    stacks = {"batch_size": 2, "transfer_batch_size": 2}
    assert defaults_of("light3d") == replace(LIGHT, **stacks)


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
