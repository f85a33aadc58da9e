"""Checksums and weights of bundles."""

import json

import pytest
import torch

from cmrseg.problems import DataError
from cmrseg.teachers.bundle_files import read_config, read_weights


class Payload:
    """Would run code when a pickle of it is loaded."""

    def __reduce__(self):
        return (print, ("ran",))


def test_weights_that_are_as_listed_are_read(bundle, list_hash):
    state, sha256, verified = read_weights(list_hash(bundle()), {})
    assert verified
    assert len(sha256) == 64
    assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_changed_weights_are_refused_and_both_checksums_shown(bundle, list_hash, kind):
    folder = list_hash(bundle(), kind=kind)
    with (folder / "models" / "model.pt").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=rf"{kind} [0-9a-f]{{32,}}, expected [0-9a-f]{{32,}}"):
        read_weights(folder, {})


def test_a_checksum_in_the_metadata_counts(bundle):
    with pytest.raises(DataError, match="expected 00ff"):
        read_weights(bundle(), {"sha256": "00ff"})


def test_without_a_checksum_weights_are_read_and_unverified(bundle):
    assert not read_weights(bundle(), {})[2]


def test_a_checksum_of_unknown_kind_is_told(bundle, list_hash):
    folder = list_hash(bundle())
    (folder / "large_files.yml").write_text(
        (folder / "large_files.yml").read_text().replace('hash_type: "md5"', 'hash_type: "crc"')
    )
    with pytest.raises(DataError, match="unknown kind 'crc'"):
        read_weights(folder, {})


def test_a_checkpoint_of_a_training_holds_its_state_under_a_name(bundle):
    state = {"layer.weight": torch.ones(2)}
    assert read_weights(bundle(state={"model": state, "epoch": 3}), {})[0].keys() == state.keys()


@pytest.mark.parametrize("state", [Payload(), {"a": Payload()}], ids=["object", "dict"])
def test_weights_that_would_run_code_are_refused(bundle, state, capsys):
    with pytest.raises(DataError, match="no plain tensors"):
        read_weights(bundle(state=state), {})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("state", [{}, {"a": 1}, [1, 2]])
def test_weights_that_are_no_state_dict_are_refused(bundle, state):
    with pytest.raises(DataError, match="no state dict"):
        read_weights(bundle(state=state), {})


def test_missing_weights_are_told(bundle):
    folder = bundle()
    (folder / "models" / "model.pt").unlink()
    with pytest.raises(DataError, match="does not exist"):
        read_weights(folder, {})


def test_a_config_may_be_yaml(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.yaml").write_text("network_def:\n  _target_: UNet\n")
    assert read_config(tmp_path, "configs/inference") == {"network_def": {"_target_": "UNet"}}


@pytest.mark.parametrize(
    ("name", "text"), [("c.json", "{"), ("c.json", "[1]"), ("c.yaml", "a: ["), ("c.yaml", "!!python/none x")]
)
def test_a_damaged_config_is_told(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=r"cannot be read|no table"):
        read_config(tmp_path, "c")


def test_a_folder_without_config_is_no_bundle(tmp_path):
    (tmp_path / "x").write_text(json.dumps({}))
    with pytest.raises(DataError, match="is no MONAI bundle"):
        read_config(tmp_path, "configs/inference")
