"""One self-contained HTML page from text, tables and figures."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from cmrseg.report.figures import png_bytes

MISSING = "–"
TINY = 1e-3


@dataclass(frozen=True)
class Picture:
    """A figure, the sentence below it (which a screen reader says too) and its file name without suffix."""

    figure: Figure
    caption: str
    name: str


@dataclass(frozen=True)
class Table:
    """A table with the sentence above it."""

    table: pd.DataFrame
    caption: str


@dataclass(frozen=True)
class Section:
    """One headed part of a report: paragraphs, then tables, then figures."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    warnings: Sequence[str] = ()


def render_report(
    title: str, sections: Sequence[Section], *, provenance: Mapping[str, object], summary: str = ""
) -> str:
    """Render a report as one HTML file without links to anything else.

    Parameters
    ----------
    title
        Heading of the page.
    sections
        Parts in their order; empty ones are left out.
    provenance
        What was computed from what: versions, paths, options; nested mappings are flattened.
    summary
        One paragraph that a reader in a hurry needs.

    Returns
    -------
    HTML text; everything that comes from data is escaped, figures are inline PNG.
    """
    environment = Environment(
        loader=PackageLoader("cmrseg.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(cell=format_cell, data_uri=data_uri)
    shown = [s for s in sections if s.text or s.tables or s.pictures or s.warnings]
    template = environment.get_template("report.html.j2")
    return template.render(title=title, sections=shown, provenance=_flat(provenance), summary=summary)


def format_cell(value: object) -> str:
    """A table cell as text: three decimals below 10, one from 10 on, powers of ten below 0.001."""
    if value is None or value is pd.NA or (isinstance(value, Real) and not math.isfinite(value)):
        return MISSING
    if isinstance(value, Real) and not isinstance(value, (Integral, bool)):
        size = abs(float(value))
        if 0 < size < TINY:
            return f"{value:.2e}"
        return f"{value:.3f}" if size < 10 else f"{value:.1f}"
    return str(value)


def data_uri(figure: Figure) -> str:
    """The figure as an address that holds its own bytes."""
    return "data:image/png;base64," + b64encode(png_bytes(figure)).decode("ascii")


def _flat(provenance: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Names and values, ``a.b`` for what is nested."""
    rows: list[tuple[str, str]] = []
    for name, value in provenance.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", MISSING if value is None else str(value)))
    return rows
