"""All studies of a run: the row of a study, and a page that sorts and filters."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from cmrseg.examination.cohort import COHORT_COLUMNS, cohort_page, cohort_row
from cmrseg.examination.facts import PatientFacts
from tests.examination.test_page import NARROW, WIDE, analysis, phantom
from tests.report.browser import Browser

NAMES = ("SCD 10", "SCD 9", "a&b <i>#1%/x", "none")
EDV = (120.0, 240.5, math.nan, 60.0)
EF = (60.0, 31.0, 50.0, 20.0)
LEVELS = ("green", "red", "amber", "")


def rows() -> pd.DataFrame:
    table = pd.DataFrame({"study": NAMES, "EDV_ml": EDV, "EF_percent": EF, "level": LEVELS, "reasons": ""})
    table.loc[1, "reasons"] = "Mass: It changes. | Base: It may be missing: look."
    return table


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, tmp_path):
    """The page of four studies and a failed one; no error and no request of it when the test is over."""
    path = tmp_path / "index.html"
    path.write_text(cohort_page(rows(), failed={"lost <b>": "no short-axis cine"}), encoding="utf-8")
    browser.open(path, size=WIDE)
    yield browser
    assert browser.errors == []
    assert browser.requests == [path.as_uri()]


def shown(browser) -> list[str]:
    """Names of the studies in the order shown."""
    seen = "[...document.querySelectorAll('#studies tbody tr:not([hidden])')]"
    return browser.js(f"{seen}.map((row) => row.cells[0].textContent.trim())")


def click(browser, selector: str) -> None:
    x, y = browser.js(
        f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}});"
        "const r = e.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; })()"
    )
    browser.drag((x, y))


def head(column: int) -> str:
    return f"#studies thead th:nth-child({column}) button"


@pytest.mark.parametrize(
    ("column", "ascending"),
    [
        (1, ["a&b <i>#1%/x", "none", "SCD 9", "SCD 10"]),
        (2, ["SCD 9", "a&b <i>#1%/x", "SCD 10", "none"]),
        (3, ["none", "SCD 10", "SCD 9", "a&b <i>#1%/x"]),
    ],
    ids=["name", "level", "EDV"],
)
def test_click_on_a_heading_sorts(page, column, ascending):
    click(page, head(column))
    assert shown(page) == ascending
    assert (
        page.js(f"document.querySelector('{head(column)}').parentElement.getAttribute('aria-sort')")
        == "ascending"
    )


def test_second_click_sorts_the_other_way_and_what_is_unknown_stays_last(page):
    click(page, head(3))
    click(page, head(3))
    assert shown(page) == ["SCD 9", "SCD 10", "none", "a&b <i>#1%/x"]


def test_keyboard_sorts(page):
    page.js(f"document.querySelector('{head(4)}').focus()")
    page.press("Enter")
    assert shown(page) == ["none", "SCD 9", "a&b <i>#1%/x", "SCD 10"]


def test_level_filters_table_and_plot(page):
    click(page, "[data-filter=red]")
    assert shown(page) == ["SCD 10", "a&b <i>#1%/x", "none"]
    assert page.js("document.getElementById('shown').textContent") == "3 of 4 shown"
    points = "[...document.querySelectorAll('.plot a:not([hidden])')].map((a) => a.dataset.name)"
    assert page.js(points) == ["SCD 10", "none"]


def test_search_finds_a_name(page):
    page.js("document.getElementById('search').focus()")
    page.press("9")
    assert shown(page) == ["SCD 9"]


def test_link_leads_to_the_report_of_the_study(page):
    links = page.js("[...document.querySelectorAll('#studies a')].map((a) => a.getAttribute('href'))")
    assert links[2] == "a%26b%20%3Ci%3E%231%25%2Fx/report.html"


def test_failed_study_is_listed_with_its_reason(page):
    assert "lost <b>" in page.js("document.querySelector('.failed').textContent")
    assert "no short-axis cine" in page.js("document.querySelector('.failed').textContent")


def test_names_of_checks_are_shown(page):
    assert page.js("document.querySelectorAll('.checks')[1].textContent") == "Mass, Base"


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_is_wider_than_the_window(page, size):
    page.resize(*size)
    assert page.js("document.documentElement.scrollWidth") <= size[0]


def test_page_is_printed(page):
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("failed", [{}, {"a": "broken"}])
def test_page_without_studies_can_be_made(failed):
    text = cohort_page(pd.DataFrame(), failed=failed)
    assert ("No studies." in text) == (not failed)


def test_one_study_needs_no_plot():
    assert "<circle" in cohort_page(rows())
    assert "EF against EDV" not in cohort_page(rows().head(1))


def test_row_holds_the_numbers_of_the_study():
    facts = PatientFacts(height_m=1.8, weight_kg=80, heart_rate_bpm=60)  # 2 m2
    row = cohort_row(analysis(facts=facts))
    assert tuple(row) == COHORT_COLUMNS
    assert row["EF_percent"] == pytest.approx(100 * row["SV_ml"] / row["EDV_ml"])
    assert row["EDV_ml_m2"] == pytest.approx(row["EDV_ml"] / 2)
    assert row["CO_l_min"] == pytest.approx(row["SV_ml"] * 60 / 1000)
    assert row["heart_rate_bpm"] == pytest.approx(60)
    assert row["EDV_ml"] == pytest.approx(phantom().spec.edv_ml, rel=0.25)


def test_row_tells_the_reasons_the_worst_first():
    row = cohort_row(analysis())
    assert row["level"] == "red"
    assert row["reasons"] == "Mass: It changes by 34 %. | Base: It may be missing."


def test_row_of_an_unchecked_study_has_no_level():
    row = cohort_row(replace(analysis(), flags=()))
    assert row["level"] == ""
    assert math.isnan(row["CO_l_min"])
    assert math.isnan(row["heart_rate_bpm"])


def test_row_survives_the_way_through_a_file(tmp_path):
    row = cohort_row(replace(analysis(), flags=(), study="007"))
    path = tmp_path / "cohort.csv"
    pd.DataFrame([row]).to_csv(path, index=False)
    text = cohort_page(pd.read_csv(path, dtype={"study": str}))
    assert ">007</a>" in text
    assert "Not checked" in text
