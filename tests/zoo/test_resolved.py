"""A model is found, compared with its checksum, described and loaded once, however many ask for it."""

from pathlib import Path

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.data.catalog import read_catalog
from cmrseg.io.checksum import sha256_of
from cmrseg.io.images import save_image
from cmrseg.predict import Options, predict
from cmrseg.predict.runs import settings_digest
from cmrseg.training.config import transfer_config
from cmrseg.training.fit import finetune
from cmrseg.training.options import TrainOptions
from cmrseg.workflows.examination import Clock, ReportOptions, load_maker
from cmrseg.zoo import model_file
from cmrseg.zoo.domain import read_domain
from cmrseg.zoo.manifest import DEFAULT_MODEL, get_entry, load_model, model_path, resolve
from tests.experiments.conftest import write_model
from tests.training.conftest import write_disks

TORCH = Options(flips=False, runtime="torch")


@pytest.fixture
def opened(monkeypatch):
    """Model files that are read whole, as for a checksum, and those whose tensors or description are read."""
    whole, parts, read, open_safely = [], [], Path.open, model_file.safe_open

    def spy(path, *args, **kwargs):
        if path.suffix == ".safetensors" and not {*args, *kwargs.values()} & {"wb", "ab", "w"}:
            whole.append(path.name)
        return read(path, *args, **kwargs)

    def spy_safely(path, framework):
        parts.append(framework)
        return open_safely(path, framework=framework)

    monkeypatch.setattr(Path, "open", spy)
    monkeypatch.setattr(model_file, "safe_open", spy_safely)
    return whole, parts


@pytest.fixture
def base(tmp_path):
    return write_model(tmp_path / "base.safetensors", widths=[4, 8])


def test_a_name_and_a_file_are_resolved_alike(base):
    for model, path, sha256 in (
        (DEFAULT_MODEL, get_entry(DEFAULT_MODEL).path, get_entry(DEFAULT_MODEL).sha256),
        (base, base, sha256_of([base])),
    ):
        found = resolve(model)
        assert (str(found), found.path, found.sha256) == (str(model), path, sha256)
        assert found.spec == load_model(model).spec
        assert resolve(found) is found
        assert model_path(found) == path


def test_prediction_hashes_and_loads_the_embedded_model_once(tmp_path, opened):
    save_image(Cine(np.ones((64, 64, 1, 1), np.float32), (1.5, 1.5, 8.0)), tmp_path / "in" / "a.nii.gz")
    predict(tmp_path / "in", tmp_path / "out", options=TORCH)
    assert opened == ([f"{DEFAULT_MODEL}.safetensors"], ["np", "pt"])  # description, then tensors


def test_a_run_of_reports_hashes_and_loads_the_embedded_model_once(opened):
    maker = load_maker(DEFAULT_MODEL, ReportOptions(TORCH), Clock())
    assert opened == ([f"{DEFAULT_MODEL}.safetensors"], ["np", "pt"])
    assert maker.model["sha256"] == get_entry(DEFAULT_MODEL).sha256
    assert maker.domain == read_domain(model_path(DEFAULT_MODEL))


def test_what_is_resolved_is_not_hashed_again(base, tmp_path, opened):
    model, data = resolve(base), write_disks(tmp_path / "disks")
    config = transfer_config(model.spec, data, TrainOptions(epochs=1, batch_size=2))
    finetune(model, data, tmp_path / "run", config=config)
    predict(read_catalog(data), tmp_path / "masks", model=model, options=TORCH)
    settings_digest(model, TORCH)
    assert opened[0].count("base.safetensors") == 1
