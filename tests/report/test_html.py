"""The page is one file, and nothing from the data becomes markup."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from cmrseg.report.html import MISSING, Picture, Section, Table, format_cell, render_report


def page(**changes):
    table = pd.DataFrame({"subject": ["<script>alert(1)</script>"], "dice": [0.91234]})
    section = Section(
        "Scores", ["Text & more."], [Table(table, "Caption")], [Picture(Figure((1, 1)), "A figure", "a")]
    )
    options = {"provenance": {"model": "r34", "data": {"path": "<b>"}}, **changes}
    return render_report("Title", [section, Section("Empty")], **options)


def test_data_is_escaped():
    text = page()
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "Text &amp; more." in text


def test_page_refers_to_nothing_outside():
    text = page()
    assert 'src="data:image/png;base64,' in text
    assert "http://" not in text
    assert "https://" not in text


def test_page_says_research_use_only():
    assert "Research use only" in page()


def test_nested_provenance_is_flattened():
    assert "data.path" in page()
    assert "&lt;b&gt;" in page()


def test_empty_sections_are_left_out():
    assert "Empty" not in page()


def test_summary_and_warnings_are_shown():
    text = render_report("T", [Section("S", warnings=["2 failed"])], provenance={}, summary="In short.")
    assert "In short." in text
    assert '<p class="warning">2 failed</p>' in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.91234, "0.912"), (123.456, "123.5"), (1e-5, "1.00e-05"), (0.0, "0.000"), (7, "7"), ("LV", "LV"),
     (float("nan"), MISSING), (None, MISSING), (pd.NA, MISSING)],
)  # fmt: skip
def test_cells_are_short(value, text):
    assert format_cell(value) == text
