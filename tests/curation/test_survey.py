"""What is known of the examinations of a data set: DICOM files and curated studies say the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.curation.run import curate
from cmrseg.curation.survey import read_facts
from cmrseg.phantom.dicom import Acquisition, Identity, dicom_datasets, write_datasets
from cmrseg.problems import DataError

SAME = [
    "sex",
    "age_years",
    "vendor",
    "field_t",
    "echo_ms",
    "thickness_mm",
    "x",
    "y",
    "dx",
    "dy",
    "slices",
    "phases",
]


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A woman and a man, slices of 8 mm with a gap of 2 mm."""
    monkeypatch.setenv("CMRSEG_SALT", "of this test")
    x, y, z, t = np.ogrid[0:28, 0:24, 0:6, 0:8]
    array = 1500 + 700 * np.sin(x / 4 + t / 3) * np.cos(y / 3 + z) + 40 * z
    cine = Cine(array, (1.4, 1.6, 10.0), np.diag([-1.4, -1.6, 10.0, 1.0]), tuple(100.0 * n for n in range(8)))
    for number, (sex, age) in enumerate((("F", "041Y"), ("M", "023Y"))):
        who = replace(Identity(), sex=sex, age=age, patient_id=f"PID-{number}")
        made = Acquisition(slice_thickness_mm=8.0)
        datasets = dicom_datasets(cine, identity=who, seed=number, acquisition=made)
        write_datasets(datasets, tmp_path / "source" / str(number), np.random.default_rng(number))
    return tmp_path / "source"


def test_dicom_files_and_their_curated_studies_say_the_same(source, tmp_path):
    curate(source, tmp_path / "out")
    raw, curated = (
        read_facts(folder).table.sort_values("age_years").reset_index(drop=True)
        for folder in (source, tmp_path / "out")
    )
    pd.testing.assert_frame_equal(raw[SAME], curated[SAME], check_dtype=False)
    assert raw["age_years"].tolist() == [23, 41]
    assert raw["sex"].tolist() == ["M", "F"]
    assert raw["gap_mm"].tolist() == curated["gap_mm"].tolist() == [2, 2]
    assert curated["subject"].nunique() == raw["subject"].nunique() == 2


def test_sex_and_age_lie_where_only_the_user_may_read(source, tmp_path):
    curate(source, tmp_path / "out")
    table = tmp_path / "out" / "private" / "people.tsv"
    assert table.stat().st_mode & 0o077 == 0
    assert "sex" not in (tmp_path / "out" / "acquisition.tsv").read_text()
    table.unlink()
    facts = read_facts(tmp_path / "out")
    assert facts.table["age_years"].isna().all()
    assert any("private/people.tsv is not there" in note for note in facts.notes)


def test_studies_of_an_earlier_version_are_described_by_their_geometry(source, tmp_path):
    curate(source, tmp_path / "out")
    (tmp_path / "out" / "acquisition.tsv").unlink()
    facts = read_facts(tmp_path / "out")
    assert facts.table["slices"].tolist() == [6, 6]
    assert facts.table["echo_ms"].isna().all()
    assert any("curate the DICOM files again" in note for note in facts.notes)


def test_a_second_curation_completes_what_an_earlier_version_left_out(source, tmp_path):
    curate(source, tmp_path / "out")
    for path in (tmp_path / "out" / ".curation").glob("*.json"):
        path.write_text(path.read_text().replace('"acquisitions"', '"earlier"'))
    curate(source, tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "acquisition.tsv", sep="\t")) == 2


def test_turned_versions_and_repeated_stacks_count_once(tmp_path):
    names = ["A", "A_rot90", "B_a", "B_b", "C_b", "D_rot90"]
    rows = [f"{n}\tok\t8\t8\t6\t20\t1.4\t1.4\t8\tP{n[0]}" for n in names]
    head = "study\tstatus\tx\ty\tslices\tphases\tdx\tdy\tdz\tsubject"
    (tmp_path / "studies.tsv").write_text("\n".join([head, *rows, "E\tfailed" + "\t" * 8]) + "\n")
    facts = read_facts(tmp_path)
    assert facts.table["study"].tolist() == ["A", "B_a", "C_b", "D_rot90"]
    assert facts.notes[0] == "1 study(s) that could not be curated are not described"


def test_an_examination_without_a_cine_is_told(source, tmp_path):
    still = dicom_datasets(Cine(np.full((8, 8, 2, 1), 9.0), (1.0, 1.0, 8.0)), seed=7)
    write_datasets(still, source / "still", np.random.default_rng(0))
    facts = read_facts(source)
    assert len(facts.table) == 2
    assert any("1 examination(s) without a usable short-axis cine" in note for note in facts.notes)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"note.txt": "nothing"}, "holds neither curated studies .* nor DICOM files"),
        ({"studies.tsv": "study\tstatus\nA\tok\n"}, "lacks the column subject, x, y"),
        ({"studies.tsv": ""}, "studies.tsv"),
        ({"a.dcm": "no image at all"}, "no examination with a short-axis cine"),
    ],
)
def test_other_folders_are_one_sentence(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_facts(tmp_path)
