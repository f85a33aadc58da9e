"""The models by name; what ships with the package agrees with the manifest and with model_zoo/."""

import hashlib
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo import manifest
from cmrseg.zoo.manifest import (
    DEFAULT_MODEL,
    get_entry,
    load_model,
    model_path,
    read_card,
    read_entry,
    read_manifest,
)
from cmrseg.zoo.model_file import ModelSpec, build_net, read_spec, save_model

PACKAGE_ZOO = Path(manifest.__file__).parent
MODEL_ZOO = Path(__file__).resolve().parents[2] / "model_zoo"
NAMES = [e["name"] for e in json.loads((PACKAGE_ZOO / "manifest.json").read_text())["models"]]
EMBEDDED = [name for name in NAMES if (PACKAGE_ZOO / "embedded" / f"{name}.safetensors").exists()]
PICKLE, BUNDLE = "r34_CE_p5_s2", "ventricular_short_axis_3label"

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
    monkeypatch.setattr("cmrseg.zoo.entry.FOLDER", tmp_path)
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


# Published elsewhere


@pytest.fixture
def published(zoo, monkeypatch):
    """The model of the zoo at an address that was never opened, with its file in the cache."""
    monkeypatch.setenv("CMRSEG_HOME", str(zoo / "home"))
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    models = json.loads((zoo / "manifest.json").read_text())
    models["models"][0] |= {"url": "https://models.invalid/toy.safetensors"}
    (zoo / "manifest.json").write_text(json.dumps(models))
    cached = zoo / "home" / "models" / SPEC.name / "toy.safetensors"
    cached.parent.mkdir(parents=True)
    (zoo / "embedded" / "toy.safetensors").rename(cached)
    (zoo / "embedded" / f"{SPEC.name}.md").unlink()
    return cached


def test_a_published_model_is_loaded_from_the_cache(published):
    assert load_model(SPEC.name).spec == SPEC
    assert (get_entry(SPEC.name).where, model_path(SPEC.name)) == ("cached", published)


def test_a_published_model_that_is_not_here_is_fetched_when_it_is_loaded(published):
    published.unlink()
    assert get_entry(SPEC.name).where == "remote"
    with pytest.raises(DataError, match=r"copy https://models\.invalid/toy\.safetensors to"):
        load_model(SPEC.name)


@pytest.mark.usefixtures("published")
def test_a_model_without_a_card_shows_what_the_manifest_says():
    assert "- **licence**: CC0" in read_card(SPEC.name)


def test_the_network_of_a_bundle_says_how_to_use_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path))
    with pytest.raises(DataError, match=f"`cmrseg zoo get {BUNDLE}`, then .*--teacher monai:FOLDER`"):
        load_model(BUNDLE)


def test_an_imported_pickle_goes_by_the_name_it_was_published_under(tmp_path, monkeypatch):
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path))
    pickle = tmp_path / "models" / PICKLE / get_entry(PICKLE).file
    write_model(pickle.with_suffix(".safetensors"))
    assert load_model(PICKLE).spec == SPEC


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../toy"},
        {"name": ".hidden"},
        {"file": "a/b.safetensors"},
        {"file": "C:toy"},
        {"sha256": "71815BBE"},
        {"bytes": 0},
        {"bytes": True},
        {"labels": ["LV", "BACKGROUND"]},
        {"labels": ["BACKGROUND", "LIVER"]},
        {"labels": ["BACKGROUND", []]},
        {"licence": " "},
        {"preprocessing": {"pixels": 1}},
        {"dice": {"LV": 1.2}},
        {"url": "http://models.invalid/toy"},
        {"doi": "10.1234/zenodo.7"},
        {"url": "https://models.invalid/toy", "doi": "10.5281/zenodo.7"},
        {"md5": "xyz"},
        {"format": "pickle"},
        {"shell": "true"},
    ],
    ids=str,
)
def test_an_entry_that_is_wrong_is_refused(zoo, change):
    entry = json.loads((zoo / "manifest.json").read_text())["models"][0]
    with pytest.raises(DataError, match=r"the entry .* of M"):
        read_entry(entry | change, "M")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"models": 1}'])
def test_a_damaged_manifest_is_told(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json.* is damaged"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("field", ["sha256", "licence", "citation", "recipe"])
def test_an_entry_lacks_nothing(zoo, field):
    entry = json.loads((zoo / "manifest.json").read_text())["models"][0]
    del entry[field]
    with pytest.raises(DataError, match=f"lacks {field}"):
        read_entry(entry, "M")


# What ships


def test_the_default_model_is_there():
    assert DEFAULT_MODEL in EMBEDDED


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


def test_every_folder_of_the_model_zoo_is_in_the_manifest():
    if not MODEL_ZOO.is_dir():
        pytest.skip("model_zoo/ is not part of an installation")
    assert {p.name for p in MODEL_ZOO.iterdir() if p.is_dir()} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_model_of_the_manifest_can_be_had(name):
    entry = read_manifest()[name]  # its fields are checked while they are read
    assert name in EMBEDDED or entry.url or entry.doi
    assert entry.where == "embedded" if name in EMBEDDED else "remote"


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_file_is_the_one_of_the_manifest(name):
    entry = read_manifest()[name]
    content = entry.path.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (entry.bytes, entry.sha256)


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_model_says_what_the_manifest_says(name):
    entry = read_manifest()[name]
    spec = read_spec(entry.path)
    assert (spec.name, spec.architecture, spec.labels) == (name, entry.architecture, entry.labels)
    assert (spec.licence, spec.recipe) == (entry.licence, entry.recipe)
    assert spec.preprocessing == Preprocessing(**entry.preprocessing)  # absent means the default


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_model_can_be_used(name):
    model = load_model(name)
    size = model.spec.preprocessing.size
    with torch.inference_mode():
        logits = model.net(torch.zeros(1, model.spec.preprocessing.channels, size, size))
    assert logits.shape == (1, len(model.spec.labels), size, size)
    assert logits.isfinite().all()


def test_the_card_of_the_papers_model_tells_which_weights_it_has():
    card = read_card(PICKLE)
    assert "3.78 ± 3.59" in card  # the paper's
    assert "3.99 ± 4.21" in card  # of what can be fetched
    assert "fastai-1 weights cannot be read" in card
    assert "not the paper's weights" in get_entry(PICKLE).trained_on
    if MODEL_ZOO.is_dir():
        assert card == (MODEL_ZOO / PICKLE / "card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EMBEDDED)
def test_card_and_recipe_of_the_model_zoo_agree_with_the_model(name):
    if not MODEL_ZOO.is_dir():
        pytest.skip("model_zoo/ is not part of an installation")
    from cmrseg.training.config import train_config
    from cmrseg.training.options import TrainOptions

    spec = load_model(name).spec
    card = (MODEL_ZOO / name / "card.md").read_text(encoding="utf-8")
    assert card == read_card(name)
    assert name in card
    assert read_manifest()[name].licence in card
    file = MODEL_ZOO / name / "train.toml"
    tomllib.loads(file.read_text(encoding="utf-8"))
    config = train_config(spec.recipe, TrainOptions(file))
    assert str(config.recipe) == spec.recipe
    predicts_at = spec.preprocessing.pixel_mm  # may differ from the training's; the card says so
    assert replace(config.preprocessing, pixel_mm=predicts_at) == spec.preprocessing
    assert f"{predicts_at} mm" in card
    assert dict(config.arguments) == dict(spec.arguments)
