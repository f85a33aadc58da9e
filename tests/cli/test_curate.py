"""``cmrseg curate``: exit codes, one clear sentence, a screen of 80 columns."""

from __future__ import annotations

import errno
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from cmrseg.cine import Cine
from cmrseg.phantom.dicom import Identity, dicom_datasets, write_datasets
from cmrseg.phantom.faults import inject
from tests.cli.conftest import assert_one_sentence
from tests.curation.lvquan import write_patient


@pytest.fixture
def curate(cmrseg):
    return partial(cmrseg, "curate")


def datasets(patient: str = "P1", **options) -> list[Dataset]:
    x, y, z, t = np.ogrid[0:28, 0:24, 0:6, 0:6]
    array = 1500 + 700 * np.sin(x / 4 + t / 3) * np.cos(y / 3 + z) + 40 * z
    affine = np.array([[-1.4, 0, 0, 9.5], [0, -1.28, 4.8, -3.25], [0, -0.96, -6.4, 70], [0, 0, 0, 1]])
    cine = Cine(array, (1.4, 1.6, 8.0), affine, tuple(100.0 * t for t in range(6)))
    return dicom_datasets(cine, identity=Identity(patient_id=patient), **options)


def write(instances: list[Dataset], folder: Path) -> list[Path]:
    return write_datasets(instances, folder, np.random.default_rng(0))


@pytest.fixture
def source(tmp_path):
    write(datasets(), tmp_path / "source" / "one")
    return tmp_path / "source"


# Success


def test_a_clean_study_is_exit_code_0(curate, source, tmp_path):
    code, said, complaint = curate(source, tmp_path / "out", "--keep-ids")
    assert (code, complaint) == (0, "")
    assert "36 files, 36 MR images of 1 examination(s)" in said
    assert "28 x 24 x 6 x 6" in said
    assert "1.40 x 1.60 x 8.00" in said
    assert (tmp_path / "out" / "P1" / "sa.nii.gz").is_file()
    assert (tmp_path / "out" / "report.html").is_file()


def test_files_of_lvquan_are_a_data_set_and_a_bad_one_is_exit_code_1(curate, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for number in (1, 2):
        write_patient(source / f"patient{number}.mat", 64, 1.4)
    code, said, complaint = curate(source, tmp_path / "out")
    assert (code, complaint) == (0, "")
    assert "2 with indices in indices.csv" in " ".join(said.split())
    assert "patient1" in (tmp_path / "out" / "report.html").read_text()
    (source / "patient2.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(600))
    code, said, complaint = curate(source, tmp_path / "out")
    assert code == 1
    assert "patient2: " in said
    assert "save it in MATLAB" in " ".join(said.split())
    assert_one_sentence(curate(source, tmp_path / "other", "--series", "5"), "no series")


def test_what_was_repaired_is_no_failure(curate, tmp_path):
    faulty = inject(datasets(), ["collision"], np.random.default_rng(0)).datasets
    write(faulty, tmp_path / "source")
    assert curate(tmp_path / "source", tmp_path / "out")[0] == 0


def test_files_that_are_no_images_are_no_failure(curate, source, tmp_path):
    (source / "notes.txt").write_text("text")
    code, said, _ = curate(source, tmp_path / "out")
    assert code == 0
    assert "left aside: 1 no DICOM file" in said


def test_an_archive_is_a_source(curate, source, tmp_path):
    archive = shutil.make_archive(tmp_path / "export", "zip", source)
    assert curate(archive, tmp_path / "out")[0] == 0


def test_a_second_call_says_the_same(curate, source, tmp_path):
    assert curate(source, tmp_path / "out") == curate(source, tmp_path / "out")


def test_series_may_be_named(curate, source, tmp_path):
    code, said, _ = curate(source, tmp_path / "out", "--series", "10, 11,12,13")
    assert code == 0
    assert "28 x 24 x 4 x 6" in said


# Something failed: 1


def test_a_failed_study_is_exit_code_1_and_the_others_are_done(curate, source, tmp_path):
    write(datasets("P2", seed=2)[:12], source / "two")
    code, said, complaint = curate(source, tmp_path / "out", "--keep-ids")
    assert code == 1
    assert "1 study(s) failed, 0 file(s) could not be read; see" in complaint
    assert "P2: no stack of at least 3 parallel cine slices" in said
    assert (tmp_path / "out" / "P1" / "sa.nii.gz").is_file()


def test_damaged_files_are_exit_code_1(curate, source, tmp_path):
    victim = next(p for p in sorted(source.rglob("*")) if p.is_file())
    (source / "damaged").write_bytes(victim.read_bytes()[:-9])
    code, _, complaint = curate(source, tmp_path / "out")
    assert code == 1
    assert "0 study(s) failed, 1 file(s) could not be read; see" in complaint
    assert "truncated" in (tmp_path / "out" / "problems.tsv").read_text()


def test_only_damaged_files_are_exit_code_1_and_a_report(curate, source, tmp_path):
    for path in [p for p in source.rglob("*") if p.is_file()]:
        path.write_bytes(path.read_bytes()[:-9])
    assert curate(source, tmp_path / "out")[0] == 1
    assert (tmp_path / "out" / "report.html").is_file()


def test_images_that_cannot_be_decoded_are_exit_code_1(curate, tmp_path):
    from pydicom.uid import RLELossless

    from cmrseg.phantom.dicom import compress

    (path, *_) = write([compress(d, RLELossless) for d in datasets()], tmp_path / "source")
    raw = bytearray(path.read_bytes())
    raw[-300:] = bytes(300)
    path.write_bytes(raw)
    code, _, _ = curate(tmp_path / "source", tmp_path / "out")
    assert "unreadable" in (tmp_path / "out" / "problems.tsv").read_text()
    assert code == 1


# What a user has to mend: 2


def test_a_missing_source(curate, tmp_path):
    assert_one_sentence(curate(tmp_path / "nowhere", tmp_path / "out"), "nowhere does not exist; check")


def test_an_empty_source(curate, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_one_sentence(curate(tmp_path / "empty", tmp_path / "out"), "is empty; nothing to read")


def test_a_source_without_images(curate, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("text")
    assert_one_sentence(curate(tmp_path / "text", tmp_path / "out"), "no MR image among the 1 file(s)")


def test_a_single_image_as_source(curate, source, tmp_path):
    file = next(p for p in source.rglob("*") if p.is_file())
    code, _, complaint = curate(file, tmp_path / "out")
    assert code == 1
    assert "error: 1 study(s) failed" in complaint


def test_a_damaged_archive(curate, source, tmp_path):
    archive = Path(shutil.make_archive(tmp_path / "export", "gztar", source))
    archive.write_bytes(archive.read_bytes()[:-500])
    assert_one_sentence(curate(archive, tmp_path / "out"), "the archive is damaged or encrypted")


def test_a_target_that_is_a_file(curate, source, tmp_path):
    (tmp_path / "out").touch()
    assert_one_sentence(curate(source, tmp_path / "out"), "is a file; name a folder")


def test_a_target_below_a_file(curate, source, tmp_path):
    (tmp_path / "file").touch()
    assert_one_sentence(curate(source, tmp_path / "file" / "out"), "cannot be opened or written; check")


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk(curate, source, tmp_path, monkeypatch):
    monkeypatch.setattr("cmrseg.io.images.write_nifti", full)
    assert_one_sentence(curate(source, tmp_path / "out"), "no space left on the disk")


def test_a_full_disk_advises_nothing_that_is_not_there(curate, source, tmp_path, monkeypatch):
    monkeypatch.setattr("cmrseg.io.images.write_nifti", full)
    assert "--resume" not in curate(source, tmp_path / "out")[2]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("collision_m = 1", "did you mean collision_mm"),
        ("max_size = -1", "max_size must not be negative"),
        ("max_size = ", "cannot be read"),
        ('missing_slice = "guess"', "missing_slice must be one of"),
    ],
)
def test_wrong_rules(curate, source, tmp_path, content, part):
    (tmp_path / "rules.toml").write_text(content)
    assert_one_sentence(curate(source, tmp_path / "out", "--rules", tmp_path / "rules.toml"), part)


def test_missing_rules(curate, source, tmp_path):
    assert_one_sentence(curate(source, tmp_path / "out", "--rules", tmp_path / "x.toml"), "cannot be read")


def test_an_evil_name(curate, source, tmp_path):
    (tmp_path / "names.csv").write_text("id,name\nP1,../evil\n")
    result = curate(source, tmp_path / "out", "--names", tmp_path / "names.csv")
    assert_one_sentence(result, "letters, digits, - and _, got 'P1', '../evil'")
    assert not (tmp_path / "out").exists()


def test_a_killed_worker(curate, source, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise ChildProcessError("a worker process was killed; run the same command again")

    monkeypatch.setattr("cmrseg.curation.run.map_studies", killed)
    assert_one_sentence(curate(source, tmp_path / "out", "--jobs", 2), "a worker process was killed")


@pytest.mark.parametrize("arguments", [(), ("a",), ("a", "b", "--jobs", "0"), ("a", "b", "--colour")])
def test_wrong_usage_is_exit_code_2(curate, arguments):
    code, _, complaint = curate(*arguments)
    assert code == 2
    assert "Traceback" not in complaint


# The screen


def shown(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_the_screen_fits_80_columns(curate, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(2, 5):
        write(datasets(f"P{number}", seed=number), source / str(number))
    code, said, _ = curate("source", "out")
    assert code == 0
    assert max(map(len, shown(said).splitlines())) <= 80


def test_a_long_reason_stays_in_one_sentence(curate, tmp_path):
    write(datasets()[:12], tmp_path / "source")
    _, said, _ = curate(tmp_path / "source", tmp_path / "out", "--keep-ids")
    assert sum(line.startswith("· P1: ") for line in said.splitlines()) == 1


def test_a_description_is_not_taken_for_markup(curate, tmp_path):
    write(datasets(description="[bold]sax[/bold] [/]"), tmp_path / "source")
    code, _, complaint = curate(tmp_path / "source", tmp_path / "out", "--series", "[bold] [/]")
    assert code == 1
    assert "Traceback" not in complaint


def test_markup_in_the_name_of_the_target_is_shown_as_it_is(curate, source, tmp_path):
    victim = next(p for p in sorted(source.rglob("*")) if p.is_file())
    (source / "damaged").write_bytes(victim.read_bytes()[:-9])
    code, _, complaint = curate(source, tmp_path / "out [red]")
    assert code == 1
    assert "out [red]" in complaint
