"""Records by every name that people give them, through zenodo-get and our connection."""

import json
import signal
import subprocess
import sys

import pytest

from cmrseg.problems import DataError
from cmrseg.zoo import download
from cmrseg.zoo.zenodo import ZENODO, RecordName, parse_record, read_record
from tests.zoo.zenodo_server import serve


@pytest.fixture(autouse=True)
def server(monkeypatch):
    """Zenodo and its sandbox."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "sleep", lambda _: None)
    with serve() as server:
        server.records[7] = {"b.txt": b"bb", "a.txt": b"a"}
        monkeypatch.setitem(ZENODO, "10.5281", server.url)
        monkeypatch.setitem(ZENODO, "10.5072", f"{server.url}/sandbox")
        yield server


@pytest.mark.parametrize(
    ("text", "doi", "file"),
    [
        ("10.5281/zenodo.7", "10.5281/zenodo.7", None),
        ("doi:10.5281/zenodo.7", "10.5281/zenodo.7", None),
        ("https://doi.org/10.5281/ZENODO.7", "10.5281/zenodo.7", None),
        ("7", "10.5281/zenodo.7", None),
        ("7/model.zip", "10.5281/zenodo.7", "model.zip"),
        ("10.5281/zenodo.7/model.zip", "10.5281/zenodo.7", "model.zip"),
        ("https://zenodo.org/records/7", "10.5281/zenodo.7", None),
        ("zenodo.org/record/7", "10.5281/zenodo.7", None),
        ("https://zenodo.org/records/7/files/a%20b.zip?download=1", "10.5281/zenodo.7", "a b.zip"),
        ("10.5072/zenodo.7", "10.5072/zenodo.7", None),
        ("https://sandbox.zenodo.org/records/7", "10.5072/zenodo.7", None),
    ],
)
def test_a_record_by_any_of_its_names(text, doi, file):
    assert parse_record(text) == RecordName(doi, file)


@pytest.mark.parametrize(
    "text",
    ["r34_CE_p5_s2", "10.1234/zenodo.7", "10.5281/zenodo.x", "", "7t", "https://evil.invalid/records/7"],
)
def test_anything_else_is_no_record(text):
    assert parse_record(text) is None


def test_files_come_with_sizes_checksums_and_addresses(server):
    record = read_record("10.5281/zenodo.7")
    assert (record.doi, record.title, record.licence) == ("10.5281/zenodo.7", "Record 7", "cc-by-4.0")
    assert [(file.name, file.size) for file in record.files] == [("a.txt", 1), ("b.txt", 2)]
    assert record.file("a.txt").checksum == ("md5", "0cc175b9c0f1b6a831c399e269772661")
    assert record.file("a.txt").url == server.content_url(7, "a.txt")
    with pytest.raises(DataError, match=r"has no file c\.txt; it holds a\.txt, b\.txt"):
        record.file("c.txt")


def test_the_doi_of_all_versions_leads_to_the_newest(server):
    server.newest[6] = 7
    assert read_record("10.5281/zenodo.6").doi == "10.5281/zenodo.7"


def test_the_sandbox_is_asked_at_its_own_address(server):
    server.plain["/sandbox/api/records/7"] = server.record_json(7)
    assert len(read_record("10.5072/zenodo.7").files) == 2
    assert server.asked[0][0] == "/sandbox/api/records/7"


def test_a_record_that_is_not_there_is_one_sentence():
    with pytest.raises(DataError, match=r"/api/records/8 answers HTTP 404"):
        read_record("10.5281/zenodo.8")


@pytest.mark.parametrize("name", ["../a", "a/b", "..", "a\\b", "C:a", "a\n", "", ".", "x" * 300, 7])
def test_a_file_whose_name_could_lead_elsewhere_is_refused(server, monkeypatch, name):
    files = [{"key": name, "size": 1, "checksum": "md5:0", "links": {"self": "x"}}]
    monkeypatch.setattr(server, "record_json", lambda _: json.dumps({"id": 7, "files": files}).encode())
    with pytest.raises(DataError, match=r"no plain name|does not list files"):
        read_record("10.5281/zenodo.7")


@pytest.mark.parametrize(
    "answer", [b"[]", b"{}", b'{"files": 7}', b'{"files": [7]}', b'{"files": [{"key": "a"}]}', b"no json"]
)
def test_another_answer_is_one_sentence(server, monkeypatch, answer):
    monkeypatch.setattr(server, "record_json", lambda _: answer)
    with pytest.raises(DataError, match=r"does not list files|did not answer with a record"):
        read_record("10.5281/zenodo.7")


def test_ctrl_c_stays_ours_and_the_package_whole():
    before = signal.getsignal(signal.SIGINT)
    read_record("10.5281/zenodo.7")
    assert signal.getsignal(signal.SIGINT) is before
    whole = "import cmrseg.zoo.zenodo as z; z._zenodo_get(); from zenodo_get import download"
    assert subprocess.run([sys.executable, "-c", whole], check=False).returncode == 0


def test_it_is_not_imported_before_a_record_is_asked_for():
    code = (
        "import sys, cmrseg.cli, cmrseg.zoo.fetch; print({'zenodo_get', 'httpx2', 'loguru'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
