"""What the label ids of a mask mean, here and in other people's data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import IntEnum
from types import MappingProxyType

import numpy as np


class Label(IntEnum):
    """The label ids of every mask that cmrseg writes.

    Examples
    --------
    >>> import cmrseg
    >>> [label.name for label in cmrseg.Label]
    ['BACKGROUND', 'LV', 'MYO', 'RV']
    """

    BACKGROUND = 0
    LV = 1
    MYO = 2
    RV = 3


MOST_ID = 65535  # of a label in a file: masks are of 8 or 16 bit
_ROUNDING = 1e-3  # resampling and scaled headers leave labels such as 1.0000001
STRUCTURES = (Label.LV, Label.MYO, Label.RV)

# Scheme name -> id in the file -> our label.
SCHEMES: Mapping[str, Mapping[int, Label]] = MappingProxyType(
    {
        "cmrseg": {0: Label.BACKGROUND, 1: Label.LV, 2: Label.MYO, 3: Label.RV},
        "mnms": {0: Label.BACKGROUND, 1: Label.LV, 2: Label.MYO, 3: Label.RV},
        "ukbb": {0: Label.BACKGROUND, 1: Label.LV, 2: Label.MYO, 3: Label.RV},
        "acdc": {0: Label.BACKGROUND, 1: Label.RV, 2: Label.MYO, 3: Label.LV},
        "cmr-seg-tl": {0: Label.BACKGROUND, 1: Label.LV, 2: Label.MYO},
    }
)


def near_matches(name: str, known: Sequence[str]) -> str:
    """A hint for an unknown name: the near matches, or all the known names."""
    by_lower = {k.lower(): k for k in known}
    close = [by_lower[n] for n in get_close_matches(name.lower(), by_lower, n=3, cutoff=0.4)]
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"


def get_scheme(name: str) -> Mapping[int, Label]:
    """Label scheme by name, or spelled out such as ``LV=1,MYO=2``.

    Of ``acdc:LV,MYO`` only these structures are read, all others are background.

    Raises
    ------
    ValueError
        If there is no such scheme; near matches are named.
    """
    name, colon, kept = name.partition(":")
    if colon:
        wanted = parse_structures(kept)
        return {
            value: label if label.name in wanted else Label.BACKGROUND
            for value, label in get_scheme(name).items()
        }
    if "=" in name:
        return _spelled_out(name)
    if name not in SCHEMES:
        raise ValueError(f"unknown label scheme '{name}'; {near_matches(name, sorted(SCHEMES))}")
    return SCHEMES[name]


def parse_structures(text: str) -> tuple[str, ...]:
    """Names of structures such as ``LV,MYO``, in the order of their ids.

    Raises
    ------
    ValueError
        If there is none, or one is unknown.
    """
    names = {name.strip().upper() for name in text.split(",") if name.strip()}
    known = [structure.name for structure in STRUCTURES]
    if unknown := sorted(names - set(known)):
        raise ValueError(f"unknown structure '{unknown[0][:40]}'; {near_matches(unknown[0], known)}")
    if not names:
        raise ValueError(f"name at least one structure: {', '.join(known)}")
    return tuple(name for name in known if name in names)


def scheme_of(name: str, structures: Iterable[str]) -> str:
    """Name of a label scheme of which some structures only are read, see `get_scheme`."""
    whole, colon, before = name.partition(":")
    kept = [s for s in structures if not colon or s in parse_structures(before)]
    return f"{whole}:{','.join(kept)}"


def _spelled_out(text: str) -> Mapping[int, Label]:
    """Scheme from ``structure=id`` pairs; background is 0."""
    scheme = {0: Label.BACKGROUND}
    for pair in text.split(","):
        structure, _, value = pair.partition("=")
        if structure.strip().upper() not in Label.__members__ or not value.strip().isdigit():
            raise ValueError(f"label scheme '{text}': '{pair}' is not of the form LV=1, MYO=2 or RV=3")
        if len(value.strip()) > len(str(MOST_ID)) or int(value) > MOST_ID:
            raise ValueError(f"label values of a mask go up to {MOST_ID}, '{pair[:40]}' is more")
        scheme[int(value)] = Label[structure.strip().upper()]
    return scheme


def remap(mask: np.ndarray, scheme: Mapping[int, Label]) -> np.ndarray:
    """Translate a mask of another scheme to `Label` ids.

    Parameters
    ----------
    mask
        Label ids of the file, any shape; floats are accepted when they are whole numbers to 0.001.
    scheme
        File id -> `Label`.

    Returns
    -------
    Mask of the same shape, ``uint8``, in `Label` ids.

    Raises
    ------
    ValueError
        If the mask holds a value that the scheme does not name.
    """
    mask = _whole(np.asarray(mask))
    ids = np.unique(mask)
    unknown = [float(v) for v in ids if v not in scheme]
    if unknown:
        raise ValueError(
            f"label values {_plain(unknown)} are outside the scheme {{{', '.join(map(str, sorted(scheme)))}}}"
        )
    table = np.zeros(max(scheme) + 1, np.uint8)
    for value, label in scheme.items():
        table[value] = label
    return table[mask.astype(np.intp)]


def _whole(mask: np.ndarray) -> np.ndarray:
    """The mask, its floats rounded where that changes next to nothing."""
    if mask.dtype.kind != "f":
        return mask
    rounded = np.rint(mask)
    with np.errstate(invalid="ignore"):  # infinite values are told as unknown labels
        return np.where(np.abs(mask - rounded) <= _ROUNDING, rounded, mask)


def _plain(values: list[float]) -> str:
    """Up to five numbers, whole ones without a decimal point."""
    shown = ", ".join(f"{v:g}" for v in values[:5])
    return shown + (", ..." if len(values) > 5 else "")


def structures_of(schemes: Iterable[str]) -> tuple[Label, ...]:
    """Structures that the label schemes can hold, in the order of their ids."""
    present = {label for scheme in schemes for label in get_scheme(scheme).values()}
    return tuple(sorted(present - {Label.BACKGROUND}))
