"""Contours of every format become the same mask beside the cine; the formats are built as described."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cmrseg.contours.files import read_contour_files
from cmrseg.contours.run import write_truths
from cmrseg.data.catalog import read_catalog
from cmrseg.io.contours import write_contours
from cmrseg.io.cvi42 import write_cvi42
from cmrseg.io.dicom_seg import Algorithm, write_dicom_segs
from cmrseg.io.images import load_mask, save_mask
from cmrseg.io.outlines import Outline
from cmrseg.labels import Label
from cmrseg.problems import DataError
from cmrseg.workflows.curate import curate_with_contours
from tests.contours.formats import Contoured, write_con, write_mat, write_rtstruct


def write_text(data: Contoured, folder):
    write_contours(data.contours, folder)


def write_workspace(data: Contoured, folder):
    write_cvi42(data.contours, folder / "workspace.cvi42wsx")


def write_qmass(data: Contoured, folder):
    write_con(data, folder / "contours.con")


def write_segment(data: Contoured, folder):
    write_mat(data, folder / "stack.mat")


def write_structures(data: Contoured, folder):
    write_rtstruct(data, folder / "structures.dcm")


def write_segs(data: Contoured, folder):
    sources = {place: (header.path, header.frame) for place, header in data.headers.items()}
    mask = data.mask.with_array(data.truth)
    write_dicom_segs(mask, sources, folder, algorithm=Algorithm("reader", "1"), pseudonym="nobody")


WRITERS = {
    "text": write_text,
    "cvi42": write_workspace,
    "QMass": write_qmass,
    "Segment": write_segment,
    "DICOM RTSTRUCT": write_structures,
    "DICOM SEG": write_segs,
}


@pytest.fixture
def contours(tmp_path):
    folder = tmp_path / "contours"
    folder.mkdir()
    return folder


@pytest.fixture
def target(contoured):
    """The folder with the cine, without masks."""
    for name in ("truth.nii.gz", "truth.json"):
        (contoured.target / contoured.study / name).unlink(missing_ok=True)
    return contoured.target


@pytest.fixture
def curated(contoured, target, contours):
    """A function that makes a mask of the contours in a folder: mask, what became of them, their record."""

    def curate():
        files, unreadable = read_contour_files(contours)
        assert not unreadable
        run = write_truths(contoured.sources, files, target)
        path = target / contoured.study / "truth.nii.gz"
        truth = load_mask(path, "cmrseg").array if path.exists() else None
        record = json.loads(path.with_name("truth.json").read_text()) if path.exists() else {}
        return truth, run, record

    return curate


@pytest.mark.parametrize("format", WRITERS)
def test_contours_of_a_program_become_the_mask_that_was_drawn(format, contoured, contours, curated):
    WRITERS[format](contoured, contours)
    truth, run, record = curated()
    assert not run.problems
    assert not run.complaints
    np.testing.assert_array_equal(truth, contoured.truth)
    assert run.studies["format"].tolist() == [format]
    assert record["papillary_muscles"] == "in the LV cavity"


def test_what_nobody_contoured_is_unknown_and_not_background(contoured, contours, curated, target):
    """At end-systole only the LV is drawn, as in Sunnybrook."""
    only_lv = {
        header: {k: p for k, p in polygons.items() if k == Outline.ENDOCARDIUM or header.trigger_ms == 0}
        for header, polygons in contoured.contours.items()
    }
    write_contours(only_lv, contours)
    truth, _, _ = curated()
    ed, es = contoured.frames
    assert set(np.unique(truth[..., es])) == {0, Label.LV}
    table = read_catalog(target).with_masks().table
    schemes = table.groupby("frame")["labels"].unique()
    assert {t: list(s) for t, s in schemes.items()} == {ed: ["cmrseg"], es: ["cmrseg:LV"]}


def test_an_image_that_lacks_a_contour_is_not_used(contoured, contours, curated, target):
    """A slice whose epicardium is cut off in the file would teach that it has no muscle."""
    write_contours(contoured.contours, contours)
    paths = sorted(contours.glob("*-ocontour-*"))
    paths[4].write_text("10 10\n11")
    truth, run, _ = curated()
    assert {p.problem for p in run.problems} == {"contour unusable", "slice not contoured"}
    assert not any(str(contours) in p.extra_info for p in run.problems)
    unused = read_catalog(target).table.query("mask == '' and frame in @contoured.frames")
    assert len(unused) == 1
    (z,), (t,) = unused["slice"], unused["frame"]
    assert not truth[:, :, z, t].any()
    truth[:, :, z, t] = contoured.truth[:, :, z, t]
    np.testing.assert_array_equal(truth, contoured.truth)


def test_epicardia_that_lie_beside_their_endocardia_are_left_out(contoured, contours, curated):
    moved = {
        header: {k: p + 30 * (k == Outline.EPICARDIUM) for k, p in polygons.items()}
        for header, polygons in contoured.contours.items()
    }
    write_contours(moved, contours)
    truth, run, _ = curated()
    assert "truth displaced" in {p.problem for p in run.problems}
    np.testing.assert_array_equal(truth == Label.LV, contoured.truth == Label.LV)
    assert not (truth == Label.MYO).any()


def test_contours_that_lie_beside_the_heart_are_no_truth(contoured, contours, curated):
    moved = {h: {k: p - np.array([25, -25]) for k, p in ps.items()} for h, ps in contoured.contours.items()}
    write_cvi42(moved, contours / "c.cvi42wsx")
    truth, run, _ = curated()
    assert truth is None
    assert len(run.complaints) == 1
    assert "same grey values" in run.complaints[0]


def test_slices_counted_from_the_other_end_are_noticed_by_the_images(contoured, contours, curated):
    write_con(contoured, contours / "c.con", reverse=True)
    truth, run, _ = curated()
    assert [p.problem for p in run.problems] == ["slices counted from the highest SliceLocation"]
    np.testing.assert_array_equal(truth, contoured.truth)


def test_a_mask_that_somebody_changed_is_kept(contoured, contours, curated, target):
    write_contours(contoured.contours, contours)
    curated()
    path = target / contoured.study / "truth.nii.gz"
    theirs = contoured.mask.with_array(np.roll(contoured.mask.array, 1, axis=0))
    save_mask(theirs, path)
    table = read_catalog(target).with_masks().table
    assert set(table["labels"]) == {"cmrseg"}  # their mask speaks for itself
    _, run, _ = curated()
    assert "kept" in run.complaints[0]
    np.testing.assert_array_equal(load_mask(path, "cmrseg").array, theirs.array)


def test_two_readers_are_refused_in_one_sentence(contoured, contours, curated):
    write_contours(contoured.contours, contours / "one")
    other = {h: {k: p + 0.5 for k, p in ps.items()} for h, ps in contoured.contours.items()}
    write_cvi42(other, contours / "two.cvi42wsx")
    truth, run, _ = curated()
    assert truth is None
    assert "text" in run.complaints[0]
    assert "cvi42" in run.complaints[0]
    assert "\n" not in run.complaints[0]


def test_contours_of_another_examination_are_told(contoured, contours, curated):
    strangers = {
        replace(h, instance_uid=f"9.9.{n}"): p for n, (h, p) in enumerate(contoured.contours.items())
    }
    write_cvi42(strangers, contours / "c.cvi42wsx")
    truth, run, _ = curated()
    assert truth is None
    assert "about no study" in run.complaints[0]


def test_nothing_is_curated_where_there_are_no_contours(contoured, contours, tmp_path):
    (contours / "readme.txt").write_text("nothing")
    with pytest.raises(DataError, match="Sunnybrook text"):
        curate_with_contours(contoured.source, tmp_path / "out", contours)
    assert not list((tmp_path / "out").glob("*/sa.nii.gz"))


def test_cines_and_masks_are_made_by_one_call(contoured, contours, tmp_path):
    write_contours(contoured.contours, contours)
    first = next(contours.glob("*-icontour-auto.txt"))
    first.with_name(first.name.replace("auto", "other")).write_text("1 1")  # of another reader
    write_con(contoured, contours / "c.con")
    run, drawn = curate_with_contours(contoured.source, tmp_path / "out", contours)
    (study,) = run.studies["study"]
    assert len(drawn.complaints) == 1  # the folder of text is of two readers, the other file is used
    assert "name the folder of one study and reader" in drawn.complaints[0]
    truth = load_mask(tmp_path / "out" / study / "truth.nii.gz", "cmrseg").array
    np.testing.assert_array_equal(truth, contoured.truth)
    problems = pd.read_csv(tmp_path / "out" / "problems.tsv", sep="\t")
    assert problems["image"].tolist() == ["contour file 1"]
    assert "Contours of" in (tmp_path / "out" / "report.html").read_text()


def test_every_used_image_has_a_row(contoured, contours, curated, target):
    write_contours(contoured.contours, contours)
    truth, _, _ = curated()
    rows = pd.read_csv(target / "contours.tsv", sep="\t")
    assert len(rows) == truth.any(axis=(0, 1)).sum()
    assert set(rows["frame"]) == set(contoured.frames)
