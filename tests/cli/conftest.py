"""The command in this process, and what a complaint must look like."""

import sys

import pytest
import torch

from cmrseg.cli import main


@pytest.fixture
def cmrseg(monkeypatch, capsys):
    """A function of the command's arguments: exit code, what it said, what it complained about."""
    monkeypatch.delenv("CMRSEG_DEBUG", raising=False)
    monkeypatch.setenv("CMRSEG_SALT", "of these tests")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("cmrseg.training.loaders.default_device", lambda: torch.device("cpu"), raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["cmrseg", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def assert_one_sentence(result, *parts, code=2):
    """The command ended with one complaint that holds some words."""
    got, _, complaint = result
    lines = [line for line in complaint.splitlines() if line.strip()]
    assert len(lines) == 1, complaint
    assert lines[0].startswith("error: ")
    assert len(lines[0]) > 20
    for part in parts:
        assert str(part) in lines[0]
    assert got == code
