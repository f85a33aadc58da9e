"""`cmrseg study table` on the command line."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from cmrseg.cli import app
from cmrseg.training.options import TrainOptions


def test_what_is_typed_is_what_is_compared(tmp_path, monkeypatch):
    told = []

    def table(data, out, setup, *, listener):
        told.append((data, out, setup))
        raise ValueError("enough")

    monkeypatch.setattr("cmrseg.workflows.experiments.table", table)
    words = ["study", "table", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    words += ["--models", "light2d_hybrid_acdc_s3", "--recipes", "light3d_CE_x_s3,light3d_logDICE_x_s3"]
    with pytest.raises(ValueError, match="enough"):
        CliRunner().invoke(
            app, [*words, "--class-weights", "LV=2", "--split", "test"], catch_exceptions=False
        )
    ((data, out, setup),) = told
    assert (data, out) == (tmp_path, tmp_path / "out")
    assert [str(model) for model in setup.models] == ["light2d_hybrid_acdc_s3"]
    assert setup.recipes == ("light3d_CE_x_s3", "light3d_logDICE_x_s3")
    assert (setup.splits, setup.options) == (("test",), TrainOptions(class_weights={"LV": 2.0}))


def test_nothing_to_compare_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="name models or recipes to compare"):
        CliRunner().invoke(app, ["study", "table", "--data", str(tmp_path)], catch_exceptions=False)
