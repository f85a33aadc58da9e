"""Several data sets as one table."""

from pathlib import Path

import pandas as pd
import pytest

from cmrseg.data.catalog import COLUMNS, Catalog
from cmrseg.data.together import data_set_names, join_catalogs
from cmrseg.problems import DataError, Problem


def catalog(*subjects):
    rows = [dict.fromkeys(COLUMNS, "") | {"subject": subject, "split": "train"} for subject in subjects]
    return Catalog(pd.DataFrame(rows), [Problem(subjects[0], "unreadable", "left out")], ["a note"])


def test_data_sets_are_called_as_their_folders():
    assert data_set_names([Path("a/acdc"), Path("b/mnms")]) == ["acdc", "mnms"]


def test_folders_of_one_name_are_told_apart_by_the_folder_above():
    assert data_set_names([Path("a/data"), Path("b/data"), Path("c")]) == ["a_data", "b_data", "c"]


@pytest.mark.parametrize("twice", [["a", "a"], ["a", "b/../a"]])
def test_a_data_set_counts_once(twice):
    with pytest.raises(DataError, match="a is named twice as --data; name it once"):
        data_set_names([Path(name) for name in twice])


def test_one_data_set_stays_as_it_is():
    alone = catalog("1")
    assert join_catalogs({"a": alone}) is alone


def test_subjects_of_one_name_stay_apart_and_notes_say_whose_they_are():
    joined = join_catalogs({"a": catalog("1", "2"), "b": catalog("1")})
    assert joined.table["subject"].tolist() == ["a_1", "a_2", "b_1"]
    assert joined.table["data"].tolist() == ["a", "a", "b"]
    assert [problem.study for problem in joined.problems] == ["a_1", "b_1"]
    assert joined.notes == ["a: a note", "b: a note"]
