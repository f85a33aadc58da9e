"""From files of LVQuan to a network that answers indices and phase from three frames."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cmrseg.cli import app
from cmrseg.metrics.indices import INDICES
from cmrseg.zoo.model_file import read_spec
from tests.curation.lvquan import FRAMES, write_patient


@pytest.mark.slow
def test_files_of_lvquan_teach_a_network_that_sees_the_frames_beside(tmp_path):
    def run(*arguments):
        told = CliRunner().invoke(app, [str(each) for each in arguments])
        assert told.exit_code == 0, told.output

    (tmp_path / "source").mkdir()
    for number in (1, 2, 3):
        write_patient(tmp_path / "source" / f"patient{number}.mat", 64, 1.4)
    data, out, answers = (tmp_path / name for name in ("data", "run", "answers"))
    run("curate", tmp_path / "source", data)
    run("train", "sq11-2D-Joint_MSE_lvquan_s5_64", "--data", data, "--out", out, "--random", "--epochs", 1,
        "--neighbours-in", "time")  # fmt: skip
    how = read_spec(out / "model.safetensors").preprocessing
    assert (how.neighbours, how.neighbours_in) == (3, "time")
    assert np.isfinite(pd.read_csv(out / "history.csv")["phase_error_percent"]).all()
    run("predict", data, answers, "--model", out / "model.safetensors")
    table = pd.read_csv(answers / "indices.csv")
    assert list(table) == ["study", "frame", "slice", *INDICES, "phase"]
    assert len(table) == 3 * FRAMES
    page = (answers / "report.html").read_text()
    assert "Network and masks" in page
    assert "patient1" in page
    run("evaluate", "indices", answers, data, "--no-masks", "--out", tmp_path / "compared")
    errors = pd.read_csv(tmp_path / "compared" / "errors.csv")
    assert set(errors["name"]) >= {"areas", "dimensions", "thicknesses", "phase"}
