"""The models that this machine knows, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cmrseg.problems import DataError
from cmrseg.zoo.manifest import imported_models, read_manifest, resolve


def models_as_json() -> str:
    """All models of the zoo and those that were imported, as a JSON list.

    Returns
    -------
    One object a model, with the fields of `cmrseg.zoo.entry.Entry` and ``where`` (``embedded``, ``cached``,
    ``remote`` or ``imported``); of a file that cannot be read ``name``, ``where`` and ``error``.
    """
    zoo = [{**asdict(entry), "where": entry.where} for entry in read_manifest().values()]
    imported = [_imported(name, path) for name, path in imported_models().items()]
    return json.dumps([*zoo, *imported], indent=2, ensure_ascii=False)


def _imported(name: str, path: Path) -> dict[str, Any]:
    """What the file of an imported model says of itself."""
    told: dict[str, Any] = {"name": name, "where": "imported"}
    try:
        found = resolve(path)
    except DataError as error:
        return {**told, "error": str(error)}
    spec = found.spec
    return {
        **told, "file": path.name, "sha256": found.sha256, "architecture": spec.architecture,
        "labels": list(spec.labels), "recipe": spec.recipe, "licence": spec.licence,
    }  # fmt: skip
