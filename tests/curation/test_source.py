"""Folders and archives give the same files; nothing in an archive is trusted."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from cmrseg.curation.source import open_source
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
