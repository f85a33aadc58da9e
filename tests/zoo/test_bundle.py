"""A model as a MONAI bundle: MONAI runs it, exports it, and finds the masks that we find."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.bundle import ckpt_export, verify_net_in_out

from cmrseg.cine import Cine
from cmrseg.io.images import load_image, save_image
from cmrseg.predict import Options, segment_cine
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo.bundle import export_bundle
from cmrseg.zoo.model_file import Model, ModelSpec, build_net

pytestmark = pytest.mark.slow  # MONAI takes seconds

SPEC = ModelSpec(
    name="light2d_CE_toy_s1",
    architecture="light2d",
    labels=("BACKGROUND", "LV", "MYO", "RV"),
    preprocessing=Preprocessing(pixel_mm=None, size=64, neighbours=3),
    recipe="light2d_CE_toy_s1",
    arguments={"widths": [4, 8]},
    licence="CC0",
)
ONE_PASS = Options(flips=False, pieces="all", heart_crop=False, bf16=False, runtime="torch")


def model() -> Model:
    """A network that was never trained, whose answers are not all one class."""
    torch.manual_seed(0)
    net = build_net(SPEC).eval()
    with torch.no_grad():
        net.head.bias -= net(torch.randn(4, 3, 64, 64)).mean(dim=(0, 2, 3))
    return Model(SPEC, net)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return export_bundle(model(), tmp_path_factory.mktemp("b") / "bundle", card="# Card", data="toys")


def test_monai_finds_the_masks_that_we_find_and_needs_no_cmrseg(bundle, tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(50, 72, 4, 1)), axis=0), axis=1).astype(np.float32)
    affine = np.diag([1.5, 1.5, 8.0, 1.0])
    save_image(Cine(smooth, (1.5, 1.5, 8.0), affine), tmp_path / "data" / "stack.nii.gz")
    code = (
        "import sys; from monai.bundle import run; "
        "run(config_file='configs/inference.json', meta_file='configs/metadata.json', "
        f"dataset_dir={str(tmp_path / 'data')!r}, output_dir={str(tmp_path / 'out')!r}); "
        "assert 'cmrseg' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=bundle, check=True, env={**os.environ, "PYTHONPATH": ""})
    theirs = load_image(tmp_path / "out" / "stack_seg.nii.gz").array[..., 0]
    cine = load_image(tmp_path / "data" / "stack.nii.gz")
    ours = segment_cine(cine, model(), ONE_PASS).array[..., 0]
    assert len(np.unique(ours)) > 1
    assert (theirs == ours).mean() > 0.999


def test_monai_exports_the_checkpoint_and_its_shapes_are_right(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(bundle)
    files = {"meta_file": "configs/metadata.json", "config_file": "configs/inference.json"}
    verify_net_in_out(net_id="network_def", **files)
    ckpt_export(
        net_id="network_def", filepath=str(tmp_path / "model.ts"), ckpt_file="models/model.pt",
        use_trace=True, input_shape=[1, 3, 64, 96], **files,
    )  # fmt: skip
    image = torch.rand(1, 3, 96, 64)
    exported, shipped = (torch.jit.load(path) for path in (tmp_path / "model.ts", "models/model.ts"))
    assert torch.allclose(exported(image), shipped(image), atol=1e-5)


def test_licences_and_data_are_told(bundle):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["data_source"] == "toys"
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["2"] == "myo"
    assert "CC0" in (bundle / "docs" / "data_license.txt").read_text()
    assert "CC0" in (bundle / "LICENSE").read_text()
    assert (bundle / "docs" / "README.md").read_text() == "# Card\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preprocessing": Preprocessing(None, 96, rgb=True, resize="longer_side")}, "resize longer_side"),
        ({"preprocessing": Preprocessing(1.5, 64, grey="slice_percentiles")}, "grey slice_percentiles"),
    ],
)
def test_what_monai_cannot_prepare_is_refused_and_leaves_nothing(tmp_path, changes, said):
    spec = replace(SPEC, **changes)
    with pytest.raises(DataError, match=said):
        export_bundle(Model(spec, torch.nn.Identity()), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_kept(bundle):
    with pytest.raises(DataError, match="is there already"):
        export_bundle(model(), bundle)
