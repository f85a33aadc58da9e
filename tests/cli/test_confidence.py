"""`cmrseg confidence`: exit codes and what is said."""

import pytest
import typer
from typer.testing import CliRunner

from cmrseg.cli.confidence import confidence

pytestmark = pytest.mark.slow  # each draws two figures


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command on volumes of some examinations, of which the truth knows 1 and 2."""
    monkeypatch.setenv("COLUMNS", "80")
    truth = tmp_path / "train.csv"
    truth.write_text("Id,Systole,Diastole\n1,40,100\n2,40,100\n")
    app = typer.Typer()
    app.command()(confidence)

    def command(*ids, thresholds="5,10,15"):
        volumes = tmp_path / "summary.csv"
        volumes.write_text("study,EDV_ml,ESV_ml\n" + "".join(f"{i},100,40\n" for i in ids))
        arguments = [volumes, truth, "--out", tmp_path / "out", "--thresholds", thresholds]
        return CliRunner().invoke(app, list(map(str, arguments)))

    return command


def test_the_screen_shows_the_sets(run):
    result = run(1, 2, thresholds="5,20")
    assert result.exit_code == 0
    cells = [line.strip("│").split("│") for line in result.output.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in cells] == [["p5", "5.0", "2"], ["p20", "20.0", "2"]]


def test_what_is_left_out_makes_the_exit_code_1(run):
    result = run(1, 9)
    assert result.exit_code == 1
    assert "2 problem(s), listed in" in result.output


@pytest.mark.parametrize(("ids", "thresholds"), [((1,), "10,5"), ((8, 9), "5")])
def test_what_cannot_be_used_is_one_sentence(run, ids, thresholds):
    error = run(*ids, thresholds=thresholds).exception
    assert isinstance(error, ValueError)
    assert len(str(error).splitlines()) == 1
