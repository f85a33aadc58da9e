"""A published model is fetched, verified, loaded and used by one command."""

import hashlib

import pytest
import torch

from cmrseg.phantom import SCANNERS
from cmrseg.preprocess import Preprocessing
from cmrseg.workflows.demo import DemoSize, write_studies
from cmrseg.zoo import manifest
from cmrseg.zoo.manifest import read_entry
from cmrseg.zoo.model_file import ModelSpec, build_net, save_model
from cmrseg.zoo.zenodo import ZENODO
from tests.cli.conftest import assert_one_sentence
from tests.zoo.zenodo_server import serve

NAME = "light2d_CE_toy_s1"


@pytest.fixture
def zenodo(tmp_path, monkeypatch):
    """Zenodo with a small model, and an empty cache."""
    for variable in ("CMRSEG_OFFLINE", "CMRSEG_MIRROR", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    labels, preprocessing = ("BACKGROUND", "LV", "MYO", "RV"), Preprocessing(size=64)
    spec = ModelSpec(NAME, "light2d", labels, preprocessing, NAME, arguments={"widths": [4, 8]})
    torch.manual_seed(0)
    file = save_model(spec, build_net(spec).state_dict(), tmp_path / f"{NAME}.safetensors")
    content = file.read_bytes()
    values = {
        "name": NAME,
        "file": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "architecture": "light2d",
        "labels": list(labels),
        "trained_on": "nothing",
        "licence": "CC0",
        "citation": "none",
        "preprocessing": {},
        "recipe": NAME,
        "dice": {},
        "doi": "10.5281/zenodo.7",
    }
    entry = read_entry(values, "these tests")
    monkeypatch.setattr(manifest, "read_manifest", lambda: {NAME: entry})
    with serve() as server:
        server.records[7] = {file.name: content}
        monkeypatch.setitem(ZENODO, "10.5281", server.url)
        yield server


@pytest.fixture
def data(tmp_path):
    size = DemoSize(n_frames=2, image_px=64)
    write_studies(tmp_path / "data", SCANNERS["A"], 1, size, seed=1)
    return tmp_path / "data"


def test_predict_fetches_a_model_once_after_one_line(cmrseg, zenodo, data, tmp_path):
    code, said, _ = cmrseg("predict", data, tmp_path / "one", "--model", NAME, "--fast")
    assert code == 0
    assert f"fetching {NAME} from Zenodo (doi:10.5281/zenodo.7): 0.0 MB, licence CC0" in said
    assert list((tmp_path / "one").rglob("seg.nii.gz"))
    zenodo.asked.clear()
    code, said, _ = cmrseg("predict", data, tmp_path / "two", "--model", NAME, "--fast")
    assert (code, zenodo.asked) == (0, [])
    assert "fetching" not in said


def test_wrong_bytes_are_never_predicted_with(cmrseg, zenodo, data, tmp_path):
    zenodo.faults = ["wrong"]
    result = cmrseg("predict", data, tmp_path / "out", "--model", NAME, "--fast")
    assert_one_sentence(result, f"is not the file of {NAME}", "deleted")
    assert not list(tmp_path.rglob("seg.nii.gz"))


def test_export_fetches_too(cmrseg, zenodo, tmp_path):
    code, said, _ = cmrseg("zoo", "export", NAME, "--out", tmp_path / "models.zip")
    assert code == 0
    assert f"· fetching {NAME}" in said
    assert zenodo.contents_asked() == [""]
