"""Problems as rows, and folders that hold nothing."""

import pytest

from cmrseg.problems import (
    PROBLEM_COLUMNS,
    DataError,
    Problem,
    check_apart,
    existing_folder,
    first_line,
    order_of_arguments,
    problem_table,
)


def test_problems_become_rows_of_the_contract():
    table = problem_table([Problem("s1", "unreadable", "left out", "a.nii.gz", "truncated")])
    assert list(table.columns) == ["study", "problem", "resolution", "image", "extra_info"]
    assert table.iloc[0].tolist() == ["s1", "unreadable", "left out", "a.nii.gz", "truncated"]


def test_no_problems_keep_the_columns():
    assert tuple(problem_table([]).columns) == PROBLEM_COLUMNS


def test_of_an_error_its_first_line_is_told_or_its_kind():
    assert first_line(ValueError("\n a\nb")) == "a"
    assert first_line(EOFError()) == "EOFError"
    assert first_line(ValueError("long" * 100), 5) == "longl"


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
    (tmp_path / ".cmrseg.lock").touch()  # of the command that asks
    with pytest.raises(DataError, match="is empty"):
        existing_folder(tmp_path, "data")


@pytest.mark.parametrize(("out", "around"), [("data", False), ("data/images/out", False), (".", True)])
def test_results_do_not_go_among_the_data(tmp_path, out, around):
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match="would lie among the data"):
        check_apart(tmp_path / out, tmp_path / "data", around=around)


def test_results_go_beside_the_data(tmp_path):
    check_apart(tmp_path / "out", tmp_path / "data", around=True)
    check_apart(tmp_path, tmp_path / "data")


def refuse():
    raise DataError("no such thing")


def test_arguments_that_can_be_read_the_other_way_round_are_swapped():
    with (
        pytest.raises(DataError, match=r"arguments are swapped, a first and b second \(no such thing\)"),
        order_of_arguments("a first and b second", lambda: None),
    ):
        refuse()


def test_other_errors_stay_as_they_are():
    with pytest.raises(DataError, match=r"^no such thing$"), order_of_arguments("a first", refuse):
        refuse()
