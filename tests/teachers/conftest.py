"""A small MONAI bundle as on MONAI's model zoo, built by the test that asks for it."""

import hashlib
import json

import pytest
import torch
from monai.networks.nets import UNet

CHANNELS = {"0": "background", "1": "lv_pool", "2": "myocardium", "3": "rv_pool"}
NET = {
    "_target_": "UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 4,
    "channels": [4, 8],
    "strides": [2],
    "num_res_units": 1,
}


def arguments(definition):
    return {key: value for key, value in definition.items() if key != "_target_"}


@pytest.fixture
def bundle(tmp_path):
    """Function that writes a bundle and returns its folder."""

    def write(
        name="ventricles", *, net=None, config=None, window=(32, 32), values=(), channels=None, state=None
    ):
        folder = tmp_path / name
        (folder / "configs").mkdir(parents=True)
        (folder / "models").mkdir()
        inference = {
            "imports": ["$import glob"],
            "device": "$torch.device('cpu')",
            "network_def": net or NET,
            "network": "$@network_def.to(@device)",
            **(config or {}),
        }
        channels = channels or CHANNELS
        image = {"num_channels": 1, "spatial_shape": list(window), "value_range": list(values)}
        pred = {"num_channels": len(channels), "channel_def": channels}
        metadata = {"network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}}}
        (folder / "configs" / "inference.json").write_text(json.dumps(inference))
        (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
        torch.manual_seed(0)
        torch.save(
            UNet(**arguments(NET)).state_dict() if state is None else state, folder / "models/model.pt"
        )
        return folder

    return write


@pytest.fixture
def list_hash():
    """Function that writes large_files.yml with a checksum, the right one by default."""

    def write(folder, value=None, kind="md5"):
        value = value or hashlib.new(kind, (folder / "models" / "model.pt").read_bytes()).hexdigest()
        (folder / "large_files.yml").write_text(
            f'large_files:\n  - path: "models/model.pt"\n    hash_val: "{value}"\n    hash_type: "{kind}"\n'
        )
        return folder

    return write
