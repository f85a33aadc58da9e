"""Where cmrseg keeps what belongs to a user: the secret of the pseudonyms, fetched models."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Folder for what cmrseg keeps for a user: ``CMRSEG_HOME``, else in the user's data folder."""
    told = os.environ.get("CMRSEG_HOME")
    if told:
        return Path(told)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "cmrseg"
