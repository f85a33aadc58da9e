"""Keys of runs: what is finished stays, what has changed is noticed."""

import pytest

from cmrseg.problems import DataError
from cmrseg.studies.keys import begin, finish, is_scored, refuse_another, sha256


def test_a_key_depends_on_every_part_and_on_where_it_ends():
    assert sha256("a", "b") != sha256("a", "c")
    assert sha256("ab") != sha256("a", "b")


def test_a_run_is_scored_when_it_is_finished_with_the_same_key(tmp_path):
    begin(tmp_path, "key")
    assert not is_scored(tmp_path, "key")
    finish(tmp_path, "key")
    assert is_scored(tmp_path, "key")
    assert not is_scored(tmp_path, "another")


def test_a_run_goes_on_once_its_configuration_is_written(tmp_path):
    assert not begin(tmp_path, "key")
    (tmp_path / "config.json").write_text("{}")
    assert begin(tmp_path, "key")


def test_another_run_in_the_folder_is_refused(tmp_path):
    begin(tmp_path, "key")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match="other settings or data"):
        refuse_another(tmp_path, "another")
