"""Features of a heart whose size, contrast and noise are given, and the domain of the embedded model."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cmrseg.cine import Cine
from cmrseg.data.catalog import read_catalog
from cmrseg.io.images import save_image, save_mask
from cmrseg.labels import Label
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo.domain import (
    FEATURES,
    TrainingDomain,
    domain_path,
    grey_distance,
    measure_domain,
    read_domain,
    study_features,
    with_domain,
    write_domain,
)
from cmrseg.zoo.manifest import model_path
from cmrseg.zoo.model_file import ModelSpec, save_model

SPEC = ModelSpec("light2d_CE_toy_s3", "light2d", ("BACKGROUND", "LV"), Preprocessing(), "light2d_CE_toy_s3")
DOMAIN = TrainingDomain("two studies", 2, {"pixel_mm": (1.0, 2.0)}, tuple([0.5] * 19), (3.0,), ("SIEMENS",))


def heart(spacing=(1.5, 1.5, 8.0)):
    """Disc of blood (200) of 20 pixels in a wall (50) out to 26 on black and white stripes, noise of sd 4."""
    radius = np.hypot(*np.ogrid[-40:40, -40:40])
    plane = np.select([radius < 20, radius < 26], [Label.LV, Label.MYO], 0).astype(np.uint8)
    mask = np.repeat(plane[:, :, None, None], 5, axis=2)
    grey = np.where(mask == Label.LV, 200.0, np.where(mask == Label.MYO, 50.0, 0.0))
    grey[:4] = 250
    grey += np.random.default_rng(0).normal(0, 4, grey.shape)
    return Cine(grey.clip(min=0), spacing), Cine(mask, spacing)


def test_features_have_their_closed_form():
    found, grey = study_features(*heart(), [0])
    assert found["pixel_mm"] == pytest.approx(1.5)
    assert (found["slice_mm"], found["slices"], found["matrix"]) == (8, 5, 80)
    assert found["heart_mm"] == pytest.approx(2 * 26 * 1.5, rel=0.01)
    assert found["contrast"] == pytest.approx(75, abs=1)
    assert found["contrast_to_noise"] == pytest.approx(150 / 4, rel=0.1)
    assert grey.shape == (19,)
    assert np.all(np.diff(grey) >= 0)


def test_features_do_not_depend_on_the_grey_scale_or_on_what_is_around():
    image, mask = heart()
    brighter = image.with_array(7 * image.array + 1000)
    one, other = study_features(image, mask, [0])[0], study_features(brighter, mask, [0])[0]
    assert one == pytest.approx(other, rel=1e-3)


def test_lengths_are_unknown_without_a_spacing():
    found, _ = study_features(*heart((math.nan,) * 3), [0])
    assert {name for name, value in found.items() if math.isnan(value)} == {
        "pixel_mm",
        "slice_mm",
        "heart_mm",
    }


def test_distance_of_equal_grey_values_is_none():
    assert grey_distance(np.full(19, 0.5), DOMAIN) == 0
    assert grey_distance(np.full(19, 0.6), DOMAIN) == pytest.approx(10)


@pytest.fixture
def model(tmp_path):
    """A model file that says nothing of its training."""
    return save(tmp_path / "model.safetensors", SPEC)


def save(path, spec):
    return save_model(spec, {"weights": torch.zeros(1)}, path)


def test_domain_lies_beside_its_model_and_comes_back(tmp_path, model):
    assert write_domain(DOMAIN, model) == domain_path(model) == tmp_path / "model_domain.json"
    assert read_domain(model) == DOMAIN


def test_domain_in_the_model_file_goes_wherever_the_file_goes(tmp_path):
    save(tmp_path / "model.safetensors", with_domain(SPEC, DOMAIN))
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "model.safetensors").rename(tmp_path / "elsewhere" / "renamed.safetensors")
    assert read_domain(moved) == DOMAIN


def test_domain_of_another_model_is_noticed(tmp_path, model):
    write_domain(DOMAIN, model)
    save(model, replace(SPEC, licence="other"))
    with pytest.raises(DataError, match=r"model_domain\.json is of another model"):
        read_domain(model)


def test_domain_that_names_no_model_is_read_as_before(model):
    path = write_domain(DOMAIN, model)
    values = json.loads(path.read_text())
    assert len(values.pop("model_sha256")) == 64
    path.write_text(json.dumps(values))
    assert read_domain(model) == DOMAIN


def test_damaged_domain_in_the_model_file_is_refused(model):
    save(model, replace(SPEC, training={"domain": {"ranges": 3}}))
    with pytest.raises(DataError, match=r"model\.safetensors: .*; its training domain is damaged"):
        read_domain(model)


def test_model_without_a_domain_has_none(model):
    assert read_domain(model) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ranges": {"pixel_mm": [1]}}', '{"ranges": 3}'])
def test_damaged_domain_is_refused(model, text):
    domain_path(model).write_text(text)
    with pytest.raises(DataError, match=r"model_domain\.json.* is damaged"):
        read_domain(model)


def test_domain_with_a_strange_field_is_refused(model):
    path = write_domain(DOMAIN, model)
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": 1}))
    with pytest.raises(DataError, match="is damaged"):
        read_domain(model)


def test_embedded_model_knows_what_it_was_trained_on():
    domain = read_domain(model_path())
    assert domain.studies == 167
    assert set(domain.ranges) == set(FEATURES)
    assert domain.ranges["pixel_mm"][1] == pytest.approx(1.92)


def test_training_studies_are_within_the_embedded_domain(test_data):
    catalog = read_catalog(test_data / "acdc", splits=["train"])
    few = replace(catalog, table=catalog.table[catalog.table["subject"].isin(["patient001", "patient021"])])
    found, known = measure_domain(few, data="two", field_strengths_t=[3.0]), read_domain(model_path())
    assert (found.studies, found.field_strengths_t) == (2, (3.0,))
    for name in set(FEATURES) - {"grey_distance"}:  # that is counted from the mean of other studies
        (low, high), (lowest, highest) = found.ranges[name], known.ranges[name]
        assert lowest <= low <= high <= highest


def test_images_without_masks_have_no_domain(test_data):
    catalog = read_catalog(test_data / "acdc", splits=["val"], masks=False)
    with pytest.raises(DataError, match="no masks with LV"):
        measure_domain(catalog, data="none")


def test_masks_of_the_lv_alone_have_a_domain_too(tmp_path):
    image, mask = heart()
    save_image(image, tmp_path / "p1" / "sa.nii.gz")
    save_mask(mask.with_array(np.where(mask.array == Label.LV, 1, 0)), tmp_path / "p1" / "truth.nii.gz")
    (tmp_path / "p2").mkdir()
    for name in ("sa", "truth"):
        content = (tmp_path / "p1" / f"{name}.nii.gz").read_bytes()
        (tmp_path / "p2" / f"{name}.nii.gz").write_bytes(content[:-200])  # damaged, and left out
    domain = measure_domain(read_catalog(tmp_path), data="two")
    assert domain.studies == 1
    assert set(FEATURES) - set(domain.ranges) == {"contrast", "contrast_to_noise"}
