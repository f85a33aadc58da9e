"""What an entry of a manifest must look like; names become paths, so they are checked most strictly."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from cmrseg.labels import Label
from cmrseg.preprocess import Preprocessing
from cmrseg.problems import DataError
from cmrseg.zoo.model_file import PLAIN_NAME
from cmrseg.zoo.zenodo import DOI

FORMATS = ("cmrseg", "fastai", "monai")
_SETTINGS = {f.name for f in fields(Preprocessing)}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _matches(pattern: str | re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _is_labels(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 1
        and value[0] == "BACKGROUND"
        and all(isinstance(name, str) and name in Label.__members__ for name in value)
        and len(set(value)) == len(value)
    )


def _is_dice(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        key in Label.__members__ and isinstance(v, int | float) and 0 <= v <= 1 for key, v in value.items()
    )


_REQUIRED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_matches(PLAIN_NAME), "letters, digits, _ . + -"),
    "file": (_matches(PLAIN_NAME), "a plain file name"),
    "sha256": (_or_none(_matches("[0-9a-f]{64}")), "64 hexadecimal digits, or null where it is not known"),
    "bytes": (
        _or_none(lambda value: type(value) is int and value > 0),
        "a positive number, or null where it is not known",
    ),
    "architecture": (_is_text, "text"),
    "labels": (_is_labels, "BACKGROUND and structures that cmrseg knows"),
    "trained_on": (_is_text, "text"),
    "licence": (_is_text, "text"),
    "citation": (_is_text, "text"),
    "preprocessing": (
        lambda value: isinstance(value, Mapping) and set(value) <= _SETTINGS,
        "settings of the preprocessing",
    ),
    "recipe": (_is_text, "text"),
    "dice": (_is_dice, "numbers from 0 to 1 by structure"),
}
_OPTIONAL: dict[str, tuple[Callable[[Any], bool], str]] = {
    "url": (_or_none(_matches(r"https://[^\s]+")), "an https address"),
    "doi": (_or_none(_matches(DOI)), "a DOI of Zenodo (10.5281/zenodo.N)"),
    "md5": (_or_none(_matches("[0-9a-f]{32}")), "32 hexadecimal digits"),
    "format": (lambda value: value in FORMATS, f"one of {', '.join(FORMATS)}"),
}


def check_entry(values: Any, where: str) -> None:
    """Complain of the first field that is missing, unknown or of the wrong kind.

    Parameters
    ----------
    values
        One object of a manifest's ``models``.
    where
        The manifest, for messages.

    Raises
    ------
    DataError
        If there is such a field.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"{where} lists a model that is no object of names and values")
    about = f"the entry {values.get('name')!r} of {where}"
    known = _REQUIRED | _OPTIONAL
    if missing := sorted(set(_REQUIRED) - set(values)):
        raise DataError(f"{about} lacks {', '.join(missing)}")
    if unknown := sorted(set(values) - set(known)):
        raise DataError(f"{about} has unknown fields: {', '.join(unknown)}; update cmrseg")
    for key, value in values.items():
        check, kind = known[key]
        if not check(value):
            raise DataError(f"{about}: {key} must be {kind}, got {str(value)[:80]!r}")
    if values.get("url") and values.get("doi"):
        raise DataError(f"{about} names both url and doi; one place is enough")
