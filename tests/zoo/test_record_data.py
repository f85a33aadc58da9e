"""Data sets from records: whole and verified or not there, gone on with, unpacked where no name leads out."""

import io
import json
import tarfile
import zipfile

import pytest

from cmrseg.problems import DataError
from cmrseg.zoo import download, record_data
from cmrseg.zoo.fetch import FetchOptions
from cmrseg.zoo.record_data import SOURCE, fetch_data
from cmrseg.zoo.zenodo import ZENODO, RecordName
from tests.zoo.zenodo_server import PIECE, serve

RECORD = RecordName("10.5281/zenodo.7")
LARGE = bytes(range(256)) * 1200


def zipped(**files):
    """An archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.fixture(autouse=True)
def server(monkeypatch):
    """Zenodo with a data set in record 7."""
    for name in ("CMRSEG_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "sleep", lambda _: None)
    with serve() as server:
        server.records[7] = {
            "images.zip": zipped(**{"images/train/1.png": "a", "images/val/2.png": "b"}),
            "masks.tar.gz": packed(("train/1.png", b"c")),
            "README.md": b"# Data",
        }
        monkeypatch.setitem(ZENODO, "10.5281", server.url)
        yield server


def packed(*files, link=None):
    """A tar archive."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in files:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            archive.addfile(info)
    return content.getvalue()


def tree(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_files_are_there_and_archives_unpacked_without_repeating_their_names(tmp_path):
    data = fetch_data(RECORD, tmp_path / "out")
    assert tree(tmp_path / "out") == [
        "README.md",
        "images/train/1.png",
        "images/val/2.png",
        "masks/train/1.png",
        SOURCE,
    ]
    assert [path.name for path in data.paths] == ["README.md", "images", "masks"]
    told = json.loads((tmp_path / "out" / SOURCE).read_text())
    assert (told["doi"], told["licence"]) == ("10.5281/zenodo.7", "cc-by-4.0")
    assert set(told["checksums"]) == {"README.md", "images.zip", "masks.tar.gz"}


def test_the_second_time_no_file_is_fetched(server, tmp_path):
    fetch_data(RECORD, tmp_path / "out")
    server.asked.clear()
    fetch_data(RECORD, tmp_path / "out")
    assert server.contents_asked() == []


def test_archives_can_be_kept(tmp_path):
    fetch_data(RECORD, tmp_path / "out", unpacked=False)
    assert tree(tmp_path / "out") == ["README.md", "images.zip", "masks.tar.gz", SOURCE]


def test_one_file_of_a_record(tmp_path):
    fetch_data(RecordName(RECORD.doi, "README.md"), tmp_path / "out")
    assert tree(tmp_path / "out") == ["README.md", SOURCE]


def test_what_is_fetched_is_told_in_one_line(tmp_path):
    said = []
    fetch_data(RECORD, tmp_path / "out", options=FetchOptions(note=said.append))
    assert said == ["doi:10.5281/zenodo.7: Record 7; 3 file(s), 0.0 MB, licence cc-by-4.0"]


def test_a_broken_download_goes_on(server, tmp_path):
    server.records[7] = {"large.bin": LARGE}
    server.faults = [f"cut {PIECE}", *["busy 503"] * 4]
    with pytest.raises(DataError, match="the same command goes on where this one stopped"):
        fetch_data(RECORD, tmp_path / "out")
    server.faults, server.asked = [], []
    fetch_data(RECORD, tmp_path / "out")
    assert (tmp_path / "out" / "large.bin").read_bytes() == LARGE
    assert server.contents_asked() == [f"bytes={PIECE}-"]


def test_wrong_bytes_are_no_data(server, tmp_path):
    server.faults = ["wrong"]
    with pytest.raises(DataError, match=r"README\.md is not what the record says and is deleted: md5"):
        fetch_data(RECORD, tmp_path / "out")
    assert tree(tmp_path / "out") == []


def test_a_file_of_the_user_is_never_replaced(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(DataError, match=r"README\.md is another file than that of the record; move it away"):
        fetch_data(RECORD, tmp_path)
    (tmp_path / "README.md").unlink()
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"images is already there; move it away"):
        fetch_data(RECORD, tmp_path)


def test_two_records_do_not_share_a_folder(server, tmp_path):
    fetch_data(RECORD, tmp_path)
    server.records[8] = {"README.md": b"other"}
    with pytest.raises(DataError, match=r"holds 10\.5281/zenodo\.7, not 10\.5281/zenodo\.8"):
        fetch_data(RecordName("10.5281/zenodo.8"), tmp_path)


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:\\evil.txt"]
)
def test_no_name_in_an_archive_leads_out_of_its_folder(server, tmp_path, name):
    server.records[7] = {"a.zip": zipped(**{name: "x", "fine.txt": "y"})}
    fetch_data(RECORD, tmp_path / "out")
    assert all(path.startswith(("a/", SOURCE)) for path in tree(tmp_path / "out"))
    assert not list(tmp_path.glob("evil*"))


def test_links_of_an_archive_are_left_out(server, tmp_path):
    server.records[7] = {"a.tar.gz": packed(("1.txt", b"x"), link="/etc/passwd")}
    fetch_data(RECORD, tmp_path / "out")
    assert tree(tmp_path / "out") == ["a/1.txt", SOURCE]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (zipped(a="x")[:-30], "damaged|no folder and no"),
        (zipped(**{"a/b": "x", "a": "y"}), "two files of one name"),
        (zipped(**{"a/../b": "x", "b": "y", "a/b": "z"}), "two files of one name"),
        (b"no archive", "no folder and no .zip"),
    ],
)
def test_a_damaged_archive_is_one_sentence_and_leaves_no_half_folder(server, tmp_path, content, told):
    server.records[7] = {"a.zip": content}
    with pytest.raises(DataError, match=told) as complaint:
        fetch_data(RECORD, tmp_path / "out")
    assert "a.zip" in str(complaint.value)
    assert not (tmp_path / "out" / "a").exists()
    assert not list((tmp_path / "out").glob(".*part*"))


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(server, tmp_path, monkeypatch):
    class Free:
        free = 10

    monkeypatch.setattr(record_data.shutil, "disk_usage", lambda _: Free)
    with pytest.raises(DataError, match=r"0 MB free and 0 MB are needed.*another folder with --out"):
        fetch_data(RECORD, tmp_path / "out")
    assert server.contents_asked() == []


def test_offline_says_what_to_copy(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    with pytest.raises(
        DataError, match=r"copy https://doi\.org/10\.5281/zenodo\.7 to .*out from a machine with"
    ):
        fetch_data(RECORD, tmp_path / "out")
    assert server.asked == []


def test_a_record_without_files_is_told(server, tmp_path):
    server.records[7] = {}
    with pytest.raises(DataError, match="holds no files that everybody may have"):
        fetch_data(RECORD, tmp_path / "out")
