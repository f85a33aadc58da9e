"""Putting a trained model into a zoo."""

import hashlib

import pandas as pd
import pytest
import torch

from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.publishing.add import add_model
from cmrseg.zoo.manifest import read_manifest
from cmrseg.zoo.model_file import ModelSpec, build_net, read_model, save_model

SPEC = ModelSpec(
    name="light2d_CE_toy_s1",
    architecture="light2d",
    labels=("BACKGROUND", "LV"),
    preprocessing=Preprocessing(size=32),
    recipe="light2d_CE_toy_s1",
    arguments={"widths": [4, 8]},
    licence="CC0",
)


@pytest.fixture
def parts(tmp_path):
    """Model file, card, evaluation and zoo folder."""
    torch.manual_seed(0)
    file = save_model(SPEC, build_net(SPEC).state_dict(), tmp_path / "run" / "model.safetensors")
    card = tmp_path / "card.md"
    card.write_text("# Toy\n<!-- results -->\nold\n<!-- /results -->\nEnd")
    row = {"group": "all", "structure": "LV", "metric": "dice", "mean": 0.91234, "sd": 0.01, "median": 0.92}
    (tmp_path / "eval").mkdir()
    pd.DataFrame([{**row, "iqr": 0.01, "n": 5, "unit": "1"}]).to_csv(tmp_path / "eval" / "summary.csv")
    return file, card, {"Toy test": tmp_path / "eval"}, tmp_path / "zoo"


def add(parts):
    file, card, evaluations, folder = parts
    return add_model(file, card, evaluations, trained_on="rings", citation="nobody", folder=folder)


def test_the_entry_describes_the_file_that_was_written(parts):
    entry = add(parts)
    content = (parts[3] / "embedded" / entry.file).read_bytes()
    assert (entry.sha256, entry.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert read_manifest(parts[3]) == {SPEC.name: entry}
    assert (entry.licence, entry.dice) == ("CC0", {"LV": 0.9123})


def test_the_embedded_model_is_the_trained_one(parts):
    entry = add(parts)
    model = read_model(parts[3] / "embedded" / entry.file)
    assert model.spec == SPEC
    original = read_model(parts[0]).net.state_dict()
    for key, tensor in model.net.state_dict().items():
        torch.testing.assert_close(tensor, original[key], rtol=1e-3, atol=1e-6)


def test_the_card_gets_the_measured_results_twice_the_same(parts):
    add(parts)
    add(parts)
    text = parts[1].read_text()
    assert text.count("| LV | dice | 0.912 | 0.010 | 0.920 | 5 | 1 |") == 1
    assert "old" not in text
    assert (parts[3] / "embedded" / f"{SPEC.name}.md").read_text() == text


def test_a_card_without_a_place_for_results_is_refused_before_anything_is_written(parts):
    parts[1].write_text("# Toy")
    with pytest.raises(DataError, match="has no block between"):
        add(parts)
    assert not parts[3].exists()


def test_an_evaluation_without_summary_is_refused(parts):
    (parts[2]["Toy test"] / "summary.csv").unlink()
    with pytest.raises(DataError, match=r"summary\.csv does not exist"):
        add(parts)
