"""Models beside each other: what is paired, what is corrected, what is kept, once on small real models."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cmrseg.evaluation import Evaluation
from cmrseg.experiments import comparison, costs
from cmrseg.experiments.comparison import ComparisonSetup, compare, holm, name_arms, paired_tests
from cmrseg.experiments.comparison_report import comparison_report
from cmrseg.experiments.one_examination import measure
from cmrseg.models.device import peak_memory_mb
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo.manifest import resolve
from cmrseg.zoo.model_file import ModelSpec, build_net, save_model
from tests.training.conftest import write_disks

SPEC = ModelSpec(
    name="light2d_CE_x_s1",
    architecture="light2d",
    labels=("BACKGROUND", "LV", "MYO", "RV"),
    preprocessing=Preprocessing(size=32),
    recipe="light2d_CE_x_s1",
    arguments={"widths": [4, 8]},
)


def write_model(path, recipe):
    architecture = recipe.split("_")[0]
    spec = replace(SPEC, name=recipe, recipe=recipe, architecture=architecture, dims=int(architecture[-2]))
    return save_model(spec, build_net(spec).state_dict(), path)


def arm(name, architecture, loss):
    return SimpleNamespace(name=name, architecture=architecture, loss=loss)


def evaluation(values):
    """One subject a value of the LV at end-diastole."""
    names = [f"s{n}" for n in range(len(values))]
    metrics = pd.DataFrame(
        [(s, 0, "LV", "dice", v, "1") for s, v in zip(names, values, strict=True)],
        columns=["subject", "frame", "structure", "metric", "value", "unit"],
    )
    images = pd.DataFrame({"subject": names, "frame": 0, "phase": "ED"})
    return Evaluation(metrics, pd.DataFrame(), [], pd.DataFrame(), images)


def test_models_that_differ_in_one_thing_are_paired_and_no_others():
    arms = [arm("a", "light2d", "CE"), arm("b", "light2d", "logDICE"), arm("c", "light3d", "CE")]
    values = np.linspace(0.5, 0.8, 6)
    scores = {"a": evaluation(values), "b": evaluation(values + 0.1), "c": evaluation([*values[:5], np.nan])}
    table = paired_tests(arms, scores).set_index(["first", "second"])
    assert table["compared"].to_dict() == {("a", "b"): "loss", ("a", "c"): "architecture"}
    both = table.loc[("a", "b")]
    assert both["difference"] == pytest.approx(0.1)
    assert (both["low"], both["high"]) == pytest.approx((0.1, 0.1))
    assert both["p"] == pytest.approx(2 / 2**6)  # all six of one sign
    assert both["p_holm"] == pytest.approx(2 * 2 / 2**6)
    assert table.loc[("a", "c"), ["n", "p"]].tolist() == [5, 1.0]


def test_holm_multiplies_the_smallest_most_and_never_falls():
    corrected = holm(np.array([0.04, 0.01, np.nan, 0.03]))
    assert corrected[[0, 1, 3]].tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert np.isnan(corrected[2])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert len(holm(np.array([]))) == 0


def test_equal_names_give_way_to_those_of_run_and_file_and_a_model_named_twice_is_told(tmp_path):
    places = ("a.safetensors", "run/model.safetensors", "more/run/model.safetensors")
    models = [resolve(write_model(tmp_path / place, SPEC.recipe)) for place in places]
    assert [a.name for a in name_arms(models)] == ["a", "run", "run-2"]
    assert [a.name for a in name_arms(models[:1])] == ["light2d_CE_x_s1"]
    with pytest.raises(DataError, match="are the same model; name it once"):
        name_arms([models[0], models[0]])


def test_nothing_to_compare_is_told():
    with pytest.raises(ValueError, match="name models or recipes to compare"):
        ComparisonSetup()


@pytest.fixture
def quick(monkeypatch):
    """Costs without a process of their own; how often they were measured."""
    calls = []
    monkeypatch.setattr(
        costs,
        "_measured",
        lambda model, stack: (
            calls.append(stack) or {"examination_seconds": 1.0, "examination_memory_MB": 2.0}
        ),
    )
    return calls


def test_a_comparison_of_2d_and_3d_has_all_tables_and_goes_on(tmp_path, quick, monkeypatch):
    data = write_disks(tmp_path / "disks", splits=("train", "val", "test"), slices=3)
    rows = pd.read_csv(data / "catalog.csv").assign(phase="ED")
    rows.to_csv(data / "catalog.csv", index=False)
    two = write_model(tmp_path / "m2" / "model.safetensors", "light2d_CE_x_s1")
    three = write_model(tmp_path / "m3" / "model.safetensors", "light3d_CE_x_s1")
    pd.DataFrame({"subject": ["s0", "s1"], "split": ["train", "val"]}).to_csv(tmp_path / "m2" / "splits.csv")
    history = {"epoch": [1, 2], "images_seen": [6, 12], "seconds": [2.0, 3.0], "memory_mb": [100.0, 120.0]}
    pd.DataFrame(history).to_csv(tmp_path / "m2" / "history.csv", index=False)
    setup = ComparisonSetup((two, three))
    found = compare(data, tmp_path / "out", setup)
    assert found.which == "2 subjects of val, test"
    assert found.notes == ["1 of the subjects chose the epoch of light2d_CE_x_s1"]
    assert set(found.table()["pieces"]) == {"all", "heart"}
    cost = found.costs.set_index("model")
    assert cost.loc[
        "light2d_CE_x_s1", ["training_seconds", "training_memory_MB", "images_seen"]
    ].tolist() == [5, 120, 12]
    assert cost.loc["light3d_CE_x_s1", "parameters"] > cost.loc["light2d_CE_x_s1", "parameters"]
    assert quick == [((32, 32, 3), (1.5, 1.5, 8.0))] * 2
    assert set(found.tests()["compared"]) <= {"architecture"}
    report = comparison_report(found, {})
    assert {"table.csv", "tests.csv", "clinical.csv", "costs.csv", "poster_all.csv"} <= set(report.tables)
    assert [s.title for s in report.sections][-1] == "Best, median and worst volume"
    asked = []
    monkeypatch.setattr("cmrseg.tasks.segmentation.from_network.segment", lambda *a, **k: asked.append(a))
    again = compare(data, tmp_path / "out", setup)
    assert asked == []  # masks are kept
    assert len(quick) == 2  # and costs
    pd.testing.assert_frame_equal(again.table(), found.table())


def test_no_subject_in_the_splits_is_told(tmp_path):
    data = write_disks(tmp_path / "disks", splits=("train", "val"))
    model = write_model(tmp_path / "m.safetensors", SPEC.recipe)
    with pytest.raises(DataError, match="test"):
        compare(data, tmp_path / "out", ComparisonSetup((model,), splits=("test",)))


def test_recipes_are_trained_once(tmp_path, quick, monkeypatch):
    data, trained = write_disks(tmp_path / "disks"), []

    def train(config, data, out, *, resume, listener):
        trained.append((str(config.recipe), resume))
        write_model(out / "model.safetensors", str(config.recipe))
        (out / "config.json").write_text("{}")

    monkeypatch.setattr(comparison, "train", train)
    setup = ComparisonSetup(recipes=("light2d_CE_x_s1", "light2d_logDICE_x_s1"), splits=("val",))
    for _ in range(2):
        found = compare(data, tmp_path / "out", setup)
    recipes = ("light2d_CE_x_s1", "light2d_logDICE_x_s1")
    assert trained == [(recipe, goes_on) for goes_on in (False, True) for recipe in recipes]
    assert found.costs["loss"].tolist() == ["CE", "logDICE"]
    assert found.notes == [
        "no frame is known to be end-diastole or end-systole, so there is no table of them"
    ]


def test_one_stack_is_measured(tmp_path):
    model = write_model(tmp_path / "m.safetensors", "light3d_CE_x_s1")
    found = measure(model, (40, 32, 3), (1.5, 1.5, 8.0))
    assert found["examination_seconds"] > 0
    assert 50 < found["examination_memory_MB"] < 1e6
    assert json.dumps(found)


def test_memory_is_that_of_the_process_and_not_of_its_parent():
    held = np.ones(400 << 17)  # 400 MB in this process
    code = "from cmrseg.models.device import peak_memory_mb; print(peak_memory_mb())"
    alone = float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert alone < peak_memory_mb() - held.nbytes / 2**20 / 2
