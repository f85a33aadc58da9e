"""The example of docs/how-to/add-a-network.md, as it stands there."""

import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cmrseg.cli import app
from cmrseg.data.catalog import load_volume_mask, read_catalog
from cmrseg.evaluation.numbers import evaluate_numbers
from cmrseg.experiments.search import SearchSetup, Step, search
from cmrseg.labels import Label
from cmrseg.losses import LOSSES
from cmrseg.models import ARCHITECTURES
from cmrseg.models.defaults import Stage
from cmrseg.predict import Options, predict, segmenter
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.tasks import TASKS, get_task
from cmrseg.training.config import train_config
from cmrseg.training.fit import train
from cmrseg.training.options import TrainOptions
from cmrseg.zoo.model_file import read_model
from cmrseg.zoo.onnx import export_onnx
from tests.training.conftest import write_disks

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-network.md"


@pytest.fixture
def example():
    """Both modules of the page; the registries are as before afterwards."""
    before = [(registry, dict(registry)) for registry in (LOSSES, TASKS, ARCHITECTURES)]
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, PAGE.name, "exec"), {"__name__": "example"})
    yield
    for registry, content in before:
        registry.clear()
        registry.update(content)


@pytest.mark.usefixtures("example")
def test_a_network_and_its_kind_of_answer_are_two_modules(tmp_path):
    data = write_disks(tmp_path / "disks", splits=("train",) * 6 + ("val",))
    settings = {"schedule": (Stage(20, 1e-2),), "preprocessing": Preprocessing(pixel_mm=1.5, size=32)}
    run = train(replace(train_config("area_MSE_disks_s1"), **settings), data, tmp_path / "run")
    history = pd.read_csv(run.out / "history.csv")
    errors = history[["area_error_LV", "area_error_MYO", "area_error_RV"]].mean(axis=1)
    assert errors.iloc[-1] < errors.iloc[0]
    model = read_model(run.model_file)
    assert (model.spec.task, model.spec.dims) == ("area", 2)
    assert model.spec.training["validation_score"] == pytest.approx(-errors.min(), abs=1e-4)
    _predicts(data, tmp_path / "areas", run.model_file)
    _is_evaluated(data, tmp_path / "areas", model)
    _is_exported(model, tmp_path)


def _predicts(data, out, model):
    """The model writes a row for every slice, from the command too."""
    run = predict(data, out, model=model, options=Options(flips=False))
    table = pd.read_csv(out / "areas.csv")
    assert list(table) == ["study", "frame", "slice", "LV", "MYO", "RV"]
    assert len(table) == 7 * 2
    assert run.problems == []
    assert table["LV"].between(0, 0.5).all()
    told = CliRunner().invoke(app, ["predict", str(data), str(out), "--model", str(model)])
    assert told.exit_code == 0, told.output
    assert "tables of 7 studies" in told.output
    with pytest.raises(DataError, match="gives no masks"):
        segmenter(model)


def _is_evaluated(data, out, model):
    """What is predicted is compared with what the contours give."""
    task, catalog = get_task("area"), read_catalog(data)
    metrics, problems = evaluate_numbers(out, catalog, task, model.spec.labels)
    assert problems == []
    assert set(metrics["structure"]) == {"LV", "MYO", "RV"}
    assert len(metrics) == 7 * 3
    table = pd.read_csv(out / "areas.csv")
    lv = table[(table["study"] == "s0")].sort_values("slice")["LV"].to_numpy()
    (study,) = (study for study in catalog.studies() if study[0].subject == "s0")
    truth = (load_volume_mask(*study).array[..., 0] == Label.LV).mean(axis=(0, 1))
    found = metrics[(metrics["subject"] == "s0") & (metrics["structure"] == "LV")]["value"].item()
    assert found == pytest.approx(np.abs(lv - truth).mean(), abs=1e-6)


def _is_exported(model, folder):
    """Other programs are told what the numbers are."""
    if not all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")):
        return
    from onnxruntime import InferenceSession

    done = export_onnx(model, folder / "area.onnx")
    session = InferenceSession(done.file, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["numbers"]
    assert "of every image: LV, MYO, RV" in done.card.read_text()


@pytest.mark.usefixtures("example")
def test_recipes_that_give_numbers_are_searched_by_their_error(tmp_path):
    data = write_disks(tmp_path / "disks", splits=("train",) * 3 + ("val",))
    steps = (Step("augmentation", ("s1", "s2")),)
    setup = SearchSetup(TrainOptions(epochs=2), by="abs_error")
    found = search(data, tmp_path / "out", start="area_MSE_disks_s1", steps=steps, setup=setup)
    assert set(found.table["metric"]) == {"abs_error"}
    best = found.table.loc[found.table["mean"].idxmin(), "recipe"]
    assert found.best == best
