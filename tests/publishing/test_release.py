"""A published model is the one that was measured, and comes back from Zenodo as it was sent."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cmrseg.io.checksum import sha256_of
from cmrseg.io.images import load_mask
from cmrseg.phantom import SCANNERS
from cmrseg.predict import predict
from cmrseg.problems import DataError
from cmrseg.publishing import deposit
from cmrseg.publishing.card import About
from cmrseg.publishing.release import find_account, prepare_release, upload_release
from cmrseg.training.config import train_config
from cmrseg.training.options import TrainOptions
from cmrseg.workflows.demo import DemoSize, write_studies
from cmrseg.zoo.fetch import fetch
from cmrseg.zoo.manifest import read_entry
from cmrseg.zoo.model_file import ModelSpec, build_net, read_model, read_spec, save_model
from cmrseg.zoo.zenodo import ZENODO
from tests.zoo.zenodo_server import serve

RECIPE = "light2d_CE_toy_s1"
ABOUT = About("synthetic studies", "nobody", ("Doe, Jo",))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with a network that was never trained, and two synthetic studies."""
    folder = tmp_path_factory.mktemp("publish")
    config = replace(
        train_config(RECIPE), arguments={"widths": [4, 8]}, licence="CC BY 4.0", seed=3, ema_decay=0.5
    )
    spec = ModelSpec(
        RECIPE,
        "light2d",
        ("BACKGROUND", "LV", "MYO", "RV"),
        config.preprocessing,
        RECIPE,
        arguments=config.arguments,
        licence=config.licence,
        training={"table": "/home/somebody/table.csv", "images": 12},
    )
    torch.manual_seed(0)
    save_model(spec, build_net(spec).state_dict(), folder / "run" / "model.safetensors")
    config = replace(config, subset="/home/somebody/subsets.tsv:v3", keep_structures=False)
    config = replace(config, weights="last", structures=("LV", "MYO", "RV"))
    (folder / "run" / "config.json").write_text(config.to_json(data="/home/somebody/hospital"))
    size = DemoSize(n_frames=4, image_px=64)
    write_studies(folder / "secretA", SCANNERS["A"], 2, size, seed=1)
    prepare(folder)
    return folder


@pytest.fixture
def parts(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def run_file(folder):
    return folder / "run" / "model.safetensors"


def prepare(folder, about=ABOUT, **options):
    tests = options.pop("tests", {"Test set": folder / "secretA"})
    return prepare_release(run_file(folder), folder / "release", tests, about=about, **options)


@pytest.fixture
def zenodo(monkeypatch, tmp_path):
    for name in ("CMRSEG_OFFLINE", "CMRSEG_MIRROR", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ZENODO_TOKEN", "secret-of-these-tests")
    with serve() as server:
        monkeypatch.setattr(deposit, "ZENODO", f"{server.url}/api")
        monkeypatch.setitem(deposit.TOKENS, f"{server.url}/api", "ZENODO_TOKEN")
        monkeypatch.setitem(ZENODO, "10.5281", server.url)
        yield server


def test_nothing_that_is_published_names_a_subject_or_a_path(made):
    files = [path for path in (made / "release").rglob("*") if path.is_file()]
    assert {p.name for p in files} == {
        f"{RECIPE}.safetensors",
        "card.md",
        "train.toml",
        "manifest_entry.json",
        "summary.csv",
    }
    for path in files:
        content = path.read_bytes()
        for word in (b"secretA", b"somebody", b"hospital", str(made).encode()):
            assert word not in content, path


def test_train_toml_trains_the_same(made):
    again = train_config(RECIPE, TrainOptions(made / "release" / "train.toml"))
    config = json.loads((made / "run" / "config.json").read_text())
    assert json.loads(again.to_json()) == {**config, "subset": "subsets.tsv:v3", "run": {}}


def test_the_card_is_kept_while_its_numbers_are_measured_again(parts):
    card = parts / "release" / "card.md"
    text = card.read_text().replace("nobody", "somebody else")
    card.write_text(text)
    prepare(parts)
    assert card.read_text() == text


def test_a_card_with_other_numbers_is_refused_and_can_be_rewritten(parts):
    card = parts / "release" / "card.md"
    text = card.read_text()
    row = next(line for line in text.splitlines() if line.startswith("| LV | dice |"))
    cells = row.split(" | ")
    card.write_text(text.replace(row, " | ".join([*cells[:2], "0.999", *cells[3:]])))
    with pytest.raises(DataError, match=r"LV dice mean: card 0\.999, measured .*--update-results"):
        prepare(parts)
    prepare(parts, update_results=True)
    assert card.read_text() == text


def test_a_card_may_hold_only_what_is_measured(parts):
    card = parts / "release" / "card.md"
    text = card.read_text()
    other = "### Another hospital\n\n| LV | dice | 0.9 | 0.1 | 0.9 | 4 | 1 |\n"
    card.write_text(text.replace("<!-- /results -->", f"{other}<!-- /results -->"))
    with pytest.raises(DataError, match="'Another hospital' was not measured"):
        prepare(parts)
    prepare(parts, update_results=True)
    assert card.read_text() == text


def test_every_test_set_has_its_results_and_all_are_measured_again(parts):
    tests = {"First": parts / "secretA", "Second": parts / "secretA"}
    release = prepare(parts, tests=tests, update_results=True)
    card = parts / "release" / "card.md"
    assert [line for line in card.read_text().splitlines() if line.startswith("### ")] == [
        "### First",
        "### Second",
    ]
    summary = pd.read_csv(parts / "release" / "evaluation" / "summary.csv")
    assert summary["test"].unique().tolist() == ["First", "Second"]
    before, _, after = card.read_text().rpartition("| LV | dice | 0.")
    card.write_text(f"{before}| LV | dice | 1.{after}")
    with pytest.raises(DataError, match=r"Second: LV dice mean: card 1\."):
        prepare(parts, tests=tests)
    assert release.entry.dice


@pytest.fixture
def swept(parts):
    """What the sweeps wrote of the model."""
    folder = parts / "sweeps"
    (folder / "figures").mkdir(parents=True)
    (folder / "robustness.json").write_text(json.dumps({"model": sha256_of([run_file(parts)])}))
    (folder / "robustness.md").write_text("| distortion | tested |\n|---|---|\n| Noise | up to 40 % |\n")
    (folder / "figures" / "robustness.png").write_bytes(b"picture")
    return folder


def test_the_card_shows_the_curves_and_they_are_published_with_it(parts, swept):
    release = prepare(parts, robustness=swept, update_results=True)
    card = (parts / "release" / "card.md").read_text()
    section = card.partition("## Robustness")[2].partition("## Limits")[0]
    assert "(robustness.png)" in section
    assert "| Noise | up to 40 % |" in section
    assert (parts / "release" / "robustness.png") in release.files
    prepare(parts, robustness=swept)
    assert (parts / "release" / "card.md").read_text() == card


@pytest.mark.parametrize("fault", ["another model", "no curves", "no folder"])
def test_the_robustness_of_another_model_is_refused(parts, swept, fault):
    if fault == "another model":
        (swept / "robustness.json").write_text('{"model": "0000"}')
    elif fault == "no curves":
        (swept / "figures" / "robustness.png").unlink()
    else:
        shutil.rmtree(swept)
    with pytest.raises(DataError, match=r"does not hold the robustness of .*; make it with `cmrseg evaluate"):
        prepare(parts, robustness=swept)


@pytest.mark.parametrize("full", [True, False])
def test_weights_are_published_in_full_or_half_precision(parts, full):
    release = prepare(parts, full=full, update_results=True)
    published, run = (read_model(f).net.state_dict() for f in (release.files[0], run_file(parts)))
    for key, tensor in run.items():
        expected = tensor.half().float() if tensor.is_floating_point() and not full else tensor
        assert torch.equal(published[key], expected), key


def test_an_upload_that_was_cut_off_goes_on_with_its_draft(parts, zenodo):
    zenodo.deposit_faults = ["pass", "cut"]
    with pytest.raises(DataError, match="goes on with the draft"):
        upload_release(prepare(parts), api=f"{zenodo.url}/api")
    assert upload_release(prepare(parts), api=f"{zenodo.url}/api").id == 100
    assert list(zenodo.drafts) == [100]


def test_published_fetched_and_loaded_it_makes_the_same_masks(parts, zenodo):
    release = prepare(parts)
    upload_release(release, api=f"{zenodo.url}/api", publish=True)
    values = json.loads((parts / "release" / "manifest_entry.json").read_text())
    entry = read_entry(values, "here")
    fetched = fetch(entry)
    assert entry.doi == prepare(parts).entry.doi == "10.5281/zenodo.100"
    masks = []
    for number, file in enumerate((release.files[0], fetched)):
        predict(parts / "secretA", parts / f"masks{number}", model=file, splits=["test"])
        paths = sorted((parts / f"masks{number}").rglob("*.nii.gz"))
        assert paths
        masks.append([load_mask(path, "cmrseg").array for path in paths])
    for one, other in zip(*masks, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        (replace(ABOUT, creators=()), "at least one person"),
        (replace(ABOUT, trained_on="files of /data/hospital"), "the path /data/hospital"),
        (replace(ABOUT, citation="as in secretA01"), "secretA01, a subject"),
    ],
)
def test_what_may_not_be_published_is_refused_before_anything_is_written(parts, about, said):
    shutil.rmtree(parts / "release")
    with pytest.raises(ValueError, match=said):
        prepare(parts, about)
    assert not (parts / "release").exists()


def test_a_test_set_without_masks_is_refused(parts):
    for path in parts.rglob("truth.nii.gz"):
        path.unlink()
    (parts / "secretA" / "catalog.csv").unlink()
    with pytest.raises(DataError, match=r"mask"):
        prepare(parts)


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_measured(parts):
    shutil.rmtree(parts / "release")
    (parts / "release").write_text("a file")
    with pytest.raises(DataError, match="release is a file; name a folder"):
        prepare(parts)


def test_a_run_without_configuration_is_refused(parts):
    (parts / "run" / "config.json").unlink()
    with pytest.raises(DataError, match=r"config\.json does not exist"):
        prepare(parts)


def test_a_fine_tuned_model_carries_the_licence_of_its_base(parts):
    file = parts / "run" / "model.safetensors"
    spec = replace(read_spec(file), training={"base": "light2d_hybrid_acdc_s3"})
    save_model(spec, build_net(spec).state_dict(), file)
    with pytest.raises(DataError, match="must carry its licence CC BY-NC-SA"):
        prepare(parts)


def test_without_a_token_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("ZENODO_SANDBOX_TOKEN", raising=False)
    with pytest.raises(DataError, match="ZENODO_SANDBOX_TOKEN is not set"):
        find_account(deposit.SANDBOX)
