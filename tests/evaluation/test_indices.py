"""Predicted indices against true ones: networks for indices beside masks."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cmrseg.cine import Cine
from cmrseg.cli import app
from cmrseg.evaluation.indices import MEAN, evaluate_indices, paper_table
from cmrseg.evaluation.indices_report import significance
from cmrseg.io.images import save_image, save_mask
from cmrseg.metrics.indices import INDICES
from cmrseg.problems import DataError

SUBJECTS = 8
SPACING = (2.0, 2.0, 8.0)


def ring(radius_mm):
    x = (np.arange(48) - 23.5) * SPACING[0]
    r = np.hypot(x[:, None], x[None])
    mask = np.where(r <= radius_mm, 1, np.where(r <= radius_mm + 8, 2, 0)).astype(np.uint8)
    mask[(np.hypot(x[:, None] + radius_mm + 16, x[None]) <= 10) & (mask == 0)] = 3
    return mask


@pytest.fixture
def data(tmp_path):
    """Subjects of three slices and two frames."""
    rng, rows = np.random.default_rng(0), []
    for number in range(SUBJECTS):
        name, large = f"s{number}", rng.uniform(18, 24)
        frames = [np.stack([ring(radius)] * 3, axis=2) for radius in (large, large - 5)]
        mask = np.stack(frames, axis=3)
        save_image(Cine(mask.astype(np.float32), SPACING), tmp_path / "data" / name / "sa.nii.gz")
        save_mask(Cine(mask, SPACING), tmp_path / "data" / name / "truth.nii.gz")
        rows.append({"subject": name, "image": f"{name}/sa.nii.gz", "mask": f"{name}/truth.nii.gz"})
    pd.DataFrame(rows).to_csv(tmp_path / "data" / "catalog.csv", index=False)
    return tmp_path / "data"


@pytest.fixture
def answered(data, tmp_path):
    """Writes the truth with an error, as a network would."""
    truth = evaluate_indices(data, {}).values

    def write(name, error):
        table = pd.DataFrame({"study": truth["subject"], "frame": truth["frame"], "slice": truth["slice"]})
        for index in INDICES:
            table[index] = truth[f"{index}_true"] + error
        table["phase"] = truth["phase_true"]
        (tmp_path / name).mkdir()
        table.to_csv(tmp_path / name / "indices.csv", index=False)
        return tmp_path / name

    return write


def masks_of(data, out, *, grown):
    """Predicted masks: the true cavity with pixels more around it, or just so."""
    for folder in data.glob("s*"):
        number = int(folder.name[1:])
        large = np.random.default_rng(0).uniform(18, 24, SUBJECTS)[number]
        frames = [np.stack([ring(radius + grown)] * 3, axis=2) for radius in (large, large - 5)]
        save_mask(Cine(np.stack(frames, axis=3), SPACING), out / folder.name / "seg.nii.gz")
    return out


def test_a_constant_error_is_found_and_tested(data, answered):
    rng = np.random.default_rng(1)
    found = evaluate_indices(data, {"a": answered("a", 2.0), "b": answered("b", rng.uniform(0, 1, 16))})
    errors = found.errors.set_index(["method", "name"])
    assert errors.loc[("a", "areas"), "mae"] == pytest.approx(2)
    assert errors.loc[("a", "dimensions"), "pcc"] == pytest.approx(1)
    assert errors.loc[("a", "phase"), "mae"] == 0
    tests = found.tests.set_index("group")
    assert tests.loc["areas", "difference"] == pytest.approx(errors.loc[("b", "areas"), "mae"] - 2)
    assert tests.loc["areas", "high"] < 0
    assert tests.loc["areas", "p_subjects"] == pytest.approx(2 / 2**SUBJECTS)
    assert tests.loc["areas", ["images", "subjects"]].tolist() == [16, SUBJECTS]
    assert "b is better in areas" in significance(found.tests)


def test_the_mean_of_the_truth_is_what_knowing_nothing_costs(data):
    values = evaluate_indices(data, {}).values
    assert set(values["method"]) == {MEAN}
    errors = evaluate_indices(data, {}).errors.set_index("name")
    cavity = values["cavity_area_mm2_true"]
    assert errors.loc["cavity_area_mm2", "mae"] == pytest.approx((cavity - cavity.mean()).abs().mean())


def test_masks_are_measured_where_the_truth_is_known(data, tmp_path):
    same = masks_of(data, tmp_path / "same", grown=0)
    wider = masks_of(data, tmp_path / "wider", grown=2)
    found = evaluate_indices(data, {"same": same, "wider": wider})
    errors = found.errors.set_index(["method", "name"])
    assert errors.loc[("same", "areas"), "mae"] == 0
    assert errors.loc[("same", "areas"), "n"] == 2 * SUBJECTS  # the middle of three slices
    assert errors.loc[("same", "phase"), "mae"] == 0
    assert errors.loc[("wider", "dimensions"), "mae"] == pytest.approx(4, abs=0.5)


def test_the_table_is_that_of_the_paper(data, answered):
    found = evaluate_indices(data, {"a": answered("a", 2.0)})
    table = paper_table(found.errors)
    assert table.iloc[0].tolist() == [
        "a", 16, "2 ± 0", "1.000", "2.00 ± 0.00", "1.000", "2.00 ± 0.00", table.iloc[0, 7], "0.0"
    ]  # fmt: skip


def test_a_method_that_answers_nothing_is_refused(data, tmp_path):
    row = {"study": ["x"], "frame": [0], "slice": [0], "dim1_mm": [1.0]}
    pd.DataFrame(row).to_csv(tmp_path / "indices.csv", index=False)
    with pytest.raises(DataError, match="answers none of the 16 images"):
        evaluate_indices(data, {"a": tmp_path})


def test_the_command_writes_tables_and_a_page(data, answered, tmp_path):
    masks, out = masks_of(data, tmp_path / "masks", grown=1), tmp_path / "out"
    told = CliRunner().invoke(
        app,
        ["evaluate", "indices", str(answered("a", 2.0)), str(data), "--also", str(masks), "--out", str(out)],
    )
    assert told.exit_code == 0, told.output
    assert {path.name for path in out.iterdir()} == {
        "errors.csv", "images.csv", "values.csv", "tests.csv", "figures", "report.html"
    }  # fmt: skip
    tests = pd.read_csv(out / "tests.csv")
    assert tests["second"].unique().tolist() == ["masks"]


@pytest.mark.slow
def test_masks_of_the_embedded_model_are_made_and_told_where_they_show_nothing(data, answered, tmp_path):
    for path in data.glob("*/sa.nii.gz"):
        save_image(Cine(np.zeros((48, 48, 3, 2), np.float32), SPACING), path)
    out = tmp_path / "out"
    told = CliRunner().invoke(
        app, ["evaluate", "indices", str(answered("a", 2.0)), str(data), "--out", str(out)]
    )
    assert told.exit_code == 1, told.output
    assert (out / "masks" / "s0" / "seg.nii.gz").is_file()
    problems = pd.read_csv(out / "problems.tsv", sep="\t")
    assert "answers none of the 16 images" in problems["extra_info"].item()
