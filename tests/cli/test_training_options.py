"""What a person may say of a training is told to commands as one object."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from cmrseg.cli.training_options import takes_training_options
from cmrseg.training.options import TrainOptions


@pytest.fixture
def told():
    """A function of arguments: what a command with some options is told."""
    found = []

    @takes_training_options("imagenet", "random", "drop", "structures", "batch_size", "class_weights")
    def command(data: Annotated[Path, typer.Option()], options: TrainOptions, resume: bool = False) -> None:
        """A command."""
        found.append((data, options, resume))

    app = typer.Typer()
    app.command()(command)

    def run(*arguments):
        found.clear()
        done = CliRunner().invoke(app, ["--data", "x", *arguments])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return found[0] if found else done.output

    return run


def test_nothing_said_is_nothing(told):
    assert told() == (Path("x"), TrainOptions(), False)


def test_what_is_typed_becomes_the_options_of_a_run(told):
    arguments = ("--random", "--drop", "--structures", "MYO,LV", "--batch-size", "3", "--resume")
    said = TrainOptions(start="random", keep_structures=False, structures=("LV", "MYO"), batch_size=3)
    assert told(*arguments) == (Path("x"), said, True)
    assert told("--imagenet", "w.pth")[1] == TrainOptions(start="w.pth")


def test_class_weights_are_names_with_numbers(told):
    assert told("--class-weights", "background=0.1, LV=0.3")[1].class_weights == {
        "BACKGROUND": 0.1,
        "LV": 0.3,
    }
    with pytest.raises(ValueError, match="--class-weights must be names with numbers, such as"):
        told("--class-weights", "0.1,0.3")


def test_a_network_starts_from_one_thing(told):
    with pytest.raises(ValueError, match="either --imagenet or --random"):
        told("--random", "--imagenet", "w.pth")


def test_only_the_options_that_were_asked_for_are_there(told):
    assert "No such option" in told("--epochs", "3")
