"""One file that names five: what it is made of, what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cmrseg.cine import Cine
from cmrseg.models.light_unet import LIGHT
from cmrseg.models.registry import ARCHITECTURES, Architecture, register
from cmrseg.predict import Options, open_network, segment_cine
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.tasks.region import CLASSES
from cmrseg.tasks.segmentation.by_region import ROLES
from cmrseg.tasks.segmentation.from_network import segment
from cmrseg.training.fit import finetune
from cmrseg.zoo import load_model
from cmrseg.zoo.archive import export_models, import_archive
from cmrseg.zoo.describe import model_card
from cmrseg.zoo.manifest import imported_models, resolve
from cmrseg.zoo.model_file import ModelSpec, save_model
from cmrseg.zoo.regional import FILE, write_regional

PLAIN = Options(pieces="all", bf16=False, flips=False, heart_crop=False)
LABELS = ("BACKGROUND", "LV", "MYO", "RV")


class Constant(torch.nn.Module):
    """The same class for every pixel."""

    def __init__(self, in_channels, outputs):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(outputs))

    def forward(self, images):
        shape = (len(images), len(self.bias), *images.shape[2:])
        return self.bias[:, None, None].expand(shape) + 0 * images[:, :1]


class Brightness(torch.nn.Module):
    """A region by the first pixel: bright slices are non-cardiac, then base, middle and apex."""

    def __init__(self, in_channels, outputs):
        super().__init__()
        self.centres = torch.nn.Parameter(torch.linspace(2, -2, outputs))

    def forward(self, images):
        return -((images[:, :1, 0, 0] - self.centres) ** 2)


@pytest.fixture(autouse=True)
def networks():
    """Two networks whose answers are known."""
    register(Architecture("constant", Constant, lambda net: net, defaults=LIGHT))
    register(Architecture("brightness", Brightness, lambda net: net, defaults=LIGHT, task="region"))
    yield
    del ARCHITECTURES["constant"], ARCHITECTURES["brightness"]


def segmenter_of(folder, name, answer, **overrides):
    """A model that says one class everywhere."""
    spec = ModelSpec(name, "constant", LABELS, Preprocessing(size=32, pixel_mm=None), "none")
    bias = torch.zeros(4)
    bias[answer] = 9
    return save_model(replace(spec, **overrides), {"bias": bias}, folder / f"{name}.safetensors")


def members_in(folder: Path) -> dict[str, Path]:
    """Segmenters that answer background, LV, MYO and RV everywhere, and a classifier."""
    folder.mkdir(parents=True, exist_ok=True)
    answers = {"baseline": 0, "base": 1, "middle": 2, "apex": 3}
    found = {role: segmenter_of(folder, role, answer) for role, answer in answers.items()}
    spec = ModelSpec(
        "classifier", "brightness", CLASSES, Preprocessing(size=32, pixel_mm=None), "none", task="region"
    )
    path = folder / "classifier.safetensors"
    return found | {"classifier": save_model(spec, {"centres": torch.linspace(2, -2, 4)}, path)}


@pytest.fixture
def regional(tmp_path):
    """A regional model with its members beside it."""
    folder = tmp_path / "made"
    return write_regional("hearts", members_in(folder), folder / FILE, licence="CC0-1.0")


def told(path, **changes):
    """The same file with other content."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def with_member(path, role, **changes):
    """The same file with another member."""
    members = json.loads(path.read_text())["members"]
    return told(path, members={**members, role: {**members[role], **changes}})


def cine_of(firsts):
    """Slices of one frame that differ in their first pixel, as the network is shown it."""
    slices = np.full((32, 32, len(firsts), 1), 0.0, np.float32)
    slices[1::2] = 1.0
    for z, first in enumerate(firsts):
        slices[:, :, z] = slices[:, :, z] if first > 0 else 1 - slices[:, :, z]
    return Cine(slices, (1.0, 1.0, 8.0))


def test_every_slice_goes_to_the_network_of_its_region(regional):
    network = open_network(regional, PLAIN)
    cine = cine_of([1, 1, 1, 1, 1])
    regions = np.eye(4)[[0, 1, 2, 3, 2]][None]
    mask = segment(cine, network, PLAIN, regions=regions).mask.array
    assert [int(mask[5, 5, z, 0]) for z in range(5)] == [0, 1, 2, 3, 2]


def test_the_classifier_is_asked_where_nobody_tells_the_regions(regional):
    network = open_network(regional, PLAIN)
    cine = cine_of([1, -1])
    found = segment(cine, network, PLAIN)
    said = network.members["classifier"].outputs
    assert found.regions["region"].nunique() == 2  # both slices differ
    for z, region in found.regions[["slice", "region"]].itertuples(index=False):
        expected = {"non-cardiac": 0, "base": 1, "middle": 2, "apex": 3}[region]
        assert (found.mask.array[:, :, z] == expected).all()
    assert said(np.zeros((1, 1, 32, 32), np.float32)).sum() == pytest.approx(1)


def test_it_is_described_as_its_baseline_under_its_own_name(regional):
    model = resolve(regional)
    assert (model.spec.name, model.spec.licence, model.spec.labels) == ("hearts", "CC0-1.0", LABELS)
    assert set(model.members) == set(ROLES)
    assert model.members["apex"].sha256 in model_card(str(regional))
    assert resolve(regional.parent).sha256 == model.sha256  # its folder does, too


def test_a_loaded_one_gives_the_same_masks(regional):
    cine = cine_of([1, -1])
    masks = [segment_cine(cine, model, PLAIN).array for model in (regional, load_model(regional))]
    assert np.array_equal(*masks)


def test_a_model_of_the_zoo_may_be_a_member(regional):
    zoo = resolve("light2d_hybrid_acdc_s3")
    path = with_member(regional, "apex", model="light2d_hybrid_acdc_s3", sha256=zoo.sha256)
    assert resolve(path).members["apex"].path == zoo.path


def test_another_checksum_is_refused(regional):
    segmenter_of(regional.parent, "apex", 1)  # another model under the name of this one
    with pytest.raises(DataError, match=r"apex\.safetensors \(apex\) is not what .* was made of: sha256 "):
        resolve(regional)


def test_a_missing_member_is_named(regional):
    (regional.parent / "middle.safetensors").unlink()
    with pytest.raises(DataError, match=r"needs middle\.safetensors \(middle\) beside it, which is missing"):
        resolve(regional)


@pytest.mark.parametrize(
    "name", ["../base.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", "C:\\x.safetensors", "~"]
)
def test_a_path_is_no_member(regional, name):
    with pytest.raises(DataError, match="is no plain name: members lie beside the file or are models"):
        resolve(with_member(regional, "base", model=name))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"members": {}}, "it must name baseline, classifier, base, middle, apex"),
        ({"members": 5}, "damaged"),
        ({"format_version": 2}, "it is of format 2, this cmrseg reads 1"),
        ({"name": "../x"}, "cannot be a file name"),
        ({"more": 1}, "unknown setting 'more'"),
    ],
)
def test_a_damaged_file_is_one_sentence(regional, changes, words):
    with pytest.raises(DataError, match=words):
        resolve(told(regional, **changes))


def test_a_checksum_has_64_digits(regional):
    with pytest.raises(DataError, match="is no checksum of 64 hexadecimal digits"):
        resolve(with_member(regional, "base", sha256="ab"))


def test_an_unknown_name_is_told(regional):
    with pytest.raises(DataError, match=r"needs the model nobody \(base\): unknown model 'nobody'"):
        resolve(with_member(regional, "base", model="nobody"))


def test_members_must_belong_together(regional):
    swapped = json.loads(regional.read_text())["members"]
    swapped["base"] = swapped["classifier"]
    with pytest.raises(DataError, match="classifier cannot be the base: its task is region"):
        resolve(told(regional, members=swapped))


def test_a_circle_ends(regional, tmp_path, monkeypatch):
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    archive = tmp_path / "models.zip"
    export_models([regional], archive)
    (kept,) = import_archive(archive)
    with_member(kept, "baseline", model="hearts")  # itself
    with pytest.raises(DataError, match=r"names hearts \(baseline\), a regional model"):
        resolve("hearts")


def test_it_is_exported_and_imported_with_all_its_files(regional, tmp_path, monkeypatch):
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    members = export_models([regional], tmp_path / "models.zip")
    assert {Path(member.path).name for member in members} == {FILE, *(f"{r}.safetensors" for r in ROLES)}
    (kept,) = import_archive(tmp_path / "models.zip")
    assert imported_models() == {"hearts": kept}
    assert resolve("hearts").members["apex"].sha256 == resolve(regional).members["apex"].sha256


def test_its_files_are_fine_tuned_not_itself(regional, tmp_path):
    with pytest.raises(DataError, match="hearts is a regional model of several networks; fine-tune"):
        finetune(regional, tmp_path / "data", tmp_path / "out")


def test_members_lie_beside_it(regional, tmp_path):
    with pytest.raises(ValueError, match="members must lie beside"):
        write_regional("hearts", members_in(tmp_path / "other"), regional)
