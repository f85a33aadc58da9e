"""What names of files, folders and labels say, in the data sets that people have."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cmrseg.labels import MOST_ID

# Names of folders, in small letters, that are splits rather than subjects.
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_CAVITY = r"( ?(cavity|blood|pool|bp|endo\w*|chamber|lumen|c))*"
_STRUCTURES = {
    "MYO": r"(lv|left( ?ventric\w*)?)? ?(myo\w*|epi\w*|wall)( of( the)?)?( lv| left ventric\w*)?|mlv|lvm|my",
    "LV": rf"(lv|left ?ventric\w*){_CAVITY}|cavity|blood ?pool",
    "RV": rf"(rv|right ?ventric\w*){_CAVITY}",
}


def structure(name: str) -> str | None:
    """LV, MYO or RV for the names that data sets use; None for anything else, such as an atrium."""
    plain = re.sub(r"[^a-z]+", " ", name.lower()).strip()
    return next((target for target, names in _STRUCTURES.items() if re.fullmatch(names, plain)), None)


def nnunet_scheme(labels: Mapping[str, object]) -> tuple[str, list[str]]:
    """Label scheme from the label names of nnU-Net's dataset.json.

    Parameters
    ----------
    labels
        Either of nnU-Net's forms: ``{"1": "RV"}`` or ``{"RV": 1}``.

    Returns
    -------
    Scheme such as ``RV=1,MYO=2,LV=3``, empty when no left ventricle is named; and the names of the
    structures that become background. Where two names mean one structure, the first is used.

    Raises
    ------
    ValueError
        If that is no table of names, or a label value is one that no mask holds.
    """
    if not isinstance(labels, Mapping):
        raise ValueError(f"labels must be a table of names and label values, got {str(labels)[:40]!r}")
    named = {str(k): v for k, v in labels.items() if isinstance(v, int)}
    named |= {str(v): int(k) for k, v in labels.items() if isinstance(v, str) and str(k).isdecimal()}
    if wrong := next((name for name, v in named.items() if not 0 <= v <= MOST_ID), None):
        raise ValueError(f"the label value of {wrong[:40]!r} must be from 0 to {MOST_ID}")
    found: dict[str, int] = {}
    unknown = {name: number for name, number in named.items() if number}
    for name in list(unknown):
        target = structure(name)
        if target is not None and target not in found:
            found[target] = unknown.pop(name)
    pairs = [*found.items(), *(("BACKGROUND", number) for number in unknown.values())]
    return ",".join(f"{target}={number}" for target, number in pairs) if "LV" in found else "", list(unknown)


def case_name(case: str) -> tuple[str, int | None, str]:
    """Subject, frame and phase from names such as ``patient001_frame12`` and ``A1_ES``."""
    if match := re.fullmatch(r"(.+?)_frame(\d+)", case):
        return match[1], int(match[2]), ""
    if match := re.fullmatch(r"(.+?)(?:_sa)?_(ED|ES)", case, re.IGNORECASE):
        return match[1], 0 if match[2].upper() == "ED" else 1, match[2].upper()
    return case, None, ""


def slice_name(name: str) -> tuple[str, int, int]:
    """Subject, slice and frame from names of the paper, of Sunnybrook, or that end in a slice number.

    The subject is empty where the name is nothing but a number.
    """
    name = name.removesuffix("-image")
    if match := re.fullmatch(r"(.+?)_slice(\d+)_frame(\d+)", name):
        return match[1], int(match[2]), int(match[3])
    if match := re.fullmatch(r"(.+?)-IM-(\d+)-(\d+)", name):
        return match[1], int(match[3]), 0
    if match := re.fullmatch(r"(.*\D)?(\d+)", name):
        return (match[1] or "").strip("-_ ."), int(match[2]), 0
    return name, 0, 0
