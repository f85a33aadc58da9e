"""What lies in the folder of a MONAI bundle: configs, checksums and weights; nothing in it is executed."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor
from yaml import YAMLError

from cmrseg.io.settings import MOST_BYTES
from cmrseg.problems import DataError, existing_folder, first_line

CONFIG_SUFFIXES = (".json", ".yaml", ".yml")
WEIGHTS = "models/model.pt"
_MAX_VALUES, _MAX_DEPTH = 100_000, 50  # of a config; those of MONAI's model zoo have hundreds, in 10 levels
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
    if path.stat().st_size > MOST_BYTES:
        raise _too_large(path)
    try:
        config = ConfigParser.load_config_file(path)
    except (ValueError, YAMLError) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}); fetch it again") from None
    except RecursionError:
        raise _too_large(path) from None
    if not isinstance(config, dict):
        raise DataError(f"{path} holds no table of names and values; fetch the bundle again")
    _check_size(config, path)
    return config


def read_weights(folder: Path, metadata: Mapping[str, Any]) -> tuple[dict[str, Tensor], str, str]:
    """Weights of a bundle, compared with its checksum before they are read.

    Parameters
    ----------
    folder
        Of the bundle.
    metadata
        May hold the checksum as ``hash_val`` and ``hash_type``, or under the name of the hash.

    Returns
    -------
    State dict, its SHA-256, and why it was compared with no checksum; empty where it was.

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
    unverified = "" if expected else _why_unverified(folder)
    return _state(_checkpoint(content, path), path), hashlib.sha256(content).hexdigest(), unverified


def _checkpoint(content: bytes, path: Path) -> object:
    """What a file of torch holds: tensors and containers, nothing else."""
    if not content:
        raise DataError(f"{path} is empty; fetch it again")
    try:
        _check_claims(content)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may end in any error: struct, type, assertion, ...
        cause = _likely_cause(content) or f"{first_line(error)}; nothing else is loaded"
        raise DataError(f"{path} holds no plain tensors: {cause}") from None


def _check_claims(content: bytes) -> None:
    """Refuse weights that unpack to more than they are: torch stores tensors as they lie in memory."""
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > len(content):
                raise ValueError("its members claim more bytes than it has")


def _likely_cause(content: bytes) -> str:
    """What lies where weights should, by how it begins; empty if we cannot tell."""
    begin = content[:1024].lstrip()
    if begin.startswith(b"version https://git-lfs"):
        return "it is a pointer of git-lfs; fetch the file with `git lfs pull`"
    if begin.startswith(b"<"):
        return "it is a web page (HTML); fetch the file itself"
    if begin.startswith(b"PK") and b"/code/" in content:
        return "it is a TorchScript model, which is code and not loaded; export its state dict"
    return ""


def _why_unverified(folder: Path) -> str:
    """What a user should know of weights without a checksum that we understand."""
    listed = next((p for s in CONFIG_SUFFIXES if (p := folder / f"large_files{s}").is_file()), None)
    if listed is None:
        return f"{folder.name} holds no checksum"
    return (
        f"{folder.name} holds {listed.name}, but no checksum for {WEIGHTS} is understood there: not compared"
    )


def _check_size(config: Mapping[str, Any], path: Path) -> None:
    """Refuse a config that grows without end when it is read value by value (aliases of aliases in YAML)."""
    waiting: list[tuple[Any, int]] = [(config, 1)]
    seen = 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > _MAX_VALUES or depth > _MAX_DEPTH:
            raise _too_large(path)
        if isinstance(value, dict | list):
            waiting += [(v, depth + 1) for v in (value.values() if isinstance(value, dict) else value)]


def _too_large(path: Path) -> DataError:
    """The refusal of a config that is none."""
    return DataError(
        f"{path} holds more than {_MAX_VALUES} values or {_MAX_DEPTH} levels, which no config of a network "
        "needs; fetch it again"
    )


def _listed_hash(folder: Path) -> tuple[str, str] | None:
    """Kind and value of the checksum in large_files.yml, where there is one."""
    if not any((folder / f"large_files{suffix}").is_file() for suffix in CONFIG_SUFFIXES):
        return None
    listed = read_config(folder, "large_files").get("large_files")
    if isinstance(listed, dict):  # one entry, or several by name
        listed = [listed] if "path" in listed else list(listed.values())
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    ours = (e for e in entries if Path(os.path.normpath(str(e.get("path")))) == Path(WEIGHTS))
    return next((found for entry in ours if (found := _hash_of_entry(entry, folder))), None)


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
        if state and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
            return dict(state)
    raise DataError(f"{path} holds no state dict; export the weights with torch.save(net.state_dict(), ...)")
