"""The folder of a Hugging Face repository: what its card says, and weights that are the model's."""

import pytest

from cmrseg.problems import DataError
from cmrseg.publishing.hugging_face import export_hugging_face, front_matter
from cmrseg.zoo.manifest import get_entry, resolve
from cmrseg.zoo.model_file import read_spec

yaml = pytest.importorskip("yaml")
NAME = "light2d_hybrid_acdc_s3"


def told(text: str) -> dict:
    """The YAML between the first two lines of dashes."""
    _, head, _ = text.split("---\n", 2)
    return yaml.safe_load(head)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export_hugging_face(NAME, tmp_path_factory.mktemp("hf") / "repository")


def test_the_card_tells_licence_data_and_results(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    meta = told(text)
    assert meta["license"] == "cc-by-nc-sa-4.0"
    assert meta["datasets"] == ["acdc"]
    assert meta["metrics"] == ["dice"]
    (index,) = meta["model-index"]
    (result,) = index["results"]
    assert result["dataset"] == {"type": "acdc", "name": "ACDC, 10 validation and 10 test patients"}
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert values == {f"Dice {s}": value for s, value in get_entry(NAME).dice.items()}
    assert "# light2d_hybrid_acdc_s3" in text
    assert "Research use only" in text
    assert "--model model.safetensors" in text


def test_the_weights_are_those_of_the_model_and_load_by_their_file(folder):
    assert resolve(folder / "model.safetensors").sha256 == resolve(NAME).sha256
    assert read_spec(folder / "model.safetensors").name == NAME


def test_a_model_outside_the_zoo_has_a_card_too(folder, tmp_path):
    again = export_hugging_face(str(folder / "model.safetensors"), tmp_path / "again")
    meta = told((again / "README.md").read_text(encoding="utf-8"))
    assert "model-index" not in meta  # nothing was measured
    assert meta["license"] == "cc-by-nc-sa-4.0"


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC0", {"license": "cc0-1.0"}),
        ("MIT", {"license": "mit"}),
        ("Our own: terms", {"license": "other", "license_name": "Our own: terms", "license_link": "LICENSE"}),
    ],
)
def test_licences_are_named_as_they_name_them(licence, expected):
    found = told(front_matter("none", "# Card", licence) + "\n")
    assert {key: found.get(key) for key in expected} == expected


def test_a_folder_that_is_there_is_kept(folder):
    with pytest.raises(DataError, match="is there already"):
        export_hugging_face(NAME, folder)
