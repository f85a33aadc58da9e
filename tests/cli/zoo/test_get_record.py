"""``cmrseg zoo get`` and ``cmrseg data get`` with a record of Zenodo that the manifest does not name."""

import pytest
import torch

from cmrseg.preprocess import Preprocessing
from cmrseg.zoo import download
from cmrseg.zoo.archive import export_models
from cmrseg.zoo.model_file import ModelSpec, build_net, save_model
from cmrseg.zoo.zenodo import ZENODO
from tests.cli.conftest import assert_one_sentence
from tests.legacy.hostile_pickles import hostile_pickles
from tests.zoo.zenodo_server import serve

NAME = "light2d_CE_toy_s1"


@pytest.fixture
def model(tmp_path):
    """A model file as a release names it."""
    spec = ModelSpec(
        NAME, "light2d", ("BACKGROUND", "LV"), Preprocessing(size=64), NAME, arguments={"widths": [4, 8]}
    )
    torch.manual_seed(0)
    return save_model(spec, build_net(spec).state_dict(), tmp_path / "release.safetensors")


@pytest.fixture(autouse=True)
def server(tmp_path, monkeypatch, model):
    """Zenodo with a release in record 7, and an empty cache."""
    for name in ("CMRSEG_OFFLINE", "CMRSEG_MIRROR", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download, "sleep", lambda _: None)
    with serve() as server:
        server.records[7] = {"release.safetensors": model.read_bytes(), "card.md": b"# A toy\n"}
        monkeypatch.setitem(ZENODO, "10.5281", server.url)
        yield server


@pytest.mark.parametrize("record", ["10.5281/zenodo.7", "7", "10.5281/zenodo.7/release.safetensors"])
def test_a_model_of_a_record_gets_its_name_and_its_card(cmrseg, tmp_path, record):
    code, said, complaint = cmrseg("zoo", "get", record)
    assert code == 0, complaint
    assert "doi:10.5281/zenodo.7: Record 7; 2 file(s)" in said
    assert f"from now on --model {NAME}" in said
    assert (tmp_path / "home" / "models" / NAME / "card.md").read_text() == "# A toy\n"
    code, said, _ = cmrseg("zoo", "show", NAME)
    assert code == 0
    assert "A toy" in said


def test_the_second_time_only_the_record_is_asked(cmrseg, server):
    cmrseg("zoo", "get", "7")
    server.asked.clear()
    assert cmrseg("zoo", "get", "7")[0] == 0
    assert server.contents_asked() == []


def test_an_archive_of_models_is_imported(cmrseg, server, model, tmp_path):
    export_models([model], tmp_path / "models.zip")
    server.records[7] = {"models.zip": (tmp_path / "models.zip").read_bytes()}
    code, said, _ = cmrseg("zoo", "get", "7")
    assert code == 0
    assert f"--model {NAME}" in said


def test_no_code_of_a_pickle_is_run(cmrseg, server, tmp_path):
    canary = tmp_path / "canary"
    hostile, told = hostile_pickles(canary)["system"]
    server.records[7] = {"learner.pkl": hostile}
    assert_one_sentence(cmrseg("zoo", "get", "7"), told)
    assert not canary.exists()


def test_several_models_must_be_told_apart(cmrseg, server):
    server.records[7] = {"a.safetensors": b"a", "b.safetensors": b"b"}
    result = cmrseg("zoo", "get", "7")
    assert_one_sentence(result, "not one model but a.safetensors, b.safetensors; name it as", "/FILE")


@pytest.mark.parametrize("file", ["card.md", "nothing.zip"])
def test_another_file_is_no_model(cmrseg, file):
    assert_one_sentence(cmrseg("zoo", "get", f"7/{file}"), file)


def test_wrong_bytes_are_no_model(cmrseg, server, tmp_path):
    server.faults = ["wrong"]
    assert_one_sentence(cmrseg("zoo", "get", "7"), "release.safetensors is not what the record says")
    assert not (tmp_path / "home" / "models").exists()


def test_offline_is_one_sentence(cmrseg, monkeypatch):
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    assert_one_sentence(
        cmrseg("zoo", "get", "7"), "CMRSEG_OFFLINE is set; copy https://doi.org/10.5281/zenodo.7"
    )


def test_a_record_is_where_its_file_is(cmrseg):
    assert_one_sentence(cmrseg("zoo", "get", "7", "--from", "x"), "a record is where its file is")


def test_data_of_a_record_are_told_by_their_paths(cmrseg, tmp_path):
    code, said, complaint = cmrseg("data", "get", "10.5281/zenodo.7", "--out", tmp_path / "out")
    assert code == 0, complaint
    assert f"· {tmp_path / 'out' / 'release.safetensors'}" in said
    assert f"to be cited: {tmp_path / 'out' / 'zenodo_record.json'}" in said


def test_what_is_no_record_is_one_sentence(cmrseg, tmp_path):
    assert_one_sentence(
        cmrseg("data", "get", "r34", "--out", tmp_path / "out"), "'r34' names no record of Zenodo"
    )
    assert not (tmp_path / "out").exists()
