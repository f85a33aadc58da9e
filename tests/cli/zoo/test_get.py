"""``cmrseg zoo get``: what it says, and what it refuses."""

import hashlib
from contextlib import nullcontext
from dataclasses import replace

import pytest

from cmrseg.cli.zoo import get as zoo_get
from cmrseg.cli.zoo.get import fetching, get
from cmrseg.problems import DataError
from cmrseg.zoo import manifest
from cmrseg.zoo.manifest import DEFAULT_MODEL, get_entry


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The file of the zoo's one published model."""
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    file = tmp_path / "toy.safetensors"
    file.write_bytes(b"weights")
    entry = replace(
        get_entry(DEFAULT_MODEL),
        name="toy",
        file=file.name,
        bytes=7,
        sha256=hashlib.sha256(b"weights").hexdigest(),
        url="https://models.invalid/toy.safetensors",
    )
    monkeypatch.setattr(manifest, "read_manifest", lambda: {"toy": entry})
    return file


def test_a_model_is_fetched_and_its_place_told(file, tmp_path, capsys):
    get(["toy"], source=str(file))
    path = tmp_path / "home" / "models" / "toy" / "toy.safetensors"
    assert path.read_bytes() == b"weights"
    said = capsys.readouterr().out
    assert "licence CC BY-NC-SA 4.0" in said
    assert str(path) in said


def test_an_embedded_model_needs_no_network(monkeypatch, capsys):
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    get([DEFAULT_MODEL])
    assert "is part of this installation" in capsys.readouterr().out


@pytest.mark.usefixtures("file")
def test_offline_says_where_to_put_the_file():
    with pytest.raises(DataError, match=r"copy https://models\.invalid/toy\.safetensors to .*toy"):
        get(["toy"])


@pytest.mark.usefixtures("file")
def test_no_model_is_fetched_where_one_name_is_wrong(tmp_path):
    with pytest.raises(DataError, match="did you mean toy"):
        get(["toy", "toyy"])
    assert not (tmp_path / "home").exists()


def test_a_file_is_that_of_one_model():
    with pytest.raises(DataError, match="give one name"):
        get(["a", "b"], source="file")


def test_the_bar_counts_megabytes(monkeypatch):
    seen = []
    monkeypatch.setattr(zoo_get, "progress_bar", lambda _: nullcontext(lambda *counts: seen.append(counts)))
    with fetching("toy") as options:
        options.progress(1_500_000, 160_000_000)
        options.progress(1_500_000, None)
    assert seen == [(1, 160), (1, None)]
