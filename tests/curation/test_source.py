"""Folders and archives give the same files; nothing in an archive is trusted."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from cmrseg.curation.source import archive_fault, holds_dicom, open_source
from cmrseg.problems import DataError

CONTENT = {"a/1": b"one", "a/b/2": b"two" * 1000, "c": b"", "ä ö/3.dcm": b"three"}


@pytest.fixture
def tree(tmp_path):
    for name, data in CONTENT.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    return tmp_path / "tree"


def packed(tree: Path, suffix: str) -> Path:
    formats = {".zip": "zip", ".tar": "tar", ".tar.gz": "gztar", ".tar.bz2": "bztar", ".tar.xz": "xztar"}
    return Path(shutil.make_archive(tree.parent / "packed", formats[suffix], tree))


def content(source: Path, scratch: Path) -> dict[str, bytes]:
    with open_source(source, scratch) as files:
        return {name: path.read_bytes() for path, name in files}


def refusal(source: Path, scratch: Path) -> str:
    """The one sentence with which a source is refused; nothing of it is left."""
    with pytest.raises(DataError) as caught, open_source(source, scratch):
        pass
    assert "\n" not in str(caught.value)
    assert not scratch.exists()
    return str(caught.value)


def test_a_folder_gives_its_files_under_their_names_below_it(tree, tmp_path):
    assert content(tree, tmp_path / "scratch") == CONTENT


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_an_archive_gives_what_its_folder_gives(tree, tmp_path, suffix):
    assert content(packed(tree, suffix), tmp_path / "scratch") == CONTENT


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_unpacked_files_are_removed(tree, tmp_path, suffix):
    content(packed(tree, suffix), tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


def test_unpacked_files_are_removed_after_an_error_too(tree, tmp_path):
    with pytest.raises(RuntimeError), open_source(packed(tree, ".zip"), tmp_path / "scratch"):
        raise RuntimeError
    assert not (tmp_path / "scratch").exists()


def test_what_a_killed_run_has_left_is_replaced(tree, tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "000000").write_bytes(b"of another archive")
    assert content(packed(tree, ".zip"), tmp_path / "scratch") == CONTENT


def test_the_order_of_files_is_fixed(tree, tmp_path):
    with open_source(tree, tmp_path / "scratch") as files:
        assert [name for _, name in files] == ["c", "a/1", "a/b/2", "ä ö/3.dcm"]


def test_hidden_files_and_folders_are_left_alone(tree, tmp_path):
    (tree / ".hidden").mkdir()
    (tree / ".hidden" / "x").touch()
    (tree / ".DS_Store").touch()
    assert content(tree, tmp_path / "scratch") == CONTENT


def test_an_archive_is_known_by_its_content_not_by_its_name(tree, tmp_path):
    archive = packed(tree, ".zip").rename(tmp_path / "export.bin")
    assert content(archive, tmp_path / "scratch") == CONTENT


# What is refused


def test_a_missing_source(tmp_path):
    assert "does not exist; check the path" in refusal(tmp_path / "nowhere", tmp_path / "scratch")


def test_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "is empty; nothing to read" in refusal(tmp_path / "empty", tmp_path / "scratch")


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x" * 500)
    assert "is no folder and no .zip or .tar.gz archive" in refusal(tmp_path / "a.bin", tmp_path / "scratch")


def test_an_empty_file(tmp_path):
    (tmp_path / "a.zip").touch()
    assert "is no folder and no .zip or .tar.gz archive" in refusal(tmp_path / "a.zip", tmp_path / "scratch")


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.xz"])
def test_a_truncated_archive(tree, tmp_path, suffix, kept):
    (tree / "noise").write_bytes(np.random.default_rng(0).bytes(50_000))
    archive = packed(tree, suffix)
    raw = archive.read_bytes()
    archive.write_bytes(raw[: int(len(raw) * kept)])
    refusal(archive, tmp_path / "scratch")


def corrupted(tree: Path, suffix: str) -> Path:
    """An archive whose packed bytes are damaged in the middle."""
    (tree / "noise").write_bytes(np.random.default_rng(0).bytes(50_000))
    archive = packed(tree, suffix)
    raw = bytearray(archive.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    archive.write_bytes(raw)
    return archive


@pytest.mark.parametrize("suffix", [".zip", ".tar.xz", ".tar.bz2", ".tar.gz"])
def test_a_damaged_archive(tree, tmp_path, suffix):
    assert "damaged" in refusal(corrupted(tree, suffix), tmp_path / "scratch")


def test_an_encrypted_archive(tree, tmp_path):
    archive = packed(tree, ".zip")
    raw = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set the flag in every header
        at = raw.find(signature)
        while at >= 0:
            raw[at + offset] |= 1
            at = raw.find(signature, at + 4)
    archive.write_bytes(raw)
    assert "encrypted" in refusal(archive, tmp_path / "scratch")


def test_a_disk_that_would_be_filled(tree, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 100 << 20))
    assert "too small to unpack" in refusal(packed(tree, ".zip"), tmp_path / "scratch")


def test_a_disk_that_is_full_leaves_nothing_behind(tree, tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(shutil, "disk_usage", full)
    with pytest.raises(OSError, match="No space left"):
        content(packed(tree, ".zip"), tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


# Names and kinds of members that nobody should trust


EVIL = ("../../evil", "/etc/evil", "a/../../../evil", "..\\..\\evil", "C:\\evil", "./../evil", "//evil")


def assert_only_in(folder: Path, root: Path) -> None:
    """No file called evil lies outside a folder."""
    assert not [p for p in root.rglob("*evil*") if folder not in p.parents]
    assert not Path("/etc/evil").exists()


def test_members_of_a_zip_never_leave_the_scratch_folder(tmp_path):
    archive, scratch = tmp_path / "x.zip", tmp_path / "deep" / "deeper" / "scratch"
    with zipfile.ZipFile(archive, "w") as file:
        for name in EVIL:
            file.writestr(zipfile.ZipInfo(name), b"evil")
    with open_source(archive, scratch) as files:
        assert len(files) == len(EVIL)
        assert all(path.parent == scratch for path, _ in files)
        assert all(".." not in name and not name.startswith("/") for _, name in files)
        assert_only_in(scratch, tmp_path)


def test_members_of_a_tar_never_leave_the_scratch_folder(tmp_path):
    archive, scratch = tmp_path / "x.tar", tmp_path / "deep" / "deeper" / "scratch"
    with tarfile.open(archive, "w") as file:
        for name in EVIL:
            entry = tarfile.TarInfo(name)
            entry.size = 4
            file.addfile(entry, io.BytesIO(b"evil"))
    with open_source(archive, scratch) as files:
        assert len(files) == len(EVIL)
        assert all(path.parent == scratch for path, _ in files)
        assert all(".." not in name and not name.startswith("/") for _, name in files)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_links_and_devices_in_a_tar_are_no_files(tmp_path, kind):
    (tmp_path / "secret").write_bytes(b"secret")
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w") as file:
        entry = tarfile.TarInfo("link")
        entry.type, entry.linkname = kind, str(tmp_path / "secret")
        file.addfile(entry)
        good = tarfile.TarInfo("good")
        good.size = 4
        file.addfile(good, io.BytesIO(b"good"))
    assert content(archive, tmp_path / "scratch") == {"good": b"good"}


def test_a_link_in_a_zip_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    entry = zipfile.ZipInfo("link")
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(entry, str(tmp_path / "secret"))
    with open_source(tmp_path / "x.zip", tmp_path / "scratch") as files:
        ((path, _),) = files
        assert not path.is_symlink()
        assert path.read_bytes() != b"secret"


def test_equal_names_in_a_zip_are_two_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a", b"2")
    with open_source(tmp_path / "x.zip", tmp_path / "scratch") as files:
        assert [path.read_bytes() for path, _ in files] == [b"1", b"2"]


def test_a_file_that_is_linked_into_a_tree_is_read(tree, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"linked")
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    assert content(tree, tmp_path / "scratch")["link"] == b"linked"


def test_a_folder_that_is_linked_into_a_tree_is_read(tree, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_bytes(b"linked")
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    assert content(tree, tmp_path / "scratch")["link/x"] == b"linked"


def test_a_circle_of_links_ends(tree, tmp_path):
    (tree / "a" / "loop").symlink_to(tree)
    assert set(CONTENT) <= set(content(tree, tmp_path / "scratch"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_pipes_and_broken_links_are_no_files(tree, tmp_path):
    os.mkfifo(tree / "pipe")
    (tree / "broken").symlink_to(tmp_path / "nowhere")
    assert content(tree, tmp_path / "scratch") == CONTENT


def test_a_folder_that_cannot_be_listed_is_told_without_its_name(tree, tmp_path, monkeypatch):
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("/a"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert refusal(tree, tmp_path / "scratch").startswith("a folder of the source cannot be read (Perm")


def test_an_archive_is_refused_without_its_name(tmp_path):
    path = tmp_path / "Mustermann.zip"
    path.write_bytes(b"PK")
    assert "Mustermann" not in refusal(path, tmp_path / "scratch")


# What unpacks to more than it is


def zip_of(path, size, method=zipfile.ZIP_DEFLATED, members=1):
    with zipfile.ZipFile(path, "w", method) as archive:
        for number in range(members):
            archive.writestr(f"{number}.dcm", bytes(size))
    return path


def tar_of(path, size, mode):
    with tarfile.open(path, mode) as archive:
        info = tarfile.TarInfo("1.dcm")
        info.size = size
        archive.addfile(info, io.BytesIO(bytes(size)))
    return path


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr("cmrseg.curation.source._ALWAYS", 1 << 20)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_is_refused_by_its_claim(little, tmp_path, method):
    bomb = zip_of(tmp_path / "a.zip", 1 << 22, method)
    assert "unpacks to more than 1 MB" in refusal(bomb, tmp_path / "scratch")


def test_a_zip_that_claims_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cmrseg.curation.source._MOST_MEMBERS", 5)
    assert "more than 5 files" in refusal(zip_of(tmp_path / "a.zip", 0, members=6), tmp_path / "scratch")


def test_an_archive_larger_than_the_disk_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, (256 << 20) + 1000))
    archive = zip_of(tmp_path / "a.zip", 2000, zipfile.ZIP_STORED)
    assert "too small to unpack" in refusal(archive, tmp_path / "scratch")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_packed_tar_bomb_is_refused_while_it_is_read(little, tmp_path, kind):
    bomb = tar_of(tmp_path / f"a.tar.{kind}", 1 << 22, f"w:{kind}")
    assert "unpacks to more than 1 MB" in refusal(bomb, tmp_path / "scratch")


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_zeros_behind_the_members_of_a_tar_are_not_read_without_end(little, tmp_path, kind):
    plain = tar_of(tmp_path / "a.tar", 100, "w:").read_bytes() + bytes(1 << 22)
    bomb = tmp_path / f"b.tar.{kind}"
    bomb.write_bytes({"gz": gzip.compress, "xz": lzma.compress}[kind](plain))
    assert "unpacks to more than 1 MB" in refusal(bomb, tmp_path / "scratch")


def test_a_sparse_member_is_refused_by_what_it_becomes(tmp_path):
    info = tarfile.TarInfo("1.dcm")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": f"0,0,{10 << 30},0",
        "GNU.sparse.size": str(10 << 30),
        "GNU.sparse.realsize": str(10 << 30),
    }
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO())
    assert "unpacks to more than" in refusal(tmp_path / "a.tar", tmp_path / "scratch")


def test_a_header_of_a_tar_that_asks_for_memory_is_refused(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 100 << 20
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(100 << 20)))
    assert "archive" in refusal(tmp_path / "a.tar.gz", tmp_path / "scratch")


# Archives in a folder, as UK Biobank hands them out


@pytest.fixture
def archives(tree, tmp_path):
    """A folder of two archives, one of which holds a path that leads out of it."""
    folder = tmp_path / "archives"
    folder.mkdir()
    shutil.move(packed(tree, ".zip"), folder / "1.zip")
    with zipfile.ZipFile(folder / "2.zip", "w") as other:
        other.writestr("../../out.dcm", b"out")
    return folder


def test_archives_of_a_folder_are_opened(archives, tmp_path):
    expected = {f"1.zip/{name}": data for name, data in CONTENT.items()} | {"2.zip/out.dcm": b"out"}
    assert holds_dicom(archives)
    assert content(archives, tmp_path / "scratch") == expected
    assert not (tmp_path / "scratch").exists()
    assert not list(tmp_path.rglob("out.dcm"))


def test_a_tar_archive_in_a_folder_is_opened(tree, tmp_path):
    (tmp_path / "archives").mkdir()
    shutil.move(packed(tree, ".tar.gz"), tmp_path / "archives" / "1.tar.gz")
    assert set(content(tmp_path / "archives", tmp_path / "scratch")) == {f"1.tar.gz/{n}" for n in CONTENT}


def test_a_damaged_archive_of_a_folder_is_left_as_it_is_and_the_others_are_opened(archives, tmp_path):
    whole = (archives / "1.zip").read_bytes()
    (archives / "1.zip").write_bytes(whole[: len(whole) // 2])
    assert set(content(archives, tmp_path / "scratch")) == {"1.zip", "2.zip/out.dcm"}
    assert "archive" in archive_fault(archives / "1.zip")


def test_nothing_of_an_archive_is_written_to_see_what_it_holds(archives, monkeypatch):
    def written(*_):
        raise AssertionError("raw data that a kill would leave behind")

    monkeypatch.setattr("cmrseg.curation.source._copied", written)
    monkeypatch.setattr("tempfile.mkdtemp", written)
    assert holds_dicom(archives)
    assert holds_dicom(archives / "1.zip")


def test_why_an_archive_of_a_folder_was_not_opened_is_told_as_it_is(little, archives, tmp_path):
    bomb = tar_of(archives / "3.tar.gz", 1 << 22, "w:gz")
    assert "3.tar.gz" in content(archives, tmp_path / "scratch")
    assert "unpacks to more than 1 MB" in archive_fault(bomb)
    assert "free some space" in archive_fault(archives / "1.zip")  # which is whole


def test_an_archive_without_dicom_is_no_dicom_source(tmp_path):
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / "code.zip", "w") as other:
        other.writestr("a.py", b"print()")
    assert not holds_dicom(tmp_path / "data")
    assert set(content(tmp_path / "data", tmp_path / "scratch")) == {"code.zip"}
    assert archive_fault(tmp_path / "data" / "code.zip") == ""


def test_a_zip_whose_directory_points_before_its_beginning_is_damaged(tmp_path):
    path = zip_of(tmp_path / "a.zip", 100)
    whole = bytearray(path.read_bytes())
    at = whole.rindex(b"PK\x05\x06") + 16
    whole[at : at + 4] = (int.from_bytes(whole[at : at + 4], "little") + 10_000).to_bytes(4, "little")
    path.write_bytes(whole)
    assert "damaged" in refusal(path, tmp_path / "scratch")
