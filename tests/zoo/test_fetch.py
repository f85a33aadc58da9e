"""Published files reach the cache whole or not at all, against a server that answers as Zenodo does."""

import errno
import hashlib
import multiprocessing
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from cmrseg.problems import DataError
from cmrseg.zoo import download
from cmrseg.zoo import fetch as fetch_module
from cmrseg.zoo.cache import pin_path
from cmrseg.zoo.entry import cached_path
from cmrseg.zoo.fetch import FetchOptions, fetch
from cmrseg.zoo.manifest import read_entry
from cmrseg.zoo.zenodo import ZENODO
from tests.zoo.zenodo_server import PIECE, serve

CONTENT = bytes(range(256)) * 1200  # 300 kB
HALF = 2 * PIECE
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
ENTRY = read_entry(
    {
        "name": "light2d_CE_toy_s1",
        "file": "toy.safetensors",
        "sha256": SHA256,
        "bytes": len(CONTENT),
        "architecture": "light2d",
        "labels": ["BACKGROUND", "LV"],
        "trained_on": "nothing",
        "licence": "CC0",
        "citation": "none",
        "preprocessing": {},
        "recipe": "light2d_CE_toy_s1",
        "dice": {},
        "doi": "10.5281/zenodo.7",
    },
    "these tests",
)


@pytest.fixture
def waits(monkeypatch):
    """Seconds that were waited for, without waiting."""
    told = []
    monkeypatch.setattr(download, "sleep", told.append)
    return told


@pytest.fixture(autouse=True)
def zenodo(tmp_path, monkeypatch, waits):
    """Zenodo with the file in record 7, and an empty cache."""
    for name in ("CMRSEG_OFFLINE", "CMRSEG_MIRROR", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    with serve() as server:
        server.records[7] = {ENTRY.file: CONTENT, "card.md": b"# A toy"}
        monkeypatch.setitem(ZENODO, "10.5281", server.url)
        yield server


def partial(content, entry=ENTRY):
    """A download that was broken off earlier."""
    path = cached_path(entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.part").write_bytes(content)


def is_clean():
    """Whether the cache holds neither the file nor a part of it."""
    return not [p for p in cached_path(ENTRY).parent.glob("*") if not p.name.endswith(".lock")]


def test_a_file_of_a_record_reaches_the_cache(zenodo):
    assert fetch(ENTRY).read_bytes() == CONTENT
    assert [p.name for p in cached_path(ENTRY).parent.iterdir() if p.suffix != ".lock"] == [ENTRY.file]
    assert [path for path, _ in zenodo.asked] == [
        "/api/records/7",
        f"/api/records/7/files/{ENTRY.file}/content",
    ]


def test_a_cached_file_asks_nobody(zenodo):
    fetch(ENTRY)
    zenodo.asked.clear()
    assert fetch(ENTRY).read_bytes() == CONTENT
    assert zenodo.asked == []


def test_a_concept_doi_leads_to_the_newest_record(zenodo):
    zenodo.newest[6] = 7
    assert fetch(replace(ENTRY, doi="10.5281/zenodo.6")).read_bytes() == CONTENT


def test_an_address_is_followed_to_where_it_leads(zenodo):
    zenodo.plain |= {"/file": b"", "/elsewhere": CONTENT}
    zenodo.faults = [f"redirect {zenodo.url}/elsewhere"]
    assert fetch(replace(ENTRY, doi=None, url=f"{zenodo.url}/file")).read_bytes() == CONTENT


def test_what_is_fetched_is_told_with_size_and_licence():
    said, seen = [], []
    fetch(ENTRY, FetchOptions(note=said.append, progress=lambda *counts: seen.append(counts)))
    assert said == ["fetching light2d_CE_toy_s1 from Zenodo (doi:10.5281/zenodo.7): 0.3 MB, licence CC0"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_without_a_listener_it_is_logged(caplog):
    fetch(ENTRY)
    assert "licence CC0" in caplog.text


# Broken off


def test_a_cut_connection_is_gone_on_with(zenodo):
    zenodo.faults = [f"cut {HALF}"]
    assert fetch(ENTRY).read_bytes() == CONTENT
    assert zenodo.contents_asked() == ["", f"bytes={HALF}-"]


def test_another_run_goes_on_with_what_is_there(zenodo):
    partial(CONTENT[:HALF])
    assert fetch(ENTRY).read_bytes() == CONTENT
    assert zenodo.contents_asked() == [f"bytes={HALF}-"]


def test_what_has_arrived_is_kept_when_the_server_does_not_come_back(zenodo):
    zenodo.faults = [f"cut {HALF}", *["busy 503"] * download.ATTEMPTS]
    with pytest.raises(DataError, match=r"busy \(HTTP 503\), after 5 tries; the same command goes on"):
        fetch(ENTRY)
    zenodo.faults.clear()
    zenodo.asked.clear()
    assert fetch(ENTRY).read_bytes() == CONTENT
    assert zenodo.contents_asked() == [f"bytes={HALF}-"]


@pytest.mark.parametrize("fault", ["range ignored", "range wrong"])
def test_a_server_that_cannot_give_the_rest_gives_the_whole(zenodo, fault):
    partial(CONTENT[:HALF])
    zenodo.faults = [fault]
    assert fetch(ENTRY).read_bytes() == CONTENT


def test_the_part_of_another_file_is_not_gone_on_with(zenodo):
    partial(bytes(HALF))
    assert fetch(ENTRY).read_bytes() == CONTENT
    assert zenodo.contents_asked() == [f"bytes={HALF}-", ""]


@pytest.mark.parametrize("n", [len(CONTENT), len(CONTENT) + 5])
def test_a_part_that_is_whole_or_too_long_is_settled(n):
    partial((CONTENT + b"12345")[:n])
    assert fetch(ENTRY).read_bytes() == CONTENT


def test_a_part_of_a_file_of_unknown_size_may_be_whole(zenodo):
    zenodo.plain["/file"] = CONTENT
    entry = replace(ENTRY, doi=None, bytes=None, url=f"{zenodo.url}/file")
    partial(CONTENT, entry)
    assert fetch(entry).read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_asked_again(zenodo, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT_S", (1, 0.1))
    zenodo.faults = ["slow 0.3"]
    assert fetch(ENTRY).read_bytes() == CONTENT


# Busy


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for_as_it_asks(zenodo, waits, status):
    zenodo.faults = [f"busy {status} 7"]
    assert fetch(ENTRY).read_bytes() == CONTENT
    assert waits == [7]


def test_waits_grow_where_nothing_is_asked(zenodo, waits):
    zenodo.faults = ["busy 503"] * 3
    fetch(ENTRY)
    assert waits == [1, 2, 4]


def test_a_wait_until_a_date_in_the_past_is_none(zenodo, waits):
    zenodo.faults = ["busy 429 Wed, 21 Oct 2015 07:28:00 GMT"]
    fetch(ENTRY)
    assert waits == [1]


def test_nobody_waits_for_an_hour(zenodo, waits):
    zenodo.faults = ["busy 429 3600"]
    with pytest.raises(DataError, match="asks to wait for 3600 s; try again then"):
        fetch(ENTRY)
    assert waits == []


# Wrong


def test_wrong_bytes_are_deleted_with_both_sums_told(zenodo):
    zenodo.faults = ["wrong"]
    found = hashlib.sha256(bytes(len(CONTENT))).hexdigest()
    with pytest.raises(DataError, match=f"arrived is deleted: sha256 {found}, expected {SHA256}"):
        fetch(ENTRY)
    assert is_clean()


def test_a_file_of_another_size_is_refused_before_it_is_read(zenodo):
    zenodo.plain["/file"] = CONTENT + b"more"
    seen = []
    with pytest.raises(DataError, match=f"{len(CONTENT) + 4} bytes, not {len(CONTENT)}"):
        fetch(
            replace(ENTRY, doi=None, url=f"{zenodo.url}/file"),
            FetchOptions(progress=lambda *counts: seen.append(counts)),
        )
    assert seen == []


def test_a_service_that_is_no_zenodo_is_told(zenodo, monkeypatch):
    monkeypatch.setattr(zenodo, "record_json", lambda _: b"<html>")
    with pytest.raises(DataError, match="did not answer with a record"):
        fetch(ENTRY)


@pytest.mark.parametrize(("fault", "told"), [("missing", "HTTP 404"), ("page", "is a web page, not a file")])
def test_what_is_no_file_is_told_and_not_tried_again(zenodo, waits, fault, told):
    zenodo.faults = [fault]
    with pytest.raises(DataError, match=told):
        fetch(ENTRY)
    assert (waits, is_clean()) == ([], True)


def test_a_record_without_the_file_names_those_it_has(zenodo):
    zenodo.records[7] = {"other.safetensors": CONTENT}
    with pytest.raises(DataError, match=r"has no file toy\.safetensors; it holds other\.safetensors"):
        fetch(ENTRY)


def test_a_record_that_is_no_record_is_told(zenodo, monkeypatch):
    monkeypatch.setattr(zenodo, "record_json", lambda _: b'{"id": 7, "files": [{"filename": "x"}]}')
    with pytest.raises(DataError, match="does not list files as Zenodo does"):
        fetch(ENTRY)


def test_a_damaged_cached_file_is_fetched_again():
    path, said = fetch(ENTRY), []
    path.write_bytes(b"damaged")
    assert fetch(ENTRY, FetchOptions(note=said.append)).read_bytes() == CONTENT
    assert f"expected {SHA256}) and is deleted" in said[0]


@pytest.mark.parametrize("fault", ["missing", "page", "wrong", ""])
def test_passwords_and_signatures_of_an_address_are_not_told(zenodo, fault):
    zenodo.plain["/file"] = CONTENT + (b"" if fault else b"more")
    zenodo.faults = [fault]
    secret = f"{zenodo.url.replace('//', '//user:secret@')}/file?signature=secret"
    said = []
    with pytest.raises(DataError) as complaint:
        fetch(ENTRY, FetchOptions(source=secret, note=said.append))
    assert f"{zenodo.url}/file" in str(complaint.value)
    assert "secret" not in f"{said} {complaint.value}"


def test_an_https_address_may_not_lead_to_an_open_one(zenodo, monkeypatch):
    zenodo.plain["/file"] = CONTENT

    def redirected(url, **options):
        answer = get(f"{zenodo.url}/file", **options)
        answer.history = [answer]
        return answer

    get = download.requests.get
    monkeypatch.setattr(download.requests, "get", redirected)
    with pytest.raises(DataError, match="an address without https; nothing was fetched"):
        fetch(ENTRY, FetchOptions(source="https://models.invalid/file"))
    assert is_clean()


def test_a_host_that_is_not_there_is_one_sentence():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        entry = replace(ENTRY, doi=None, url=f"http://127.0.0.1:{free.getsockname()[1]}/file")
    with pytest.raises(DataError, match=r"127\.0\.0\.1 cannot be reached, after 5 tries"):
        fetch(entry)


def test_an_http_server_behind_https_is_told_of(zenodo):
    entry = replace(ENTRY, doi=None, url=f"{zenodo.url.replace('http:', 'https:')}/file")
    with pytest.raises(DataError, match="certificate"):
        fetch(entry)


def test_a_full_disk_is_told_before_the_download(monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: _Free)
    with pytest.raises(DataError, match="0 MB free and 0 MB are needed; make room"):
        fetch(ENTRY)


class _Free:
    free = 1000


def test_a_disk_that_fills_up_is_one_sentence(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DataError, match=r"No space left on device\); make room there"):
        fetch(ENTRY)


# Checksums that nobody published


def test_an_md5_becomes_a_pinned_sha256_on_first_use(zenodo):
    entry = replace(ENTRY, sha256=None, md5=MD5)
    fetch(entry).unlink()
    assert pin_path(entry).read_text().strip() == SHA256
    pin_path(entry).write_text("0" * 64)  # as if another file with this MD5 had been the first
    with pytest.raises(DataError, match=rf"sha256 {SHA256}, expected {'0' * 64} \(pinned in .*sha256\)"):
        fetch(entry)


def test_a_wrong_md5_is_refused(zenodo):
    zenodo.faults = ["wrong"]
    with pytest.raises(DataError, match=f"expected {MD5}"):
        fetch(replace(ENTRY, sha256=None, md5=MD5))


def test_the_md5_of_the_record_counts_where_the_manifest_has_none(zenodo):
    zenodo.faults = ["wrong"]
    entry = replace(ENTRY, sha256=None, bytes=None)
    with pytest.raises(DataError, match=f"expected {MD5}"):
        fetch(entry)
    assert fetch(entry).read_bytes() == CONTENT


def test_a_file_without_any_checksum_is_not_fetched(zenodo):
    entry = replace(ENTRY, sha256=None, doi=None, url=f"{zenodo.url}/file")
    with pytest.raises(DataError, match="no checksum of light2d_CE_toy_s1 is known"):
        fetch(entry)
    assert zenodo.asked == []


def test_the_first_copy_that_is_trusted_is_the_only_one(zenodo):
    zenodo.plain["/file"] = CONTENT
    entry, said = replace(ENTRY, sha256=None, doi=None, url=f"{zenodo.url}/file"), []
    fetch(entry, FetchOptions(trust_first_use=True, note=said.append)).unlink()
    assert SHA256 in said[-1]
    zenodo.plain["/file"] = bytes(len(CONTENT))
    with pytest.raises(DataError, match=f"expected {SHA256}"):
        fetch(entry, FetchOptions(trust_first_use=True))


def test_a_mirror_without_any_checksum_is_not_even_asked(zenodo, monkeypatch):
    monkeypatch.setenv("CMRSEG_MIRROR", f"{zenodo.url}/mirror")
    zenodo.plain[f"/mirror/{ENTRY.name}/{ENTRY.file}"] = bytes(len(CONTENT))
    assert fetch(replace(ENTRY, sha256=None)).read_bytes() == CONTENT
    assert [path for path, _ in zenodo.asked if path.startswith("/mirror")] == []


def test_what_cannot_be_verified_is_not_gone_on_with(zenodo):
    zenodo.plain["/file"] = CONTENT
    entry = replace(ENTRY, sha256=None, doi=None, url=f"{zenodo.url}/file")
    partial(bytes(HALF), entry)
    assert fetch(entry, FetchOptions(trust_first_use=True)).read_bytes() == CONTENT


# Without a network, or another one


def test_offline_opens_no_connection_and_says_what_to_do(zenodo, monkeypatch):
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    with pytest.raises(DataError, match=f"to {cached_path(ENTRY)}, or bring it in an archive"):
        fetch(ENTRY)
    assert zenodo.asked == []


def test_offline_tells_a_doi_as_an_address(monkeypatch):
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    with pytest.raises(DataError, match=rf"copy {ENTRY.file} of https://doi\.org/10\.5281/zenodo\.7 to"):
        fetch(ENTRY)


def test_offline_takes_a_file_that_was_copied_to_the_cache(monkeypatch):
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    cached_path(ENTRY).parent.mkdir(parents=True)
    cached_path(ENTRY).write_bytes(CONTENT)
    assert fetch(ENTRY) == cached_path(ENTRY)


def test_a_file_from_elsewhere_is_verified_too(tmp_path, monkeypatch):
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    file = tmp_path / "stick.safetensors"
    file.write_bytes(bytes(9))
    with pytest.raises(DataError, match=f"expected {SHA256}"):
        fetch(ENTRY, FetchOptions(source=str(file)))
    file.write_bytes(CONTENT)
    assert fetch(ENTRY, FetchOptions(source=str(file))).read_bytes() == CONTENT


def test_a_mirror_is_tried_first(zenodo, monkeypatch):
    monkeypatch.setenv("CMRSEG_MIRROR", f"{zenodo.url}/mirror/")
    zenodo.plain[f"/mirror/{ENTRY.name}/{ENTRY.file}"] = CONTENT
    fetch(ENTRY)
    assert [path for path, _ in zenodo.asked] == [f"/mirror/{ENTRY.name}/{ENTRY.file}"]


@pytest.mark.parametrize("content", [None, bytes(len(CONTENT))], ids=["missing", "wrong"])
def test_a_mirror_that_fails_is_passed_over(zenodo, monkeypatch, content):
    monkeypatch.setenv("CMRSEG_MIRROR", f"{zenodo.url}/mirror")
    if content:
        zenodo.plain[f"/mirror/{ENTRY.name}/{ENTRY.file}"] = content
    said = []
    assert fetch(ENTRY, FetchOptions(note=said.append)).read_bytes() == CONTENT
    assert "the mirror failed" in said[1]


def test_a_proxy_of_the_environment_is_used(zenodo, monkeypatch):
    zenodo.plain["/file"] = CONTENT  # a proxy is asked for the whole address; ours looks at its path
    monkeypatch.setenv("HTTP_PROXY", zenodo.url)
    fetch(replace(ENTRY, doi=None, url="http://models.invalid/file"))
    assert zenodo.asked[0][1]["Host"] == "models.invalid"


def test_two_processes_fetch_once(zenodo):
    zenodo.faults = ["slow 0.1"]
    fork = multiprocessing.get_context("fork")
    runs = [fork.Process(target=fetch, args=(ENTRY,)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0]
    assert cached_path(ENTRY).read_bytes() == CONTENT
    assert zenodo.contents_asked() == [""]


def test_a_file_that_another_process_mended_meanwhile_is_kept(monkeypatch):
    path = fetch(ENTRY)
    path.write_bytes(b"damaged")
    acquire = fetch_module.FileLock.acquire

    def mended(lock, **options):
        path.write_bytes(CONTENT)  # by the process that had the lock until now
        return acquire(lock, **options)

    monkeypatch.setattr(fetch_module.FileLock, "acquire", mended)
    said = []
    assert fetch(ENTRY, FetchOptions(note=said.append)).read_bytes() == CONTENT
    assert said == []


def test_who_waits_for_another_process_is_told(zenodo):
    lock = FileLock(cached_path(ENTRY).with_name(f".{ENTRY.file}.lock"))
    said = []

    def note(sentence):
        said.append(sentence)
        lock.release()

    cached_path(ENTRY).parent.mkdir(parents=True)
    with lock:
        assert fetch(ENTRY, FetchOptions(note=note)).read_bytes() == CONTENT
    assert said[0] == f"waiting for another process that fetches {ENTRY.file}"
