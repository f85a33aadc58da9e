"""The models by name; what ships with the package agrees with the manifest and with model_zoo/."""

import hashlib
import json
import tomllib
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo import manifest
from cmrseg.zoo.manifest import DEFAULT_MODEL, get_entry, load_model, read_card, read_manifest
from cmrseg.zoo.model_file import ModelSpec, build_net, read_spec, save_model

PACKAGE_ZOO = Path(manifest.__file__).parent
MODEL_ZOO = Path(__file__).resolve().parents[2] / "model_zoo"
NAMES = [e["name"] for e in json.loads((PACKAGE_ZOO / "manifest.json").read_text())["models"]] if (
    PACKAGE_ZOO / "manifest.json"
).exists() else []  # fmt: skip
needs_manifest = pytest.mark.skipif(not NAMES, reason="cmrseg/zoo/manifest.json is not there yet")

SPEC = ModelSpec(
    name="light2d_CE_toy_s1",
    architecture="light2d",
    labels=("BACKGROUND", "LV"),
    preprocessing=Preprocessing(size=32),
    recipe="light2d_CE_toy_s1",
    arguments={"widths": [4, 8]},
)


def write_model(path):
    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_model(SPEC, build_net(SPEC).state_dict(), path)


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A zoo of one model."""
    file = write_model(tmp_path / "embedded" / "toy.safetensors")
    entry = {
        "name": SPEC.name,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "bytes": file.stat().st_size,
        "architecture": "light2d",
        "labels": list(SPEC.labels),
        "trained_on": "nothing",
        "licence": "CC0",
        "citation": "none",
        "preprocessing": {"size": 32},
        "recipe": SPEC.recipe,
        "dice": {"LV": 0.5},
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"models": [entry]}))
    (tmp_path / "embedded" / f"{SPEC.name}.md").write_text("# A toy")
    monkeypatch.setattr(manifest, "FOLDER", tmp_path)
    monkeypatch.setattr(manifest, "read_manifest", lambda: read_manifest(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("zoo")
def test_a_model_is_loaded_by_name():
    assert load_model(SPEC.name).spec == SPEC


@pytest.mark.usefixtures("zoo")
def test_an_unknown_name_tells_its_near_match():
    with pytest.raises(DataError, match="unknown model 'light2d_CE_toy_s2'; did you mean light2d_CE_toy_s1"):
        load_model("light2d_CE_toy_s2")


@pytest.mark.usefixtures("zoo")
def test_the_card_is_read_by_name():
    assert read_card(SPEC.name) == "# A toy"
    with pytest.raises(DataError, match="unknown model"):
        read_card("../toy")


@pytest.mark.usefixtures("zoo")
def test_an_entry_keeps_its_fields():
    assert (get_entry(SPEC.name).labels, get_entry(SPEC.name).dice) == (("BACKGROUND", "LV"), {"LV": 0.5})


def test_a_changed_embedded_file_is_refused(zoo):
    file = zoo / "embedded" / "toy.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DataError, match="damaged: sha256"):
        load_model(SPEC.name)


def test_a_missing_embedded_file_is_told(zoo):
    (zoo / "embedded" / "toy.safetensors").unlink()
    with pytest.raises(DataError, match="missing from this installation"):
        load_model(SPEC.name)


def test_a_model_is_loaded_from_its_file(tmp_path):
    assert load_model(str(write_model(tmp_path / "m.safetensors"))).spec == SPEC


def test_a_model_is_loaded_from_the_folder_of_its_run(tmp_path):
    write_model(tmp_path / "run" / "model.safetensors")
    assert load_model(tmp_path / "run").spec == SPEC


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.safetensors does not exist"):
        load_model(tmp_path / "nowhere.safetensors")


# What ships


@needs_manifest
def test_the_default_model_is_there():
    assert DEFAULT_MODEL in NAMES


@needs_manifest
def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@needs_manifest
def test_every_folder_of_the_model_zoo_is_in_the_manifest():
    if not MODEL_ZOO.is_dir():
        pytest.skip("model_zoo/ is not part of an installation")
    assert sorted(p.name for p in MODEL_ZOO.iterdir() if p.is_dir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_embedded_file_is_the_one_of_the_manifest(name):
    entry = read_manifest()[name]
    content = entry.path.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (entry.bytes, entry.sha256)


@pytest.mark.parametrize("name", NAMES)
def test_an_embedded_model_says_what_the_manifest_says(name):
    entry = read_manifest()[name]
    spec = read_spec(entry.path)
    assert (spec.name, spec.architecture, spec.labels) == (name, entry.architecture, entry.labels)
    assert (spec.licence, spec.recipe) == (entry.licence, entry.recipe)
    assert asdict(spec.preprocessing) == entry.preprocessing


@pytest.mark.parametrize("name", NAMES)
def test_an_embedded_model_can_be_used(name):
    model = load_model(name)
    size = model.spec.preprocessing.size
    with torch.inference_mode():
        logits = model.net(torch.zeros(1, model.spec.preprocessing.channels, size, size))
    assert logits.shape == (1, len(model.spec.labels), size, size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_card_and_recipe_of_the_model_zoo_agree_with_the_model(name):
    if not MODEL_ZOO.is_dir():
        pytest.skip("model_zoo/ is not part of an installation")
    from cmrseg.training.config import base_config

    spec = load_model(name).spec
    card = (MODEL_ZOO / name / "card.md").read_text(encoding="utf-8")
    assert card == read_card(name)
    assert name in card
    assert read_manifest()[name].licence in card
    file = MODEL_ZOO / name / "train.toml"
    tomllib.loads(file.read_text(encoding="utf-8"))
    config = base_config(spec.recipe, file=file)
    assert config.recipe == spec.recipe
    predicts_at = spec.preprocessing.pixel_mm  # may differ from the training's; the card says so
    assert replace(config.preprocessing, pixel_mm=predicts_at) == spec.preprocessing
    assert f"{predicts_at} mm" in card
    assert dict(config.arguments) == dict(spec.arguments)
