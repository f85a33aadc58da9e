"""Who it is stays in the hospital: what `cmrseg predict` writes and says of a study full of tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from cmrseg.cli import app
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.phantom.dicom import dicom_datasets
from tests.curation.tokens import UIDS, found_tokens, token, tokens_in, unpacked, write_with_tokens

pytestmark = pytest.mark.slow


def instances(style: str) -> list[Dataset]:
    """A synthetic examination with a heart that beats."""
    spec = PhantomSpec(n_slices=7, n_frames=8, slice_spacing_mm=14.0)
    cine = make_study(spec, SCANNERS["A"], 0).cine
    grey = np.clip(cine.array * 4000 / cine.array.max(), 0, 4095)
    return dicom_datasets(cine.with_array(grey), style=style)


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """An examination with a token in everything that can hold one, and a damaged file."""
    folder = tmp_path_factory.mktemp("marked") / "source"
    datasets = instances("ge")
    path, *_ = write_with_tokens(datasets, folder)
    (path.parent / f"{token('damaged')}.dcm").write_bytes(path.read_bytes()[:-300])
    return folder, datasets


def said(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    error = f"{result.exception}" if result.exception and not isinstance(result.exception, SystemExit) else ""
    return result.output + error


@pytest.fixture(scope="module")
def finished(marked, tmp_path_factory):
    """A finished run: folder, and what was said."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CMRSEG_HOME", str(folder / "home"))
        text = said("predict", marked[0], folder / "out", "--fast", "--runtime", "torch")
    return folder, text


def test_no_token_is_written_or_said(finished):
    folder, text = finished
    assert list((folder / "out").glob("S*/dicom_seg/phase_01.dcm"))
    assert list((folder / "out").glob("S*/cvi42.cvi42wsx"))
    assert tokens_in(text.encode()) == set()
    assert found_tokens(folder / "out") | found_tokens(folder / "home") == set()


def test_uids_are_told_only_where_other_programs_need_them(finished, marked):
    uids = {str(d[name].value).encode() for d in marked[1] for name in UIDS}
    telling = {
        path.relative_to(finished[0] / "out").parts[1]
        for path in (finished[0] / "out").rglob("*")
        if path.is_file()
        for data in unpacked(path.read_bytes())
        if any(uid in data for uid in uids)
    }
    assert telling == {"dicom_seg", "dicom_sr.dcm", "cvi42.cvi42wsx"}
    assert not any(uid in finished[1].encode() for uid in uids)


@pytest.mark.parametrize("file", ["dicom_seg/phase_01.dcm", "dicom_sr.dcm"])
def test_a_dicom_object_holds_what_is_allowed_and_nothing_else(finished, file):
    (path,) = (finished[0] / "out").glob(f"S*/{file}")
    header = pydicom.dcmread(path)
    study = path.relative_to(finished[0] / "out").parts[0]
    assert (header.PatientID, header.StudyDate, header.AccessionNumber) == (study, "", "")
    told = {e.keyword for e in header if e.value not in ("", None)}
    assert not told & {
        "StudyDescription",
        "StudyID",
        "StudyTime",
        "PatientAge",
        "PatientSize",
        "InstitutionName",
    }
    assert header.Manufacturer == "cmrseg"


@pytest.mark.parametrize("how", ["no stack", "all damaged"])
def test_a_failure_tells_no_token(marked, tmp_path, how, monkeypatch):
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    source = tmp_path / token("source")
    write_with_tokens(instances("ge")[:5], source)
    for path in source.rglob("*.dcm") if how == "all damaged" else ():
        path.write_bytes(path.read_bytes()[:-300])
    text = said("predict", source, tmp_path / "out", "--fast", "--runtime", "torch")
    assert text
    assert tokens_in(text.encode()) == set()
    assert found_tokens(Path(tmp_path / "out")) == set()
