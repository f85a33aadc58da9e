"""The files that an evaluation leaves behind."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from cmrseg.evaluation import evaluate_masks
from cmrseg.evaluation.masks_report import compact_summary, pick_examples
from cmrseg.workflows import evaluate

ZOOMS = (2.0, 2.0, 10.0)


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.astype(np.uint8), np.diag([*ZOOMS, 1.0])), path)


@pytest.fixture
def folders(tmp_path):
    """Truth in M&Ms layout with two subjects; the second's prediction lacks a row of the LV."""
    for subject, rows in (("A1", 8), ("B2", 7)):
        for phase, height in (("ED", 8), ("ES", 4)):
            truth = np.zeros((24, 24, 2))
            truth[4 : 4 + height, 4:12] = 1
            truth[16:18, 4:12] = 2
            pred = truth.copy()
            pred[4 + rows :, 4:12][pred[4 + rows :, 4:12] == 1] = 0
            name = f"{subject}_sa_{phase}"
            save(
                np.arange(24)[:, None, None] * np.ones((1, 24, 2)),
                tmp_path / "t" / subject / f"{name}.nii.gz",
            )
            save(truth, tmp_path / "t" / subject / f"{name}_gt.nii.gz")
            save(pred, tmp_path / "p" / subject / f"{name}_seg.nii.gz")
    return tmp_path / "p", tmp_path / "t", tmp_path / "out"


@pytest.mark.slow  # draws six figures twice
def test_all_files_are_written(folders):
    result = evaluate.masks(*folders)
    out = folders[-1]
    assert pd.read_csv(out / "metrics.csv")["value"].sum() == pytest.approx(result.metrics["value"].sum())
    assert len(pd.read_csv(out / "summary.csv")) == len(result.summary)
    names = {path.name for path in (out / "figures").iterdir()}
    assert names == {"dice.png", "examples.png", *(f"bland_altman_LV_{m}.png" for m in ("EDV", "ESV", "EF"))}
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "2 subjects, 4 volumes" in report
    # The LV of these masks lies beside its muscle.
    doubts = [note for note in result.notes if "look at the truth of A1" in note]
    assert len(doubts) == 2
    assert "not enclosed" in doubts[0]
    assert "Look at the truth of A1" in report
    assert not (out / "problems.tsv").exists()


@pytest.mark.slow  # draws six figures twice
def test_a_missing_prediction_is_listed(folders):
    (folders[0] / "A1" / "A1_sa_ES_seg.nii.gz").unlink()
    evaluate.masks(*folders)
    problems = pd.read_csv(folders[-1] / "problems.tsv", sep="\t")
    assert problems["study"].tolist() == ["A1"]
    assert "1 subject(s) could not be evaluated" in (folders[-1] / "report.html").read_text(encoding="utf-8")


def test_a_report_is_written_when_nothing_could_be_evaluated(folders):
    for path in folders[0].rglob("*_seg.nii.gz"):
        path.write_bytes(b"no image")
    evaluate.masks(*folders)
    assert "No volume could be evaluated" in (folders[-1] / "report.html").read_text(encoding="utf-8")


def test_examples_range_from_best_to_worst(folders):
    ed = [e for e in pick_examples(evaluate_masks(*folders[:2])) if e.phase == "ED"]
    assert [e.role for e in ed] == ["best", "median", "worst"]
    assert ed[0].subject == "A1"
    assert ed[0].dice == 1
    assert ed[-1].subject == "B2"
    assert ed[-1].dice == pytest.approx((2 * 56 / 120 + 1) / 2)


def test_compact_summary_has_a_line_per_group_and_structure():
    columns = ["group", "structure", "metric", "mean", "sd", "median", "iqr", "n", "unit"]
    rows = [
        ("all", "LV", "dice", 0.9, 0.05, 0.9, 0.1, 4, "1"),
        ("all", "LV", "hd", 5.0, 1.0, 5.0, 1.0, 3, "mm"),
        ("all", "LV", "assd", np.nan, np.nan, np.nan, np.nan, 0, "mm"),
    ]
    table = compact_summary(pd.DataFrame(rows, columns=columns), ("dice", "hd", "assd"))
    assert table.to_dict("records") == [
        {"group": "all", "structure": "LV", "n": 4, "dice": "0.900 ± 0.050", "hd (mm)": "5.0 ± 1.0 (n = 3)"}
    ]
