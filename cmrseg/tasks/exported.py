"""How another program reads what a network answers, for the description of an exported file."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Exported:
    """What is told of the output of an exported network.

    Attributes
    ----------
    name
        Of the output.
    meaning
        What it holds, after "Output `name`: float32, ".
    start, each, end
        Lines of Python: before the frames of a study, for a frame ``t`` with the outputs of its slices in
        the variable ``name``, and at the end.
    closing
        What to know beside the example.
    facts
        For programs, beside name and channels.
    """

    name: str
    meaning: str
    start: str
    each: str
    end: str
    closing: str
    facts: dict[str, object] = field(default_factory=dict)
