"""What the paper's reader types: `cmrseg finetune --base r34_CE_p5_s2 --data DIR`, and nothing before it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.models import resnet34

from cmrseg.models.defaults import Stage
from cmrseg.models.registry import ARCHITECTURES
from cmrseg.zoo import manifest, sources
from cmrseg.zoo.model_file import read_model
from tests.cli.conftest import assert_one_sentence
from tests.legacy.learners import make_learner
from tests.zoo.zenodo_server import serve

NAME, FILE = "r34_CE_p5_s2", "/release/learner.pkl"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server in place of the publisher's, an empty cache, an empty working directory."""
    for name in ("CMRSEG_OFFLINE", "CMRSEG_MIRROR", "CMRSEG_REQUIRE_CHECKSUM", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sources, "ENCRYPTED", ("https", "http"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    entries = manifest.read_manifest()
    with serve() as server:
        entry = replace(entries[NAME], url=f"{server.url}{FILE}")
        monkeypatch.setattr(manifest, "read_manifest", lambda *_: entries | {NAME: entry})
        yield server


@pytest.fixture
def data(server):
    """Two subjects in the paper's layout, with a heart of two rings."""
    y, x = np.mgrid[:48, :48] - 24
    mask = np.select([x**2 + y**2 < 60, x**2 + y**2 < 130], [1, 2]).astype(np.uint8)
    for split, subject in (("train", "1"), ("val", "2")):
        for kind, pixels in (("images", (mask == 1) * 180 + 40), ("masks", mask)):
            folder = Path("7t", kind, split)
            folder.mkdir(parents=True)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{subject}_slice000_frame000.png")
    return "7t"


@pytest.mark.slow
def test_finetune_with_a_base_that_is_published_as_a_pickle(cmrseg, server, data, tmp_path, monkeypatch):
    make_learner(tmp_path / "learner", resnet34).export(tmp_path / "learner.pkl")
    server.plain[FILE] = (tmp_path / "learner.pkl").read_bytes()
    r34 = ARCHITECTURES["r34"]  # one epoch instead of twenty
    short = replace(r34.defaults, transfer=(Stage(1, 1e-4, frozen=True),))
    monkeypatch.setitem(ARCHITECTURES, "r34", replace(r34, defaults=short))
    code, said, complaint = cmrseg("finetune", "--base", "r34_CE_p5_s2", "--data", data)
    assert code == 0, complaint
    lines = said.splitlines()
    assert lines[0].startswith("· fetching r34_CE_p5_s2 from 127.0.0.1: 16")
    assert lines[0].endswith("MB, licence MIT; a pickle of fastai, of which no code is run")
    assert f"· results: runs/{NAME}-7t (another folder: --out)" in lines
    spec = read_model(Path("runs", f"{NAME}-7t", "model.safetensors")).spec
    assert (spec.architecture, spec.training["base"]) == ("r34", NAME)
    assert spec.labels == ("BACKGROUND", "LV", "MYO")
    server.asked.clear()
    code, said, complaint = cmrseg(
        "predict", "7t/images/val", "masks", "--model", f"runs/{NAME}-7t", "--fast", "--runtime", "torch"
    )
    assert code == 0, complaint
    assert server.asked == []


@pytest.mark.parametrize(
    "command",
    [
        ("finetune", "--base", NAME, "--data", "7t"),
        ("predict", "7t", "out", "--model", NAME),
        ("label", "7t", "--teacher", NAME),
        ("study", "subsets", "--data", "7t", "--base", NAME),
        ("evaluate", "robustness", "7t", "--model", NAME),
        ("evaluate", "masks", "7t", "7t", "--robustness", NAME),
        ("zoo", "export", NAME, "--out", "models.zip"),
        ("zoo", "get", NAME),
    ],
    ids=lambda command: " ".join(command[:2]),
)
@pytest.mark.usefixtures("data")
def test_every_command_that_takes_a_name_fetches_it_and_runs_none_of_it(cmrseg, server, tmp_path, command):
    canary = tmp_path / "canary"
    server.plain[FILE] = f"cos\nsystem\n(S'touch {canary}'\ntR.".encode()
    result = cmrseg(*command)
    assert "a pickle of fastai, of which no code is run" in result[1]
    assert_one_sentence(result, "os.system", "it is deleted, and the same command fetches it again")
    assert not canary.exists()
    assert not list((tmp_path / "here").glob("runs/*"))
