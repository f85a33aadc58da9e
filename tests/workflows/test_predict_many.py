"""A cohort in several processes: the same files as in one, and a study that fails stops no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cmrseg.curation.run import Options as CurationOptions
from cmrseg.io.images import save_image
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.predict import Options
from cmrseg.workflows.examination import ReportOptions
from cmrseg.workflows.predict import predict_examinations

MASKS = Options(flips=False, runtime="torch")
STUDIES = ("P1", "P2", "P3")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Cines of three people; the second one's is cut off in the middle of the file."""
    folder = tmp_path_factory.mktemp("cohort")
    for seed, study in enumerate(STUDIES):
        cine = make_study(
            PhantomSpec(n_slices=6, n_frames=4, slice_spacing_mm=19.0), SCANNERS["A"], seed
        ).cine
        (folder / study).mkdir()
        save_image(cine, folder / study / "sa.nii.gz")
    damaged = folder / "P2" / "sa.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:20_000])
    return folder


def made_by(cohort: Path, out: Path, jobs: int = 1, scheduler: str | None = None):
    told = []
    options = ReportOptions(MASKS, CurationOptions(jobs=jobs, scheduler=scheduler))
    return predict_examinations(cohort, out, options=options, each=told.append), told


@pytest.mark.slow  # starts interpreters
def test_two_processes_write_the_files_that_one_writes(cohort, tmp_path):
    (one, told), (two, told_of_two) = (made_by(cohort, tmp_path / str(jobs), jobs) for jobs in (1, 2))
    assert one.failed.keys() == two.failed.keys() == {"P2"}
    assert list(one.studies) == list(two.studies) == ["P1", "P3"]
    assert [dataclasses.replace(made, seconds={}) for made in told] == [
        dataclasses.replace(made, seconds={}) for made in told_of_two
    ]
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*") if p.is_file())
    assert {"seg.nii.gz", "report.html", "cohort.csv", "index.html"} <= {path.name for path in files}
    differ = [f for f in files if (tmp_path / "1" / f).read_bytes() != (tmp_path / "2" / f).read_bytes()]
    assert not differ
    again, _ = made_by(cohort, tmp_path / "2", 2)
    assert "segmentation" not in again.seconds  # what is finished is not made again


@pytest.mark.slow  # starts a cluster
def test_a_cluster_makes_the_same_and_a_study_that_fails_stops_no_other(cohort, tmp_path):
    distributed = pytest.importorskip("distributed")
    made_by(cohort, tmp_path / "here")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        far, told = made_by(cohort, tmp_path / "far", scheduler=cluster.scheduler_address)
    assert [made.study for made in told] == ["P1", "P3"]
    assert far.failed.keys() == {"P2"}
    for name in ("cohort.csv", "volumes.csv", "P1/seg.nii.gz"):
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
