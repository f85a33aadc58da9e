"""Table I of a data set, its sentences, and what they must not tell."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cmrseg.curation.description import NUMBERS, describe, methods_text, write_description
from cmrseg.curation.survey import Facts

AGES = [0.5, 20.0, 31.0, 60.0, 97.0]


def facts(ages=AGES, **columns):
    """Examinations of as many patients, all alike but for what is given."""
    n = len(ages)
    table = pd.DataFrame({"study": [f"S{i}" for i in range(n)], "subject": [f"P{i}" for i in range(n)]})
    table = table.assign(sex="F", age_years=ages, vendor="Siemens", field_t=7.0)
    told = dict.fromkeys(NUMBERS, 1.0) | {"echo_ms": 3.57, "x": 512.0, "y": 472.0, "dx": 0.66, "dy": 0.66}
    return Facts(table.assign(**(told | columns)), [])


def row(table, quantity, group=""):
    (found,) = table[(table["quantity"] == quantity) & (table["group"] == group)].itertuples()
    return found


def test_numbers_have_n_mean_sd_and_range():
    found = row(describe(facts(slices=[6, 8, 10, np.nan, 12])), "slices")
    assert (found.n, found.mean, found.min, found.max) == (4, 9, 6, 12)
    assert found.sd == pytest.approx(math.sqrt((9 + 1 + 1 + 9) / 3))


def test_groups_have_their_share():
    table = describe(facts(sex=["F", "F", "M", "", "M"], field_t=[1.5, 1.5, 1.5, 3.0, np.nan]))
    assert [row(table, "sex", g).n for g in ("female", "male", "not told")] == [2, 2, 1]
    assert row(table, "field strength", "1.5 T").percent == pytest.approx(60)
    assert row(table, "field strength", "3 T").n == 1


def test_ages_are_grouped_as_in_the_paper_and_end_at_90():
    table = describe(facts())
    groups = {g: row(table, "age group", g).n for g in ("0-17", "18-30", "31-50", "51 and older")}
    assert groups == {"0-17": 1, "18-30": 1, "31-50": 1, "51 and older": 2}
    assert (row(table, "age").min, row(table, "age").max) == (0.5, 90)


def test_the_age_of_few_patients_is_not_told():
    table = describe(facts([33.0, 47.0, 51.0, 62.0]))
    assert row(table, "age").n == 4
    assert table.loc[table["quantity"].str.startswith("age"), ["mean", "min", "max"]].isna().all(axis=None)
    assert "age" not in methods_text(table).split(" (", 1)[1].split(").")[0]


def test_a_patient_of_several_examinations_counts_once():
    table = describe(facts(subject=["P", "P", "P", "Q", "Q"]))
    assert (row(table, "examinations").n, row(table, "patients").n, row(table, "sex", "female").n) == (
        5,
        2,
        2,
    )


def test_the_text_tells_what_varies_with_its_range_and_what_does_not_as_it_is():
    text = methods_text(describe(facts(slices=[6, 8, 8, 9, 11], heart_rate_bpm=[60, 70, 80, 70, np.nan])))
    assert text.startswith("The data set holds 5 examinations of 5 patients (5 female; age 40.3 ± 35 years")
    assert "The images were acquired at 7 T on scanners of Siemens." in text
    assert "echo time 3.57 ms" in text
    assert "a matrix of 512 x 472 (columns x rows), pixels of 0.66 x 0.66 mm, 6 to 11 slices" in text
    assert text.endswith("The heart rate was 70 ± 8.2 beats/min (60 to 80) [n = 4].")


def test_what_nothing_is_known_of_is_left_out_of_the_text():
    unknown = dict.fromkeys(NUMBERS, np.nan) | {"sex": "", "vendor": "", "field_t": np.nan}
    assert (
        methods_text(describe(facts([np.nan], **unknown))) == "The data set holds 1 examination of 1 patient."
    )


def test_table_and_text_are_written(tmp_path):
    table = describe(facts())
    write_description(table, methods_text(table), tmp_path / "out")
    again = pd.read_csv(tmp_path / "out" / "description.csv", keep_default_na=False)
    assert again["quantity"].tolist() == table["quantity"].tolist()
    assert (tmp_path / "out" / "methods.txt").read_text().startswith("The data set holds 5 examinations")
