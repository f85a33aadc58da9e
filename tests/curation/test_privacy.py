"""Who it is stays in the hospital: no text of a header and no path in any byte that is written or said."""

from __future__ import annotations

import base64
import gzip
import os
import shutil
import stat
import unicodedata
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from cmrseg.cine import Cine
from cmrseg.cli import app
from cmrseg.curation.privacy import load_names, load_salt, pseudonym, safe_name
from cmrseg.curation.private_files import FILES, PRIVATE, source_paths
from cmrseg.curation.run import Options, curate
from cmrseg.phantom.dicom import Identity, dicom_datasets, write_datasets
from cmrseg.phantom.faults import inject
from cmrseg.problems import DataError
from cmrseg.workflows.curate import curate as curate_and_report
from tests.curation.tokens import (
    UIDS,
    found_tokens,
    token,
    token_elements,
    tokens_in,
    unpacked,
    write_with_tokens,
)

WHO = Identity(
    name="Mustermann^Erika",
    patient_id="PID-4711",
    birth_date="19640812",
    accession="ACC-0815-99",
    physician="Beispielarzt^Hans",
)
WHO_ELSE = Identity(
    name="Doe^Jonathan",
    patient_id="X99-8",
    birth_date="20010203",
    accession="B-77-123",
    physician="Beispielarzt^Hans",
)
SECRETS = (
    *("mustermann", "erika", "pid-4711", "19640812", "acc-0815-99"),
    *("jonathan", "x99-8", "20010203", "b-77-123", "20200117"),
)
FOLDERS = ("Mustermann, Erika", "Mustermann_Erika_19640812", "PID-4711", "ACC-0815-99 20200117")


@pytest.fixture(autouse=True)
def _salt(monkeypatch):
    monkeypatch.setenv("CMRSEG_SALT", "of this test")


def cine() -> Cine:
    x, y, z, t = np.ogrid[0:28, 0:24, 0:6, 0:6]
    array = 1500 + 700 * np.sin(x / 4 + t / 3) * np.cos(y / 3 + z) + 40 * z
    affine = np.array([[-1.4, 0, 0, 9.5], [0, -1.28, 4.8, -3.25], [0, -0.96, -6.4, 70], [0, 0, 0, 1]])
    return Cine(array, (1.4, 1.6, 8.0), affine, tuple(100.0 * t for t in range(6)))


def write(datasets: list[Dataset], folder: Path, label: str) -> None:
    """Files whose names tell what the headers tell."""
    for path in write_datasets(datasets, folder, np.random.default_rng(0)):
        path.rename(path.with_name(f"{label}_{path.name}.dcm"))


@pytest.fixture
def source(tmp_path):
    """Two patients, one with collisions and damaged files, their names everywhere."""
    datasets = dicom_datasets(cine(), identity=WHO, description="MUSTERMANN SAX")
    faulty = inject(datasets, ["collision", "missing frame"], np.random.default_rng(0)).datasets
    faulty = inject(faulty, ["rotation"], np.random.default_rng(1)).datasets
    write(faulty, tmp_path / "source" / FOLDERS[0] / FOLDERS[2] / FOLDERS[3], "mustermann")
    other = dicom_datasets(cine(), identity=WHO_ELSE, seed=1, description="Jonathan")
    write(other, tmp_path / "source" / "Doe Jonathan" / "B-77-123 20200117", "X99-8")
    damaged = sorted(p for p in (tmp_path / "source" / FOLDERS[0]).rglob("*.dcm"))[0]
    (damaged.parent / f"{FOLDERS[1]} copy.dcm").write_bytes(damaged.read_bytes()[:-50])
    return tmp_path / "source"


def written_bytes(target: Path) -> dict[str, bytes]:
    """All that is written but the private folder, packed things unpacked; names of files count."""
    found = {}
    for path in target.rglob("*"):
        name = path.relative_to(target).as_posix()
        if name.split("/")[0] == PRIVATE:
            continue
        found[f"name of {name}"] = name.encode()
        if path.name.endswith(".gz"):
            found[name] = gzip.decompress(path.read_bytes())
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                found[name] = " ".join(
                    str(arrays[key]) for key in arrays if arrays[key].dtype.kind == "U"
                ).encode()
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def used_images(target: Path) -> pd.DataFrame:
    return pd.read_csv(target / "used_images.tsv", sep="\t")


def leaks(target: Path, secrets: tuple[str, ...] = SECRETS) -> set[str]:
    """Which file tells which secret, apart from the pictures in the report."""
    return {
        f"{name}: {secret}"
        for name, data in written_bytes(target).items()
        for secret in secrets
        for code in ("utf-8", "utf-16-le")
        if secret.encode(code) in data.lower()
    }


# Nothing is told


def test_the_check_finds_what_is_there(source, tmp_path):
    curate(source, tmp_path / "out", options=Options(keep_ids=True))
    told = leaks(tmp_path / "out")
    for secret in SECRETS[:2]:
        assert f"used_images.tsv: {secret}" in told


@pytest.mark.parametrize(
    "name",
    [
        "sa.nii.gz",
        "studies.tsv",
        "problems.tsv",
        "used_images.tsv",
        "series.tsv",
        "report.html",
        ".json",
        ".npz",
    ],
)
def test_no_file_tells_who_it_is(source, tmp_path, name):
    curate_and_report(source, tmp_path / "out")
    assert any(n.endswith(name) for n in written_bytes(tmp_path / "out"))
    assert not {leak for leak in leaks(tmp_path / "out") if leak.split(":")[0].endswith(name)}


def test_no_name_of_a_file_or_folder_tells_who_it_is(source, tmp_path):
    curate_and_report(source, tmp_path / "out")
    assert not {leak for leak in leaks(tmp_path / "out") if leak.startswith("name of")}


def test_the_table_tells_known_words_of_a_description_and_that_there_were_others(source, tmp_path):
    found = curate(source, tmp_path / "out")
    assert set(found.series["description"]) == {"… sax", "…"}


def said(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    error = f"{result.exception}" if result.exception and not isinstance(result.exception, SystemExit) else ""
    return (result.output + error).lower()


def test_the_screen_does_not_tell_who_it_is(source, tmp_path):
    text = said("curate", source, tmp_path / "out")
    assert "2 examination(s)" in text
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("options", [("--series", "99"), ("--rules", "rules.toml")])
def test_a_failure_on_the_screen_does_not_tell_who_it_is(source, tmp_path, options, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.toml").write_text("min_slices = 20\n")
    text = said("curate", source, tmp_path / "out", *options)
    assert "failed" in text
    assert not [secret for secret in SECRETS if secret in text]
    assert not {leak for leak in leaks(tmp_path / "out") if not leak.startswith(".curation")}


def test_a_series_that_is_named_by_its_description_is_not_told(source, tmp_path):
    curate_and_report(source, tmp_path / "out", options=Options(series=("MUSTERMANN SAX",)))
    assert not {leak for leak in leaks(tmp_path / "out") if leak.startswith("report.html")}


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Mustermann_Erika", "a"),
        ("b", "Mustermann_Erika"),
        ("a", "Mustermann_Erika"),
    ],
)  # fmt: skip
def test_the_path_of_a_damaged_file_does_not_tell_who_it_is(tmp_path, folder, name):
    write(dicom_datasets(cine(), identity=WHO_ELSE), tmp_path / "source" / "a", "a")
    write(dicom_datasets(cine(), identity=WHO, seed=1)[:1], tmp_path / "other", name)
    (path,) = (tmp_path / "other").rglob("*.dcm")
    damaged = tmp_path / "source" / folder / path.name
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(path.read_bytes()[:-50])
    assert curate(tmp_path / "source", tmp_path / "out").unreadable == 1
    assert not leaks(tmp_path / "out")


def test_an_image_that_was_filed_with_another_patient_does_not_tell_who_that_is(tmp_path):
    for seed, who in enumerate((WHO, WHO_ELSE)):
        folder = tmp_path / "source" / "Mustermann" / str(seed)
        write(dicom_datasets(cine(), identity=who, seed=seed), folder, "a")
    curate(tmp_path / "source", tmp_path / "out")
    assert not leaks(tmp_path / "out")


@pytest.mark.parametrize(
    ("identity", "folder", "secret"),
    [
        (WHO, "Mustermann", "mustermann"),
        (WHO, "ERIKAMUSTERMANN1964", "mustermann"),
        (replace(WHO, name="Müller^Jürgen"), "MÜLLER", "müller"),
        (replace(WHO, name="Li^Wei"), "Li_Wei", "li_wei"),
        (replace(WHO, patient_id="42"), "patient 42", "patient 42"),
        (replace(WHO, name="Li^Wei"), "LiWei", "liwei"),
        (replace(WHO, name="王^伟"), "王伟", "王伟"),
        (replace(WHO, name="Müller^Jürgen"), unicodedata.normalize("NFD", "Müller"), "ller"),
        (WHO, "1964-08-12", "1964-08-12"),
        (WHO, "Dr Beispielarzt", "beispielarzt"),
    ],
)  # fmt: skip
def test_a_folder_does_not_tell_who_it_is(tmp_path, identity, folder, secret):
    datasets = dicom_datasets(cine(), identity=identity)
    for dataset in datasets:
        dataset.SpecificCharacterSet = "ISO_IR 192"
    write(datasets, tmp_path / "source" / folder, "a")
    found = curate(tmp_path / "source", tmp_path / "out")
    assert found.studies["status"].tolist() == ["ok"]
    assert not leaks(tmp_path / "out", (secret,))


def test_a_short_patient_id_does_not_eat_the_numbers_of_the_log(tmp_path):
    datasets = dicom_datasets(cine(), identity=replace(WHO, patient_id="24"))
    faulty = inject(datasets, ["image size, padded"], np.random.default_rng(0)).datasets
    write(faulty, tmp_path / "source", "a")
    found = curate(tmp_path / "source", tmp_path / "out")
    (told,) = found.problems.loc[found.problems["problem"] == "image size", "extra_info"]
    assert "24" in told


# What --keep-ids tells


def test_keeping_ids_names_studies_and_paths(source, tmp_path):
    found = curate(source, tmp_path / "out", options=Options(keep_ids=True))
    assert set(found.studies["study"]) == set(found.studies["subject"]) == {"PID-4711", "X99-8"}
    assert (tmp_path / "out" / "PID-4711" / "sa.nii.gz").is_file()
    told = leaks(tmp_path / "out")
    assert "used_images.tsv: mustermann" in told
    assert "series.tsv: mustermann" in told


def test_keeping_ids_tells_no_birth_date_that_is_not_in_a_path(tmp_path):
    write(dicom_datasets(cine(), identity=WHO), tmp_path / "source", "a")
    curate(tmp_path / "source", tmp_path / "out", options=Options(keep_ids=True))
    assert not leaks(tmp_path / "out", ("19640812", "acc-0815-99", "erika"))


def test_the_cine_itself_tells_nothing_with_ids_kept(source, tmp_path):
    curate(source, tmp_path / "out", options=Options(keep_ids=True))
    data = written_bytes(tmp_path / "out")["PID-4711/sa.nii.gz"].lower()
    assert not [secret for secret in SECRETS if secret.encode() in data]


def test_an_id_with_odd_characters_is_a_name_for_a_folder(tmp_path):
    write(dicom_datasets(cine(), identity=replace(WHO, patient_id="../a b/ü:*")), tmp_path / "source", "a")
    found = curate(tmp_path / "source", tmp_path / "out", options=Options(keep_ids=True))
    assert found.studies["study"].tolist() == ["a_b"]


# Where a person finds a file again


def private_table(target: Path) -> pd.DataFrame:
    return pd.read_csv(target / PRIVATE / FILES, sep="\t", dtype=str, keep_default_na=False)


def test_the_private_table_leads_from_every_number_to_its_file(source, tmp_path):
    found = curate(source, tmp_path / "out")
    for study, table in used_images(tmp_path / "out").groupby("study"):
        paths = source_paths(tmp_path / "out", study)
        assert all((source / paths[file]).is_file() for file in table["file"])
    damaged = found.problems[found.problems["study"] == ""]
    (path,) = (source_paths(tmp_path / "out", "")[image] for image in damaged["image"])
    assert path.endswith("Mustermann_Erika_19640812 copy.dcm")
    assert set(found.problems["image"]) - {""} <= set(private_table(tmp_path / "out")["file"])


def test_only_its_user_may_read_the_private_folder(source, tmp_path):
    (tmp_path / "out" / PRIVATE).mkdir(parents=True, mode=0o755)
    curate(source, tmp_path / "out")
    folder = tmp_path / "out" / PRIVATE
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / FILES).stat().st_mode) == 0o600
    assert "do not share" in (folder / "README.txt").read_text(encoding="utf-8")


def test_a_file_keeps_its_number_when_others_come_and_runs_are_repeated(source, tmp_path):
    curate(source, tmp_path / "out")
    first = used_images(tmp_path / "out")
    before = private_table(tmp_path / "out")
    write(dicom_datasets(cine(), seed=5), tmp_path / "source" / "A comes first", "a")
    curate(source, tmp_path / "out")
    second = used_images(tmp_path / "out")
    again = second[second["study"].isin(first["study"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, first)
    after = private_table(tmp_path / "out")
    pd.testing.assert_frame_equal(after[after["study"].isin(before["study"])].reset_index(drop=True), before)


def test_the_table_keeps_the_studies_of_other_sources(tmp_path):
    for seed in (1, 2):
        write(dicom_datasets(cine(), seed=seed), tmp_path / str(seed), "a")
        curate(tmp_path / str(seed), tmp_path / "out")
    studies = pd.read_csv(tmp_path / "out" / "studies.tsv", sep="\t")["study"]
    assert len(studies) == 2
    assert all(len(source_paths(tmp_path / "out", study)) == 36 for study in studies)


def test_frames_without_times_and_numbers_go_by_the_names_of_their_files(tmp_path):
    datasets = dicom_datasets(cine())
    for dataset in datasets:
        del dataset.TriggerTime, dataset.InstanceNumber, dataset.AcquisitionTime, dataset.ContentTime
    for n, dataset in enumerate(datasets):
        path = tmp_path / "source" / f"{n:03d}.dcm"
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
    curate(tmp_path / "source", tmp_path / "out")
    used = used_images(tmp_path / "out")
    paths = source_paths(tmp_path / "out", used["study"][0])
    for _, frames in used.groupby("slice"):
        names = [paths[file] for file in frames.sort_values("frame")["file"]]
        assert names == sorted(names)


def test_a_study_does_not_take_the_name_of_the_private_folder(source, tmp_path):
    found = curate(source, tmp_path / "out", options=Options(names=(("PID-4711", PRIVATE),)))
    assert f"{PRIVATE}_2" in set(found.studies["study"])


def test_names_of_files_that_are_no_utf8_are_written(tmp_path):
    write(dicom_datasets(cine()), tmp_path / "source", "a")
    path = sorted((tmp_path / "source").rglob("*.dcm"))[0]
    os.rename(path, os.fsencode(path.parent) + b"/M\xfcller.dcm")
    found = curate(tmp_path / "source", tmp_path / "out")
    assert found.studies["status"].tolist() == ["ok"]
    assert not leaks(tmp_path / "out", ("ller",))


# Everything that a file can say


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """An examination with a token in everything that can hold one."""
    folder = tmp_path_factory.mktemp("marked") / "source"
    write_with_tokens(dicom_datasets(cine()), folder)
    return folder


def test_the_tokens_are_there_and_the_search_finds_them(marked, tmp_path):
    assert len(token_elements()) > 3000
    path = next(marked.rglob("*.dcm"))
    assert len({hit for data in unpacked(path.read_bytes()) for hit in tokens_in(data)}) > 3000
    header = pydicom.dcmread(path)
    assert tokens_in(str(header.PatientName).encode())
    packed = tmp_path / "a" / "x.npz"
    packed.parent.mkdir()
    np.savez_compressed(packed, a=np.array([token("packed")]))
    (tmp_path / "a" / "x.html").write_text(base64_html(gzip.compress(token("page").encode())))
    Image.new("L", (3, 3)).save(tmp_path / "a" / "x.png", pnginfo=png_text(token("text")))
    assert {hit.split(":")[0] for hit in found_tokens(tmp_path / "a")} == {"x.npz", "x.html", "x.png"}


def base64_html(data: bytes) -> str:
    return f'<img src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def png_text(text: str) -> PngInfo:
    info = PngInfo()
    info.add_text("Description", text, zip=True)
    return info


def archive(folder: Path, path: Path) -> Path:
    """A ZIP whose name, members and comments hold tokens."""
    with zipfile.ZipFile(path, "w") as packed:
        packed.comment = token("comment").encode()
        for file in sorted(folder.rglob("*.dcm")):
            info = zipfile.ZipInfo(f"{token('member')}/{file.relative_to(folder)}")
            info.comment = token("entry").encode()
            packed.writestr(info, file.read_bytes())
    return path


def cut_all(files: list[Path], size: int | None) -> None:
    for path in files:
        path.write_bytes(path.read_bytes()[:size])


def damage(files: list[Path], how: str) -> None:
    """Something goes wrong with the files of a source."""
    if how == "damaged file":
        (files[0].parent / f"{token('damaged')}.dcm").write_bytes(files[0].read_bytes()[:-300])
    if how in ("all damaged", "no image"):
        cut_all(files, 200 if how == "no image" else -300)
    for path in files[6:] if how == "no stack" else ():
        path.unlink()


def broken(marked: Path, tmp_path: Path, how: str) -> Path:
    """A source that holds tokens, and something that is wrong."""
    source = tmp_path / token("source")
    shutil.copytree(marked, source)
    damage(sorted(source.rglob("*.dcm")), how)
    if "archive" in how:
        path = archive(source, tmp_path / f"{token('archive')}.zip")
        cut_all([path], -500 if how == "damaged archive" else None)
        return path
    return source


HOW = (
    "whole", "damaged file", "all damaged", "no stack", "no image", "archive", "damaged archive",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_no_token_is_written_or_said(marked, tmp_path, how, monkeypatch, recwarn, caplog):
    monkeypatch.setenv(
        "CMRSEG_HOME", str(tmp_path / "home")
    )  # a secret of its own might hold a date by chance
    source = broken(marked, tmp_path, how)
    text = said("curate", source, tmp_path / "out")
    text += caplog.text + " ".join(str(warning.message) for warning in recwarn)
    assert tokens_in(text.encode()) == set()
    assert found_tokens(tmp_path / "out") == set()
    assert not (tmp_path / "home").exists() or found_tokens(tmp_path / "home") == set()


def test_no_token_of_a_multi_frame_file_is_written(tmp_path):
    (path,) = write_with_tokens(dicom_datasets(cine(), style="enhanced"), tmp_path / "source")
    assert token("comments").encode() in path.read_bytes()
    text = said("curate", tmp_path / "source", tmp_path / "out")
    assert "1 examination(s)" in text
    assert found_tokens(tmp_path / "out") | tokens_in(text.encode()) == set()


@pytest.mark.parametrize("series", ["99", token("descript")])
def test_no_token_is_told_where_the_user_names_one(marked, tmp_path, series):
    text = said("curate", marked, tmp_path / "out", "--series", series)
    assert tokens_in(text.encode()) == set()
    assert found_tokens(tmp_path / "out") == set()


def test_uids_are_not_told_either(tmp_path):
    datasets = dicom_datasets(cine())
    write(datasets, tmp_path / "source", "a")
    curate_and_report(tmp_path / "source", tmp_path / "out")
    uids = {str(d[name].value) for d in datasets for name in UIDS}
    assert not leaks(tmp_path / "out", tuple(uids))


# Pseudonyms


def studies_of(tmp_path: Path, folder: str, out: str, seed: int = 0) -> tuple[str, str]:
    write(dicom_datasets(cine(), identity=WHO, seed=seed), tmp_path / folder, "a")
    found = curate(tmp_path / folder, tmp_path / out)
    return found.studies["study"][0], found.studies["subject"][0]


def test_a_pseudonym_does_not_depend_on_the_folder(tmp_path):
    assert studies_of(tmp_path, "a", "out a") == studies_of(tmp_path, "b/c", "out b")


def test_another_secret_gives_another_pseudonym(tmp_path, monkeypatch):
    first = studies_of(tmp_path, "a", "out a")
    monkeypatch.setenv("CMRSEG_SALT", "another")
    second = studies_of(tmp_path, "a", "out b")
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_another_examination_of_a_patient_is_another_study_of_the_same_subject(tmp_path):
    first, second = studies_of(tmp_path, "a", "out a"), studies_of(tmp_path, "b", "out b", 1)
    assert first[0] != second[0]
    assert first[1] == second[1]


def test_a_pseudonym_is_short_and_a_name_for_a_folder():
    name = pseudonym("Mustermann", "salt")
    assert name == safe_name(name) == pseudonym("Mustermann", "salt")
    assert len(name) == 11


def test_the_secret_is_made_once_and_only_its_user_may_read_it(tmp_path, monkeypatch):
    monkeypatch.delenv("CMRSEG_SALT")
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    salt = load_salt()
    (path,) = (tmp_path / "home").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.stat().st_mtime_ns
    assert load_salt() == salt == path.read_text().strip()
    assert path.stat().st_mtime_ns == before
    assert len(salt) >= 32


def test_the_secret_is_never_readable_for_others(tmp_path, monkeypatch):
    monkeypatch.delenv("CMRSEG_SALT")
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    seen = []
    monkeypatch.setattr(Path, "chmod", lambda path, mode: seen.append(stat.S_IMODE(path.stat().st_mode)))
    load_salt()
    (path,) = (tmp_path / "home").iterdir()
    assert all(mode == 0o600 for mode in [*seen, stat.S_IMODE(path.stat().st_mode)])


def test_two_homes_have_two_secrets(tmp_path, monkeypatch):
    monkeypatch.delenv("CMRSEG_SALT")
    salts = []
    for name in "ab":
        monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / name))
        salts.append(load_salt())
    assert salts[0] != salts[1]


def test_a_secret_that_cannot_be_kept_is_explained(tmp_path, monkeypatch):
    monkeypatch.delenv("CMRSEG_SALT")
    (tmp_path / "file").touch()
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set CMRSEG_SALT"):
        load_salt()


def test_an_empty_secret_is_no_secret(tmp_path, monkeypatch):
    monkeypatch.delenv("CMRSEG_SALT")
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path))
    (tmp_path / "pseudonym_salt").touch()
    assert load_salt()


# The user's own names


def names_file(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "names.csv"
    path.write_text("\n".join(["id,name", *rows]) + "\n", encoding="utf-8")
    return path


def test_the_users_names_are_used(source, tmp_path):
    names = load_names(names_file(tmp_path, "PID-4711,heart-1", "X99-8,heart_2"))
    found = curate(source, tmp_path / "out", options=Options(names=tuple(names.items())))
    assert found.studies["study"].tolist() == ["heart-1", "heart_2"]
    assert not {leak for leak in leaks(tmp_path / "out") if not leak.startswith(".curation")}


def test_who_is_not_in_the_users_table_gets_a_pseudonym(source, tmp_path):
    found = curate(source, tmp_path / "out", options=Options(names=(("PID-4711", "heart-1"),)))
    assert found.studies["study"].str.fullmatch(r"heart-1|S[0-9a-f]{10}").all()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "..", ".", "", "a b", "ä", "a\\b", "x" * 65])
def test_a_name_that_is_no_folder_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="a row needs an id and a name"):
        load_names(names_file(tmp_path, f"PID-4711,{name}"))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name\nx\n", b"id,name\n,x\n"])
def test_a_table_of_names_that_cannot_be_used_is_refused(tmp_path, content):
    (tmp_path / "names.csv").write_bytes(content)
    with pytest.raises(DataError):
        load_names(tmp_path / "names.csv")


def test_a_missing_table_of_names_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        load_names(tmp_path / "names.csv")


def test_a_table_of_a_spreadsheet_is_read(tmp_path):
    (tmp_path / "names.csv").write_bytes("id,name,note\r\nPID-4711 , heart-1,ä\r\n".encode("utf-8-sig"))
    assert load_names(tmp_path / "names.csv") == {"PID-4711": "heart-1"}
