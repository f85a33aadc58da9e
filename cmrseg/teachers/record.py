"""Who made the masks of a folder: teacher.json."""

from __future__ import annotations

import json
from pathlib import Path

from cmrseg.io.atomic import write_text
from cmrseg.problems import DataError

RECORD = "teacher.json"
_IDENTITY = ("kind", "sha256", "labels", "flips_averaged", "largest_component")  # the same when resumed


def write_record(record: dict[str, object], out: Path) -> None:
    """Write teacher.json."""
    write_text(json.dumps(record, indent=2) + "\n", out / RECORD)


def read_record(out: Path) -> dict[str, object] | None:
    """What teacher.json of an earlier run says."""
    path = out / RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}); restore it or name another --out") from None
    if not isinstance(record, dict):
        raise DataError(f"{path} holds no table of names and values; restore it or name another --out")
    return record


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
