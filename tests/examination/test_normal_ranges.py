"""Numbers against normal ranges: sex, age, unit and convention have to fit."""

import math

import pandas as pd
import pytest

from cmrseg.examination.facts import PatientFacts
from cmrseg.examination.normal_ranges import BUILT_IN, against_ranges, load_ranges, why_none
from cmrseg.problems import DataError

NUMBERS = pd.DataFrame(
    [
        ("LV", "EF", 50.0, "%", math.nan, ""),
        ("LV", "mass", 100.0, "g", 56.0, "g/m2"),
        ("RV", "EF", math.nan, "%", math.nan, ""),
    ],
    columns=["ventricle", "quantity", "value", "unit", "indexed", "indexed_unit"],
)
HEAD = "sex,age_from,age_to,ventricle,quantity,per,unit,low,high,papillary,source"


def against(facts, table=BUILT_IN):
    found = against_ranges(NUMBERS, facts, load_ranges(table))
    return {(r.ventricle, r.quantity): r.against for r in found.itertuples()}


@pytest.fixture
def table(tmp_path):
    def write(*rows, head=HEAD):
        path = tmp_path / "mine.csv"
        path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
        return path

    return write


def test_the_shipped_ranges_are_mean_and_1_96_sd_of_their_source():
    """Their own words tell mean ± SD; every limit is computed from them again."""
    for r in load_ranges(BUILT_IN).ranges:
        mean, sd = map(float, r.source.partition("(page 1): ")[2].partition(";")[0].split(" ± "))
        assert (r.low, r.high) == pytest.approx((mean - 1.96 * sd, mean + 1.96 * sd), abs=0.051)


def test_below_within_and_above_hang_on_sex():
    assert against(PatientFacts(sex="F", age_years=50)) == {("LV", "EF"): "below", ("LV", "mass"): "above"}
    assert against(PatientFacts(sex="M", age_years=50)) == {("LV", "EF"): "within", ("LV", "mass"): "within"}


@pytest.mark.parametrize(("age", "count"), [(44.9, 0), (45.0, 2), (74.9, 2), (75.0, 0), (math.nan, 0)])
def test_ages_count_in_whole_years(age, count):
    assert len(against(PatientFacts(sex="M", age_years=age))) == count


def test_another_convention_or_unit_is_never_compared(table):
    facts = PatientFacts(sex="F", age_years=50)
    mass = table("F,18,90,LV,EF,,%,55,75,mass,Book p. 1")
    assert against(facts, mass) == {}
    assert "papillary muscles count to the mass" in why_none(facts, load_ranges(mass))
    assert against(facts, table("F,18,90,LV,mass,,kg,55,75,cavity,Book p. 1")) == {}
    assert against(facts, table("F,18,90,LV,mass,,g,55,99,cavity,Book p. 1")) == {("LV", "mass"): "above"}


def test_who_is_not_known_is_said():
    assert "--sex and --age" in why_none(PatientFacts(sex="F"), load_ranges(BUILT_IN))
    assert "no range for this sex and age" in why_none(
        PatientFacts(sex="F", age_years=20), load_ranges(BUILT_IN)
    )


@pytest.mark.parametrize(
    ("rows", "head", "said"),
    [
        ((), HEAD, "no rows"),
        (("F,1,2,LV,EF,,%,5,7,cavity,x",), HEAD.replace("high", "top"), "lacks the column high"),
        (("X,1,2,LV,EF,,%,5,7,cavity,x",), HEAD, "sex is F or M"),
        (("F,1,2,LV,EF,,%,5,7,somewhere,x",), HEAD, "papillary is cavity or mass"),
        (("F,1,2,LV,EF,kg,%,5,7,cavity,x",), HEAD, "per is m2 or empty"),
        (("F,1,2,LV,EF,,%,7,5,cavity,x",), HEAD, "low must be below high"),
        (("F,1,2,LV,EF,,%,low,7,cavity,x",), HEAD, "low must be below high"),
        (("F,1,2,LV,EF,,%,5,7,cavity,",), HEAD, "names no source"),
    ],
)
def test_a_table_that_makes_no_sense_is_one_sentence(table, rows, head, said):
    with pytest.raises(DataError, match=said):
        load_ranges(table(*rows, head=head))
    with pytest.raises(DataError, match="cannot be read"):
        load_ranges(table().with_name("none.csv"))
