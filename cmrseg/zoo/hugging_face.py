"""A model out of a repository of Hugging Face, such as `cmrseg zoo export --hf` makes.

The Hub tells the SHA-256 of every large file; our own download resumes and compares, so that this needs no
library of the Hub's. Only model files are taken: nothing that would be run, whatever else a repository holds.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cmrseg.io.home import home
from cmrseg.legacy.records import brief
from cmrseg.problems import DataError
from cmrseg.zoo.archive import import_file
from cmrseg.zoo.download import read_json
from cmrseg.zoo.fetch import FetchOptions
from cmrseg.zoo.record_files import fetch_file
from cmrseg.zoo.sources import ENCRYPTED, is_offline
from cmrseg.zoo.zenodo import RecordFile

HUB = "https://huggingface.co"
_KIND = ".safetensors"
_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_FORM = re.compile(
    rf"(?:hf:|(?:https?://)?huggingface\.co/)({_PART})/({_PART})(?:@([\w.-]{{1,100}}))?/?", re.ASCII
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Repository:
    """What a user calls a repository.

    Attributes
    ----------
    owner, name
        As in its address.
    revision
        Branch, tag or commit.
    """

    owner: str
    name: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


def parse_repository(text: str) -> Repository | None:
    """The repository that a user names as ``hf:OWNER/NAME[@REVISION]`` or by its page; else None."""
    match = _FORM.fullmatch(text.strip())
    return Repository(match[1], match[2], match[3] or "main") if match else None


def fetch_repository_model(repository: Repository, options: FetchOptions | None = None) -> Path:
    """Fetch the model of a repository, compare it with its SHA-256, and put it where models of a name lie.

    Parameters
    ----------
    repository
        Holds one ``.safetensors`` file with cmrseg's description in it.
    options
        Who is told.

    Returns
    -------
    The model file, ``<CMRSEG_HOME>/models/<name>/<name>.safetensors``.

    Raises
    ------
    DataError
        If it cannot be had, or holds no such model.
    """
    options = options or FetchOptions()
    if is_offline():
        raise DataError(f"CMRSEG_OFFLINE is set; fetch {HUB}/{repository} on a machine with a network")
    hub = _hub()
    told = read_json(
        f"{hub}/api/models/{repository}/revision/{quote(repository.revision, safe='')}?blobs=true"
    )
    file, licence = _model_of(told, repository, hub)
    options.note(f"{hub}/{repository}: {file.name}, {file.size / 1e6:.1f} MB, licence {licence}")
    folder = home() / "repositories" / repository.owner / repository.name / file.url.split("/")[-2]
    return import_file(fetch_file(file, folder, options, other="in CMRSEG_HOME"))


def _hub() -> str:
    """The Hub, or the mirror that ``HF_ENDPOINT`` names."""
    hub = os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB
    if hub != HUB and urlsplit(hub).scheme not in ENCRYPTED:
        raise DataError("HF_ENDPOINT is no https address: anybody on the way could exchange the model")
    return hub


def _model_of(told: dict[str, Any], repository: Repository, hub: str) -> tuple[RecordFile, str]:
    """The file that holds the model, of the commit that was asked for, and the licence."""
    try:
        commit, names = told["sha"], {each["rfilename"]: each for each in told["siblings"]}
        licence = (told.get("cardData") or {}).get("license") or "not stated"
    except (KeyError, TypeError, AttributeError):
        raise DataError(f"{hub} does not describe {repository} as it used to; update cmrseg") from None
    found = [name for name in names if name.endswith(_KIND) and "/" not in name]
    if len(found) != 1 or not _COMMIT.fullmatch(str(commit)):
        held = ", ".join(brief(name) for name in found) or "no model file"
        raise DataError(f"{hub}/{repository} holds not one {_KIND} file but {held}")
    large = names[found[0]].get("lfs") or {}
    if not _SHA256.fullmatch(str(large.get("sha256"))) or not isinstance(large.get("size"), int):
        raise DataError(f"{hub} names no sha256 of {brief(found[0])}; if you trust it, use a browser")
    if not re.fullmatch(rf"{_PART}", found[0], re.ASCII):
        raise DataError(
            f"the model file of {repository} is called '{brief(found[0])}', which is no plain name"
        )
    url = f"{hub}/{repository}/resolve/{commit}/{quote(found[0])}"
    return RecordFile(found[0], large["size"], url, ("sha256", large["sha256"])), brief(str(licence))
