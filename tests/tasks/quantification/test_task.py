"""Loss, scores and answers of quantification."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from cmrseg.cine import Cine
from cmrseg.cli import app
from cmrseg.data.catalog import read_catalog
from cmrseg.metrics.indices import INDICES
from cmrseg.models.defaults import Stage
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.tasks import get_task
from cmrseg.tasks.options import Options
from cmrseg.tasks.quantification.crops import crop_of, field_of, four_crops
from cmrseg.tasks.quantification.scale import powers, ranges
from cmrseg.tasks.quantification.truth import true_indices
from cmrseg.training.config import train_config
from cmrseg.training.fit import train
from cmrseg.zoo.model_file import read_spec
from tests.training.conftest import write_disks

JOINT = get_task("quantification-joint")


def test_names_and_order_are_those_of_the_challenge():
    assert JOINT.labels(("BACKGROUND", "LV")) == (
        "cavity_area_mm2", "myocardium_area_mm2", "dim1_mm", "dim2_mm", "dim3_mm",
        "rwt1_mm", "rwt2_mm", "rwt3_mm", "rwt4_mm", "rwt5_mm", "rwt6_mm", "phase",
    )  # fmt: skip
    assert [get_task(name).outputs(get_task(name).labels(())) for name in (
        "quantification", "quantification-joint", "phase"
    )] == [11, 13, 2]  # fmt: skip


def test_other_names_are_refused():
    with pytest.raises(ValueError, match=r"answers cavity_area_mm2.*, got dim1_mm"):
        get_task("quantification").check_labels(("dim1_mm",))


def test_areas_grow_with_the_square_and_lengths_with_the_length():
    assert powers((*INDICES, "phase")).tolist() == [2, 2] + [1] * 9 + [0]


def test_loss_is_squared_error_and_a_twentieth_of_the_entropy():
    outputs = torch.zeros(2, 13)
    targets = torch.tensor(np.tile(np.append(ranges(INDICES), 1), (2, 1)))
    loss = JOINT.loss("MSE")(outputs, targets.float())
    assert loss.item() == pytest.approx(1 + 0.05 * math.log(2))


def test_the_phase_alone_is_learnt_by_its_entropy():
    loss = get_task("phase").loss("CE")
    assert loss(torch.zeros(3, 2), torch.ones(3, 1)).item() == pytest.approx(math.log(2))


def test_unknown_numbers_cost_nothing():
    outputs = torch.rand(1, 13, requires_grad=True)
    targets = torch.full((1, 12), math.nan)
    loss = JOINT.loss("MSE")(outputs, targets)
    loss.backward()
    assert loss.item() == 0
    assert outputs.grad.abs().sum() == 0


def test_a_mask_adds_a_tenth_of_its_entropy():
    outputs = torch.zeros(2, 13), torch.zeros(2, 4, 8, 8)
    targets = torch.tensor(np.tile(np.append(ranges(INDICES), 1), (2, 1))).float()
    masks = torch.randint(0, 4, (2, 8, 8))
    loss = JOINT.loss("MSE")
    without = loss(outputs[0], targets, masks).item()
    assert loss(outputs, targets, masks).item() == pytest.approx(without + 0.1 * math.log(4))


@pytest.mark.parametrize(("task", "loss"), [("quantification", "CE"), ("phase", "MSE")])
def test_another_loss_is_refused(task, loss):
    with pytest.raises(ValueError, match=f"{task} is learnt with the loss .*, got {loss}"):
        get_task(task).loss(loss)


def test_outputs_become_mm_and_the_probability_of_systole():
    outputs = torch.full((1, 13), 0.5)
    outputs[0, -1] += math.log(3)
    answers = JOINT.activation()(outputs)[0]
    assert answers[:11].tolist() == pytest.approx((ranges(INDICES) / 2).tolist())
    assert answers[11].item() == pytest.approx(0.75)


def test_the_smaller_error_is_the_better_epoch():
    row = {"mae_areas_mm2": 100.0, "mae_dimensions_mm": 2.0, "mae_thicknesses_mm": 1.0}
    worse = {**row, "mae_areas_mm2": 200.0}
    assert JOINT.score(row) > JOINT.score(worse) > JOINT.score({**worse, "phase_error_percent": 10.0})
    assert get_task("phase").score({"phase_error_percent": 10.0}) == pytest.approx(-0.1)


def test_parts_are_the_corners_of_the_middle():
    assert field_of(224) == 300
    boxes = four_crops((320, 310), 224)
    assert [(rows.start, columns.start) for rows, columns in boxes] == [(10, 5), (10, 81), (86, 5), (86, 81)]
    assert {rows.stop - rows.start for rows, _ in boxes} == {224}


@pytest.mark.parametrize("size", range(32, 513, 32))
def test_the_size_of_parts_is_told_by_the_images_that_are_stored(size):
    field = math.ceil(size * 300 / 224 / 32) * 32
    assert crop_of(field) == size


def test_an_answer_is_the_mean_of_four_parts():
    spec = SimpleNamespace(
        preprocessing=Preprocessing(pixel_mm=1.0, size=64, rgb=True, grey="slice_percentiles"), dims=2,
        flips=((), (-1,)),
    )  # fmt: skip
    seen = []

    def outputs(images):
        seen.append(images.shape)
        return np.full((len(images), 12), float(len(seen)))

    network = SimpleNamespace(spec=spec, outputs=outputs, workers=1)
    cine = Cine(np.random.default_rng(0).random((50, 60, 2, 3)).astype(np.float32), (1.0, 1.0, 8.0))
    answer = JOINT.answer(cine, network, Options(batch_size=6))
    assert seen == [(6, 3, 64, 64)] * 4
    assert answer.shape == (3, 2, 12)
    assert (answer == 2.5).all()


@pytest.mark.parametrize("augmentation", ["s1", "s3"])
def test_an_augmentation_that_leaves_numbers_alone_is_refused(augmentation):
    with pytest.raises(ValueError, match=f"{augmentation} changes sizes .* sq11-2D learns; use s5"):
        train_config(f"sq11-2D_MSE_acdc_{augmentation}")


def test_preprocessing_is_that_of_the_paper():
    spec = train_config("dn121-2D_MSE_lvquan_s5").preprocessing
    assert (spec.pixel_mm, spec.size, spec.grey) == (1.0, 224, "slice_percentiles")
    assert (spec.low_percentile, spec.high_percentile) == (1.0, 99.0)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["sq11-2D", "sq11-2D-SR"])
def test_from_masks_to_a_table_of_indices(tmp_path, network):
    data, out = write_disks(tmp_path / "disks"), tmp_path / "run"
    told = CliRunner().invoke(
        app, ["train", f"{network}_MSE_disks_s5_64", "--data", str(data), "--out", str(out), "--random",
              "--epochs", "1"]
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "mae_areas_mm2" in told.output
    history = pd.read_csv(out / "history.csv")
    assert history["mae_dimensions_mm"].notna().all()
    assert read_spec(out / "model.safetensors").labels == INDICES
    model = str(out / "model.safetensors")
    told = CliRunner().invoke(app, ["predict", str(data), str(tmp_path / "answers"), "--model", model])
    assert told.exit_code == 0, told.output
    table = pd.read_csv(tmp_path / "answers" / "indices.csv")
    assert list(table) == ["study", "frame", "slice", *INDICES]
    assert not (tmp_path / "answers" / "report.html").exists()  # single frames have no curves
    assert len(table) == 4 * 2


@pytest.fixture
def table_only(tmp_path):
    """Disks with a table of indices, but for the last slice of the first subject, and without masks."""
    data = write_disks(tmp_path / "disks")
    indices, _ = true_indices(read_catalog(data))
    indices.iloc[1:].assign(phase="systole").to_csv(data / "indices.csv", index=False)
    for mask in data.glob("*/truth.nii.gz"):
        mask.unlink()
    catalog = pd.read_csv(data / "catalog.csv")
    catalog.drop(columns="mask").to_csv(data / "catalog.csv", index=False)
    return data


def test_a_table_of_indices_is_enough_to_train_evaluate_and_search(tmp_path, table_only):
    run, out = CliRunner().invoke, tmp_path / "run"
    recipe, options = "sq11-2D_MSE_disks_s5_64", ["--random", "--epochs", "1"]
    told = run(app, ["train", recipe, "--data", str(table_only), "--out", str(out), *options])
    assert told.exit_code == 0, told.output
    assert "1 image(s) of which the table tells no number" in " ".join(told.output.split())
    assert pd.read_csv(out / "history.csv")["mae_areas_mm2"].notna().all()
    assert len(pd.read_csv(out / "validation" / "indices.csv")) == 2
    told = run(app, ["evaluate", "indices", str(out / "validation"), str(table_only), "--no-masks",
                     "--out", str(tmp_path / "compared")])  # fmt: skip
    assert told.exit_code == 0, told.output
    told = run(app, ["study", "search", "--data", str(table_only), "--recipes", recipe, "--by", "abs_error",
                     "--out", str(tmp_path / "search"), *options])  # fmt: skip
    assert told.exit_code == 0, told.output


def test_a_network_that_learns_masks_needs_them_beside_a_table(tmp_path, table_only):
    with pytest.raises(DataError, match="has a mask; training needs"):
        train(train_config("sq11-2D-SR_MSE_disks_s5_64"), table_only, tmp_path / "run")


def test_a_table_that_names_other_images_is_refused(tmp_path, table_only):
    table = pd.read_csv(table_only / "indices.csv")
    table.assign(frame=7).to_csv(table_only / "indices.csv", index=False)
    with pytest.raises(DataError, match="names none of the 8 images"):
        train(train_config("sq11-2D_MSE_disks_s5_64"), table_only, tmp_path / "run")


@pytest.mark.slow
def test_a_network_learns_the_size_of_disks(tmp_path):
    data = write_disks(tmp_path / "disks", splits=("train",) * 6 + ("val",))
    config = replace(
        train_config("sq11-2D_MSE_disks_s5_64"), start="random", schedule=(Stage(12, 3e-3),), bf16=False
    )
    history = pd.read_csv(train(config, data, tmp_path / "run").out / "history.csv")
    assert history["mae_areas_mm2"].iloc[-1] < history["mae_areas_mm2"].iloc[0] / 2


@pytest.mark.slow
def test_a_network_for_indices_is_fine_tuned(tmp_path):
    data, run = write_disks(tmp_path / "disks"), CliRunner().invoke
    base, out = tmp_path / "base", tmp_path / "tuned"
    told = run(
        app, ["train", "sq11-2D_MSE_disks_s5_64", "--data", str(data), "--out", str(base), "--random",
              "--epochs", "1"]
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    model = str(base / "model.safetensors")
    told = run(app, ["finetune", "--base", model, "--data", str(data), "--out", str(out), "--epochs", "1"])
    assert told.exit_code == 0, told.output
    assert read_spec(out / "model.safetensors").labels == INDICES
    assert (out / "validation" / "indices.csv").is_file()
    assert (out / "report.html").is_file()
