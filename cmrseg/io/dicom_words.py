"""What may be told of the texts of a header: words of small vocabularies, never the text itself.

Descriptions, names of protocols and even manufacturers are free text, where anything of a patient can stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

UNTOLD = "…"  # stands for words that are not in the vocabulary
OTHER_MANUFACTURER = "another manufacturer"
_MANUFACTURERS = (
    "Siemens", "GE", "Philips", "Canon", "Toshiba", "Hitachi", "Fujifilm", "United Imaging", "UIH", "Bruker",
    "Agilent", "Varian", "MR Solutions", "Esaote", "Neusoft", "Time Medical",
)  # fmt: skip
# No word that is a usual surname as well (long, short, free, rest, low): "shortaxis" is one only when joined.
_VIEWS = """
    sa sax sas ssax sastack shortaxis la lax longaxis kurzachse kurzachsen langachse langachsen kammerblick
    2ch 3ch 4ch 2chamber 3chamber 4chamber ch chamber chambers 2kammer 3kammer 4kammer lvot rvot lv rv
    base basal mid apex apical stack multislice slice slices sl axial ax cor coronal sag sagittal tra trans
    transversal transverse oblique view cardiac loc localizer localiser localizers scout survey
"""
_SEQUENCES = """
    cine cines cinema trufi truefisp trufisp tfi fisp fiesta bssfp ssfp bffe btfe tfe ffe b tse tfl flash spgr
    gre se ir psir haste stir molli shmolli sasha lge mag magnitude phase ps pd t1 t2 t2star map mapping
    moco perf perfusion stress flow pc qflow venc tag tagging spamm dti dwi retro prosp retrospective
    prospective gated triggered ecg bh fb rt realtime grappa sense ipat cs segmented seg iso 2d 3d 4d highres
    mr mri cmr native post pre dynamic dyn singleshot
"""
_WORDS = frozenset(f"{_VIEWS} {_SEQUENCES}".split())
_AXIS = re.compile(r"\b(short|long)[ _.-]*ax(?:is|e)?s?\b", re.IGNORECASE)
_SEQUENCE_CODES = {
    "SE", "IR", "GR", "EP", "RM", "SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "NONE",
}  # fmt: skip


def known_words(description: str) -> str:
    """The words of a description that name a view or a sequence, and its number where there is just one.

    Parameters
    ----------
    description
        Free text of a header.

    Returns
    -------
    Words in lower case, ``…`` for all else; a number is kept below 100, because two could be of a date.
    """
    joined = _AXIS.sub(lambda found: f"{found[1]}axis", description.replace("_", " "))
    words = re.findall(r"[^\W_]+", joined.lower())
    is_only = sum(any(c.isdigit() for c in word) and word not in _WORDS for word in words) == 1
    told: list[str] = []
    for word in words:
        is_count = is_only and word.isascii() and word.isdigit() and len(word) <= 2
        kept = word if word in _WORDS or is_count else UNTOLD
        if kept != UNTOLD or told[-1:] != [UNTOLD]:
            told.append(kept)
    return " ".join(told)


def known_manufacturer(text: str) -> str:
    """The usual name of a manufacturer of scanners; empty where nothing is told."""
    if not text.strip():
        return ""
    names = (n for n in _MANUFACTURERS if re.search(rf"\b{re.escape(n)}\b", text, re.IGNORECASE))
    return next(names, OTHER_MANUFACTURER)


def known_codes(values: Iterable[object]) -> str:
    """Codes of a scanning sequence or its variant, joined by ``+``; any other value is ``other``."""
    return "+".join(value if value in _SEQUENCE_CODES else "other" for value in map(str, values))
