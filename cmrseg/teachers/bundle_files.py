"""What lies in the folder of a MONAI bundle: configs, checksums and weights; nothing in it is executed."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor
from yaml import YAMLError

from cmrseg.problems import DataError, existing_folder

CONFIG_SUFFIXES = (".json", ".yaml", ".yml")
WEIGHTS = "models/model.pt"
_HASHES = ("md5", "sha1", "sha256", "sha512")
_STATE_KEYS = ("model", "state_dict", "network")  # of checkpoints that hold more than the weights


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """One config of a bundle as plain values, ``$`` expressions as their text.

    Parameters
    ----------
    folder
        Of the bundle.
    name
        Such as ``configs/inference``; JSON or YAML.

    Raises
    ------
    DataError
        If it is missing or cannot be read.
    """
    existing_folder(folder, "MONAI bundle")
    path = next((p for s in CONFIG_SUFFIXES if (p := folder / f"{name}{s}").is_file()), None)
    if path is None:
        raise DataError(f"{folder} is no MONAI bundle: {name}.json is missing; name the folder that holds it")
    try:
        config = ConfigParser.load_config_file(path)
    except (ValueError, YAMLError) as error:
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0]}); fetch it again") from None
    if not isinstance(config, dict):
        raise DataError(f"{path} holds no table of names and values; fetch the bundle again")
    return config


def read_weights(folder: Path, metadata: Mapping[str, Any]) -> tuple[dict[str, Tensor], str, bool]:
    """Weights of a bundle, compared with its checksum before they are read.

    Parameters
    ----------
    folder
        Of the bundle.
    metadata
        May hold the checksum as ``hash_val`` and ``hash_type``, or under the name of the hash.

    Returns
    -------
    State dict, its SHA-256, and whether the bundle held a checksum.

    Raises
    ------
    DataError
        If the file is missing, is not what the checksum says, or holds more than tensors.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise DataError(f"{path} does not exist; `python -m monai.bundle download_large_files` fetches it")
    content = path.read_bytes()
    expected = _listed_hash(folder) or _hash_of_entry(metadata, folder)
    if expected:
        _verify(content, *expected, path)
    try:
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        raise DataError(
            f"{path} holds no plain tensors ({str(error).splitlines()[0][:100]}); nothing else is loaded"
        ) from None
    return _state(checkpoint, path), hashlib.sha256(content).hexdigest(), expected is not None


def _listed_hash(folder: Path) -> tuple[str, str] | None:
    """Kind and value of the checksum in large_files.yml, where there is one."""
    if not any((folder / f"large_files{suffix}").is_file() for suffix in CONFIG_SUFFIXES):
        return None
    listed = read_config(folder, "large_files").get("large_files")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    entry = next((e for e in entries if Path(str(e.get("path"))) == Path(WEIGHTS)), {})
    return _hash_of_entry(entry, folder)


def _hash_of_entry(entry: Mapping[str, Any], folder: Path) -> tuple[str, str] | None:
    """Kind and value of a checksum, written as MONAI does (MD5 unless it says) or under the hash's name."""
    if entry.get("hash_val"):
        kind = str(entry.get("hash_type") or "md5").lower()
        if kind not in _HASHES:
            raise DataError(
                f"{folder} has a checksum of the unknown kind '{kind}'; known: {', '.join(_HASHES)}"
            )
        return kind, str(entry["hash_val"])
    return next(((kind, str(entry[kind])) for kind in _HASHES if entry.get(kind)), None)


def _verify(content: bytes, kind: str, expected: str, path: Path) -> None:
    """Compare weights with their checksum."""
    found = hashlib.new(kind, content, usedforsecurity=False).hexdigest()
    if found != expected.strip().lower():
        raise DataError(f"{path} is not the bundle's: {kind} {found}, expected {expected}; fetch it again")


def _state(checkpoint: object, path: Path) -> dict[str, Tensor]:
    """The state dict, also out of a checkpoint that holds it under a name."""
    if isinstance(checkpoint, Mapping):
        named = (checkpoint[key] for key in _STATE_KEYS if isinstance(checkpoint.get(key), Mapping))
        state = next(named, checkpoint)
        if state and all(isinstance(value, Tensor) for value in state.values()):
            return dict(state)
    raise DataError(f"{path} holds no state dict; export the weights with torch.save(net.state_dict(), ...)")
