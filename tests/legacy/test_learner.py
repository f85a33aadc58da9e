"""Exported fastai learners become our models: same predictions, or one sentence that says why not."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn
from typer import Typer
from typer.testing import CliRunner

from cmrseg.cli.zoo.import_file import import_file as command
from cmrseg.io.checksum import sha256_of
from cmrseg.legacy.records import Global, Record
from cmrseg.legacy.settings import PAPER_SIZE, settings_of
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo.imported import ImportOptions, import_learner
from cmrseg.zoo.model_file import read_model
from tests.legacy.learners import make_learner

pytestmark = pytest.mark.slow
NO_EFFECT = ("ResizeToOrig", "ToTensorBase")


@dataclass(frozen=True)
class Exported:
    """A learner and its file."""

    learner: object
    file: Path

    def answer(self, batch):
        with torch.no_grad():
            return self.learner.model.eval()(batch).as_subclass(torch.Tensor)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """By the installed fastai."""
    folder = tmp_path_factory.mktemp("learner")
    learner = make_learner(folder / "data")
    learner.export(folder / "new.pkl")
    return Exported(learner, folder / "new.pkl")


@pytest.fixture
def batch():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 4 - 2


def with_pickle(source, target, change):
    """A copy of an export in zip format with another data.pkl."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name.endswith("/data.pkl") else content)
    return target


def assert_same_answers(model_file, exported, batch):
    net = read_model(model_file).net
    with torch.no_grad():
        difference = (net(batch) - exported.answer(batch)).abs().max()
    assert difference < 1e-6


@pytest.fixture(scope="module")
def imported(exported, tmp_path_factory):
    return import_learner(exported.file, tmp_path_factory.mktemp("model") / "m.safetensors")


def test_the_imported_model_answers_as_the_learner(imported, exported, batch):
    assert_same_answers(imported.path, exported, batch)


def test_everything_the_learner_says_is_in_the_description(imported, exported):
    spec = read_model(imported.path).spec
    assert (spec.architecture, spec.labels) == ("r18", ("BACKGROUND", "LV", "MYO"))
    assert spec.preprocessing == Preprocessing(
        rgb=True, size=64, pixel_mm=None, resize="longer_side", grey="png"
    )
    assert spec.recipe == "r18_CE_imported_s2"
    assert spec.training["imported_sha256"] == sha256_of([exported.file])
    assert imported.notes == ()


OLD_NAMES = {
    b"cfastai.": b"cfastai2.",
    b"cfasttransform.transform\n": b"cfastcore.transform\n",
    b"cfastcore.basics\n": b"cfastcore.utils\n",
    b"cplum._function\nFunction": b"cfastcore.dispatch\nTypeDispatch",
    b"cnumpy._core.": b"cnumpy.core.",
}


def of_old_versions(content):
    for new, old in OLD_NAMES.items():
        content = content.replace(new, old)
    return content


def test_names_of_older_versions_make_no_difference(exported, imported, tmp_path):
    old = with_pickle(exported.file, tmp_path / "old.pkl", of_old_versions)
    model = import_learner(old, tmp_path / "m.safetensors")
    assert (model.spec.labels, model.spec.preprocessing) == (
        imported.spec.labels,
        imported.spec.preprocessing,
    )
    ours, theirs = (read_model(m.path).net.state_dict() for m in (model, imported))
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


def test_the_stream_format_without_the_layers_of_later_versions(exported, tmp_path, batch):
    expected = exported.answer(batch)
    learner, layers = exported.learner, exported.learner.model.layers
    learner.model.layers = nn.ModuleList(m for m in layers if type(m).__name__ not in NO_EFFECT)
    assert len(learner.model.layers) == len(layers) - 2
    opt, learner.opt = learner.opt, None
    torch.save(learner, tmp_path / "old.pkl", pickle_protocol=2, _use_new_zipfile_serialization=False)
    learner.model.layers, learner.opt = layers, opt
    (tmp_path / "old.pkl").write_bytes(of_old_versions((tmp_path / "old.pkl").read_bytes()))
    model = import_learner(tmp_path / "old.pkl", tmp_path / "m.safetensors")
    with torch.no_grad():
        assert (read_model(model.path).net(batch) - expected).abs().max() < 1e-6


def assert_refused(file, match, options=None):
    out = file.with_name("refused.safetensors")
    with pytest.raises(DataError, match=match) as caught:
        import_learner(file, out, options)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def changed(exported, tmp_path, *pairs):
    def change(content):
        for old, new in pairs:
            assert old in content
            content = content.replace(old, new)
        return content

    return with_pickle(exported.file, tmp_path / "c.pkl", change)


def test_code_hidden_in_a_real_learner_does_not_run(exported, tmp_path):
    canary = tmp_path / "canary"
    command = f"touch {canary}".encode()
    call = b"cos\nsystem\nX" + len(command).to_bytes(4, "little") + command + b"\x85R0"

    def insert(content):
        return content[:2] + call + content[2:]

    assert_refused(with_pickle(exported.file, tmp_path / "c.pkl", insert), r"asks to call os\.system")
    assert not canary.exists()


def test_another_activation_is_noticed(exported, tmp_path):
    file = changed(exported, tmp_path, (b"activation\nReLU\n", b"activation\nSELU\n"))
    assert_refused(file, r"r18 U-Net.*SELU\(.*too many.*ReLU\(.*too few")


def test_other_keys_are_listed(exported, tmp_path):
    file = changed(exported, tmp_path, (b"\x08\x00\x00\x00convpath", b"\x08\x00\x00\x00longpath"))
    assert_refused(file, r"missing layers\.11\.convpath\.0\.0\.weight; .*unexpected layers\.11\.longpath")


def test_another_architecture_is_listed_by_its_differences(exported):
    assert_refused(exported.file, "r34 U-Net.*missing layers", ImportOptions(architecture="r34"))


def test_a_learner_of_fastai_1_is_refused_with_the_reason(exported, tmp_path):
    file = changed(exported, tmp_path, (b"cfastai.learner\nLearner\n", b"cfastai.basic_train\nLearner\n"))
    assert_refused(file, r"fastai 1, whose U-Net ends in x \+ relu\(f\(x\)\)")


def test_nested_sizes_that_would_be_compared_for_ever_are_no_size():
    one, other = (), ()
    for _ in range(80):  # equal, but not the same: a comparison would visit 2 ** 80 parts
        one, other = (one, one), (other, other)
    resize = Record(Global("fastai.vision.augment", "Resize"), (), state={"size": (one, other)})
    learner = Record(Global("fastai.learner", "Learner"), (), state={"dls": resize})
    settings = settings_of(learner, None, 2, labels="LV=1", size=None)
    assert settings.size == PAPER_SIZE


def test_unknown_classes_must_be_named(exported, tmp_path):
    file = changed(exported, tmp_path, (b"\nAddMaskCodes\n", b"\nOtherMasks\n"))
    assert_refused(file, "does not name its classes; say with --labels")
    options = ImportOptions(labels="cmr-seg-tl", recipe="r18_CE_p5_s2", licence="MIT")
    spec = import_learner(file, tmp_path / "m.safetensors", options).spec
    assert (spec.labels, spec.name, spec.licence) == (("BACKGROUND", "LV", "MYO"), "r18_CE_p5_s2", "MIT")


@pytest.mark.parametrize("labels", ["LV=1", "LV=1,MYO=3", "LV=1,MYO=2,RV=3", "LV=1,LV=2"])
def test_labels_that_do_not_fit_the_channels_are_told(exported, labels):
    assert_refused(exported.file, "3 output channels", ImportOptions(labels=labels))


def test_a_recipe_of_another_architecture_is_told(exported):
    assert_refused(exported.file, "does not begin with r18", ImportOptions(recipe="r34_CE_p5_s2"))


def test_what_the_file_does_not_say_is_the_papers_with_a_note(exported, tmp_path):
    file = changed(exported, tmp_path, (b"\nResize\n", b"\nOther1\n"), (b"\nNormalize\n", b"\nOther2\n"))
    model = import_learner(file, tmp_path / "m.safetensors")
    assert model.spec.preprocessing == Preprocessing(
        rgb=True, size=256, pixel_mm=None, resize="longer_side", grey="png"
    )
    assert len(model.notes) == 2
    assert model.spec.training["import_notes"] == list(model.notes)


def test_the_command_says_what_it_read_and_writes_beside_the_file(exported):
    app = Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(exported.file)])
    assert done.exit_code == 0, done.output
    assert "r18 with BACKGROUND, LV, MYO, 64 pixels" in done.output
    assert exported.file.with_suffix(".safetensors").exists()
