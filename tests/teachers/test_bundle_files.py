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
    state, sha256, unverified = read_weights(list_hash(bundle()), {})
    assert unverified == ""
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
    assert "holds no checksum" in read_weights(bundle(), {})[2]


@pytest.mark.parametrize(
    "listed",
    [
        "large_files:\n  - {path: x/../models/model.pt, hash_val: 00ff}",
        "large_files:\n  - {path: ./models//model.pt, hash_val: 00ff}",
        "large_files: {path: models/model.pt, hash_val: 00ff}",
        "large_files: {weights: {path: models/model.pt, hash_val: 00ff}}",
        "large_files:\n  - {path: models/model.pt}\n  - {path: models/model.pt, hash_val: 00ff}",
    ],
)
def test_a_checksum_counts_however_it_is_listed(bundle, listed):
    folder = bundle()
    (folder / "large_files.yml").write_text(listed)
    with pytest.raises(DataError, match="expected 00ff"):
        read_weights(folder, {})


@pytest.mark.parametrize(
    "listed",
    [
        "large_files:\n  - {path: models/model.pt, hash_val: ''}",
        "large_files:\n  - {path: models/other.pt, hash_val: 00ff}",
        "large_files: models/model.pt",
        "files: []",
    ],
)
def test_a_list_without_checksum_of_the_weights_is_told(bundle, listed):
    folder = bundle()
    (folder / "large_files.yml").write_text(listed)
    assert "large_files.yml, but no checksum for models/model.pt" in read_weights(folder, {})[2]


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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; fetch it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "pointer of git-lfs"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04", "no plain tensors"),
        (b"\x80\x02.", "no plain tensors"),
        (b"\x80\x02}q", "no plain tensors"),
        (b"\x80\x02\x8a", "no plain tensors"),
        (b"\x80\x02K\x01Q.", "no plain tensors"),
        (b"\x80\x02)X", "no plain tensors"),
        (b"\x80\x02K\x01K\x02\x85R.", "no plain tensors"),
    ],
)
def test_damaged_weights_are_told(bundle, content, said):
    folder = bundle()
    (folder / "models" / "model.pt").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_weights(folder, {})


@pytest.mark.parametrize("n", range(0, 1200, 97))
def test_a_cut_file_is_told(bundle, n):
    path = bundle() / "models" / "model.pt"
    path.write_bytes(path.read_bytes()[: n + 1])
    with pytest.raises(DataError, match="no plain tensors"):
        read_weights(path.parents[1], {})


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_code_and_not_loaded(bundle):
    path = bundle() / "models" / "model.pt"
    torch.jit.script(torch.nn.Conv2d(1, 2, 1)).save(path)
    with pytest.raises(DataError, match="TorchScript model, which is code"):
        read_weights(path.parents[1], {})


def test_weights_without_names_are_refused(bundle):
    with pytest.raises(DataError, match="no state dict"):
        read_weights(bundle(state={1: torch.ones(2)}), {})


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


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        ("c.json", '{"a": ' + "[" * 200 + "]" * 200 + "}"),
        ("c.yaml", BOMB),
        ("c.yaml", "a: &a [*a]"),
        ("c.yaml", "a: " + "[" * 5000 + "]" * 5000),
    ],
    ids=["deep JSON", "JSON", "aliases", "circle", "deep YAML"],
)
def test_a_config_without_end_is_told(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=r"values or 50 levels"):
        read_config(tmp_path, "c")
