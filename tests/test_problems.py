"""Problems as rows, and folders that hold nothing."""

import pytest

from cmrseg.problems import PROBLEM_COLUMNS, DataError, Problem, existing_folder, problem_table


def test_problems_become_rows_of_the_contract():
    table = problem_table([Problem("s1", "unreadable", "left out", "a.nii.gz", "truncated")])
    assert list(table.columns) == ["study", "problem", "resolution", "image", "extra_info"]
    assert table.iloc[0].tolist() == ["s1", "unreadable", "left out", "a.nii.gz", "truncated"]


def test_no_problems_keep_the_columns():
    assert tuple(problem_table([]).columns) == PROBLEM_COLUMNS


def test_a_folder_with_a_file_is_returned(tmp_path):
    (tmp_path / "a").touch()
    assert existing_folder(tmp_path, "data") == tmp_path


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data folder .*nowhere does not exist"):
        existing_folder(tmp_path / "nowhere", "data")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(DataError, match="is a file"):
        existing_folder(tmp_path / "a", "data")


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        existing_folder(tmp_path, "data")
