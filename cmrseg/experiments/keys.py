"""What a finished run was made of, so that a stopped study goes on and a changed one is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cmrseg.data.catalog import Catalog
from cmrseg.io.atomic import write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.io.settings import unlike_defaults
from cmrseg.predict import Options
from cmrseg.problems import DataError

RUN_KEY, SCORE_KEY = "run.key", "scores.key"


def sha256(*parts: str) -> str:
    """One number for several texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def settings(record: object) -> str:
    """The settings of a run as text; a field at its default is left out, so that a new one keeps old keys."""
    return json.dumps(unlike_defaults(record), sort_keys=True)


def contents(catalog: Catalog) -> str:
    """One number for the images that a catalog lists and for what their masks hold."""
    masks = sorted({Path(mask) for mask in catalog.table["mask"] if mask})
    return sha256(catalog.table.to_csv(index=False), sha256_of(masks))


def masks_key(options: Options) -> tuple[str, ...]:
    """What a key says of how masks are made; nothing of the default, so that earlier keys hold."""
    return () if options == Options() else (settings(options),)


def is_scored(folder: Path, key: str) -> bool:
    """Whether a run of this key is finished and scored."""
    return _text(folder / SCORE_KEY) == key


def refuse_another(folder: Path, key: str) -> bool:
    """Whether a run of this key was begun in a folder.

    Raises
    ------
    DataError
        If another one was.
    """
    begun = (folder / "config.json").exists()
    if begun and _text(folder / RUN_KEY) != key:
        raise DataError(f"{folder} was trained with other settings or data; name another --out, or delete it")
    return begun


def begin(folder: Path, key: str) -> bool:
    """Write down the key of a run that starts or goes on; whether it goes on."""
    begun = refuse_another(folder, key)
    write_text(key, folder / RUN_KEY)
    return begun


def finish(folder: Path, key: str) -> None:
    """Write down that a run is scored."""
    write_text(key, folder / SCORE_KEY)


def _text(path: Path) -> str:
    """A text file, empty where there is none."""
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""
