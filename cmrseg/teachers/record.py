"""Who made the masks of a folder: teacher.json."""

from __future__ import annotations

import json
from pathlib import Path

from cmrseg.io.atomic import write_text
from cmrseg.io.settings import read_json
from cmrseg.problems import DataError

RECORD = "teacher.json"
_IDENTITY = ("kind", "sha256", "labels", "flips_averaged", "pieces")  # the same when resumed


def write_record(record: dict[str, object], out: Path) -> None:
    """Write teacher.json."""
    write_text(json.dumps(record, indent=2) + "\n", out / RECORD)


def read_record(out: Path) -> dict[str, object] | None:
    """What teacher.json of an earlier run says."""
    path = out / RECORD
    if not path.exists():
        return None
    return read_json(path, "restore it or name another --out")


def check_same(earlier: dict[str, object], record: dict[str, object], out: Path) -> None:
    """The teacher that began a run goes on with it; precomputed masks are compared one by one."""
    one_by_one = record["kind"] == "precomputed"
    identity = [key for key in _IDENTITY if not (one_by_one and key == "sha256")]
    differs = next((key for key in identity if earlier.get(key) != record[key]), None)
    if differs is not None:
        raise DataError(
            f"{out / RECORD} names another teacher than {record['teacher']}: {earlier.get('teacher')} "
            f"({differs} {earlier.get(differs)}, now {record[differs]}); leave --resume out to label anew"
        )
