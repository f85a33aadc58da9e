"""The command: exit codes, and one clear sentence for everything that a user can mend."""

import errno
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from cmrseg.cine import Cine
from cmrseg.io.images import save_image, save_mask
from cmrseg.preprocess import Preprocessing
from cmrseg.zoo import manifest
from cmrseg.zoo.model_file import FORMAT_VERSION, ModelSpec, build_net, save_model
from tests.cli.conftest import assert_one_sentence

SPEC = ModelSpec(
    name="light2d_CE_toy_s1",
    architecture="light2d",
    labels=("BACKGROUND", "LV", "MYO", "RV"),
    preprocessing=Preprocessing(size=32),
    recipe="light2d_CE_toy_s1",
    arguments={"widths": [4, 8]},
)


def write_data(folder, n=3, *, splits=("train", "train", "val"), masks=True):
    """Subjects with a ring, in cmrseg's own layout."""
    x, y = np.ogrid[:32, :32]
    r = np.hypot(x - 15, y - 16)
    mask = np.where(r <= 5, 1, np.where(r <= 8, 2, 0)).astype(np.uint8)
    mask[np.hypot(x - 27, y - 16) <= 3] = 3
    mask = np.repeat(mask[:, :, None, None], 2, axis=2)
    rows = []
    for i in range(n):
        image = np.array([0.1, 1.0, 0.4, 0.8])[mask] + np.random.default_rng(i).normal(0, 0.02, mask.shape)
        save_image(Cine(image.astype(np.float32), (1.5, 1.5, 8.0)), folder / f"s{i}" / "sa.nii.gz")
        rows.append({"subject": f"s{i}", "image": f"s{i}/sa.nii.gz", "split": splits[i % len(splits)]})
        if masks:
            save_mask(Cine(mask, (1.5, 1.5, 8.0)), folder / f"s{i}" / "truth.nii.gz")
            rows[-1]["mask"] = f"s{i}/truth.nii.gz"
    pd.DataFrame(rows).to_csv(folder / "catalog.csv", index=False)
    return folder


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    return save_model(SPEC, build_net(SPEC).state_dict(), tmp_path / "toy.safetensors")


@pytest.fixture
def zoo(tmp_path, model, monkeypatch):
    """A zoo of one embedded model."""
    entry = manifest.Entry(
        **{
            **dict.fromkeys((f for f in manifest.Entry.__dataclass_fields__), "-"),
            "name": SPEC.name,
            "file": model.name,
            "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
            "bytes": 1234,
            "labels": SPEC.labels,
            "dice": {"LV": 0.5},
        }
    )
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / model.name).write_bytes(model.read_bytes())
    (tmp_path / "embedded" / f"{SPEC.name}.md").write_text("# The toy\n\nKnows nothing.")
    monkeypatch.setattr("cmrseg.zoo.entry.FOLDER", tmp_path)
    monkeypatch.setattr(manifest, "read_manifest", lambda: {SPEC.name: entry})


# The data


@pytest.mark.parametrize("command", ["predict", "train", "evaluate"])
def test_a_missing_folder_is_named(cmrseg, tmp_path, model, command):
    nowhere, out = tmp_path / "nowhere", tmp_path / "out"
    arguments = {
        "predict": ("predict", nowhere, out, "--model", model),
        "train": ("train", "light2d_CE_x_s1", "--data", nowhere, "--out", out),
        "evaluate": ("evaluate", "masks", nowhere, nowhere, "--out", out),
    }[command]
    assert_one_sentence(cmrseg(*arguments), nowhere, "does not exist")


def test_an_empty_folder_is_named(cmrseg, tmp_path, model):
    (tmp_path / "empty").mkdir()
    assert_one_sentence(cmrseg("predict", tmp_path / "empty", tmp_path / "out", "--model", model), "empty")


def test_a_folder_of_something_else_is_told(cmrseg, tmp_path, model):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").touch()
    result = cmrseg("predict", tmp_path / "in", tmp_path / "out", "--model", model)
    assert_one_sentence(result, "no known data layout", "ACDC")


def test_training_without_masks_is_refused(cmrseg, tmp_path):
    data = write_data(tmp_path / "data", masks=False)
    result = cmrseg("train", "light2d_CE_x_s1", "--data", data, "--out", tmp_path / "out")
    assert_one_sentence(result, "mask", data)


def test_an_unknown_label_scheme_tells_its_near_match(cmrseg, tmp_path, data):
    arguments = ("train", "light2d_CE_x_s1", "--data", data, "--out", tmp_path / "out", "--labels", "acdcc")
    assert_one_sentence(cmrseg(*arguments), "did you mean acdc?")


def test_a_split_that_is_not_there_is_told(cmrseg, tmp_path, data, model):
    result = cmrseg("predict", data, tmp_path / "out", "--model", model, "--split", "holdout")
    assert_one_sentence(result, "holdout", "train, val")


def test_evaluating_nothing_is_told(cmrseg, tmp_path, data):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "x").touch()
    result = cmrseg("evaluate", "masks", tmp_path / "p", data, "--out", tmp_path / "out")
    assert_one_sentence(result, "holds no prediction")


# The model


@pytest.mark.usefixtures("zoo")
def test_an_unknown_model_tells_its_near_match(cmrseg, tmp_path, data):
    result = cmrseg("predict", data, tmp_path / "out", "--model", "light2d_CE_toy_s2")
    assert_one_sentence(result, "unknown model 'light2d_CE_toy_s2'", f"did you mean {SPEC.name}?")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("r35_CE_p5_s2", "unknown architecture 'r35'"),
        ("r34_CEE_p5_s2", "unknown loss 'CEE'; did you mean CE"),
        ("r34_CE_p5_s7", "unknown augmentation 's7'"),
        ("r34", "has 1 parts"),
    ],
)
def test_an_unknown_part_of_a_recipe_is_told(cmrseg, tmp_path, data, name, hint):
    assert_one_sentence(cmrseg("train", name, "--data", data, "--out", tmp_path / "out"), hint)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["predict", "finetune"])
def test_a_truncated_model_is_told(cmrseg, tmp_path, data, model, command):
    model.write_bytes(model.read_bytes()[:-500])
    arguments = {
        "predict": ("predict", data, tmp_path / "out", "--model", model),
        "finetune": ("finetune", "--base", model, "--data", data, "--out", tmp_path / "out"),
    }[command]
    assert_one_sentence(cmrseg(*arguments), model, "no readable model file")


def test_a_model_of_a_newer_version_asks_for_an_update(cmrseg, tmp_path, data, model, monkeypatch):
    monkeypatch.setattr("cmrseg.zoo.model_file.FORMAT_VERSION", FORMAT_VERSION + 1)
    save_model(SPEC, build_net(SPEC).state_dict(), model)
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", [])
    assert_one_sentence(cmrseg("predict", data, tmp_path / "out", "--model", model), model, "update cmrseg")


def test_a_wrong_setting_in_a_file_is_told(cmrseg, tmp_path, data):
    (tmp_path / "train.toml").write_text("epochs = 3")
    arguments = ("train", "light2d_CE_x_s1", "--data", data, "--out", tmp_path / "out")
    assert_one_sentence(cmrseg(*arguments, "--config", tmp_path / "train.toml"), "unknown setting 'epochs'")


# The disk


def test_a_file_in_place_of_the_folder_is_told(cmrseg, tmp_path, data, model):
    (tmp_path / "file").touch()
    result = cmrseg("predict", data, tmp_path / "file" / "out", "--model", model)
    assert_one_sentence(result, tmp_path / "file", "check the path and its permissions")


def test_a_folder_that_may_not_be_written_is_told(cmrseg, tmp_path, data, model, monkeypatch):
    def refuse(source, target):
        raise PermissionError(errno.EACCES, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    result = cmrseg("predict", data, tmp_path / "out", "--model", model)
    assert_one_sentence(result, "cannot be opened or written; check the path")


@pytest.fixture
def full_disk(data, model, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cmrseg.io.images.write_nifti", refuse)
    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_while_predicting_is_told(cmrseg, tmp_path, data, model):
    result = cmrseg("predict", data, tmp_path / "out", "--model", model)
    assert_one_sentence(result, "no space left on the disk", "run the command again")
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def tiny_training(folder, data, *more):
    (folder / "train.toml").write_text(
        "batch_size = 2\nbf16 = false\narguments = {widths = [4, 8]}\npreprocessing = {size = 32}\n"
    )
    arguments = ("--data", data, "--out", folder / "out", "--config", folder / "train.toml", "--epochs", 1)
    return ("train", "light2d_CE_rings_s1", *arguments, *more)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_while_training_is_told_and_leaves_no_half_file(cmrseg, tmp_path, data):
    assert_one_sentence(
        cmrseg(*tiny_training(tmp_path, data)), "no space left on the disk", "run the command again"
    )
    assert not list((tmp_path / "out").glob("*.safetensors"))
    assert not list((tmp_path / "out").glob(".*part*"))


# What works


def test_some_studies_failing_is_exit_code_1_and_the_rest_is_done(cmrseg, tmp_path, data, model):
    (data / "s1" / "sa.nii.gz").write_bytes(b"no image")
    code, _, complaint = cmrseg("predict", data, tmp_path / "out", "--model", model)
    assert code == 1
    assert "1 problem(s), listed in" in complaint
    assert pd.read_csv(tmp_path / "out" / "problems.tsv", sep="\t")["study"].tolist() == ["s1"]
    assert pd.read_csv(tmp_path / "out" / "summary.csv")["study"].tolist() == ["s0", "s2"]


def test_prediction_and_evaluation_succeed(cmrseg, tmp_path, data, model):
    code, said, _ = cmrseg("predict", data, tmp_path / "out", "--model", model, "--fast")
    assert code == 0
    assert "masks and tables of 3 studies" in said
    code, _, _ = cmrseg("evaluate", "masks", tmp_path / "out", data, "--out", tmp_path / "scores")
    assert code == 0
    metrics = pd.read_csv(tmp_path / "scores" / "metrics.csv")
    assert list(metrics.columns) == ["subject", "frame", "structure", "metric", "value", "unit"]


def assert_verdict(out, base, said):
    """Which model to use is said, in the report too, and both are there; the table holds its subjects."""
    table = pd.read_csv(out / "verdict.csv")
    assert list(table.columns) == ["on", "subject", "before", "after", "change"]
    assert set(table["on"]) == {"validation", "data"}
    assert "the fine-tuned model:" in said or "Keep the base" in said
    assert "This is no proof: fewer than 10 subjects, and these subjects chose the epoch." in said
    assert "This is no proof: fewer than 10 subjects" in (out / "report.html").read_text()
    assert (out / "base.safetensors").read_bytes() == base.read_bytes()


@pytest.mark.slow
def test_training_and_fine_tuning_leave_what_the_contract_says(cmrseg, tmp_path, data):
    code, said, complaint = cmrseg(*tiny_training(tmp_path, data))
    assert (code, complaint) == (0, "")
    assert "model.safetensors" in said
    base = tmp_path / "out" / "model.safetensors"
    tuned = tmp_path / "tuned"
    code, said, complaint = cmrseg(
        "finetune", "--base", base, "--data", data, "--out", tuned, "--epochs", 2, "--also-on", data
    )
    assert (code, complaint) == (0, "")
    assert_verdict(tuned, base, said)
    for folder in (tmp_path / "out", tuned):
        names = {p.name for p in folder.iterdir()}
        assert {
            "model.safetensors",
            "model_domain.json",
            "history.csv",
            "config.json",
            "report.html",
        } <= names
    assert json.loads((tuned / "config.json").read_text())["run"]["base"] == str(base)
    assert_one_sentence(cmrseg(*tiny_training(tmp_path, data)), "already holds a run", "--resume")
    assert cmrseg(*tiny_training(tmp_path, data, "--resume"))[0] == 0


def test_ctrl_c_says_how_to_go_on(cmrseg, tmp_path, data, model, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cmrseg.predict.predict", interrupt)
    code, _, complaint = cmrseg("predict", data, tmp_path / "out", "--model", model)
    assert code == 130
    assert "--resume" in complaint


def test_debugging_shows_the_traceback(cmrseg, tmp_path, model, monkeypatch):
    monkeypatch.setenv("CMRSEG_DEBUG", "1")
    with pytest.raises(ValueError, match="does not exist"):
        cmrseg("predict", tmp_path / "nowhere", tmp_path / "out", "--model", model)


@pytest.mark.usefixtures("zoo")
def test_the_zoo_is_listed_and_shown(cmrseg):
    code, said, _ = cmrseg("zoo", "list")
    assert code == 0
    assert SPEC.name in said
    code, said, _ = cmrseg("zoo", "show", SPEC.name)
    assert code == 0
    assert "Knows nothing." in said
    assert_one_sentence(cmrseg("zoo", "show", "light2d_CE_toy_s9"), "did you mean")


@pytest.mark.parametrize(
    "arguments", [("predict",), ("nonsense",), ("train", "--epochs", "0"), ("predict", "a", "b", "--colour")]
)
def test_wrong_usage_is_exit_code_2(cmrseg, arguments):
    code, _, complaint = cmrseg(*arguments)
    assert code == 2
    assert "Traceback" not in complaint


@pytest.mark.slow
def test_the_real_process_ends_with_the_exit_code(tmp_path):
    command = [sys.executable, "-m", "cmrseg", "train", "r34_CE_p5_s2", "--out", tmp_path / "out"]
    done = subprocess.run(
        [*command, "--data", tmp_path / "nowhere"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
