"""`cmrseg evaluate robustness` and `evaluate masks --robustness` with the embedded model."""

from functools import partial

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import assert_one_sentence

TABLES = {"robustness.csv", "robustness_summary.csv", "robustness.md", "robustness.json"}


@pytest.fixture
def robustness(cmrseg):
    return partial(cmrseg, "evaluate", "robustness")


@pytest.fixture
def data(tmp_path):
    """Two subjects in M&Ms layout: a bright LV in dark muscle."""
    radius = np.hypot(*np.ogrid[-24:24, -24:24])
    truth = (radius < 16) * 2 - (radius < 10)
    image = np.select([truth == 1, truth == 2], [200, 40], 100)
    for subject in ("A1", "B2"):
        for phase in ("ED", "ES"):
            for suffix, plane in (("", image), ("_gt", truth)):
                stack = np.dstack([plane] * 2).astype(np.uint8)
                path = tmp_path / "data" / subject / f"{subject}_sa_{phase}{suffix}.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                nib.save(nib.Nifti1Image(stack, np.diag([2.0, 2.0, 8.0, 1.0])), path)
    return tmp_path / "data"


@pytest.mark.slow  # draws two figures
def test_a_sweep_writes_its_files_and_says_the_range(robustness, data, tmp_path):
    out = tmp_path / "out"
    code, said, _ = robustness(data, "--out", out, "--sweeps", "ghosting", "--subjects", 1)
    assert code == 0
    assert "Ghosting: " in said
    assert {path.name for path in out.iterdir()} == TABLES | {"report.html", "figures"}
    scores = pd.read_csv(out / "robustness.csv")
    assert (scores["subject"].nunique(), scores["level"].nunique()) == (1, 7)

    code, said, _ = robustness(data, "--out", out, "--sweeps", "ghosting", "--resume")
    assert code == 0
    assert pd.read_csv(out / "robustness.csv")["subject"].tolist()[: len(scores)] == ["A1"] * len(scores)


@pytest.mark.slow  # 58 levels and all figures
def test_masks_and_robustness_share_a_report(cmrseg, data, tmp_path):
    out = tmp_path / "out"
    assert cmrseg("predict", data, tmp_path / "masks", "--fast")[0] == 0
    code, _, _ = cmrseg(
        "evaluate", "masks", tmp_path / "masks", data, "--out", out, "--robustness", "light2d_hybrid_acdc_s3"
    )
    assert code == 0
    assert {"metrics.csv", "robustness.csv"} <= {path.name for path in out.iterdir()}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert -1 < page.index("Dice per volume") < page.index("Dice on distorted images")
    assert page.index("Dice on distorted images") > page.index("Examples")


def test_a_run_of_another_model_is_not_mixed_in(robustness, data, tmp_path):
    (tmp_path / "robustness.csv").write_text("sweep\n")
    (tmp_path / "robustness.json").write_text("{}")
    assert_one_sentence(robustness(data, "--out", tmp_path, "--resume"), "another model", "--resume")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sweeps", "rotate"], "did you mean rotation"),
        (["--split", "test"], "no images in split test"),
        (["--model", "light2d_hybrid"], "light2d_hybrid"),
    ],
)
def test_a_wrong_option_is_one_sentence(robustness, data, tmp_path, options, said):
    assert_one_sentence(robustness(data, "--out", tmp_path / "out", *options), said)


def test_a_folder_that_is_not_there_is_one_sentence(robustness, tmp_path):
    assert_one_sentence(robustness(tmp_path / "none", "--out", tmp_path / "out"), "does not exist")
