"""Models in one file: what was put in comes out, and nothing else ever gets into the cache."""

import hashlib
import json
import stat
import zipfile
from dataclasses import replace

import pytest
import torch

from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo.archive import export_models, import_archive
from cmrseg.zoo.manifest import DEFAULT_MODEL, get_entry, load_model
from cmrseg.zoo.model_file import ModelSpec, build_net, read_model, save_model

SPEC = ModelSpec(
    name="light2d_CE_toy_s1",
    architecture="light2d",
    labels=("BACKGROUND", "LV"),
    preprocessing=Preprocessing(size=32),
    recipe="light2d_CE_toy_s1",
    arguments={"widths": [4, 8]},
)
PICKLE = "r34_CE_p5_s2"
FILE = f"{SPEC.name}/{SPEC.name}.safetensors"


def write_model(path, name=SPEC.name, seed=0):
    torch.manual_seed(seed)
    return save_model(replace(SPEC, name=name), build_net(SPEC).state_dict(), path)


@pytest.fixture
def model(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "card.md").write_text("# Toy\n")
    return write_model(tmp_path / "run" / "model.safetensors")


@pytest.fixture
def archive(tmp_path, model):
    path = tmp_path / "models.zip"
    export_models([model], path)
    return path


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def listing(members):
    """A manifest that lists some members rightly."""
    files = [
        {"path": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in members
    ]
    return json.dumps({"format_version": 1, "cmrseg_version": "1", "files": files})


def forge(path, members, *, manifest=None, mode=0o100644, compression=zipfile.ZIP_STORED):
    """An archive of any members, with a manifest that lists them unless another is given."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", manifest or listing(members))
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content, compress_type=compression)
    return path


def assert_refused(path, home, match):
    with pytest.raises(DataError, match=match) as caught:
        import_archive(path, home)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert [p for p in home.rglob("*") if p.is_file()] == []


# What comes out


def test_a_model_and_its_card_come_back_as_they_were(archive, model, home):
    (imported,) = import_archive(archive, home)
    assert imported == home / "models" / FILE
    assert imported.read_bytes() == model.read_bytes()
    assert read_model(imported).spec == SPEC
    assert imported.with_name("card.md").read_text() == "# Toy\n"
    assert not list((home / "models").glob(".import-*"))


def test_a_model_of_the_zoo_goes_where_fetched_ones_lie(tmp_path, home, monkeypatch):
    monkeypatch.setenv("CMRSEG_HOME", str(home))
    export_models([DEFAULT_MODEL], tmp_path / "m.zip")
    (imported,) = import_archive(tmp_path / "m.zip")
    entry = get_entry(DEFAULT_MODEL)
    assert imported == home / "models" / entry.name / entry.file
    assert load_model(imported).spec == load_model(DEFAULT_MODEL).spec


def test_an_imported_pickle_of_the_zoo_comes_back_under_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "one"))
    pickle = tmp_path / "one" / "models" / PICKLE / get_entry(PICKLE).file
    write_model(pickle.with_suffix(".safetensors"))
    export_models([PICKLE], tmp_path / "m.zip")
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "other"))
    import_archive(tmp_path / "m.zip")
    assert load_model(PICKLE).spec == SPEC


def test_equal_models_give_equal_bytes(tmp_path, model):
    other = write_model(tmp_path / "other.safetensors", name="other")
    export_models([model, other], tmp_path / "a.zip")
    model.touch()
    export_models([other, model], tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_other_models_are_kept_and_a_second_import_changes_nothing(archive, home):
    other = write_model(home / "models" / "other" / "other.safetensors", name="other")
    before = other.read_bytes()
    (first,) = import_archive(archive, home)
    content = first.read_bytes()
    assert import_archive(archive, home) == (first,)
    assert (other.read_bytes(), first.read_bytes()) == (before, content)


# What cannot be written


def test_two_models_of_one_name_are_refused(tmp_path, model):
    other = write_model(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(DataError, match="name each only once"):
        export_models([model, other], tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_a_model_whose_name_is_a_path_is_refused(tmp_path):
    bad = write_model(tmp_path / "bad.safetensors", name="aaaaaaevil")
    bad.write_bytes(bad.read_bytes().replace(b"aaaaaaevil", b"../../evil"))
    with pytest.raises(DataError, match="cannot be a file name"):
        export_models([bad], tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


# What is not let in


@pytest.mark.parametrize(
    "name",
    [
        "/etc/evil.safetensors",
        "../evil.safetensors",
        "a/../../evil.safetensors",
        "..\\evil.safetensors",
        "C:/evil.safetensors",
        "a/b/c.safetensors",
        "a/.hidden.safetensors",
        "a/evil.py",
        "a/",
        "a/evil.safetensors\n",
    ],
)
def test_a_member_outside_of_its_model_is_refused(tmp_path, home, name):
    path = forge(tmp_path / "evil.zip", [(name, b"")])
    assert_refused(path, home, "is refused: its member")
    assert not list(tmp_path.rglob("evil.safetensors"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFDIR])
def test_links_and_devices_are_refused(tmp_path, home, kind):
    path = forge(tmp_path / "evil.zip", [(FILE, b"/etc/passwd")], mode=kind | 0o777)
    assert_refused(path, home, "link or device")


def test_a_zip_bomb_is_refused_before_anything_is_unpacked(tmp_path, home):
    path = forge(tmp_path / "bomb.zip", [(FILE, bytes(10**7))], compression=zipfile.ZIP_DEFLATED)
    assert_refused(path, home, "is compressed")


def test_members_that_share_their_bytes_are_refused(archive, home):
    """Every entry of the directory is listed 40 times under other names, all at one place of the file."""
    with zipfile.ZipFile(archive, "a") as file:
        info = file.getinfo(FILE)
        for i in range(40):
            copy = zipfile.ZipInfo(f"m{i}/m.safetensors")
            copy.file_size, copy.compress_size, copy.CRC = info.file_size, info.compress_size, info.CRC
            copy.header_offset = info.header_offset
            file.filelist.append(copy)
        file._didModify = True
    assert_refused(archive, home, "more bytes than it has|whole ZIP")


def test_two_members_of_one_name_are_refused(archive, home):
    with zipfile.ZipFile(archive, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr(FILE, b"other")
    assert_refused(archive, home, "two members of the same name")


def test_a_member_that_is_not_listed_is_refused(archive, home):
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("extra/extra.safetensors", b"")
    assert_refused(archive, home, "disagree on extra/extra.safetensors")


def test_a_listed_file_that_is_missing_is_refused(tmp_path, home):
    path = forge(tmp_path / "a.zip", [], manifest=listing([(FILE, b"weights")]))
    assert_refused(path, home, f"disagree on {FILE}")


def test_a_member_of_another_size_than_listed_is_refused(tmp_path, home):
    path = forge(tmp_path / "a.zip", [(FILE, b"larger than listed")], manifest=listing([(FILE, b"small")]))
    assert_refused(path, home, f"disagree on {FILE}")


def test_a_changed_byte_shows_both_sums(archive, model, home):
    content = bytearray(archive.read_bytes())
    weights = model.read_bytes()
    at = content.find(weights) + len(weights) - 1
    content[at] ^= 1
    archive.write_bytes(content)
    changed = hashlib.sha256(weights[:-1] + bytes([weights[-1] ^ 1])).hexdigest()
    assert_refused(archive, home, f"sha256 {changed}, expected {hashlib.sha256(weights).hexdigest()}")


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_refused(archive, home, part):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(part * len(content))])
    assert_refused(archive, home, "no whole ZIP archive")


@pytest.mark.parametrize("damage", ["quotes", "before the beginning"])
def test_a_damaged_directory_is_one_short_sentence(archive, home, damage):
    content = archive.read_bytes()
    if damage == "quotes":  # the local header claims that its name is as long as the archive
        at = content.find(b"PK\x03\x04", 10)
        content = content[: at + 26] + b"\xff\x10" + content[at + 28 :]
    else:
        content = content[:100] + content[110:]
    archive.write_bytes(content)
    with pytest.raises(DataError, match="no whole ZIP archive") as caught:
        import_archive(archive, home)
    assert len(str(caught.value)) < len(str(archive)) + 200
    assert str(caught.value).isprintable()


def test_a_missing_archive_is_named(tmp_path, home):
    assert_refused(tmp_path / "nowhere.zip", home, "does not exist")


@pytest.mark.parametrize(
    "manifest", ["[]", "{", "{}", '{"format_version": 1, "files": [{"path": "a"}]}', "[" * 10**5]
)
def test_a_damaged_manifest_is_refused(tmp_path, home, manifest):
    assert_refused(forge(tmp_path / "a.zip", [], manifest=manifest), home, "manifest.json in .* is damaged")


def test_an_archive_of_something_else_is_refused(tmp_path, home):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(FILE, b"")
    assert_refused(tmp_path / "a.zip", home, "no manifest.json")


def test_an_archive_of_a_newer_cmrseg_asks_for_an_update(tmp_path, home):
    path = forge(tmp_path / "a.zip", [], manifest='{"format_version": 2, "files": []}')
    assert_refused(path, home, "format 2.*update")


def test_a_file_that_is_no_model_is_refused(tmp_path, home):
    assert_refused(forge(tmp_path / "a.zip", [(FILE, b"no tensors")]), home, "no readable model file")


def test_one_bad_model_keeps_the_good_ones_out_too(tmp_path, model, home):
    good = (FILE, model.read_bytes())
    path = forge(tmp_path / "a.zip", [good, ("bad/bad.safetensors", b"no tensors")])
    assert_refused(path, home, "no readable model file")


def test_other_weights_under_a_published_name_are_refused(tmp_path, model, home):
    path = forge(tmp_path / "a.zip", [(f"{DEFAULT_MODEL}/m.safetensors", model.read_bytes())])
    assert_refused(path, home, "is not the published")


def test_another_model_of_the_same_name_is_not_replaced(tmp_path, archive, home):
    (present,) = import_archive(archive, home)
    content = present.read_bytes()
    other = write_model(tmp_path / "other.safetensors", seed=1)
    export_models([other], tmp_path / "b.zip")
    with pytest.raises(DataError, match="already there"):
        import_archive(tmp_path / "b.zip", home)
    assert present.read_bytes() == content
