"""Models from repositories of Hugging Face: verified before use, nothing else is taken."""

import hashlib
import json
from dataclasses import replace

import pytest

from cmrseg.problems import DataError
from cmrseg.zoo import download, hugging_face
from cmrseg.zoo.fetch import FetchOptions
from cmrseg.zoo.hugging_face import Repository, fetch_repository_model, parse_repository
from cmrseg.zoo.manifest import load_model, model_path
from tests.zoo.zenodo_server import serve

COMMIT = "a" * 40
HELD = Repository("someone", "heart-model")
MODEL = "model.safetensors"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The Hub with a repository; its answer may be changed."""
    for name in ("CMRSEG_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download, "sleep", lambda _: None)
    with serve() as server:
        content = model_path("light2d_hybrid_multi_s3").read_bytes()
        server.plain[f"/someone/heart-model/resolve/{COMMIT}/{MODEL}"] = content
        monkeypatch.setattr(hugging_face, "HUB", server.url)
        answer(server, content)
        yield server


def answer(server, content, *, name=MODEL, lfs=True, others=()):
    """What the Hub says of the repository."""
    large = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    files = [{"rfilename": name, "size": len(content), "blobId": "b" * 40, **({"lfs": large} if lfs else {})}]
    files += [{"rfilename": other, "size": 3, "blobId": "c" * 40} for other in ("README.md", *others)]
    told = {"id": str(HELD), "sha": COMMIT, "siblings": files, "cardData": {"license": "cc-by-nc-sa-4.0"}}
    server.plain["/api/models/someone/heart-model/revision/main"] = json.dumps(told).encode()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hf:someone/heart-model", HELD),
        ("hf:someone/heart-model@v1.0", replace(HELD, revision="v1.0")),
        ("https://huggingface.co/someone/heart-model", HELD),
        ("hf:../heart-model", None),
        ("hf:someone", None),
        ("someone/heart-model", None),  # may be a path
        ("light2d_hybrid_acdc_s3", None),
    ],
)
def test_repositories_are_named_by_page_or_short(text, found):
    assert parse_repository(text) == found


def test_a_model_is_fetched_compared_and_known_by_its_name(hub, tmp_path):
    said = []
    path = fetch_repository_model(HELD, FetchOptions(note=said.append))
    assert path.is_relative_to(tmp_path / "home")
    assert path.read_bytes() == model_path("light2d_hybrid_multi_s3").read_bytes()
    assert load_model(str(path)).spec.labels[1:] == ("LV", "MYO", "RV")
    assert "licence cc-by-nc-sa-4.0" in said[0]


def test_a_broken_download_goes_on(hub):
    hub.faults += ["", "cut 100000"]
    fetch_repository_model(HELD)
    assert len(hub.contents_asked()) == 3  # the answer, the beginning, the rest


def test_a_file_that_is_not_what_its_checksum_says_is_deleted(hub, tmp_path):
    hub.plain[f"/someone/heart-model/resolve/{COMMIT}/{MODEL}"] = b"x" * 6952872
    with pytest.raises(DataError, match=r"not what the record says and is deleted: sha256"):
        fetch_repository_model(HELD)
    assert not list((tmp_path / "home").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lfs": False}, "names no sha256 of model.safetensors"),
        ({"name": "pytorch_model.bin"}, "but no model file"),
        ({"others": ("second.safetensors",)}, "but model.safetensors, second.safetensors"),
        ({"name": "-rf.safetensors"}, "no plain name"),
    ],
)
def test_what_cannot_be_trusted_is_refused_before_it_is_fetched(hub, change, message):
    answer(hub, b"abc", **change)
    with pytest.raises(DataError, match=message):
        fetch_repository_model(HELD)
    assert len(hub.contents_asked()) == 1  # the answer


def test_a_mirror_must_be_encrypted(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
    with pytest.raises(DataError, match="HF_ENDPOINT is no https address"):
        fetch_repository_model(HELD)


def test_without_a_network_it_is_told_where_the_model_is(hub, monkeypatch):
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    with pytest.raises(DataError, match="CMRSEG_OFFLINE is set"):
        fetch_repository_model(HELD)
