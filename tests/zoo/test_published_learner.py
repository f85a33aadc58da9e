"""A model that is published as a pickle is fetched, pinned, read without running it and kept, by one call."""

import errno
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo import download, imported, published_learner, sources
from cmrseg.zoo.cache import pin_path
from cmrseg.zoo.entry import cached_path, usable_path
from cmrseg.zoo.fetch import FetchOptions
from cmrseg.zoo.imported import ImportedModel, import_learner
from cmrseg.zoo.manifest import bring, get_entry
from cmrseg.zoo.model_file import ModelSpec, read_model
from tests.legacy.hostile_pickles import hostile_pickles
from tests.legacy.learners import make_learner
from tests.zoo.zenodo_server import PIECE, serve

FILE = "/release/learner.pkl"
CONTENT = bytes(range(256)) * 1200  # stands for a learner: 300 kB
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SPEC = ModelSpec("r18_CE_p5_s2", "r18", ("BACKGROUND", "LV", "MYO"), Preprocessing(), "r18_CE_p5_s2")


def read_quickly(file, out, options):
    """The import, but for the file that only stands for a learner."""
    if file.read_bytes() != CONTENT:
        return import_learner(file, out, options)
    return ImportedModel(imported.save_model(SPEC, {}, out), SPEC, ())


@pytest.fixture(autouse=True)
def server(tmp_path, monkeypatch):
    """A server with the learner, and an empty cache."""
    for name in ("CMRSEG_OFFLINE", "CMRSEG_MIRROR", "CMRSEG_REQUIRE_CHECKSUM", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download, "sleep", lambda _: None)
    monkeypatch.setattr(sources, "ENCRYPTED", ("https", "http"))  # the server of these tests speaks no TLS
    monkeypatch.setattr(published_learner, "import_learner", read_quickly)
    with serve() as server:
        server.plain[FILE] = CONTENT
        yield server


@pytest.fixture
def entry(server):
    """Of the manifest, but for the smaller network and the address."""
    entry = get_entry("r34_CE_p5_s2")
    assert (entry.format, entry.sha256, entry.bytes) == ("fastai", None, None)
    return replace(
        entry,
        name="r18_CE_p5_s2",
        recipe="r18_CE_p5_s2",
        architecture="r18",
        file="learner.pkl",
        url=f"{server.url}{FILE}",
    )


@pytest.mark.slow
def test_it_becomes_a_model_file_and_every_step_is_told(entry, server, tmp_path):
    make_learner(tmp_path / "data").export(tmp_path / "learner.pkl")
    server.plain[FILE] = content = (tmp_path / "learner.pkl").read_bytes()
    said = []
    path = bring(entry, FetchOptions(note=said.append))
    spec = read_model(path).spec
    assert path == usable_path(entry)
    assert (spec.name, spec.labels, spec.licence) == ("r18_CE_p5_s2", ("BACKGROUND", "LV", "MYO"), "MIT")
    assert spec.preprocessing.size == 256
    size = f"{len(content) / 1e6:.1f} MB"
    what = f"fetching r18_CE_p5_s2 from 127.0.0.1: {size}, licence MIT"
    assert said[0] == f"{what}; a pickle of fastai, of which no code is run"
    assert f"first copy of {len(content)} bytes" in said[1]
    assert hashlib.sha256(content).hexdigest() in said[1]
    assert said[2] == f"r18_CE_p5_s2 was read without running any of its code: LV, MYO; model file {path}"
    assert len(said) == 3


def test_the_second_call_asks_nobody_and_says_nothing(entry, server, monkeypatch):
    bring(entry)
    server.asked.clear()
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    monkeypatch.setenv("CMRSEG_REQUIRE_CHECKSUM", "1")
    said = []
    assert bring(entry, FetchOptions(note=said.append)) == usable_path(entry)
    assert (said, server.asked) == ([], [])


def test_a_later_copy_that_differs_is_refused(entry, server):
    bring(entry).unlink()
    cached_path(entry).unlink()
    server.plain[FILE] = CONTENT + b"\0"
    with pytest.raises(DataError, match=rf"expected {DIGEST} \(pinned in "):
        bring(entry)
    assert not usable_path(entry).exists()


def test_checksums_can_be_required(entry, server, monkeypatch):
    monkeypatch.setenv("CMRSEG_REQUIRE_CHECKSUM", "1")
    with pytest.raises(DataError, match=r"cannot be verified \(CMRSEG_REQUIRE_CHECKSUM is set\)"):
        bring(entry)
    assert server.asked == []
    assert bring(entry, FetchOptions(trust_first_use=True)).exists()


def test_without_https_it_is_not_even_asked_for(entry, server, monkeypatch):
    monkeypatch.setattr(sources, "ENCRYPTED", ("https",))
    with pytest.raises(DataError, match=r"cannot be verified \(it comes without https\)"):
        bring(entry)
    assert server.asked == []


def test_without_https_a_known_checksum_is_enough(entry, monkeypatch):
    monkeypatch.setattr(sources, "ENCRYPTED", ("https",))
    assert bring(replace(entry, sha256=DIGEST)).exists()


def test_a_model_that_is_no_pickle_is_never_trusted_at_first_sight(entry):
    with pytest.raises(DataError, match="no checksum of r18_CE_p5_s2 is known"):
        bring(replace(entry, format="cmrseg"))


def test_offline_says_what_to_copy_and_takes_the_copy(entry, server, monkeypatch):
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    with pytest.raises(DataError, match=rf"copy {entry.url} to {cached_path(entry)}, or bring it"):
        bring(entry)
    cached_path(entry).parent.mkdir(parents=True)
    cached_path(entry).write_bytes(CONTENT)
    assert bring(entry).exists()
    assert server.asked == []
    assert pin_path(entry).read_text().strip() == DIGEST


def test_a_broken_connection_is_gone_on_with(entry, server):
    server.faults = [f"cut {2 * PIECE}"]
    assert bring(entry).exists()
    assert server.contents_asked() == ["", f"bytes={2 * PIECE}-"]


def test_hostile_code_is_not_run_and_the_next_copy_can_be_another(entry, server, tmp_path):
    canary = tmp_path / "canary"
    for hostile, _ in hostile_pickles(canary).values():
        server.plain[FILE] = hostile
        with pytest.raises(DataError, match="it is deleted, and the same command fetches it again"):
            bring(entry)
    assert not canary.exists()
    assert not [path for path in cached_path(entry).parent.iterdir() if path.suffix != ".lock"]
    server.plain[FILE] = CONTENT
    assert bring(entry).exists()


def test_half_a_learner_from_a_server_that_knows_no_length_is_no_model(entry, server, tmp_path):
    torch.save({"model": torch.zeros(100_000)}, tmp_path / "whole.pkl")
    server.plain[FILE] = (tmp_path / "whole.pkl").read_bytes()[:200_000]
    with pytest.raises(DataError, match="deleted"):
        bring(entry)
    server.plain[FILE] = CONTENT
    assert bring(entry).exists()


def test_what_the_manifest_vouches_for_is_kept_although_it_cannot_be_read(entry, server):
    server.plain[FILE] = b"no learner"
    known = replace(entry, sha256=hashlib.sha256(b"no learner").hexdigest())
    with pytest.raises(DataError, match=r"learner\.pkl"):
        bring(known)
    assert cached_path(entry).exists()


def test_a_disk_that_is_full_is_one_sentence_and_leaves_no_half_model(entry, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(imported, "save_model", full)
        with pytest.raises(DataError, match=r"safetensors cannot be written \(No space left on device\)"):
            bring(entry)
    assert not usable_path(entry).exists()
    assert bring(entry).exists()


def test_two_at_a_time_fetch_and_import_once(entry, server):
    server.faults = ["slow 0.02"]
    said = []
    with ThreadPoolExecutor(2) as both:
        paths = list(both.map(lambda _: bring(entry, FetchOptions(note=said.append)), range(2)))
    assert paths == [usable_path(entry)] * 2
    assert sum("was read without" in sentence for sentence in said) == 1
    assert server.contents_asked() == [""]
    assert not list(usable_path(entry).parent.glob("*.part*"))
