"""What Zenodo wants to know of a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LICENCES = {  # as cards name them -> as Zenodo does
    "CC0": "cc-zero",
    "CC0 1.0": "cc-zero",
    "CC BY 4.0": "cc-by-4.0",
    "CC BY-SA 4.0": "cc-by-sa-4.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
    "CC BY-ND 4.0": "cc-by-nd-4.0",
    "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0",
    "CC BY-NC-ND 4.0": "cc-by-nc-nd-4.0",
    "MIT": "mit",
    "Apache-2.0": "apache-2.0",
    "BSD-3-Clause": "bsd-3-clause",
}


def zenodo_metadata(
    *, title: str, description: str, creators: Sequence[str], licence: str, keywords: Sequence[str] = ()
) -> dict[str, Any]:
    """Metadata of a record as Zenodo wants them.

    Parameters
    ----------
    title, description
        Of the record; the description is HTML.
    creators
        As ``Family, Given``.
    licence
        One of `LICENCES`.
    keywords
        For the search.

    Raises
    ------
    ValueError
        If there is no creator, or a name or the licence is not as Zenodo wants it.
    """
    if not creators:
        raise ValueError("creators must name at least one person, as 'Family, Given'; got none")
    for name in creators:
        if not all(part.strip() for part in name.partition(",")):
            raise ValueError(f"a creator must be named as 'Family, Given', got {name!r}")
    if licence not in LICENCES:
        raise ValueError(f"the licence {licence!r} is unknown; choose one of {', '.join(LICENCES)}")
    return {
        "title": title,
        "upload_type": "other",
        "description": description,
        "creators": [{"name": name} for name in creators],
        "access_right": "open",
        "license": LICENCES[licence],
        "keywords": list(keywords),
    }
