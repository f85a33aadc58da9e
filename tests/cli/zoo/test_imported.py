"""An imported model: its name in the list, in other commands, and what its file holds."""

import json
from dataclasses import replace

import pytest
import torch

from cmrseg.preprocess import Preprocessing
from cmrseg.zoo.archive import export_models
from cmrseg.zoo.domain import TrainingDomain, read_domain, with_domain, write_domain
from cmrseg.zoo.manifest import load_model, model_path
from cmrseg.zoo.model_file import ModelSpec, build_net, save_model
from tests.cli.conftest import assert_one_sentence

DOMAIN = TrainingDomain(
    "its 12 training subjects", 12, {"pixel_mm": (1.2, 1.4)}, (0.5,) * 19, (7.0,), ("SIEMENS",)
)
SPEC = ModelSpec(
    name="light2d_CE_mouse_s1",
    architecture="light2d",
    labels=("BACKGROUND", "LV"),
    preprocessing=Preprocessing(size=32, pixel_mm=1.3),
    recipe="light2d_CE_mouse_s1",
    arguments={"widths": [4, 8]},
    licence="CC BY 4.0",
    training={"base": "light2d_hybrid_acdc_s3", "subjects": 12},
)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))


def write_model(path, spec):
    return save_model(spec, build_net(spec).state_dict(), path)


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    return write_model(tmp_path / "run" / "model.safetensors", with_domain(SPEC, DOMAIN))


@pytest.fixture(params=["archive", "file"])
def imported(tmp_path, cmrseg, model, request):
    """Its name, after an import of either kind; the file that it came from is gone."""
    source = tmp_path / "models.zip"
    if request.param == "archive":
        export_models([model], source)
    else:
        source = model
    code, said, complaint = cmrseg("zoo", "import", source)
    assert (code, complaint) == (0, "")
    assert f"--model {SPEC.name}" in said.replace("\n", " ")
    source.unlink()
    return SPEC.name


def test_an_imported_model_is_known_by_its_name(cmrseg, imported):
    _, said, _ = cmrseg("zoo", "list")
    assert f"{imported}: imported, licence CC BY 4.0" in said
    assert load_model(imported).spec.recipe == SPEC.recipe
    assert read_domain(model_path(imported)) == DOMAIN
    assert_one_sentence(cmrseg("zoo", "show", "light2d_CE_mouse"), f"did you mean {imported}")


def test_a_file_shows_what_it_holds(cmrseg, model):
    _, said, _ = cmrseg("zoo", "show", model)
    said = " ".join(said.split())
    for words in (
        "12 training subjects",
        "SIEMENS, 7 T",
        "CC BY 4.0",
        "base: light2d_hybrid_acdc_s3",
        "BACKGROUND, LV",
    ):
        assert words in said
    for words in ("recipe: light2d_CE_mouse_s1", "pixel mm 1.3", "pixels 1.2 to 1.4 mm", "sha256"):
        assert words in said


def test_a_file_that_says_nothing_of_its_data_is_told(cmrseg, tmp_path):
    path = write_model(tmp_path / "model.safetensors", SPEC)
    assert "no report is green" in " ".join(cmrseg("zoo", "show", path)[1].split())


def test_a_damaged_import_does_not_hide_the_others(cmrseg, imported):
    model_path(imported).write_bytes(b"half")
    code, said, _ = cmrseg("zoo", "list")
    assert code == 0
    assert "no readable model file" in said
    assert "light2d_hybrid_acdc_s3" in said


def test_the_list_for_programs_holds_imported_and_damaged_models_too(cmrseg, imported):
    def listed() -> dict:
        return {told["name"]: told for told in json.loads(cmrseg("zoo", "list", "--json")[1])}

    told = listed()
    assert told["light2d_hybrid_acdc_s3"]["where"] == "embedded"
    assert told["light2d_hybrid_acdc_s3"]["dice"]["LV"] > 0.9
    (name,) = (name for name, model in told.items() if model["where"] == "imported")
    assert told[name]["labels"][:2] == ["BACKGROUND", "LV"]
    model_path(imported).write_bytes(b"half")
    assert "no readable model file" in listed()[name]["error"]


def test_a_domain_beside_an_older_model_travels_and_must_be_its_own(cmrseg, tmp_path):
    path = write_model(tmp_path / "model.safetensors", SPEC)
    write_domain(DOMAIN, path)
    export_models([path], tmp_path / "models.zip")
    assert cmrseg("zoo", "import", tmp_path / "models.zip")[0] == 0
    assert read_domain(model_path(SPEC.name)) == DOMAIN
    write_model(path, replace(SPEC, licence="other"))
    assert_one_sentence(cmrseg("zoo", "export", path, "--out", tmp_path / "m.zip"), "is of another model")
