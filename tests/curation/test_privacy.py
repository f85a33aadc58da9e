"""Who it is stays in the hospital: no value and no part of a name in any byte that is written or said."""

from __future__ import annotations

import gzip
import stat
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from cmrseg.cine import Cine
from cmrseg.cli import app
from cmrseg.curation.privacy import REMOVED, load_names, load_salt, pseudonym, redact, safe_name
from cmrseg.curation.run import Options, curate
from cmrseg.phantom.dicom import Identity, dicom_datasets, write_datasets
from cmrseg.phantom.faults import inject
from cmrseg.problems import DataError
from cmrseg.report.curation import curate_and_report

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
    """All that is written, packed things unpacked; names of files count."""
    found = {}
    for path in target.rglob("*"):
        name = path.relative_to(target).as_posix()
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


def test_the_table_tells_that_something_was_removed(source, tmp_path):
    found = curate(source, tmp_path / "out")
    assert found.series["description"].str.contains(REMOVED, regex=False).all()


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


def test_the_number_of_a_patient_does_not_eat_the_numbers_of_the_log():
    assert redact("expected: 10.00 mm", {"PID-10"}) == "expected: 10.00 mm"


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


# Removing


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("MUSTERMANN SAX", {"Mustermann^Erika"}, f"{REMOVED} SAX"),
        ("a/Erika/b", {"Mustermann^Erika"}, f"a/{REMOVED}/b"),
        ("linear", {"Li^Wei"}, "linear"),
        ("li/x", {"Li^Wei"}, f"{REMOVED}/x"),
        ("x 19640812 y", {"19640812"}, f"x {REMOVED} y"),
        ("study 1", {"1"}, "study 1"),
        ("nothing", set(), "nothing"),
        ("a .* b", {".*"}, f"a {REMOVED} b"),
        ("", {"Mustermann"}, ""),
    ],
)
def test_redaction(text, values, expected):
    assert redact(text, values) == expected
