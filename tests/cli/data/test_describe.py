"""`cmrseg data describe`: what it shows and writes, what it must not, and its complaints."""

from __future__ import annotations

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.phantom.dicom import dicom_datasets
from tests.cli.conftest import assert_one_sentence
from tests.curation.tokens import found_tokens, tokens_in, write_with_tokens


@pytest.fixture
def source(tmp_path):
    """An examination with a token in everything of its headers that can hold a text."""
    x, y, z, t = np.ogrid[0:28, 0:24, 0:6, 0:8]
    array = 1500 + 700 * np.sin(x / 4 + t / 3) * np.cos(y / 3 + z) + 40 * z
    cine = Cine(array, (1.4, 1.6, 8.0), np.diag([-1.4, -1.6, 8.0, 1.0]), tuple(100.0 * n for n in range(8)))
    write_with_tokens(dicom_datasets(cine), tmp_path / "source")
    return tmp_path / "source"


def test_nothing_of_a_patient_is_shown_or_written(cmrseg, source, tmp_path):
    code, said, complaint = cmrseg("data", "describe", source, "--out", tmp_path / "out")
    assert code == 0
    assert "1 examination of 1 patient" in " ".join(said.split())
    assert found_tokens(tmp_path / "out") == set()
    assert tokens_in((said + complaint).encode()) == set()


def test_the_table_fits_80_columns_and_the_files_are_named(cmrseg, source, tmp_path):
    _, said, _ = cmrseg("data", "describe", source, "--out", tmp_path / "out")
    assert max(len(line) for line in said.splitlines() if line[:1] in "┏┃┡│└") <= 80
    assert "slice thickness (mm)" in said
    assert {path.name for path in (tmp_path / "out").glob("*.*")} >= {"description.csv", "methods.txt"}


def test_without_out_nothing_is_written(cmrseg, source, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    cmrseg("data", "describe", source)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_something_else_is_one_sentence(cmrseg, tmp_path):
    assert_one_sentence(cmrseg("data", "describe", tmp_path / "nowhere"), "does not exist")
    (tmp_path / "note.txt").write_text("x")
    assert_one_sentence(cmrseg("data", "describe", tmp_path), "neither curated studies", "nor DICOM files")
