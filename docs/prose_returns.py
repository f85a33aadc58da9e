"""For mkdocstrings: `Returns` and `Yields` in sentences, where numpydoc expects a type in the first line."""

from __future__ import annotations

import re
from textwrap import indent

import griffe

_SECTION = re.compile(r"^(Returns|Yields)\n-+\n(.*?)(?=\n\n\S[^\n]*\n---+\n|\Z)", re.MULTILINE | re.DOTALL)


class ProseReturns(griffe.Extension):
    """Indents such a section below a colon, so that griffe takes the type from the signature."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for every module, class and function that was read."""
        if obj.docstring:
            obj.docstring.value = _SECTION.sub(_indented, obj.docstring.value)


def _indented(section: re.Match[str]) -> str:
    """The section, with its text as that of one value without a name."""
    title, text = section.groups()
    return f"{title}\n{'-' * len(title)}\n:\n{indent(text, '    ')}"
