"""`cmrseg evaluate contours`: exit codes and what is said."""

import nibabel as nib
import numpy as np
import pytest

from cmrseg.labels import Label
from tests.cli.conftest import assert_one_sentence

SIZE, SLICES = 40, 3


def square(low, high):
    """A contour around the pixels from ``low`` to ``high``."""
    low, high = low - 0.5, high + 0.5
    return f"{low} {low}\n{high} {low}\n{high} {high}\n{low} {high}\n"


@pytest.fixture
def folders(tmp_path):
    """A study of two frames whose contours agree with its masks."""
    predicted, contours, labels = tmp_path / "p", tmp_path / "c", np.zeros((SIZE, SIZE, SLICES, 2), np.uint8)
    (predicted / "S1").mkdir(parents=True)
    contours.mkdir()
    rows = ["study\tslice\tframe\tseries\tfile"]
    for t, size in ((0, 20), (1, 16)):
        labels[8 : size + 5, 8 : size + 5, :, t] = Label.MYO
        labels[10 : size + 1, 10 : size + 1, :, t] = Label.LV
        for z in range(SLICES):
            number = 1 + t + 2 * z
            rows.append(f"S1\t{z}\t{t}\t1\t{number}.dcm")
            for kind, text in (("i", square(10, size)), ("o", square(8, size + 4))):
                (contours / f"IM-0001-{number:04d}-{kind}contour-manual.txt").write_text(text)
    (predicted / "used_images.tsv").write_text("\n".join(rows))
    nifti = nib.Nifti1Image(labels, np.diag([1.5, 1.5, 8, 1]))
    nifti.header.set_zooms((1.5, 1.5, 8, 0.04))
    nib.save(nifti, predicted / "S1" / "seg.nii.gz")
    return predicted, contours, tmp_path / "out"


@pytest.fixture
def evaluate(cmrseg, folders):
    def run(*options):
        predicted, contours, out = folders
        return cmrseg("evaluate", "contours", predicted, contours, "--out", out, *options)

    return run


def test_agreement_is_shown_and_written(evaluate, folders):
    code, said, _ = evaluate()
    assert code == 0
    assert "LV EDV" in said
    assert "1.000" in said
    names = {path.name for path in folders[2].iterdir()}
    assert names >= {"metrics.csv", "summary.csv", "measurements.csv", "contours.csv", "report.html", "S1"}


def test_displaced_epicardia_are_a_failure_that_is_counted(evaluate, folders):
    for path in folders[1].glob("*ocontour*"):
        path.write_text(square(17, 33))
    code, _, complaint = evaluate()
    assert code == 1
    assert "6 problem(s)" in complaint
    assert "outside of the epicardium" in (folders[2] / "problems.tsv").read_text()


def test_missing_contours_are_one_sentence(evaluate, folders):
    for path in folders[1].iterdir():
        path.unlink()
    assert_one_sentence(evaluate(), "contour folder", folders[1], "is empty")


def test_an_unknown_study_is_one_sentence(evaluate):
    assert_one_sentence(evaluate("--study", "S2"), "has no study S2; it has: S1")


def test_a_workspace_that_is_none_is_one_sentence(cmrseg, folders, tmp_path):
    path = tmp_path / "w.cvi42wsx"
    path.write_text("no xml")
    result = cmrseg("evaluate", "contours", folders[0], path, "--out", folders[2], "--dicom", tmp_path)
    assert_one_sentence(result, "does not exist")
