"""A whole run: the same results however it is done, nothing lost when it is stopped."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.dataset import Dataset

from cmrseg.cine import Cine
from cmrseg.curation import examination, run
from cmrseg.curation.rules import Rules
from cmrseg.curation.run import Options, curate
from cmrseg.io.images import save_image
from cmrseg.phantom.dicom import Identity, dicom_datasets, write_datasets
from cmrseg.phantom.faults import inject
from cmrseg.phantom.other_views import examination as whole_examination
from cmrseg.problems import DataError

TABLES = ("studies.tsv", "problems.tsv", "used_images.tsv", "series.tsv")
PATIENTS = ("P1", "P2", "P3")
IDS = Options(keep_ids=True)


@pytest.fixture(autouse=True)
def _salt(monkeypatch):
    monkeypatch.setenv("CMRSEG_SALT", "of this test")


def cine(phase: float = 0.0) -> Cine:
    x, y, z, t = np.ogrid[0:28, 0:24, 0:6, 0:6]
    array = 1500 + 700 * np.sin(x / 4 + t / 3 + phase) * np.cos(y / 3 + z) + 40 * z
    affine = np.array([[-1.4, 0, 0, 9.5], [0, -1.28, 4.8, -3.25], [0, -0.96, -6.4, 70], [0, 0, 0, 1]])
    return Cine(array, (1.4, 1.6, 8.0), affine, tuple(100.0 * t for t in range(6)))


def datasets(patient: str = "P1", *, style: str = "siemens") -> list[Dataset]:
    number = int(patient[1:])
    return dicom_datasets(cine(number), style=style, identity=Identity(patient_id=patient), seed=number)


def write(instances: Sequence[Dataset], folder: Path, seed: int = 0) -> list[Path]:
    return write_datasets(instances, folder, np.random.default_rng(seed))


@pytest.fixture
def source(tmp_path):
    """Three examinations."""
    for patient in PATIENTS:
        write(datasets(patient), tmp_path / "source" / f"folder {patient[1]}")
    return tmp_path / "source"


def results(target: Path, names: Sequence[str] = TABLES) -> dict[str, bytes]:
    """Bytes of all cines and tables."""
    cines = {p.relative_to(target).as_posix(): p.read_bytes() for p in target.glob("*/sa.nii.gz")}
    return cines | {name: (target / name).read_bytes() for name in names}


def cines(target: Path) -> list[str]:
    return sorted(p.parent.name for p in target.glob("*/sa.nii.gz"))


def table(target: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(target / f"{name}.tsv", sep="\t", dtype={"study": str}, keep_default_na=False)


# What comes out


def test_every_examination_becomes_a_cine(source, tmp_path):
    found = curate(source, tmp_path / "out", options=IDS)
    assert cines(tmp_path / "out") == list(PATIENTS)
    assert found.studies["status"].tolist() == ["ok"] * 3
    assert (found.failed, found.unreadable) == (0, 0)


@pytest.mark.parametrize("style", ["siemens", "ge", "enhanced"])
def test_the_cine_is_the_one_that_was_measured(tmp_path, style):
    write(datasets("P1", style=style), tmp_path / "source")
    curate(tmp_path / "source", tmp_path / "out", options=IDS)
    image = nib.load(tmp_path / "out" / "P1" / "sa.nii.gz")
    truth = cine(1)
    found, affine = np.asarray(image.dataobj), image.affine
    if np.dot(affine[:3, 2], truth.affine[:3, 2]) < 0:  # slices may be counted from the other end
        flip = np.diag([1.0, 1, -1, 1])
        flip[2, 3] = found.shape[2] - 1
        found, affine = found[:, :, ::-1], affine @ flip
    np.testing.assert_array_equal(found, np.rint(truth.array))
    np.testing.assert_allclose(affine, truth.affine, atol=1e-3)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert image.header.get_zooms() == pytest.approx((1.4, 1.6, 8.0, 0.1), abs=1e-5)


def test_the_tables_have_the_columns_of_the_contract(source, tmp_path):
    curate(source, tmp_path / "out", options=IDS)
    assert list(table(tmp_path / "out", "studies")) == [
        *("study", "status", "x", "y", "slices", "phases", "dx", "dy", "dz", "problems", "subject", "reason")
    ]
    assert list(table(tmp_path / "out", "problems"))[:5] == [
        *("study", "problem", "resolution", "image", "extra_info")
    ]
    assert list(table(tmp_path / "out", "used_images")) == [
        "study",
        "slice",
        "frame",
        "series",
        "file",
        "plane",
        "instance",
    ]


def test_every_frame_names_the_file_that_it_comes_from(tmp_path):
    write(datasets(), tmp_path / "source")
    curate(tmp_path / "source", tmp_path / "out", options=IDS)
    used = table(tmp_path / "out", "used_images")
    assert len(used) == used["file"].nunique() == 36
    assert all((tmp_path / "source" / name).is_file() for name in used["file"])


@pytest.mark.parametrize("style", ["siemens", "enhanced"])
def test_a_run_tells_the_true_plane_of_every_frame_although_its_tables_do_not(style, tmp_path):
    write(datasets(style=style), tmp_path / "Doe_John")
    for _ in range(2):  # a finished examination is told of, too
        run = curate(tmp_path / "Doe_John", tmp_path / "out")
        (study,) = run.studies["study"]
        pixels = nib.load(tmp_path / "out" / study / "sa.nii.gz").get_fdata()
        assert sorted(run.sources[study]) == list(np.ndindex(pixels.shape[2:]))
        for (z, t), (path, plane) in list(run.sources[study].items())[::7]:
            stored = pydicom.dcmread(path).pixel_array
            stored = stored[plane] if stored.ndim == 3 else stored
            np.testing.assert_array_equal(pixels[:, :, z, t], stored.T)


@pytest.mark.slow  # many series
def test_images_of_other_views_are_no_part_of_it(tmp_path):
    write(whole_examination(cine(1), identity=Identity(patient_id="P1")), tmp_path / "source")
    write(datasets(), tmp_path / "plain")
    curate(tmp_path / "source", tmp_path / "out", options=IDS)
    found = curate(tmp_path / "plain", tmp_path / "plain out", options=IDS)
    assert found.studies["status"].tolist() == ["ok"]
    cine_of = [(tmp_path / n / "P1" / "sa.nii.gz").read_bytes() for n in ("out", "plain out")]
    assert cine_of[0] == cine_of[1]
    series = table(tmp_path / "out", "series")
    assert 0 < series["chosen"].sum() < len(series)
    assert (series["reason"] != "").all()


def test_two_examinations_of_one_patient_are_two_studies_of_one_subject(tmp_path):
    for seed in (1, 2):
        who = Identity(patient_id="P7")
        write(dicom_datasets(cine(seed), identity=who, seed=seed), tmp_path / "source" / str(seed))
    found = curate(tmp_path / "source", tmp_path / "out")
    assert len(set(found.studies["study"])) == 2
    assert len(set(found.studies["subject"])) == 1


def test_three_examinations_of_one_patient_are_of_one_subject(tmp_path):
    for seed in (1, 2, 3):
        who = Identity(patient_id="P7")
        write(dicom_datasets(cine(seed), identity=who, seed=seed), tmp_path / "source" / str(seed))
    found = curate(tmp_path / "source", tmp_path / "out")
    assert len(set(found.studies["study"])) == 3
    assert len(set(found.studies["subject"])) == 1


def test_what_is_no_image_is_counted(source, tmp_path):
    (source / "notes.txt").write_text("text")
    (source / "empty").touch()
    found = curate(source, tmp_path / "out", options=IDS)
    assert found.unreadable == 0
    assert "left aside: 2 no DICOM file" in found.notes


def test_a_damaged_file_is_a_problem_of_no_study(source, tmp_path):
    victim = next(p for p in sorted((source / "folder 1").rglob("*")) if p.is_file())
    victim.write_bytes(victim.read_bytes()[:-5])
    found = curate(source, tmp_path / "out", options=IDS)
    assert found.unreadable == 1
    row = found.problems[found.problems["problem"] == "unreadable"].iloc[0]
    assert row["image"] == victim.relative_to(source).as_posix()
    assert "truncated" in row["extra_info"]


def test_progress_is_told(source, tmp_path):
    told = []
    curate(source, tmp_path / "out", progress=lambda *step: told.append(step))
    assert told[0] == ("reading headers", 108, 108)
    assert told[1:] == [("curating", n, 3) for n in (1, 2, 3)]


# The same results, however it is done


def test_results_do_not_depend_on_names_and_folders(source, tmp_path):
    for seed, patient in enumerate(reversed(PATIENTS), start=5):
        write(datasets(patient), tmp_path / "other" / f"{seed}", seed)
    curate(source, tmp_path / "a")
    curate(tmp_path / "other", tmp_path / "b")
    names = ("studies.tsv", "series.tsv", "problems.tsv")
    assert results(tmp_path / "a", names) == results(tmp_path / "b", names)
    used = [table(tmp_path / n, "used_images").drop(columns="file") for n in "ab"]
    pd.testing.assert_frame_equal(*used)


def test_a_second_copy_of_every_file_changes_nothing(tmp_path):
    write(datasets(), tmp_path / "source")
    curate(tmp_path / "source", tmp_path / "a")
    write(datasets(), tmp_path / "source" / "z copies", 3)
    curate(tmp_path / "source", tmp_path / "b")
    assert results(tmp_path / "a") == results(tmp_path / "b")


@pytest.mark.parametrize("suffix", ["zip", "gztar"])
def test_an_archive_gives_the_results_of_its_folder(source, tmp_path, suffix):
    archive = Path(shutil.make_archive(tmp_path / "packed", suffix, source))
    curate(source, tmp_path / "a")
    curate(archive, tmp_path / "b")
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert not list((tmp_path / "b").rglob("unpacked"))


@pytest.mark.slow  # starts four interpreters
def test_processes_give_the_same_bytes(source, tmp_path):
    curate(source, tmp_path / "a")
    curate(source, tmp_path / "b", options=Options(jobs=2))
    assert results(tmp_path / "a") == results(tmp_path / "b")


@pytest.mark.slow  # starts a cluster
def test_a_dask_cluster_gives_the_same_bytes(source, tmp_path):
    distributed = pytest.importorskip("distributed")
    curate(source, tmp_path / "a")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, dashboard_address=None, processes=True
    ) as cluster:
        curate(source, tmp_path / "b", options=Options(scheduler=cluster.scheduler_address))
    assert results(tmp_path / "a") == results(tmp_path / "b")


# Again


def stamps(target: Path) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in target.glob("*/sa.nii.gz")}


def test_a_second_call_does_nothing_and_tells_the_same(source, tmp_path):
    first = curate(source, tmp_path / "out")
    before, written = results(tmp_path / "out"), stamps(tmp_path / "out")
    second = curate(source, tmp_path / "out")
    assert stamps(tmp_path / "out") == written
    assert results(tmp_path / "out") == before
    pd.testing.assert_frame_equal(first.studies, second.studies)
    assert first.notes == second.notes


def test_a_second_call_reads_no_pixels(source, tmp_path, monkeypatch):
    curate(source, tmp_path / "out")
    monkeypatch.setattr(examination, "_curated", lambda *_: pytest.fail("curated again"))
    curate(source, tmp_path / "out")


def test_a_failed_study_is_not_tried_again(tmp_path, monkeypatch):
    write(datasets()[:12], tmp_path / "source")
    assert curate(tmp_path / "source", tmp_path / "out").failed == 1
    monkeypatch.setattr(examination, "_curated", lambda *_: pytest.fail("curated again"))
    assert curate(tmp_path / "source", tmp_path / "out").failed == 1


def test_a_new_examination_leaves_the_others_alone(source, tmp_path):
    curate(source, tmp_path / "out", options=IDS)
    written = stamps(tmp_path / "out")
    write(datasets("P4"), source / "new")
    curate(source, tmp_path / "out", options=IDS)
    now = stamps(tmp_path / "out")
    assert {name: now[name] for name in written} == written
    assert "P4" in now


def test_another_source_is_added_to_the_tables(tmp_path):
    for patient in ("P1", "P2"):
        write(datasets(patient), tmp_path / patient)
        found = curate(tmp_path / patient, tmp_path / "out", options=IDS)
    assert found.studies["study"].tolist() == ["P1", "P2"]


def test_other_rules_do_it_again(source, tmp_path):
    curate(source, tmp_path / "out", options=IDS)
    found = curate(source, tmp_path / "out", options=Options(keep_ids=True, rules=Rules(max_size=20)))
    assert found.studies["x"].tolist() == [20] * 3


def test_a_cine_that_was_deleted_is_made_again(source, tmp_path):
    curate(source, tmp_path / "out", options=IDS)
    before = results(tmp_path / "out")
    (tmp_path / "out" / "P2" / "sa.nii.gz").unlink()
    curate(source, tmp_path / "out", options=IDS)
    assert results(tmp_path / "out") == before


def test_a_damaged_record_is_made_again(source, tmp_path):
    curate(source, tmp_path / "out", options=IDS)
    before = results(tmp_path / "out")
    (tmp_path / "out" / ".curation" / "P2.json").write_text('{"studies": [')
    curate(source, tmp_path / "out", options=IDS)
    assert results(tmp_path / "out") == before


def test_a_study_that_turns_out_to_be_two_removes_the_one(tmp_path):
    write(datasets(), tmp_path / "source")
    curate(tmp_path / "source", tmp_path / "out", options=IDS)
    assert cines(tmp_path / "out") == ["P1"]
    repeated = inject(datasets(), ["repeated measurement"], np.random.default_rng(0)).datasets
    write(repeated, tmp_path / "source" / "more", 1)
    found = curate(tmp_path / "source", tmp_path / "out", options=IDS)
    assert cines(tmp_path / "out") == found.studies["study"].tolist() == ["P1_a", "P1_b"]


def test_a_study_that_fails_now_removes_the_cine(source, tmp_path):
    curate(source, tmp_path / "out", options=IDS)
    found = curate(source, tmp_path / "out", options=Options(keep_ids=True, rules=Rules(min_slices=9)))
    assert found.failed == 3
    assert cines(tmp_path / "out") == []


def test_a_repeated_measurement_takes_no_name_of_another_study(tmp_path):
    repeated = inject(datasets("P1"), ["repeated measurement"], np.random.default_rng(0)).datasets
    write(repeated, tmp_path / "source" / "1")
    write(dicom_datasets(cine(2), identity=Identity(patient_id="P1_a"), seed=2), tmp_path / "source" / "2")
    found = curate(tmp_path / "source", tmp_path / "out", options=IDS)
    assert found.studies["study"].nunique() == len(cines(tmp_path / "out")) == 3


# A study that fails


def test_a_failed_study_does_not_stop_the_others(tmp_path):
    write(datasets("P1"), tmp_path / "source" / "1")
    write(datasets("P2")[:12], tmp_path / "source" / "2")  # two slices
    write(datasets("P3"), tmp_path / "source" / "3")
    found = curate(tmp_path / "source", tmp_path / "out", options=IDS)
    assert found.studies["status"].tolist() == ["ok", "failed", "ok"]
    assert found.failed == 1
    assert found.studies["reason"][1]
    assert cines(tmp_path / "out") == ["P1", "P3"]


def test_a_study_whose_pixels_cannot_be_decoded_fails_with_a_reason(tmp_path):
    broken = [deepcopy(d) for d in datasets()]
    for dataset in broken:
        dataset.Rows += 2
        dataset.PixelData = dataset.PixelData + bytes(2 * 2 * 28)
    paths = write(broken, tmp_path / "source")
    real = run.read_headers

    def truncate_later(path, name):
        images = real(path, name)
        path.write_bytes(path.read_bytes()[:-100])
        return images

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "read_headers", truncate_later)
        found = curate(tmp_path / "source", tmp_path / "out", options=IDS)
    assert paths
    assert found.studies["status"].tolist() == ["failed"]
    assert (found.problems["problem"] == "unreadable").sum() == 36


# Stopped half-way


def failing_on(number: int, error: BaseException):
    """`save_image` that fails once, after some calls."""
    calls = []

    def save(cine, path):
        calls.append(path)
        if len(calls) == number:
            raise error
        return save_image(cine, path)

    return save


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_was_finished_before_an_error_is_kept(source, tmp_path, monkeypatch, error):
    curate(source, tmp_path / "whole", options=IDS)
    monkeypatch.setattr(examination, "save_image", failing_on(2, error))
    with pytest.raises(type(error)):
        curate(source, tmp_path / "out", options=IDS)
    monkeypatch.setattr(examination, "save_image", save_image)
    written = stamps(tmp_path / "out")
    assert len(written) == 1
    curate(source, tmp_path / "out", options=IDS)
    assert written.items() <= stamps(tmp_path / "out").items()
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def test_a_strange_examination_is_a_failed_study_and_is_tried_again(source, tmp_path, monkeypatch):
    monkeypatch.delenv("CMRSEG_DEBUG", raising=False)
    curate(source, tmp_path / "whole", options=IDS)
    monkeypatch.setattr(examination, "save_image", failing_on(2, ZeroDivisionError("Mustermann")))
    found = curate(source, tmp_path / "out", options=IDS)
    assert sorted(found.studies["status"]) == ["failed", "ok", "ok"]
    assert found.failed == (found.problems["problem"] == "failed").sum() == 1
    assert "Mustermann" not in found.problems.to_csv()
    curate(source, tmp_path / "out", options=IDS)
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def test_a_full_disk_leaves_no_half_file(source, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cmrseg.io.images.write_nifti", full)
    with pytest.raises(OSError, match="No space left"):
        curate(source, tmp_path / "out", options=IDS)
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_a_run_stopped_between_the_cine_and_its_record_is_done_again(source, tmp_path, monkeypatch):
    curate(source, tmp_path / "whole", options=IDS)
    with monkeypatch.context() as patch:
        patch.setattr(examination, "save_pictures", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            curate(source, tmp_path / "out", options=IDS)
    curate(source, tmp_path / "out", options=IDS)
    assert results(tmp_path / "out") == results(tmp_path / "whole")


PROGRAM = """
import os, signal, sys
from pathlib import Path
from cmrseg.curation import examination
from cmrseg.curation.run import Options, curate
real = examination.save_image
def save(cine, path):
    if path.parent.name == "P2":
        os.kill(os.getpid(), signal.SIGKILL)
    return real(cine, path)
examination.save_image = save
if __name__ == "__main__":
    curate(Path(sys.argv[1]), Path(sys.argv[2]), options=Options(keep_ids=True, jobs=int(sys.argv[3])))
"""


def killed_at_one_study(source: Path, target: Path, jobs: int) -> subprocess.CompletedProcess:
    program = source.parent / "program.py"
    program.write_text(PROGRAM)
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, program, source, target, str(jobs)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.slow  # starts an interpreter
def test_a_killed_run_is_completed_by_the_next_call(source, tmp_path):
    curate(source, tmp_path / "whole", options=IDS)
    assert killed_at_one_study(source, tmp_path / "out", 1).returncode == -signal.SIGKILL
    written = stamps(tmp_path / "out")
    assert "P2" not in written
    curate(source, tmp_path / "out", options=IDS)
    assert written.items() <= stamps(tmp_path / "out").items()
    assert results(tmp_path / "out") == results(tmp_path / "whole")


@pytest.mark.slow  # starts five interpreters
def test_a_killed_worker_is_an_error_and_the_next_call_completes(source, tmp_path):
    curate(source, tmp_path / "whole", options=IDS)
    done = killed_at_one_study(source, tmp_path / "out", 2)
    assert done.returncode == 1
    assert "ChildProcessError: a worker process was killed" in done.stderr
    curate(source, tmp_path / "out", options=IDS)
    assert results(tmp_path / "out") == results(tmp_path / "whole")


@pytest.mark.slow  # starts an interpreter and kills it at any moment
def test_a_run_killed_at_any_moment_is_completed_by_the_next_call(source, tmp_path):
    curate(source, tmp_path / "whole", options=IDS)
    command = [sys.executable, "-m", "cmrseg", "curate", source, tmp_path / "out", "--keep-ids"]
    root = Path(__file__).parents[2]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=root)
    deadline = time.monotonic() + 30
    while not cines(tmp_path / "out") and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    running.kill()
    running.wait()
    curate(source, tmp_path / "out", options=IDS)
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def test_a_killed_run_leaves_no_litter(source, tmp_path):
    folder = tmp_path / "out" / "P1"
    folder.mkdir(parents=True)
    (folder / ".4711.part.sa.nii.gz").write_bytes(b"half")  # what atomic_path leaves when it is killed
    curate(source, tmp_path / "out", options=IDS)
    assert [p.name for p in folder.iterdir()] == ["sa.nii.gz"]


# Sources and targets that cannot be used


@pytest.mark.parametrize("kind", ["missing", "empty", "file", "text only"])
def test_a_source_without_images_is_refused(tmp_path, kind):
    source = tmp_path / "source"
    if kind in ("empty", "text only"):
        source.mkdir()
    if kind == "text only":
        (source / "a.txt").write_text("text")
    if kind == "file":
        source.write_bytes(b"text")
    with pytest.raises(DataError) as caught:
        curate(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").rglob("*.tsv"))


def test_an_archive_without_images_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("text")
    archive = Path(shutil.make_archive(tmp_path / "packed", "zip", tmp_path / "text"))
    with pytest.raises(DataError, match="no MR image among the 1 file"):
        curate(archive, tmp_path / "out")
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_only_damaged_images_are_a_log_and_no_error(source, tmp_path):
    for path in [p for p in source.rglob("*") if p.is_file()]:
        path.write_bytes(path.read_bytes()[:-9])
    found = curate(source, tmp_path / "out")
    assert found.unreadable == len(found.problems) == 108
    assert found.studies.empty


def test_a_target_that_is_a_file_is_told(source, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="is a file; name a folder"):
        curate(source, tmp_path / "out")


def test_a_target_inside_the_source_changes_nothing(source, tmp_path):
    curate(source, tmp_path / "elsewhere", options=IDS)
    for _ in range(2):
        curate(source, source / "out", options=IDS)
    assert results(source / "out") == results(tmp_path / "elsewhere")
