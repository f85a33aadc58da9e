"""`cmrseg study subsets`: what it shows, and its complaints."""

import errno

import pytest

from tests.cli.conftest import assert_one_sentence
from tests.experiments.conftest import _on_cpu, base, data  # noqa: F401


@pytest.fixture
def subsets(cmrseg, data, base, tmp_path):  # noqa: F811
    """The command on the disks."""

    def run(*options, **given):
        given = {"data": data, "base": base, "out": tmp_path / "out", **given}
        pairs = [part for name, value in given.items() for part in (f"--{name}", value)]
        return cmrseg("study", "subsets", *pairs, "--batch-size", 2, "--epochs", 2, *options)

    return run


def table_width(said):
    return max(len(line) for line in said.splitlines() if line[:1] in "┏┃┡│└")


def test_a_plan_lists_the_runs_and_trains_nothing(subsets, tmp_path):
    code, said, _ = subsets("--plan", "--subjects", "2,1", "--kinds", "subjects", "--seeds", 1)
    assert code == 0
    assert "6 runs, scored on 2 subjects" in said
    assert "TL falls away: there are no ImageNet weights for light2d" in said
    assert "TL2_v1_seed0" in said
    assert table_width(said) <= 80
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["splits.csv", "subsets.tsv"]


@pytest.mark.slow  # trains two tiny networks and draws four figures
def test_the_answer_is_on_the_screen(subsets):
    options = ("--starts", "TL2", "--subjects", "1", "--kinds", "subjects", "--seeds", 1)
    code, said, _ = subsets(*options)
    assert code == 0
    assert "all 4 subjects" in said
    assert "Contour" in said
    assert "report.html" in said
    assert table_width(said) <= 80


@pytest.mark.slow  # trains two tiny networks and draws four figures
def test_a_run_that_failed_leaves_a_report_and_exit_code_1(subsets, tmp_path):
    options = ("--subjects", "1", "--kinds", "", "--seeds", 1)
    assert subsets(*options)[0] == 0
    run = tmp_path / "out" / "runs" / "R_full_seed0"
    for name in ("scores.key", "model.safetensors"):
        (run / name).unlink()
    (run / "checkpoint.pt").write_bytes(b"no checkpoint")
    (tmp_path / "out" / "report.html").unlink()
    code, said, complaint = subsets(*options)
    assert code == 1
    assert "R_full_seed0 failed: checkpoint" in said
    assert "1 problem(s), listed in" in complaint
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--subjects", "many"), "--subjects takes whole numbers such as 7,3,1, got 'many'"),
        (("--subjects", "9"), "sizes must decrease, from below 4"),
        (("--starts", "T"), "unknown 'T'"),
        (("--starts", "TL"), "no ImageNet weights for light2d"),
        (("--kinds", "subject"), "unknown 'subject'"),
        (("--subsets", "no.tsv"), "no.tsv"),
        (("--subsets", "no.tsv", "--subjects", "1"), "not both"),
    ],
)
def test_wrong_options_are_one_sentence(subsets, options, part):
    assert_one_sentence(subsets("--plan", *options), part)


def test_what_is_missing_is_one_sentence(subsets, tmp_path):
    assert_one_sentence(subsets(data=tmp_path / "none"), "none", "does not exist")
    assert_one_sentence(subsets(base=tmp_path / "none.safetensors"), "none.safetensors", "does not exist")
    assert_one_sentence(subsets(base="light3d_nothing"), "light3d_nothing")
    (tmp_path / "empty").mkdir()
    assert_one_sentence(subsets("--second-reader", tmp_path / "empty"), "empty")


def test_a_folder_that_cannot_be_written_is_one_sentence(subsets, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert_one_sentence(subsets("--plan", out=tmp_path / "file"), "file is a file; name a folder")
    assert_one_sentence(subsets("--plan", out=tmp_path / "file" / "out"), "cannot be opened or written")

    def full(table, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("cmrseg.experiments.transfer.write_table", full)
    assert_one_sentence(subsets("--plan", "--kinds", "subjects"), "no space left on the disk")
